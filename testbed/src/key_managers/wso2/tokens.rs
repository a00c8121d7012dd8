//! The token endpoint and its neighbours: of the resident key manager, and of the others.

use serde_json::{Value, json};

use super::{
    Client, Kind, State,
    access::{Issued, canonical},
    answer::Outcome,
    client::random,
    request::Credentials,
};
use crate::key_managers::double::{Answer, Ask};

/// Grant types that the server knows.
const GRANTS: [&str; 7] = [
    "client_credentials",
    "password",
    "refresh_token",
    "authorization_code",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:saml2-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange",
];

/// How long a refresh token lives, in seconds.
const REFRESH: i64 = 86_400;

/// The members of a form.
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

fn invalid_client(description: &str) -> Answer {
    Answer::oauth(401, "invalid_client", description).with("www-authenticate", "Basic realm=localhost")
}

impl State {
    /// A token of the resident key manager.
    pub(super) fn token(&mut self, ask: &Ask) -> Outcome {
        let form = Form(ask.form());
        let client = self.authenticated(ask, &form, |kind, _| kind == Kind::Resident)?;
        self.grant(&client, &form)
    }

    /// A token of another key manager.
    pub(super) fn external_token(&mut self, key_manager: &str, ask: &Ask) -> Outcome {
        let form = Form(ask.form());
        let client = self.authenticated(ask, &form, |_, id| id == key_manager)?;
        self.grant(&client, &form)
    }

    /// The client that has proved itself, among those of the key managers that `at` picks.
    fn authenticated(&self, ask: &Ask, form: &Form, at: impl Fn(Kind, &str) -> bool) -> Result<Client, Answer> {
        let (id, secret) = match ask.credentials() {
            Credentials::Basic(id, secret) => (id, Some(secret)),
            _ => match form.get("client_id") {
                Some(id) => (id.to_owned(), form.get("client_secret").map(str::to_owned)),
                None => return Err(invalid_client("Client credentials are invalid.")),
            },
        };
        let found = self.find_client(&id).filter(|(place, _)| {
            let one = &self.key_managers[*place];
            at(one.kind, &one.id)
        });
        let proved = |client: &Client| match &secret {
            Some(secret) => client.proves(secret, self.now()),
            None => client.flags.public,
        };
        let Some((place, client)) = found else {
            return Err(invalid_client("A valid OAuth client could not be found for client_id"));
        };
        match () {
            () if !proved(client) && self.key_managers[place].kind == Kind::Keycloak => Err(Answer::oauth(
                401,
                "unauthorized_client",
                "Invalid client or Invalid client credentials",
            )),
            () if !proved(client) => Err(invalid_client("Client credentials are invalid.")),
            () if !client.active => Err(invalid_client("Oauth application is not in active state.")),
            () => Ok(client.clone()),
        }
    }

    fn grant(&mut self, client: &Client, form: &Form) -> Outcome {
        let grant = form.get("grant_type").unwrap_or_default();
        if !GRANTS.contains(&grant) {
            return Err(Answer::oauth(400, "invalid_request", "Unsupported grant_type value"));
        }
        if !client.grants.iter().any(|own| own == grant) {
            let text = "The authenticated client is not authorized to use this authorization grant type";
            return Err(Answer::oauth(400, "unauthorized_client", text));
        }
        let asked = form.get("scope").unwrap_or_default();
        match grant {
            "client_credentials" => {
                let scopes = self.scopes_of(&client.owner, asked);
                Ok(self.issued(client, &client.owner, &scopes, false))
            }
            "password" => {
                let name = canonical(form.get("username").unwrap_or_default()).to_owned();
                let password = form.get("password").unwrap_or_default();
                if !self.users.get(&name).is_some_and(|user| user.logs_in(password)) {
                    return Err(Answer::oauth(
                        400,
                        "invalid_grant",
                        &format!("Authentication failed for {name}"),
                    ));
                }
                let scopes = self.scopes_of(&name, asked);
                Ok(self.issued(client, &name, &scopes, true))
            }
            "refresh_token" => {
                let token = form.get("refresh_token").unwrap_or_default();
                let good = |one: &&Issued| one.client == client.id && one.expires > self.now();
                let Some(old) = self.refreshes.get(token).filter(good).cloned() else {
                    return Err(Answer::oauth(
                        400,
                        "invalid_grant",
                        "Persisted access token data not found",
                    ));
                };
                self.refreshes.remove(token);
                Ok(self.issued(client, &old.user, &old.scopes, true))
            }
            "authorization_code" if form.get("code").is_none() => {
                Err(Answer::oauth(400, "invalid_request", "Missing parameters: code"))
            }
            // Nobody logs in here, so there is no code that was given.
            "authorization_code" => Err(Answer::oauth(
                400,
                "invalid_grant",
                "Invalid authorization code received from token request",
            )),
            _ => Err(Answer::oauth(
                400,
                "invalid_grant",
                "Provided Authorization Grant is invalid",
            )),
        }
    }

    fn scopes_of(&self, user: &str, asked: &str) -> String {
        // A client of somebody who is gone has no roles.
        self.users
            .get(user)
            .map_or_else(|| "default".to_owned(), |user| user.left_of(asked))
    }

    /// A token, as it is answered.
    fn issued(&mut self, client: &Client, user: &str, scopes: &str, refresh: bool) -> Answer {
        let (token, life) = self.issue(client, user, scopes, refresh);
        let mut body = json!({"access_token": token, "scope": scopes, "token_type": "Bearer", "expires_in": life});
        if refresh {
            let again = Issued {
                user: user.to_owned(),
                client: client.id.clone(),
                scopes: scopes.to_owned(),
                expires: self.now() + REFRESH,
            };
            let token = random();
            body["refresh_token"] = json!(token);
            self.refreshes.insert(token, again);
        }
        Answer::json(200, body)
    }

    /// A token, and how many seconds it lives.
    pub(super) fn issue(&mut self, client: &Client, user: &str, scopes: &str, of_user: bool) -> (String, i64) {
        let now = self.now();
        // An opaque token that is still good is given again.
        let same = |(_, one): &(&String, &Issued)| {
            one.client == client.id && one.user == user && one.scopes == scopes && one.expires > now
        };
        if !client.jwt
            && let Some((token, one)) = self.tokens.iter().find(same)
        {
            return (token.clone(), one.expires - now);
        }
        let default = i64::try_from(self.settings.token_lifetime.as_secs()).unwrap_or(i64::MAX);
        let own = if of_user {
            client.lifetimes.user
        } else {
            client.lifetimes.application
        };
        let life = own.unwrap_or(default);
        let token = if client.jwt {
            let claims = self.claims(client, user, scopes, (now, life), of_user);
            self.signer.sign(&claims).unwrap_or_default()
        } else {
            random()
        };
        let issued = Issued {
            user: user.to_owned(),
            client: client.id.clone(),
            scopes: scopes.to_owned(),
            expires: now + life,
        };
        self.tokens.insert(token.clone(), issued);
        (token, life)
    }

    fn claims(&self, client: &Client, user: &str, scopes: &str, (now, life): (i64, i64), of_user: bool) -> Value {
        let external = self
            .key_managers
            .iter()
            .find(|one| one.kind != Kind::Resident && one.clients.contains_key(&client.id));
        let issuer = match external {
            None => format!("{}/oauth2/token", self.origin),
            Some(one) => format!("{}/external/{}", self.origin, one.id),
        };
        json!({
            "sub": user,
            "aut": if of_user { "APPLICATION_USER" } else { "APPLICATION" },
            "aud": client.id,
            "azp": client.id,
            "client_id": client.id,
            "scope": scopes,
            "iss": issuer,
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": super::client::uuid(),
        })
    }

    /// Makes a token invalid.
    pub(super) fn revoke(&mut self, ask: &Ask) -> Outcome {
        let form = Form(ask.form());
        let client = self.authenticated(ask, &form, |kind, _| kind == Kind::Resident)?;
        if let Some(token) = form.get("token") {
            let own = |one: &Issued| one.client == client.id;
            if self.tokens.get(token).is_some_and(own) {
                self.tokens.remove(token);
            }
        }
        Ok(Answer::empty(200))
    }

    /// What a token is good for: for a user's credentials, not a client's.
    pub(super) fn introspect(&mut self, ask: &Ask) -> Outcome {
        let Credentials::Basic(name, password) = ask.credentials() else {
            return Err(Answer::unauthenticated());
        };
        let name = canonical(&name);
        let admin = |user: &super::User| user.logs_in(&password) && user.roles.iter().any(|role| role == "admin");
        if !self.users.get(name).is_some_and(admin) {
            return Err(Answer::unauthenticated());
        }
        let form = Form(ask.form());
        let token = form.get("token").unwrap_or_default();
        let issued = self.tokens.get(token).filter(|one| one.expires > self.now());
        let active = issued.filter(|one| self.find_client(&one.client).is_some_and(|(_, client)| client.active));
        let body = active.map_or(json!({"active": false}), |one| {
            json!({
                "active": true, "client_id": one.client, "scope": one.scopes, "username": one.user, "exp": one.expires,
            })
        });
        Ok(Answer::json(200, body))
    }

    /// The public keys.
    pub(super) fn jwks(&self) -> Answer {
        Answer::json(200, self.signer.jwks())
    }

    /// Ends all tokens of a client.
    pub(super) fn end_tokens(&mut self, client: &str) {
        self.tokens.retain(|_, one| one.client != client);
        self.refreshes.retain(|_, one| one.client != client);
    }
}
