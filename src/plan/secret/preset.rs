//! Ready-made sets of entries, in the form in which a kind of consumer reads them.

use std::fmt::Write as _;

use super::Entries;
use crate::{
    api::{ApplicationKeySpec, ClientAuthentication, GrantType, KeyManagerRef, SecretPreset},
    plan::{access, observed},
};

/// The entries that a preset adds to those of a credential.
pub(super) fn entries(
    preset: SecretPreset,
    spec: &ApplicationKeySpec,
    manager: Option<&KeyManagerRef>,
    credential: &Entries,
) -> Entries {
    let client = Client {
        spec,
        provider: label(manager.map_or("", |manager| &manager.name)),
        credential,
    };
    match preset {
        SecretPreset::Env => environment(credential),
        SecretPreset::ServiceBinding => client.service_binding(),
        SecretPreset::Spring => client.spring(),
        SecretPreset::OAuth2Proxy => client.oauth2_proxy(),
    }
}

/// For `envFrom`: `client-id` becomes `CLIENT_ID`, `ca.crt` becomes `CA_CRT`.
fn environment(credential: &Entries) -> Entries {
    let variable = |entry: &String| entry.replace(['-', '.'], "_").to_ascii_uppercase();
    let entries = credential.0.iter();
    Entries(entries.map(|(name, value)| (variable(name), value.clone())).collect())
}

/// A name as one part of a property's: in those a dot begins the next part.
fn label(name: &str) -> String {
    name.replace('.', "-")
}

/// A client as its consumers see it.
struct Client<'a> {
    spec: &'a ApplicationKeySpec,
    /// The name under which a consumer that has more than one knows the key manager.
    provider: String,
    credential: &'a Entries,
}

impl Client<'_> {
    fn text(&self, entry: &str) -> Option<String> {
        self.credential.text(entry).map(str::to_owned)
    }

    fn authentication(&self) -> ClientAuthentication {
        self.spec.client_authentication.unwrap_or_default()
    }

    /// The grant that its tokens begin with: a login where there is one.
    fn grant(&self) -> Option<GrantType> {
        let mut first = None;
        for grant in access::grant_types(self.spec) {
            if grant == GrantType::AuthorizationCode {
                return Some(grant);
            }
            first = first.or(Some(grant));
        }
        first
    }

    fn redirect_uri(&self) -> Option<String> {
        self.spec.redirect_uris.first().cloned()
    }

    fn scopes(&self, separator: &str) -> Option<String> {
        let scopes = &self.spec.scopes;
        (!scopes.is_empty()).then(|| scopes.join(separator))
    }

    /// What a service binding has (servicebinding.io): type and provider, and further entries by the names that Spring Cloud
    /// Bindings reads.
    fn service_binding(&self) -> Entries {
        let mut entries = Entries::default();
        entries.put("type", "oauth2");
        entries.put("provider", &self.provider);
        let authentication = self.authentication().registered_name().to_owned();
        let grant = self.grant().map(|grant| grant.registered_name().to_owned());
        for (name, value) in [
            ("client-authentication-method", Some(authentication)),
            ("authorization-grant-type", grant),
            ("redirect-uri", self.redirect_uri()),
            ("scope", self.scopes(",")),
            ("jwk-set-uri", self.text("jwks-uri")),
        ] {
            if let Some(value) = value {
                entries.put(name, &value);
            }
        }
        entries
    }

    /// The properties of Spring Boot's OAuth 2.0 client. A program without a login is not given the issuer: Spring would ask that for
    /// its endpoints at every start, and not start while it is down.
    fn spring(&self) -> Entries {
        let name = label(&self.spec.application_ref.name);
        let login = self.grant() == Some(GrantType::AuthorizationCode);
        let authentication = self.authentication().registered_name().to_owned();
        let grant = self.grant().map(|grant| grant.registered_name().to_owned());
        let registration = [
            ("provider", Some(self.provider.clone())),
            ("client-id", self.text("client-id")),
            ("client-secret", self.text("client-secret")),
            ("client-authentication-method", Some(authentication)),
            ("authorization-grant-type", grant),
            ("redirect-uri", self.redirect_uri()),
            ("scope", self.scopes(",")),
        ];
        let provider = [
            ("issuer-uri", self.text("issuer-uri").filter(|_| login)),
            ("authorization-uri", self.text("authorization-uri")),
            ("token-uri", self.text("token-uri")),
            ("jwk-set-uri", self.text("jwks-uri")),
        ];
        let mut lines = String::new();
        let mut put = |kind: &str, name: &str, properties: &[(&str, Option<String>)]| {
            for (property, value) in properties {
                if let Some(value) = value {
                    let value = property_value(value);
                    let _ = writeln!(lines, "spring.security.oauth2.client.{kind}.{name}.{property}={value}");
                }
            }
        };
        put("registration", &name, &registration);
        put("provider", &self.provider, &provider);
        let mut entries = Entries::default();
        entries.put("application.properties", &lines);
        entries
    }

    /// A configuration of oauth2-proxy without the secret: that is read from the mounted entry `client-secret`, again at every
    /// login, so that a rotation needs no restart.
    fn oauth2_proxy(&self) -> Entries {
        let pkce = observed::pkce(self.spec).filter(|pkce| pkce.required);
        let settings = [
            ("provider", Some("oidc".to_owned())),
            ("client_id", self.text("client-id")),
            ("oidc_issuer_url", self.text("issuer-uri")),
            ("scope", self.scopes(" ")),
            ("redirect_url", self.redirect_uri()),
            ("code_challenge_method", pkce.map(|_| "S256".to_owned())),
        ];
        let mut text = String::new();
        for (name, value) in settings {
            if let Some(value) = value {
                // A string in JSON is one in TOML.
                let _ = writeln!(text, "{name} = {}", serde_json::Value::String(value));
            }
        }
        let mut entries = Entries::default();
        entries.put("oauth2-proxy.cfg", &text);
        entries
    }
}

/// A value as `java.util.Properties` reads it.
fn property_value(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        match c {
            '\\' => text += r"\\",
            '\n' => text += r"\n",
            '\r' => text += r"\r",
            '\t' => text += r"\t",
            ' ' if at == 0 => text += r"\ ",
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::KeyManagerKind;

    /// The preset's entries for a key with this spec, at a key manager called `a.b`.
    fn made(preset: SecretPreset, more: &serde_json::Value) -> Vec<(String, String)> {
        let mut spec = json!({"applicationRef": {"name": "web.shop"}, "environment": "Production"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec: ApplicationKeySpec = serde_json::from_value(spec).unwrap();
        let manager = KeyManagerRef {
            kind: KeyManagerKind::KeyManager,
            name: "a.b".into(),
        };
        let mut credential = Entries::default();
        for (name, value) in [
            ("client-id", "the-id"),
            ("client-secret", "a\\b \"c\""),
            ("issuer-uri", "https://i.example.com"),
            ("token-uri", "https://i.example.com/token"),
            ("jwks-uri", "https://i.example.com/keys"),
            ("ca.crt", "ca"),
        ] {
            credential.put(name, value);
        }
        let entries = entries(preset, &spec, Some(&manager), &credential).0;
        let text = |(name, value)| (name, String::from_utf8(value).unwrap());
        entries.into_iter().map(text).collect()
    }

    fn login() -> serde_json::Value {
        json!({
            "grantTypes": ["RefreshToken", "AuthorizationCode"], "redirectUris": ["https://shop.example.com/cb"],
            "scopes": ["openid", "email"], "pkce": {"required": true}, "clientAuthentication": "ClientSecretPost",
        })
    }

    #[test]
    fn a_service_binding_says_its_type_and_provider() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let machine = [
            ("authorization-grant-type", "client_credentials"),
            ("client-authentication-method", "client_secret_basic"),
            ("jwk-set-uri", "https://i.example.com/keys"),
            ("provider", "a-b"),
            ("type", "oauth2"),
        ];
        assert_eq!(made(SecretPreset::ServiceBinding, &json!({})), machine.map(pair));
        let person = [
            ("authorization-grant-type", "authorization_code"),
            ("client-authentication-method", "client_secret_post"),
            ("jwk-set-uri", "https://i.example.com/keys"),
            ("provider", "a-b"),
            ("redirect-uri", "https://shop.example.com/cb"),
            ("scope", "openid,email"),
            ("type", "oauth2"),
        ];
        assert_eq!(made(SecretPreset::ServiceBinding, &login()), person.map(pair));
    }

    #[test]
    fn spring_s_properties_name_the_issuer_for_logins_only() {
        let text = &made(SecretPreset::Spring, &json!({}))[0].1;
        assert!(
            text.contains(
                "\nspring.security.oauth2.client.registration.web-shop.client-secret=a\\\\b \"c\"\n\
                 spring.security.oauth2.client.registration.web-shop.client-authentication-method=client_secret_basic\n"
            ),
            "{text}"
        );
        assert!(!text.contains("issuer-uri"), "{text}");
        let text = &made(SecretPreset::Spring, &login())[0].1;
        let issuer = "spring.security.oauth2.client.provider.a-b.issuer-uri=https://i.example.com\n";
        assert!(text.contains(issuer), "{text}");
    }

    #[test]
    fn oauth2_proxy_s_configuration_leaves_the_secret_where_it_is() {
        let text = &made(SecretPreset::OAuth2Proxy, &login())[0].1;
        let wanted = "provider = \"oidc\"\nclient_id = \"the-id\"\noidc_issuer_url = \"https://i.example.com\"\n\
                      scope = \"openid email\"\nredirect_url = \"https://shop.example.com/cb\"\ncode_challenge_method = \"S256\"\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn values_of_properties_are_read_back_as_they_were() {
        assert_eq!(property_value(" a\\\n= ü𝄞"), r"\ a\\\n= \u00fc\ud834\udd1e");
    }
}
