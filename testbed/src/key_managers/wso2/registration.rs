//! Client registration for callers of the APIs: an upsert by name that never updates.

use serde_json::json;

use super::{
    Client, ClientSecret, State, Switch,
    access::canonical,
    answer::Outcome,
    client::{digest, random, uuid},
    request::Credentials,
    users::SUPER_TENANT,
};
use crate::key_managers::double::{Answer, Ask};

const FIELDS: &[&str] = &[
    "callbackUrl",
    "clientName",
    "owner",
    "grantType",
    "saasApp",
    "tokenType",
    "tokenScope",
    "userstoreDomainInSubject",
];

impl State {
    /// Registers a client.
    pub(super) fn register(&mut self, ask: &Ask) -> Result<(String, Answer), Answer> {
        let user = self.registrar(ask)?;
        let answer = self.register_for(&user, ask)?;
        Ok((user, answer))
    }

    /// HTTP Basic, or a bearer token with a scope of its own.
    fn registrar(&self, ask: &Ask) -> Result<String, Answer> {
        let refusal = || Answer::described(401, 401, "Unauthorized", "The user is not authorized");
        match ask.credentials() {
            Credentials::Basic(name, password) => {
                let name = canonical(&name).to_owned();
                let user = self.users.get(&name).ok_or_else(refusal)?;
                user.logs_in(&password).then_some(name).ok_or_else(refusal)
            }
            Credentials::Bearer(token) => {
                let issued = self
                    .tokens
                    .get(&token)
                    .filter(|issued| issued.expires > self.now())
                    .ok_or_else(refusal)?;
                let allowed = issued.scopes.split(' ').any(|scope| scope == "apim:dcr:app_manage");
                allowed.then(|| issued.user.clone()).ok_or_else(refusal)
            }
            Credentials::None => Err(refusal()),
        }
    }

    fn register_for(&mut self, user: &str, ask: &Ask) -> Outcome {
        if self.settings.has(Switch::RegistrationStarting) {
            return Err(Answer::described(
                500,
                500,
                "Internal server error",
                "DCR service is not available",
            ));
        }
        let fields = ask.fields(FIELDS)?;
        let name = fields.required("clientName")?;
        let owner = fields.text("owner")?.filter(|owner| !owner.trim().is_empty());
        let Some(owner) = owner else {
            return Err(Answer::bad("Owner of the application cannot be empty"));
        };
        if !self.users.contains_key(canonical(&owner)) {
            return Err(forbidden());
        }
        if canonical(&owner) != user && user != "admin" {
            // The status says one thing and the code another.
            return Err(Answer::described(
                400,
                500,
                "Bad Request",
                "Logged in user is not the owner of the application",
            ));
        }
        if let Some(client) = self.registered_as(&name) {
            let same = client.owner == owner || self.settings.has(Switch::RegistrationHandsOut);
            return if same {
                Ok(self.registered(client))
            } else {
                Err(forbidden())
            };
        }
        let Some(grants) = fields.text("grantType")? else {
            return Err(Answer::internal());
        };
        let callback = fields.text("callbackUrl")?.unwrap_or_default();
        let needs_callback = |grant: &str| matches!(grant, "authorization_code" | "implicit");
        let grants = grants
            .split_whitespace()
            .filter(|grant| !callback.is_empty() || !needs_callback(grant));
        let mut client = Client::new(random(), name, canonical(&owner).to_owned(), ClientSecret::random());
        client.grants = grants.map(str::to_owned).collect();
        client.callback = callback;
        client.jwt = fields.text("tokenType")?.is_some_and(|kind| kind == "JWT");
        // The first answer shows the secret itself, also where only its digest is kept.
        let mut answer = self.registered(&client);
        if let Some(body) = &mut answer.body {
            body["clientSecret"] = json!(client.secret());
        }
        self.registered.insert(client.id.clone());
        self.resident().clients.insert(client.id.clone(), client);
        Ok(answer)
    }

    fn registered_as(&self, name: &str) -> Option<&Client> {
        let mut residents = self.key_managers.iter().filter(|one| one.tenant == SUPER_TENANT);
        residents.next()?.clients.values().find(|client| client.name == name)
    }

    fn registered(&self, client: &Client) -> Answer {
        let secret = if self.settings.has(Switch::HashedSecrets) {
            digest(client.secret())
        } else {
            client.secret().to_owned()
        };
        let details = json!({
            "grant_types": client.grants.join(" "), "redirect_uris": client.callback, "client_name": client.name,
        });
        let body = json!({
            "clientId": client.id,
            "clientName": client.name,
            "callBackURL": client.callback,
            "clientSecret": secret,
            "isSaasApplication": true,
            "appOwner": client.owner,
            "jsonString": details.to_string(),
            "jsonAppAttribute": "{}",
            "applicationUUID": uuid(),
            "tokenType": if client.jwt { "JWT" } else { "DEFAULT" },
        });
        Answer::json(200, body)
    }
}

/// One text for all that is forbidden.
fn forbidden() -> Answer {
    Answer::described(403, 403, "Forbidden", "Access is forbidden to the application")
}
