//! A double of WSO2 API Manager: a stateful HTTPS server on a free loopback port, for what cannot be run in tests.
//!
//! What it does: client registration, the token endpoint (signed JWTs, JWKS, introspection, revocation), the Developer
//! Portal's applications, OAuth keys, secrets, key managers, throttling policies and API keys, as versions 4.0 to 4.7
//! do them, faults and surprises included. All that passes is held to the vendor's OpenAPI files; where the server is
//! known to differ from them is in `deviations`, with the reasons.
//!
//! How tests use it:
//!
//! ```no_run
//! # use testbed::key_managers::wso2::{Call, Fault, Settings, Switch, Trouble, Version, Wso2, RESIDENT};
//! # async fn test() -> anyhow::Result<()> {
//! let wso2 = Wso2::start(Settings::of(Version::V4_7)).await?;
//! let (user, password) = (wso2.user(), wso2.password()); // may have keys; no administrator
//! let (url, ca) = (wso2.url(), wso2.ca()); // registration and tokens; the Developer Portal is at `wso2.portal()`
//! // ... the client does its work ...
//! wso2.state().settings.turn(Switch::HashedSecrets, true);
//! wso2.state().resident().troubles.insert(Trouble::Unreachable);
//! wso2.state().fail_next(Call::GenerateKeys, Fault::LoseAnswer);
//! wso2.state().users.get_mut(user).expect("there").locked = true;
//! wso2.by_hand("admin", "POST", "/applications", &serde_json::json!({"name": "a", "throttlingPolicy": "Unlimited"}));
//! assert_eq!(wso2.state().count(Call::GenerateKeys), 1);
//! assert!(wso2.state().orphans().is_empty());
//! wso2.audit().assert_clean(); // nothing passed that is not as the OpenAPI files say, but for what is declared
//! # Ok(())
//! # }
//! ```
//!
//! `Settings` has the modes of the whole server: the version, one secret or several, approval, hashing, latency, outage.
//! `Trouble` is what can be the matter with one key manager inside WSO2, `Fault` what happens to one call.
//! `State::decide` is the administrator's word on what waits for approval, `State::pass` lets time pass.
//!
//! # Traps
//!
//! Where a client that follows the vendor's documentation literally goes wrong, and how it happens here. Each has a test
//! of its name in `tests`. W1 to W10 are always on, where nothing else is said.
//!
//! | number | what it is | what makes it happen |
//! | --- | --- | --- |
//! | W1 | a body with a property that the version does not know is refused as a whole | any such body; `visibility` before 4.5, `consumerSecrets` before 4.7 |
//! | W2 | scopes that the user's roles do not open are dropped, with 200 | a user without the roles; `User::roles` |
//! | W3 | codes are not unique: 901409 is "taken" and "leaked", 900967 is anything | W6; any failure of a key manager |
//! | W4 | `query` finds parts of names, and the list has applications of others | any list; `Switch::Sharing` with `User::groups` |
//! | W5 | deleting an application leaves clients behind where the key manager fails, with 200 | `Trouble::Unreachable` or `Disabled` |
//! | W6 | generate-keys fails and leaves a row; each repetition is 409/901409 until clean-up | `Trouble::Unreachable`, `NotLoaded`, `Refusing` |
//! | W7 | a key that is missing in the list is not gone | `Trouble::Disabled`, `Unreachable`, `NotLoaded`; the client removed from `KeyManager::clients` |
//! | W8 | clean-up of a key that has a client leaves the client, whose name blocks the next one | any clean-up of such a key |
//! | W9 | reads show masks instead of secrets | `Secrets::Multiple`, the default of 4.7 |
//! | W10 | flags sent as JSON booleans are ignored, with 200; they read back as booleans | any such body |
//! | W11 | a missing scope is a 401 like an expired token | a token without `apim:subscribe` and `apim:app_manage`; `State::pass` |
//! | W12 | the answer is lost after the effect | `Fault::LoseAnswer` on any call |
//! | W13 | the server dies between client and row: an orphan blocks the name | `Fault::DieBeforeRecording` on generate-keys |
//! | W14 | reading one key is an empty 200 when the key manager cannot be reached, or the application is not there | `Trouble::Unreachable` |
//! | W15 | `keyManager` is a name in the list, an id in the read of one, and what was sent in generate | any such calls |
//! | W16 | with hashing a secret is shown once | `Switch::HashedSecrets` |
//! | W17 | a key waits for approval with 200, and its secret is never shown to who asked for it | `Switch::ApproveKeys`, `State::decide` |
//! | W18 | an application that waits is 201 like any other, and one whose deletion waits is 201, then an empty 400 | `Switch::ApproveApplications`, `ApproveDeletions` |
//! | W19 | deleting a key whose client is gone fails for ever; so does a partially created one | the client removed from `KeyManager::clients`; W6 |
//! | W20 | the latest secret cannot be revoked | any such call |
//! | W21 | regenerate-secret ends the old secret and all tokens at once, and is a 500 where there are several secrets | `Secrets::Single`; `Secrets::Multiple` |
//! | W22 | regenerate-secret by the Keycloak connector is a 200 with a null, and nothing has changed | `Kind::Keycloak` |
//! | W23 | regenerate-secret is an empty 204 when the key manager cannot be reached | `Trouble::Unreachable` |
//! | W24 | one client that the Keycloak connector cannot read makes the whole list a 500 | `Kind::Keycloak` with `Trouble::Unreachable` |
//! | W25 | an update by the Okta connector changes the secret unless the body has it | `Kind::Okta` |
//! | W26 | an update cannot take a callback away, and several read back as `regexp=(a\|b)` | any such body |
//! | W27 | `expiresIn` of a secret as a string is ignored: it never ends | any such body, `Secrets::Multiple` |
//! | W28 | registering again changes nothing, answers a digest with hashing, and is 403 for `user@carbon.super` | `Switch::HashedSecrets`; `RegistrationHandsOut` |
//! | W29 | API keys are listed as a bare array, and their ids are only there | 4.7 |
//! | W30 | DELETE of a key is 405 before 4.3: only clean-up or the application's deletion | `Version::V4_2` and older |
//! | W31 | a restricted or disabled key manager is in the list of key managers all the same | `Trouble::Restricted`, `Disabled` |
//! | W32 | the resident key manager is not there until somebody has listed the key managers | `Switch::LazyResident` |
//! | W33 | the client is there and the key is complete, and the call answers an error | `Switch::TestTokenFails` |
//! | W34 | a change or read of a key of another tenant is left out or refused | `State::add_tenant`, header `X-WSO2-Tenant` |
//! | W35 | an administrator's condition on a property refuses bodies that leave it out, updates too | `KeyManager::constraints`, 4.7 |
//! | W36 | single reads have no secret, and regeneration is a 500 | `Version::V4_0` |
//! | W37 | an update by the Keycloak connector is a 500 unless `client_id` is among the properties | `Kind::Keycloak` |
//! | W38 | an application may read `DELETE_PENDING` though nothing waits: deleting again is right | `Kind::Keycloak` with `Trouble::Unreachable`, then healed |
//! | W39 | a secret is revoked by its id alone, whoever's it is | a `secretId` of another client |

mod access;
mod answer;
mod api_keys;
mod application;
mod applications;
mod call;
mod client;
mod connector;
mod deviations;
mod dispatch;
mod generation;
mod key;
mod key_manager;
mod keys;
mod properties;
mod record;
mod registration;
mod request;
mod secrets;
mod signer;
mod state;
mod switches;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
mod version;
mod workflow;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::tls_server::TlsServer;
use crate::openapi::{Audit, OpenApi, contracts};

pub use self::{
    application::{Application, Described, Waiting},
    call::{Api, Call},
    client::{Client, ClientSecret, Flags, Lifetimes},
    key::{Key, KeyState, KeyType},
    key_manager::{Constraint, KeyManager, Kind, RESIDENT, Trouble},
    record::{Fault, Record},
    state::State,
    switches::{Attribute, Reach, Secrets, Settings, Switch},
    users::{SUPER_TENANT, User},
    version::Version,
    workflow::Decision,
};

/// The user that clients under test are: may have applications and keys, and nothing else.
const USER: &str = "appkeys";
const PASSWORD: &str = "appkeys-password";

/// The double. It ends when it is dropped.
#[derive(Debug)]
pub struct Wso2 {
    state: Arc<Mutex<State>>,
    audit: Arc<Audit>,
    server: TlsServer,
    origin: String,
}

impl Wso2 {
    /// Starts it.
    ///
    /// # Errors
    /// No port is free, or a key cannot be made.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let mut server = TlsServer::new()?;
        let origin = server.url();
        let base = settings.version.base_path();
        let mut state = State::new(settings, origin.clone(), signer::Signer::new()?);
        state.users.insert(
            USER.to_owned(),
            User::new(PASSWORD, &["Internal/subscriber", "Internal/everyone"]),
        );
        let state = Arc::new(Mutex::new(state));
        let files = vec![
            OpenApi::read(contracts::WSO2_DEVPORTAL)?.with_base(base),
            OpenApi::read(contracts::WSO2_DCR)?.with_base("/client-registration/v0.17"),
        ];
        let audit = Arc::new(Audit::new(files, deviations::DEVIATIONS.to_vec()));
        server
            .start(dispatch::router(Arc::clone(&state), Arc::clone(&audit)))
            .await?;
        Ok(Self {
            state,
            audit,
            server,
            origin,
        })
    }

    /// Where client registration and the token endpoint are: the server, without a path.
    pub fn url(&self) -> &str {
        &self.origin
    }

    /// Where the Developer Portal API is.
    pub fn portal(&self) -> String {
        let base = self.state().settings.version.base_path();
        format!("{}{base}", self.origin)
    }

    /// The CA of its certificate, in PEM.
    pub fn ca(&self) -> &str {
        self.server.ca()
    }

    /// A user with the role of a subscriber. The administrator is `admin`, with the same word as password.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The user's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The state: to read, and to change as an administrator would. No call is answered while it is held.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What passed, held to the vendor's OpenAPI files.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Does something in the Developer Portal as a user would, unrecorded: status and body.
    pub fn by_hand(&self, user: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.state().by_hand(user, method, path, body)
    }
}
