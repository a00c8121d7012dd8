//! Keys whose clients hold secrets, private keys, or nothing.

use appkeys::api::CredentialKind;
use serde_json::{Value, json};

/// What somebody writes over a credential.
pub(crate) const TAMPERED: &str = "tampered";

/// What `spec` says, for a key whose client holds this unless it says so itself.
pub(crate) fn spec(kind: CredentialKind, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("clientAuthentication").is_some() {
        return spec;
    }
    match kind {
        CredentialKind::Secret => {}
        CredentialKind::PrivateKey => spec["clientAuthentication"] = "PrivateKeyJwt".into(),
        CredentialKind::Nothing => {
            // An app whose users log in; nobody but they gets tokens.
            spec.as_object_mut().unwrap().remove("accessTokens");
            spec["clientAuthentication"] = "None".into();
            spec["grantTypes"] = json!(["AuthorizationCode"]);
            spec["redirectUris"] = json!(["https://shop.example.com/callback"]);
            spec["pkce"] = json!({"required": false});
        }
    }
    spec
}

/// The access rules that such keys need.
pub(crate) fn access(kind: CredentialKind) -> Value {
    match kind {
        CredentialKind::Secret | CredentialKind::PrivateKey => json!([]),
        CredentialKind::Nothing => json!([{
            "namespaceSelector": {}, "grantTypes": ["ClientCredentials", "AuthorizationCode"],
            "redirectUriPatterns": ["https://shop.example.com/*"],
        }]),
    }
}
