//! What status says after a pass, and when the next one is due.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{observed::Observed, rotation, secret};
use crate::api::{
    ApplicationKeyStatus,
    application_key::{AccessTokenStatus, CredentialStatus, Phase, SecretRef},
    conditions::{self, Say},
};
use crate::key_manager::Overlap;

/// The condition types that are ours on a key.
pub const CONDITIONS: &[&str] = &[
    "Ready",
    "UpToDate",
    "Verified",
    "Suspended",
    "RotationUnsupported",
    "CredentialExpiring",
    "Drifted",
    "SecretTypeKept",
    "RegistrationDiffers",
    "TokensIssued",
    "ShortTokens",
    "ShortOverlap",
    "Draining",
    "CleanupPending",
];

/// The conditions after a step failed: the last good Secret stays as it is, and the key says until when it is good.
pub fn failed(o: &Observed, reason: &'static str, message: &str) -> Vec<Say> {
    let Some(published) = o.secret.ours().filter(|published| published.client_secret().is_some()) else {
        return vec![Say::no("Ready", reason, message)];
    };
    let conditions = o.key.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let ready = conditions::is_true(conditions, "Ready");
    if !ready || o.hand.announced || o.hand.refused || o.hand.exists {
        // A pass that failed never makes a key ready: what made it not ready may still be so.
        return vec![Say::no("Ready", reason, message)];
    }
    let end = o.token_hints().values().map(|token| token.expires_at).min();
    let good = match end {
        Some(end) => format!("the Secret's first access token ends at {end}"),
        None => "the Secret's credential has no end".to_owned(),
    };
    let text = format!("Secret {} has a credential that worked; {good}", published.name);
    vec![
        Say::yes("Ready", "Published", text),
        Say::no("UpToDate", reason, message),
    ]
}

/// Whether nothing that is watched tells when that which stands against a key goes, so that it has to be looked at again.
pub fn unwatched(says: &[Say]) -> bool {
    says.iter()
        .any(|say| matches!(say.reason, "SecretConflict" | "EnvironmentTaken"))
}

/// The status after a pass that ended with `says`; `now` is when its last step was decided.
pub fn status(o: &Observed, says: &[Say], now: Timestamp) -> ApplicationKeyStatus {
    let old = o.key.status.clone().unwrap_or_default();
    let generation = o.key.metadata.generation;
    let mut status = ApplicationKeyStatus {
        observed_generation: generation,
        ..old.clone()
    };
    let speaks_of_ready = says.iter().any(|say| say.type_ == "Ready");
    let ours: Vec<_> = CONDITIONS
        .iter()
        .copied()
        .filter(|c| speaks_of_ready || *c == "Suspended")
        .collect();
    conditions::set(&mut status.conditions, &ours, says, generation, now);
    if let Ok(target) = &o.target {
        status.key_manager = Some(target.reference.clone());
    }
    if let Some(published) = o.secret.ours() {
        let hints = &published.hints;
        if let Some(manager) = &hints.key_manager {
            status.key_manager = Some(manager.clone());
        }
        status.client_id = Some(hints.client_id.clone());
        let secret = SecretRef {
            name: published.name.clone(),
        };
        status.binding = Some(secret.clone());
        status.secret_ref = Some(secret);
        status.credential = Some(CredentialStatus {
            version: hints.version,
            issued_at: hints.issued_at.map(Time),
            next_rotation_time: rotation::next_time(o, now).map(Time),
            previous_valid_until: o.draining_until(now).map(Time),
            phase: phase(o, &old, now),
        });
    }
    status.access_tokens = o
        .token_hints()
        .iter()
        .map(|(name, hint)| AccessTokenStatus {
            name: name.clone(),
            scopes: hint.scopes.clone(),
            expires_at: Time(hint.expires_at),
            renew_at: Time(hint.renew_at),
        })
        .collect();
    status.next_change_time = wake(&status, former_until(o), now).map(Time);
    status
}

/// When a key with this status is looked at next without anybody changing anything. What was due at `now` and was not done
/// cannot be done: it waits for a change, not for a time, or the key would be looked at for ever without a pause.
pub fn wake(status: &ApplicationKeyStatus, former_until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let credential = status.credential.as_ref();
    let times = [
        credential.and_then(|c| c.next_rotation_time.as_ref()).map(|t| t.0),
        credential.and_then(|c| c.previous_valid_until.as_ref()).map(|t| t.0),
        former_until,
    ];
    times
        .into_iter()
        .flatten()
        .chain(status.access_tokens.iter().map(|token| token.renew_at.0))
        .filter(|at| *at > now)
        .min()
}

fn former_until(o: &Observed) -> Option<Timestamp> {
    o.secret.ours()?.hints.former.as_ref().map(|former| former.until)
}

fn phase(o: &Observed, old: &ApplicationKeyStatus, now: Timestamp) -> Phase {
    let Some(published) = o.secret.ours() else {
        return Phase::Pending;
    };
    let before = old
        .credential
        .as_ref()
        .filter(|c| c.version == published.hints.version)
        .map(|c| c.phase);
    let server_ends = o
        .target
        .as_ref()
        .is_ok_and(|target| target.capabilities.overlap == Overlap::ServerEnds);
    let told = o.hand.retired || o.state.old.is_some() || before == Some(Phase::Draining);
    let ended = published.hints.previous_valid_until.is_none() || o.hand.retired || before == Some(Phase::Idle);
    match o.draining_until(now) {
        Some(_) if told => Phase::Draining,
        Some(_) => Phase::Published,
        None if ended || told && server_ends || o.state.old.is_some() => Phase::Idle,
        None => before.unwrap_or(Phase::Published),
    }
}

/// The text of the event when a new secret was published.
pub fn rotated(o: &Observed) -> String {
    let version = o.secret.ours().map_or(0, |published| published.hints.version);
    format!(
        "Secret {} has version {version} of the credential",
        secret::name(&o.key)
    )
}
