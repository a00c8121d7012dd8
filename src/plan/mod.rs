//! Decisions: functions of what is asked for, what is observed, what a key manager can do, and the time.
//!
//! Nothing here waits, calls, reads a clock or draws a random number. A plan is asked for one step at a time; the
//! controller executes it, observes what it changed, and asks again until the answer is [`step::Step::Done`].

pub mod access;
pub mod drift;
pub mod hand;
pub mod hints;
pub mod identity;
pub mod key;
pub mod observed;
pub mod removal;
pub mod resolve;
pub mod rotation;
pub mod secret;
pub mod status;
pub mod step;
pub mod tokens;

/// A time in whole seconds, as the API server keeps it: what is planned compares equal to what is read back. Rounded up, so
/// that nothing ends or begins too early.
pub(crate) fn whole_second(at: jiff::Timestamp) -> jiff::Timestamp {
    let up = jiff::TimestampRound::new()
        .smallest(jiff::Unit::Second)
        .mode(jiff::RoundMode::Ceil);
    at.round(up).unwrap_or(at)
}
#[cfg(test)]
mod another;
#[cfg(test)]
mod applications;
#[cfg(test)]
mod begun;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod given;
#[cfg(test)]
mod templated;
#[cfg(test)]
mod unsupported;

/// Serialises a secret into the state Secret, the one place that may hold it besides the published Secret.
pub(crate) fn expose<S: serde::Serializer>(secret: &secrecy::SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    use secrecy::ExposeSecret as _;
    serializer.serialize_str(secret.expose_secret())
}

/// [`expose`] of a secret that may be absent.
#[expect(clippy::ref_option, reason = "as serde calls it")]
pub(crate) fn expose_option<S: serde::Serializer>(
    secret: &Option<secrecy::SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use secrecy::ExposeSecret as _;
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose_secret()),
        None => serializer.serialize_none(),
    }
}
