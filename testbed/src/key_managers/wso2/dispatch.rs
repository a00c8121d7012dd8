//! From a connection to a handler and back: faults, latency and outage on the way, and a record of all of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    extract::{self, Request},
    response::{Html, IntoResponse as _, Response},
};
use data_encoding::BASE64;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{Api, Call, Fault, Reach, Record, State, answer::Outcome, call::Routed};
use crate::{
    key_managers::double::{Answer, Ask, no_answer},
    openapi::Audit,
};

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers requests.
pub(super) fn router(state: Shared, audit: Arc<Audit>) -> Router {
    Router::new().fallback(answered).with_state((state, audit))
}

async fn answered(extract::State((state, audit)): extract::State<(Shared, Arc<Audit>)>, request: Request) -> Response {
    let Some(ask) = Ask::read(request).await else {
        return no_answer();
    };
    serve(&state, &audit, ask).await.unwrap_or_else(no_answer)
}

/// The answer; none is a broken connection.
async fn serve(state: &Shared, audit: &Audit, ask: Ask) -> Option<Response> {
    let (reach, latency, routed, fault) = lock(state).arrived(&ask);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let call = routed.as_ref().ok().map(|routed| routed.call);
    let mut record = Record::new(call, &ask, fault);
    let answer = match (reach, fault) {
        (Reach::Down, _) | (_, Some(Fault::LoseRequest)) => {
            lock(state).records.push(record);
            return None;
        }
        (Reach::Unavailable, _) => {
            record.status = Some(503);
            lock(state).records.push(record);
            return Some(unavailable());
        }
        (_, Some(Fault::Hang)) => {
            lock(state).records.push(record);
            return std::future::pending().await;
        }
        (_, Some(Fault::Refuse(500))) => Answer::general(),
        (_, Some(Fault::Refuse(status))) => Answer::error(status, u32::from(status), "Refused"),
        (_, Some(Fault::LoseAnswer | Fault::DieBeforeRecording) | None) => {
            let mut state = lock(state);
            state.dying = fault == Some(Fault::DieBeforeRecording);
            let answer = state.answer(&ask, &routed, &mut record);
            state.dying = false;
            answer
        }
    };
    let lost = matches!(fault, Some(Fault::LoseAnswer | Fault::DieBeforeRecording));
    record.status = (!lost).then_some(answer.status);
    record.answer.clone_from(&answer.body);
    lock(state).records.push(record);
    // What was injected is nobody's answer.
    if is_described(&ask.path) && !matches!(fault, Some(Fault::Refuse(_))) {
        audit.hear(answer.exchange(&ask));
    }
    (!lost).then(|| answer.into_response())
}

/// The token endpoint is in none of the vendor's files.
fn is_described(path: &str) -> bool {
    !path.starts_with("/oauth2/") && !path.starts_with("/external/")
}

/// What a load balancer says for a server that is not there.
fn unavailable() -> Response {
    let page = Html("<html><body><h1>503 Service Unavailable</h1></body></html>");
    (StatusCode::SERVICE_UNAVAILABLE, page).into_response()
}

impl State {
    /// What is to become of a request.
    fn arrived(&mut self, ask: &Ask) -> (Reach, std::time::Duration, Result<Routed, u16>, Option<Fault>) {
        let routed = Call::find(&self.settings, &ask.method, &ask.path);
        let meant = |(call, _): &(Call, Fault)| routed.as_ref().is_ok_and(|routed| routed.call == *call);
        let fault = match self.settings.reach {
            Reach::Up => self
                .faults
                .iter()
                .position(meant)
                .map(|index| self.faults.remove(index).1),
            Reach::Down | Reach::Unavailable => None,
        };
        (self.settings.reach, self.settings.latency, routed, fault)
    }

    /// Does what a request asks for.
    fn answer(&mut self, ask: &Ask, routed: &Result<Routed, u16>, record: &mut Record) -> Answer {
        let outcome = match routed {
            Err(404) => Err(Answer::described(
                404,
                404,
                "Not Found",
                "The requested resource is not available",
            )),
            Err(status) => Err(Answer::empty(*status)),
            Ok(routed) => match routed.call.api() {
                Api::Portal => self.portal(routed, ask, record),
                Api::OAuth => self.oauth(routed, ask),
                Api::Registration => self.register(ask).map(|(user, answer)| {
                    record.user = Some(user);
                    answer
                }),
            },
        };
        outcome.unwrap_or_else(|refusal| refusal)
    }

    fn oauth(&mut self, routed: &Routed, ask: &Ask) -> Outcome {
        match routed.call {
            Call::Token => self.token(ask),
            Call::ExternalToken => self.external_token(routed.id(0), ask),
            Call::Revoke => self.revoke(ask),
            Call::Introspect => self.introspect(ask),
            _ => Ok(self.jwks()),
        }
    }

    fn portal(&mut self, routed: &Routed, ask: &Ask, record: &mut Record) -> Outcome {
        let caller = self.caller(routed.call, ask)?;
        record.user = Some(caller.user.clone());
        let (id, other) = (routed.id(0), routed.id(1));
        match routed.call {
            Call::ListApplications => Ok(self.list_applications(&caller, ask)),
            Call::CreateApplication => self.create_application(&caller, ask),
            Call::GetApplication => self.get_application(&caller, id),
            Call::UpdateApplication => self.update_application(&caller, id, ask),
            Call::DeleteApplication => self.delete_application(&caller, id),
            Call::GenerateKeys => self.generate_keys(&caller, id, ask),
            Call::MapKeys => self.map_keys(&caller, id, ask),
            Call::ListKeys => self.list_keys(&caller, id),
            Call::GetKey => self.get_key(id, other),
            Call::UpdateKey => self.update_key(&caller, id, other, ask),
            Call::DeleteKey => self.delete_key(&caller, id, other),
            Call::CleanUp => self.clean_up(id, other),
            Call::RegenerateSecret => self.regenerate_secret(&caller, id, other),
            Call::GenerateSecret => self.generate_secret(&caller, id, other, ask),
            Call::ListSecrets => self.list_secrets(&caller, id, other),
            Call::RevokeSecret => self.revoke_secret(&caller, id, other, ask),
            Call::GenerateToken => self.generate_token(id, other, ask),
            Call::GenerateApiKey => self.generate_api_key(&caller, id, other, ask),
            Call::ListApiKeys => self.list_api_keys(&caller, id, other),
            Call::RevokeApiKey => self.revoke_api_key(&caller, id, ask),
            Call::ListKeyManagers => Ok(self.list_key_managers(&caller)),
            Call::ListPolicies => self.list_policies(id),
            Call::GetSettings => Ok(self.get_settings()),
            Call::ListAttributes => Ok(self.list_attributes()),
            Call::Register | Call::Token | Call::ExternalToken | Call::Revoke | Call::Introspect | Call::Jwks => {
                Err(Answer::internal())
            }
        }
    }

    /// Does something in the Developer Portal as a user would, unrecorded: status and body.
    ///
    /// `path` is below the base of the API. The user needs the role of a subscriber, or of an administrator.
    pub fn by_hand(&mut self, user: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let password = self
            .users
            .get(user)
            .map(|user| user.password.clone())
            .unwrap_or_default();
        let basic = format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()));
        let mut ask = Ask {
            method: method.to_owned(),
            path: format!("{}{path}", self.settings.version.base_path()),
            body: if body.is_null() {
                vec![]
            } else {
                body.to_string().into_bytes()
            },
            ..Ask::default()
        };
        if let Ok(value) = HeaderValue::from_str(&basic) {
            ask.headers.insert(header::AUTHORIZATION, value);
        }
        let routed = Call::find(&self.settings, &ask.method, &ask.path);
        let mut record = Record::new(None, &ask, None);
        let answer = self.answer(&ask, &routed, &mut record);
        (answer.status, answer.body.unwrap_or(Value::Null))
    }
}
