//! Custom authorization servers: their scopes and policies, as they are managed and as they judge.

use serde_json::{Value, json};

use super::{
    app::{App, link, new_id, status},
    org::Org,
};
use crate::key_managers::double::Answer;

/// Scopes that every server has.
const SYSTEM: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

/// A custom authorization server.
#[derive(Clone, Debug)]
pub struct AuthorizationServer {
    /// What paths name it by.
    pub id: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens.
    pub audience: String,
    /// Its scopes, without those that every server has.
    pub scopes: Vec<Scope>,
    /// Its access policies; the first that fits a client counts.
    pub policies: Vec<Policy>,
}

/// A scope.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// A client that asks for none gets it.
    pub default: bool,
    /// A user has to consent to it, so no machine can have it.
    pub consent_required: bool,
}

/// An access policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What paths name it by.
    pub id: String,
    /// Client ids, or `ALL_CLIENTS`.
    pub clients: Vec<String>,
    /// The first that fits a request counts.
    pub rules: Vec<Rule>,
    /// Whether it counts at all.
    pub active: bool,
}

/// A rule of an access policy.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What paths name it by.
    pub id: String,
    /// Grants that it is for.
    pub grant_types: Vec<String>,
    /// Scopes that it allows, or `*`.
    pub scopes: Vec<String>,
    /// How long its tokens live, from 5 minutes to a day.
    pub lifetime_minutes: u32,
}

impl Scope {
    /// One that machines may have when they ask for it.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            default: false,
            consent_required: false,
        }
    }
}

impl Policy {
    /// An active one with one rule, of an hour.
    pub fn new(clients: &[&str], grant_types: &[&str], scopes: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
        Self {
            id: new_id("00p"),
            clients: owned(clients),
            rules: vec![Rule {
                id: new_id("0pr"),
                grant_types: owned(grant_types),
                scopes: owned(scopes),
                lifetime_minutes: 60,
            }],
            active: true,
        }
    }

    /// One that lets all clients have all scopes.
    pub fn open() -> Self {
        Self::new(&["ALL_CLIENTS"], &["client_credentials", "authorization_code"], &["*"])
    }
}

impl AuthorizationServer {
    /// `default`, with the scopes that tests ask for and a policy that lets everybody in.
    pub(super) fn default_one(base: &str) -> Self {
        let consent = Scope {
            consent_required: true,
            ..Scope::new("profile:share")
        };
        let fallback = Scope {
            default: true,
            ..Scope::new("basic")
        };
        Self {
            id: "default".to_owned(),
            issuer: format!("{base}/oauth2/default"),
            audience: "api://default".to_owned(),
            scopes: vec![Scope::new("orders:read"), Scope::new("orders:write"), consent, fallback],
            policies: vec![Policy::open()],
        }
    }

    /// The scopes that a machine gets, and how long its token lives in minutes.
    pub(super) fn judge(&self, app: &App, scope: Option<&str>) -> Result<(Vec<String>, u32), Answer> {
        let invalid = |text: &str| Err(Answer::oauth(400, "invalid_scope", text));
        let asked: Vec<_> = scope.unwrap_or_default().split_ascii_whitespace().collect();
        if asked.iter().any(|name| SYSTEM.contains(name)) {
            return invalid("Cannot request 'openid' scopes using client credentials.");
        }
        let wanted: Vec<_> = if asked.is_empty() {
            self.scopes.iter().filter(|scope| scope.default).collect()
        } else {
            let found = asked
                .iter()
                .map(|name| self.scopes.iter().find(|scope| scope.name == *name));
            let Some(found) = found.collect::<Option<_>>() else {
                return invalid("One or more scopes are not configured for the authorization server resource.");
            };
            found
        };
        if wanted.is_empty() {
            return invalid(
                "The authorization server resource does not have any configured default scopes, 'scope' must be provided.",
            );
        }
        let consents: Vec<_> = wanted
            .iter()
            .filter(|scope| scope.consent_required)
            .map(|scope| &*scope.name)
            .collect();
        if !consents.is_empty() {
            let names = consents.join(", ");
            let why = "require user consent and cannot be granted for the client credentials grant type";
            return Err(Answer::oauth(
                400,
                "consent_required",
                &format!("The following scopes {why}: [{names}]."),
            ));
        }
        let rule = self.rule(app, "client_credentials")?;
        let allows = |name: &str| rule.scopes.iter().any(|allowed| allowed == "*" || allowed == name);
        let (granted, denied): (Vec<_>, Vec<_>) =
            wanted.iter().map(|scope| &*scope.name).partition(|name| allows(name));
        // Of what nobody asked for, what is allowed is given.
        let granted: Vec<_> = granted.into_iter().map(str::to_owned).collect();
        let denial = match (granted.is_empty(), denied.is_empty() || asked.is_empty()) {
            (true, _) => "Policy evaluation succeeded, but all the requested scopes were rejected.".to_owned(),
            (false, false) => {
                let names = denied.join(", ");
                format!("Some of the requested scopes were denied by the policy. Denied scopes: [{names}].")
            }
            (false, true) => return Ok((granted, rule.lifetime_minutes)),
        };
        Err(Answer::oauth(400, "access_denied", &denial))
    }

    /// The first rule of the first policy that lets the client use a grant.
    fn rule(&self, app: &App, grant: &str) -> Result<&Rule, Answer> {
        let named = |policy: &&Policy| {
            policy
                .clients
                .iter()
                .any(|id| id == "ALL_CLIENTS" || *id == app.client_id)
        };
        let policies = self.policies.iter().filter(|policy| policy.active).filter(named);
        let mut rules = policies.flat_map(|policy| &policy.rules);
        let fits = |rule: &&Rule| rule.grant_types.iter().any(|allowed| allowed == grant);
        let text = "Policy evaluation failed for this request, please check the policy configurations.";
        rules
            .find(fits)
            .ok_or_else(|| Answer::oauth(401, "access_denied", text))
    }

    fn address(&self, base: &str) -> String {
        format!("{base}/api/v1/authorizationServers/{}", self.id)
    }

    fn json(&self, base: &str, kid: &str) -> Value {
        let address = self.address(base);
        json!({
            "id": self.id, "name": self.id, "description": "A custom authorization server", "status": "ACTIVE",
            "audiences": [self.audience], "issuer": self.issuer, "issuerMode": "ORG_URL",
            "credentials": {"signing": {"rotationMode": "AUTO", "kid": kid}},
            "_links": {
                "self": link(&address, "GET"), "scopes": link(&format!("{address}/scopes"), "GET"),
                "policies": link(&format!("{address}/policies"), "GET"),
            },
        })
    }

    fn scopes_json(&self) -> Value {
        let consent = |required| if required { "REQUIRED" } else { "IMPLICIT" };
        let one = |name: &str, system: bool, default: bool, required: bool| {
            json!({
                "id": format!("scp-{name}"), "name": name, "system": system, "default": default, "optional": false,
                "consent": consent(required), "metadataPublish": "ALL_CLIENTS",
            })
        };
        let system = SYSTEM.map(|name| one(name, true, false, false));
        let own = self
            .scopes
            .iter()
            .map(|scope| one(&scope.name, false, scope.default, scope.consent_required));
        system.into_iter().chain(own).collect()
    }

    fn policies_json(&self, base: &str) -> Value {
        let one = |(number, policy): (usize, &Policy)| policy.json(&self.address(base), number + 1);
        self.policies.iter().enumerate().map(one).collect()
    }
}

impl Policy {
    fn json(&self, server: &str, priority: usize) -> Value {
        let address = format!("{server}/policies/{}", self.id);
        json!({
            "type": "OAUTH_AUTHORIZATION_POLICY", "id": self.id, "name": format!("Policy {priority}"),
            "description": "Who may have tokens", "status": status(self.active), "priority": priority, "system": false,
            "conditions": {"clients": {"include": self.clients}},
            "_links": {"self": link(&address, "GET"), "rules": link(&format!("{address}/rules"), "GET")},
        })
    }
}

impl Rule {
    fn json(&self, priority: usize) -> Value {
        json!({
            "type": "RESOURCE_ACCESS", "id": self.id, "name": format!("Rule {priority}"), "status": "ACTIVE",
            "priority": priority, "system": false,
            "conditions": {
                "people": {"users": {"include": [], "exclude": []}, "groups": {"include": ["EVERYONE"], "exclude": []}},
                "grantTypes": {"include": self.grant_types}, "scopes": {"include": self.scopes},
            },
            "actions": {"token": {
                "accessTokenLifetimeMinutes": self.lifetime_minutes, "refreshTokenLifetimeMinutes": 0,
                "refreshTokenWindowMinutes": 10080,
            }},
        })
    }
}

/// A server by its id.
pub(super) fn find<'a>(org: &'a Org, id: &str) -> Result<&'a AuthorizationServer, Answer> {
    let found = org
        .servers
        .iter()
        .find(|server| server.id == id && !org.modes.no_custom_servers);
    found.ok_or_else(|| Answer::not_found(id, "AuthorizationServer"))
}

/// `GET /api/v1/authorizationServers` and what is below.
pub(super) fn read(org: &Org, rest: &[&str]) -> Result<Answer, Answer> {
    if org.modes.no_custom_servers {
        let text = "You do not have permission to access the feature you are requesting";
        return Err(Answer::okta(401, "E0000015", text, &[]));
    }
    let kid = &org.signer.kid;
    let body = match *rest {
        [] => org.servers.iter().map(|server| server.json(&org.base, kid)).collect(),
        [id] => find(org, id)?.json(&org.base, kid),
        [id, "scopes"] => find(org, id)?.scopes_json(),
        [id, "policies"] => find(org, id)?.policies_json(&org.base),
        [id, "policies", policy] | [id, "policies", policy, "rules"] => {
            let server = find(org, id)?;
            let mut policies = server.policies.iter().enumerate();
            let found = policies.find(|(_, one)| one.id == policy);
            let (number, found) = found.ok_or_else(|| Answer::not_found(policy, "Policy"))?;
            if rest.len() == 3 {
                found.json(&server.address(&org.base), number + 1)
            } else {
                let rules = found.rules.iter().enumerate();
                rules.map(|(number, rule)| rule.json(number + 1)).collect()
            }
        }
        _ => return Err(Answer::okta(404, "E0000008", "The requested path was not found", &[])),
    };
    Ok(Answer::json(200, body))
}
