//! The verbs of a key manager at one Okta org.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{
    api::{Among, Api, Created},
    app::{self, App},
    credentials::Credentials,
    young::{self, Young, not_shown},
};
use crate::{
    api::CredentialKind,
    clock::Clock,
    entropy::Entropy,
    key_manager::{
        Answer, Capabilities, Category, Changed, Client, Compared, Current, Endpoints, Error, KeyManager, Mark,
        NewSecret, Properties, Registered, SecretAdded, TokenAnswer, TokenRequest, private_key,
        remote::{self, HttpClient, TokenEndpoint},
    },
};

/// How long a credential that was just made may be refused, as pauses between the tries (O22).
const LATE: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// An org and one of its authorization servers.
#[derive(Debug)]
pub(super) struct OktaDriver {
    pub(super) api: Api,
    /// The operator's own client, which is nobody else's; empty where it has an API token.
    pub(super) operator: String,
    pub(super) http: HttpClient,
    pub(super) capabilities: Capabilities,
    pub(super) endpoints: Endpoints,
    pub(super) young: Young,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
}

/// How sure it must be that an app is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    /// A create follows, which tells.
    Supposed,
    /// Nothing follows: what is not seen now must not be there.
    Sure,
}

impl OktaDriver {
    /// The app of this client id, whoever it belongs to.
    async fn look(&self, id: &str, absence: Absence) -> Result<Option<App>, Error> {
        let now = self.clock.now();
        match self.young.of(id, now) {
            // Reads lag: this one is there although they may not show it (O21).
            Some(young::App::Made(app)) => {
                let found = self.api.get(&app).await?;
                return found.map(Some).ok_or_else(|| not_shown(id));
            }
            Some(young::App::Deleted) => return Ok(None),
            None => {}
        }
        if let Some(found) = self.api.find(id, Among::Labelled).await? {
            return Ok(Some(found));
        }
        if absence == Absence::Supposed {
            return Ok(None);
        }
        match self.api.find(id, Among::All).await? {
            None if !self.young.is_gone(id, now) => Err(not_shown(id)),
            found => Ok(found),
        }
    }

    /// The same, where it carries one of these marks.
    async fn owned(&self, id: &str, marks: &[&Mark], absence: Absence) -> Result<Option<App>, Error> {
        let Some(found) = self.look(id, absence).await? else {
            return Ok(None);
        };
        if marks.iter().any(|mark| found.is_marked(mark)) {
            return Ok(Some(found));
        }
        Err(foreign(id))
    }

    /// A create was refused because the label or the client id is taken: ours is there, or another's is.
    async fn taken(&self, client: &Client, properties: &Properties, refusal: &str) -> Result<App, Error> {
        let marks = [&client.mark, &properties.mark];
        if let Some(found) = self.owned(&client.id, &marks, Absence::Supposed).await? {
            return Ok(found);
        }
        let other = self.api.labelled(&client.id).await?;
        if other.is_some_and(|other| other.client_id() != client.id) {
            let text = format!(
                "an app of another client has the label {} ({refusal}): it is left as it is; rename it, or choose another spec.clientId",
                client.id
            );
            return Err(Error::new(Category::ClientConflict, text));
        }
        let anywhere = self.api.find(&client.id, Among::All).await?;
        match anywhere {
            Some(found) if marks.iter().any(|mark| found.is_marked(mark)) => Ok(found),
            Some(_) => Err(foreign(&client.id)),
            None => Err(not_shown(&client.id)),
        }
    }

    /// Gives an app that is ours these properties.
    async fn give(&self, now: &App, properties: &Properties, adopted: Option<&str>) -> Result<Changed, Error> {
        usable(now)?;
        self.api.has_scopes(&properties.scopes).await?;
        let wanted = app::type_of(properties)?;
        if now.type_() != wanted {
            let text = format!(
                "app {} is of type {} for good, and these grant types need one of type {wanted}",
                now.id(),
                now.type_()
            );
            return Ok(Changed::NeedsAnother(text));
        }
        if !properties.frozen {
            self.turn(now, true).await?;
        }
        // Of another kind from now on, it needs something of that kind; a secret of ours comes when it is asked for.
        let kind = properties.authentication.credential();
        let placeholder = match kind {
            _ if kind == now.kind() => None,
            CredentialKind::Secret => Some(self.entropy.client_secret().map_err(|_| no_entropy())?),
            CredentialKind::PrivateKey => {
                let key = private_key::generate(self.capabilities.key_algorithm);
                Some(key.map_err(|_| no_entropy())?)
            }
            CredentialKind::Nothing => Some(SecretString::default()),
        };
        let mut body = app::change(now, properties, placeholder.as_ref())?;
        app::adopt(&mut body, adopted);
        if !self.api.put(now.id(), &body).await? {
            // It was there a moment ago.
            return Err(not_shown(now.client_id()));
        }
        if properties.frozen {
            // It says already that this was us.
            self.turn(now, false).await?;
        }
        Ok(Changed::done())
    }

    /// Lets the client of an app log in, or not.
    async fn turn(&self, app: &App, active: bool) -> Result<(), Error> {
        if app.is_active() == active {
            // Okta may refuse what is so already.
            return Ok(());
        }
        let (step, verb) = if active {
            ("activate an app", "/lifecycle/activate")
        } else {
            ("deactivate an app", "/lifecycle/deactivate")
        };
        let turned = self.api.below(step, Method::POST, app.id(), verb, None).await?;
        turned.map(drop).ok_or_else(|| not_shown(app.client_id()))
    }

    fn credentials<'a>(&'a self, app: &'a App, kind: CredentialKind) -> Credentials<'a> {
        Credentials {
            api: &self.api,
            app,
            kind,
        }
    }
}

fn foreign(id: &str) -> Error {
    let text = format!(
        "there is a client {id} already that is not this key's: it is left as it is; choose another spec.clientId"
    );
    Error::new(Category::ClientConflict, text)
}

fn no_entropy() -> Error {
    Error {
        sent: false,
        ..Error::new(Category::Unreachable, "there are no random numbers")
    }
}

/// An app that somebody deactivated stays as it is: only who did that knows why.
fn usable(app: &App) -> Result<(), Error> {
    if app.is_active() || app.is_frozen() {
        return Ok(());
    }
    let text = format!(
        "somebody deactivated app {} of client {} in Okta: activate it there (Applications, {}), or delete this key",
        app.id(),
        app.client_id(),
        app.label()
    );
    Err(Error::new(Category::InvalidRequest, text))
}

#[async_trait]
impl KeyManager for OktaDriver {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn register(
        &self,
        client: &Client,
        properties: &Properties,
        secret: &SecretString,
        _attempt: Option<&str>,
    ) -> Result<Registered, Error> {
        self.api.has_scopes(&properties.scopes).await?;
        let body = app::creation(&client.id, properties, secret)?;
        match self.api.create(&body, !properties.frozen).await? {
            Created::Made(id) => {
                let now = self.clock.now();
                self.young.app(&client.id, young::App::Made(id), now);
                self.young.credential(&client.id, secret, now);
                Ok(Registered::Made(Answer {
                    id: client.id.clone(),
                    secret: secret.clone(),
                    management: None,
                    secret_ends: None,
                    differences: vec![],
                }))
            }
            Created::Taken(refusal) => {
                usable(&self.taken(client, properties, &refusal).await?)?;
                Ok(Registered::Exists)
            }
        }
    }

    async fn find(&self, _client: &Client, _attempt: &str) -> Result<Option<Answer>, Error> {
        Ok(None)
    }

    async fn update(&self, client: &Client, properties: &Properties) -> Result<Changed, Error> {
        let marks = [&client.mark, &properties.mark];
        match self.owned(&client.id, &marks, Absence::Supposed).await? {
            Some(now) => self.give(&now, properties, None).await,
            None => Ok(Changed::NotThere),
        }
    }

    async fn compare(&self, client: &Client, properties: &Properties) -> Result<Compared, Error> {
        let marks = [&client.mark, &properties.mark];
        Ok(match self.owned(&client.id, &marks, Absence::Sure).await? {
            Some(now) => Compared::Differs(app::differences(&now, properties)?, None),
            None => Compared::NotThere,
        })
    }

    async fn adopt(&self, client: &Client, properties: &Properties, secret: &SecretString) -> Result<Changed, Error> {
        let Some(now) = self.look(&client.id, Absence::Sure).await? else {
            return Ok(Changed::NotThere);
        };
        if client.id == self.operator || now.is_others(&properties.mark) {
            return Err(foreign(&client.id));
        }
        let kind = properties.authentication.credential();
        if now.kind() != kind {
            let text = format!(
                "client {} proves itself in another way than spec.clientAuthentication says",
                client.id
            );
            return Err(Error::new(Category::InvalidRequest, text));
        }
        let adopted = match kind {
            CredentialKind::Secret => self.credentials(&now, kind).id_of(secret).await?,
            CredentialKind::PrivateKey | CredentialKind::Nothing => None,
        };
        self.give(&now, properties, adopted.as_deref()).await
    }

    async fn add_secret(&self, client: &Client, new: NewSecret<'_>) -> Result<SecretAdded, Error> {
        let Some(now) = self.owned(&client.id, &[&client.mark], Absence::Supposed).await? else {
            return Ok(SecretAdded::NotThere);
        };
        usable(&now)?;
        if !self.credentials(&now, new.kind).add(&new).await? {
            return Ok(SecretAdded::Occupied);
        }
        self.young.credential(&client.id, new.secret, self.clock.now());
        Ok(SecretAdded::Added(new.secret.clone()))
    }

    async fn read_secret(&self, client: &Client) -> Result<Option<Answer>, Error> {
        let Some(now) = self.owned(&client.id, &[&client.mark], Absence::Supposed).await? else {
            return Ok(None);
        };
        if now.kind() != CredentialKind::Secret {
            return Ok(None);
        }
        let newest = self.credentials(&now, CredentialKind::Secret).newest().await?;
        Ok(newest.map(|secret| Answer {
            id: client.id.clone(),
            secret,
            management: None,
            secret_ends: None,
            differences: vec![],
        }))
    }

    async fn retire(&self, client: &Client, current: Current<'_>, end: Timestamp) -> Result<Changed, Error> {
        if end > self.clock.now() {
            // Okta keeps no end: there is another call when the time has come.
            return Ok(Changed::done());
        }
        let Some(now) = self.owned(&client.id, &[&client.mark], Absence::Sure).await? else {
            return Ok(Changed::NotThere);
        };
        self.credentials(&now, current.kind).keep_only(&current).await?;
        Ok(Changed::done())
    }

    async fn delete(&self, client: &Client) -> Result<Changed, Error> {
        let now = match self.owned(&client.id, &[&client.mark], Absence::Sure).await {
            Ok(Some(now)) => now,
            Ok(None) => return Ok(Changed::NotThere),
            Err(error) if error.category == Category::ClientConflict => return Ok(Changed::NotThere),
            Err(error) => return Err(error),
        };
        // Only an inactive one can be deleted (O4).
        self.turn(&now, false).await?;
        let step = "delete an app";
        let deleted = self.api.below(step, Method::DELETE, now.id(), "", None).await?;
        deleted.ok_or_else(|| not_shown(&client.id))?;
        self.young.app(&client.id, young::App::Deleted, self.clock.now());
        Ok(Changed::done())
    }

    async fn token(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, Error> {
        let endpoint = TokenEndpoint {
            http: &self.http,
            url: &self.endpoints.token,
            // The endpoint that is called, and not its issuer (O13).
            audience: &self.endpoints.token,
            refuses_credential: remote::invalid_client,
            entropy: &self.entropy,
        };
        for pause in LATE {
            let answer = endpoint.ask(request.clone()).await?;
            let young = self.young.is_young(request.client_id, request.secret, self.clock.now());
            if !young || !matches!(answer, TokenAnswer::InvalidClient) {
                return Ok(answer);
            }
            tokio::time::sleep(pause).await;
        }
        endpoint.ask(request).await
    }

    fn settles(&self) -> SignedDuration {
        remote::SETTLES
    }
}
