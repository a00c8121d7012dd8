//! Conditions: their types, and how one is set so that its transition time stays true.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message that goes into a condition, in bytes; the API's own limit is 32 KiB, people read less.
const MESSAGE_LIMIT: usize = 1024;

/// What a condition says; its times come from [`set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// The condition's type, `Ready` for instance.
    pub type_: &'static str,
    /// `True`, `False` or, for `None`, `Unknown`.
    pub status: Option<bool>,
    /// One PascalCase word.
    pub reason: &'static str,
    /// A sentence for people that names the object and the mend.
    pub message: String,
}

impl Say {
    /// A condition that is true.
    pub fn yes(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Some(true),
            reason,
            message: message.into(),
        }
    }

    /// A condition that is false.
    pub fn no(type_: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            type_,
            status: Some(false),
            reason,
            message: message.into(),
        }
    }
}

/// The status word of a condition.
fn word(status: Option<bool>) -> &'static str {
    match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

/// Makes `said` the whole of our conditions in `conditions`: types in `ours` that are not said are removed, others' are
/// left alone, and `lastTransitionTime` moves only when the status word changes.
pub fn set(conditions: &mut Vec<Condition>, ours: &[&str], said: &[Say], generation: Option<i64>, now: Timestamp) {
    conditions.retain(|c| !ours.contains(&c.type_.as_str()) || said.iter().any(|s| s.type_ == c.type_));
    for say in said {
        let status = word(say.status);
        let message = truncate(&say.message).to_owned();
        match conditions.iter_mut().find(|c| c.type_ == say.type_) {
            Some(old) => {
                if old.status != status {
                    old.last_transition_time = Time(now);
                    status.clone_into(&mut old.status);
                }
                say.reason.clone_into(&mut old.reason);
                old.message = message;
                old.observed_generation = generation;
            }
            None => conditions.push(Condition {
                type_: say.type_.to_owned(),
                status: status.to_owned(),
                reason: say.reason.to_owned(),
                message,
                last_transition_time: Time(now),
                observed_generation: generation,
            }),
        }
    }
}

/// Whether the condition `type_` is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|c| c.type_ == type_ && c.status == "True")
}

/// The reason of the condition `type_`, if it is there.
pub fn reason<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a str> {
    conditions.iter().find(|c| c.type_ == type_).map(|c| c.reason.as_str())
}

fn truncate(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_LIMIT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let mut conditions = vec![];
        set(
            &mut conditions,
            &["Ready"],
            &[Say::no("Ready", "Pending", "a")],
            Some(1),
            at(10),
        );
        set(
            &mut conditions,
            &["Ready"],
            &[Say::no("Ready", "Unreachable", "b")],
            Some(2),
            at(20),
        );
        assert_eq!(conditions[0].last_transition_time, Time(at(10)));
        assert_eq!(
            (conditions[0].reason.as_str(), conditions[0].message.as_str()),
            ("Unreachable", "b")
        );
        set(
            &mut conditions,
            &["Ready"],
            &[Say::yes("Ready", "Ready", "c")],
            Some(2),
            at(30),
        );
        assert_eq!(conditions[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn what_is_no_longer_said_goes_and_what_others_said_stays() {
        let mut conditions = vec![];
        set(
            &mut conditions,
            &["Theirs"],
            &[Say::yes("Theirs", "Audited", "")],
            None,
            at(1),
        );
        set(
            &mut conditions,
            &["Ready", "Verified"],
            &[Say::yes("Verified", "Used", "")],
            None,
            at(1),
        );
        set(
            &mut conditions,
            &["Ready", "Verified"],
            &[Say::yes("Ready", "Ready", "")],
            None,
            at(2),
        );
        let types: Vec<_> = conditions.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["Theirs", "Ready"]);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let mut conditions = vec![];
        set(
            &mut conditions,
            &[],
            &[Say::no("Ready", "Bad", "ä".repeat(1000))],
            None,
            at(1),
        );
        assert_eq!(conditions[0].message.len(), MESSAGE_LIMIT);
    }
}
