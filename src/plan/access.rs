//! What a namespace may have at a key manager: the union of the access rules that select it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};

use crate::api::{AccessRule, ApplicationKeySpec, GrantType};

/// What a namespace may have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// Whether it may use the key manager at all.
    pub selected: bool,
    /// Everything that the key manager can do: the key manager is the namespace's own.
    pub all: bool,
    scopes: Vec<String>,
    resources: Vec<String>,
    grant_types: Vec<GrantType>,
    redirect_uri_patterns: Vec<String>,
    client_id_prefixes: Vec<String>,
    adopt: bool,
}

impl Grants {
    /// What the owner of a namespaced key manager has.
    pub fn everything() -> Self {
        Self {
            selected: true,
            all: true,
            ..Self::default()
        }
    }

    /// What `rules` give to a namespace with these labels. No rule at all gives plain client_credentials clients to everybody.
    pub fn of(rules: &[AccessRule], labels: &BTreeMap<String, String>) -> Self {
        if rules.is_empty() {
            return Self {
                selected: true,
                grant_types: vec![GrantType::ClientCredentials],
                ..Self::default()
            };
        }
        let mut grants = Self::default();
        for rule in rules
            .iter()
            .filter(|rule| selects(rule.namespace_selector.as_ref(), labels))
        {
            grants.selected = true;
            grants.scopes.extend(rule.scopes.iter().cloned());
            grants.resources.extend(rule.resources.iter().cloned());
            match &rule.grant_types {
                Some(types) => grants.grant_types.extend(types),
                None => grants.grant_types.push(GrantType::ClientCredentials),
            }
            grants
                .redirect_uri_patterns
                .extend(rule.redirect_uri_patterns.iter().cloned());
            grants.adopt |= rule.adopt;
            grants.client_id_prefixes.extend(rule.client_id_prefix.iter().cloned());
        }
        grants
    }

    /// Whether a client may have this scope.
    pub fn scope(&self, scope: &str) -> bool {
        self.all || self.scopes.iter().any(|granted| granted == scope)
    }

    /// Whether tokens may be asked for this resource.
    pub fn resource(&self, resource: &str) -> bool {
        self.all || self.resources.iter().any(|granted| granted == resource)
    }

    /// Whether a client may use this grant type.
    pub fn grant_type(&self, grant_type: GrantType) -> bool {
        self.all || self.grant_types.contains(&grant_type)
    }

    /// Whether logins may return to this URI.
    pub fn redirect_uri(&self, uri: &str) -> bool {
        self.all
            || self
                .redirect_uri_patterns
                .iter()
                .any(|pattern| uri_matches(pattern, uri))
    }

    /// Whether this client id may be chosen.
    pub fn client_id(&self, id: &str) -> bool {
        self.all || self.client_id_prefixes.iter().any(|prefix| id.starts_with(prefix))
    }

    /// All that `spec` asks for and no rule grants, in words for people; empty where all is granted.
    pub fn refused(&self, spec: &ApplicationKeySpec) -> Vec<String> {
        let mut refused = vec![];
        let vendor = spec.vendor_blocks();
        let scopes = spec.scopes.iter().map(String::as_str).chain(vendor.scopes());
        refused.extend(scopes.filter(|s| !self.scope(s)).map(|s| format!("scope {s}")));
        refused.extend(
            resources(spec)
                .filter(|r| !self.resource(r))
                .map(|r| format!("resource {r}")),
        );
        refused.extend(
            spec.redirect_uris
                .iter()
                .filter(|uri| !self.redirect_uri(uri))
                .map(|uri| format!("redirect URI {uri}")),
        );
        refused.extend(
            grant_types(spec)
                .filter(|g| !self.grant_type(*g))
                .map(|g| format!("grant type {g}")),
        );
        refused.extend(
            spec.client_id
                .iter()
                .filter(|id| !self.client_id(id))
                .map(|id| format!("client id {id}")),
        );
        refused.extend(
            spec.adopt
                .iter()
                .filter(|_| !self.all && !self.adopt)
                .map(|adopt| format!("adoption of client {}", adopt.client_id)),
        );
        refused
    }
}

/// The resources that a key's tokens are asked for.
pub fn resources(spec: &ApplicationKeySpec) -> impl Iterator<Item = &str> {
    spec.access_tokens.iter().filter_map(|token| token.resource.as_deref())
}

/// The grant types of a key's client.
pub fn grant_types(spec: &ApplicationKeySpec) -> impl Iterator<Item = GrantType> {
    const DEFAULT: &[GrantType] = &[GrantType::ClientCredentials];
    spec.grant_types.as_deref().unwrap_or(DEFAULT).iter().copied()
}

/// Whether a pattern matches the whole of `uri`: `*` stands for characters within one segment of the path. In a query it stands
/// for itself, and so it does before the path: nobody is let in by a host that only ends like theirs.
fn uri_matches(pattern: &str, uri: &str) -> bool {
    let path = path_begins(pattern);
    let (origin, mut pieces) = (&pattern[..path], pattern[path..].split('*'));
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = uri.strip_prefix(origin).and_then(|rest| rest.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<_> = pieces.collect();
    for (n, piece) in pieces.iter().enumerate() {
        let last = n + 1 == pieces.len();
        let at = if last {
            rest.strip_suffix(piece).map(str::len)
        } else {
            rest.find(piece)
        };
        let Some(at) = at.filter(|at| !rest[..*at].contains(['/', '?', '#', '%', '\\'])) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

/// Where the path of a URI begins: after the authority, or after the scheme where there is none.
fn path_begins(uri: &str) -> usize {
    let after_scheme = uri.find(':').map_or(0, |colon| colon + 1);
    let Some(rest) = uri[after_scheme..].strip_prefix("//") else {
        return after_scheme;
    };
    let authority = rest.find(['/', '?']).unwrap_or(rest.len());
    after_scheme + 2 + authority
}

/// Absent selects nothing, `{}` everything; a selector that cannot be read selects nothing.
fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    selector.is_some_and(|selector| Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn rule(selector: Option<serde_json::Value>, scopes: &[&str]) -> AccessRule {
        AccessRule {
            namespace_selector: selector.map(|s| serde_json::from_value(s).unwrap()),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            ..AccessRule::default()
        }
    }

    #[test]
    fn no_rules_give_plain_clients_to_everybody() {
        let grants = Grants::of(&[], &labels(&[]));
        assert!(grants.selected && grants.grant_type(GrantType::ClientCredentials));
        assert!(!grants.scope("a") && !grants.resource("a") && !grants.client_id("a"));
        assert!(!grants.grant_type(GrantType::AuthorizationCode));
    }

    #[test]
    fn an_absent_selector_selects_nothing_and_an_empty_one_everything() {
        assert!(!Grants::of(&[rule(None, &["a"])], &labels(&[])).selected);
        assert!(Grants::of(&[rule(Some(serde_json::json!({})), &["a"])], &labels(&[])).scope("a"));
    }

    #[test]
    fn a_redirect_uri_matches_as_a_whole_and_a_star_stays_in_its_segment() {
        let cases = [
            ("https://a.example.com/cb", "https://a.example.com/cb", true),
            ("https://a.example.com/cb", "https://a.example.com/cb/more", false),
            ("https://a.example.com/cb", "https://a.example.com/cb?x=1", false),
            ("https://a.example.com/*/cb", "https://a.example.com/shop/cb", true),
            ("https://a.example.com/*/cb", "https://a.example.com/shop/x/cb", false),
            ("https://a.example.com/*/cb", "https://a.example.com//cb", true),
            ("https://a.example.com/shop-*", "https://a.example.com/shop-1", true),
            (
                "https://a.example.com/shop-*",
                "https://a.example.com/shop-1/../../evil",
                false,
            ),
            (
                "https://a.example.com/shop-*",
                "https://a.example.com/shop-%2F..%2Fevil",
                false,
            ),
            ("https://a.example.com/a*b*c", "https://a.example.com/axbxbxc", true),
            ("https://a.example.com/*", "https://a.example.com.evil.com/cb", false),
            ("https://a.example.com/*", "https://a.example.com/", true),
            (
                "https://a.example.com/*",
                "https://evil.com/?https://a.example.com/x",
                false,
            ),
            ("https://*.example.com/cb", "https://evil.example.com/cb", false),
            ("https://a.example.com", "https://a.example.com", true),
            ("https://a.example.com", "https://a.example.com@evil.com", false),
            ("com.example.shop:/callback", "com.example.shop:/callback", true),
            ("com.example.shop:/*", "com.example.shop:/callback", true),
            ("http://localhost:8080/*", "http://localhost:80801/cb", false),
        ];
        for (pattern, uri, matches) in cases {
            assert_eq!(uri_matches(pattern, uri), matches, "{pattern} {uri}");
        }
    }

    #[test]
    fn a_namespace_gets_the_union_of_the_rules_that_select_it() {
        let team = |team: &str| Some(serde_json::json!({"matchLabels": {"team": team}}));
        let rules = [
            rule(team("a"), &["read"]),
            rule(team("b"), &["write"]),
            rule(Some(serde_json::json!({})), &["ping"]),
        ];
        let grants = Grants::of(&rules, &labels(&[("team", "a")]));
        assert!(grants.scope("read") && grants.scope("ping") && !grants.scope("write"));
    }
}
