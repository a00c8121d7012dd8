//! Plans under a clock that jumps: whatever it says, nobody panics, nothing rotates more than once for it, and a key with
//! nothing to do is not looked at again at once.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    access::Grants,
    hand::{Hand, InHand},
    key,
    observed::{Observed, Published, SecretView, State, Target},
    secret::Rendered,
    status,
    step::Step,
};
use crate::{
    api::{ClientAuthentication, GrantType, KeyManagerRef, conditions},
    key_manager::{Capabilities, Choice, Endpoints, IdForm, KeyAlgorithm, Overlap, PkceMethods, Token},
    plan::{hints::Hints, observed::ApplicationView},
};

pub(super) fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
}

/// A key with what `spec` adds, at a key manager like the resident one.
pub(super) fn new(spec: &serde_json::Value) -> Observed {
    let mut all = json!({"applicationRef": {"name": "shop"}, "environment": "Production"});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "appkeys.dev/v1alpha1", "kind": "ApplicationKey",
        "metadata": {"name": "k", "namespace": "n", "generation": 1}, "spec": all,
    });
    Observed {
        cluster_id: "c".into(),
        key: serde_json::from_value(object).unwrap(),
        application: Some(ApplicationView::default()),
        first_in_environment: None,
        target: Ok(Target {
            reference: KeyManagerRef {
                name: "resident".into(),
                ..KeyManagerRef::default()
            },
            capabilities: Capabilities {
                client_id: Choice::Ours,
                client_ids: IdForm::Readable,
                applications: false,
                secret_at_creation: Choice::Ours,
                secret_at_rotation: Some(Choice::Ours),
                read_secret: false,
                overlap: Overlap::ServerEnds,
                adopt: false,
                find: false,
                grant_types: vec![GrantType::ClientCredentials],
                access_token_lifetime: true,
                refresh_token_lifetime: false,
                id_token_lifetime: false,
                authentication: vec![ClientAuthentication::ClientSecretBasic],
                key_algorithm: KeyAlgorithm::ES256,
                key_overlap: Overlap::None,
                pkce: PkceMethods::Nothing,
                scopes: true,
                resources: true,
                vendors: vec![],
                reasons: vec![],
            },
            endpoints: Endpoints::default(),
            grants: Grants::everything(),
            corrects: false,
        }),
        secret: SecretView::Absent,
        former: None,
        tokens: SecretView::Absent,
        state: State::default(),
        hand: Hand::default(),
    }
}

pub(super) fn written(rendered: Rendered) -> SecretView {
    SecretView::Ours(Box::new(Published {
        name: rendered.name,
        uid: "u".into(),
        resource_version: "1".into(),
        type_: rendered.type_.into(),
        labels: rendered.labels,
        hints: Hints::read(&rendered.annotations),
        annotations: rendered.annotations,
        entries: rendered.entries,
        tampered: false,
        released_by: None,
    }))
}

fn in_hand(client_id: String, previous_works: bool) -> InHand {
    InHand {
        client_id,
        secret: "s".to_owned().into(),
        verified: None,
        previous_works,
        secret_ends: None,
        applied: None,
    }
}

/// One pass at `now`: every step succeeds at once. The names of the steps.
pub(super) fn pass(o: &mut Observed, now: Timestamp) -> Vec<&'static str> {
    o.hand = Hand::default();
    let mut names = vec![];
    loop {
        assert!(names.len() < 30, "no end: {names:?}");
        let step = key::next(o, now);
        let name = step.name();
        match step {
            Step::Begin(first) => {
                o.key.metadata.finalizers = Some(vec![crate::api::FINALIZER.into()]);
                let note = first.map(|first| format!("{}/{}", first.key_manager, first.client.id));
                let note = note.map(|note| (crate::plan::hints::FIRST_CLIENT.to_owned(), note));
                o.key.metadata.annotations = Some(note.into_iter().collect());
            }
            Step::Register { client, .. } => o.hand.credential = Some(in_hand(client.id, false)),
            Step::AddSecret { client, .. } => o.hand.credential = Some(in_hand(client.id, true)),
            Step::Verify => o.hand.credential.as_mut().unwrap().verified = Some(true),
            Step::Check { .. } => o.hand.checked = true,
            Step::Update { .. } => o.hand.updated = true,
            Step::Retire { .. } => o.hand.retired = true,
            Step::FetchToken { token, .. } => {
                let hour = SignedDuration::from_hours(1);
                let fresh = Token {
                    value: "t".to_owned().into(),
                    issued_at: now,
                    expires_at: now.checked_add(hour).unwrap_or(now),
                    scopes: vec![],
                };
                o.hand.tokens.insert(token.name, fresh);
            }
            Step::Publish { rendered, tokens, .. } => {
                if tokens {
                    o.tokens = written(*rendered);
                } else {
                    o.secret = written(*rendered);
                    o.hand.credential = None;
                }
            }
            Step::Done(says) => {
                o.key.status = Some(status::status(o, &says, now));
                return names;
            }
            other => panic!("{other:?}"),
        }
        names.push(name);
    }
}

fn next_change(o: &Observed) -> Option<Timestamp> {
    Some(o.key.status.as_ref()?.next_change_time.as_ref()?.0)
}

fn rotations(steps: &[&str]) -> usize {
    steps.iter().filter(|step| **step == "AddSecret").count()
}

#[test]
fn a_rotation_that_is_due_during_an_overlap_waits_for_its_end() {
    let mut o = new(&json!({"rotation": {"interval": "1h", "overlap": "3h"}}));
    pass(&mut o, at(0));
    assert_eq!(next_change(&o), Some(at(1)));
    assert_eq!(rotations(&pass(&mut o, at(1))), 1);
    assert_eq!(pass(&mut o, at(2)), [""; 0], "the old secret works until hour 4");
    assert_eq!(next_change(&o), Some(at(4)));
    assert_eq!(rotations(&pass(&mut o, at(4))), 1);
}

#[test]
fn what_is_due_and_may_not_be_done_waits_for_a_change_and_not_for_a_time() {
    let spec = json!({"rotation": {"interval": "1h"}, "accessTokens": [{"name": "t"}]});
    let mut frozen = new(&spec);
    pass(&mut frozen, at(0));
    frozen.target.as_mut().unwrap().grants = Grants::default();
    let steps = pass(&mut frozen, at(2));
    assert!(!steps.contains(&"FetchToken") && rotations(&steps) == 0, "{steps:?}");
    assert_eq!(next_change(&frozen), None);

    let mut suspended = new(&spec);
    pass(&mut suspended, at(0));
    suspended.key.spec.suspend = true;
    assert_eq!(pass(&mut suspended, at(2)), [""; 0]);
    assert_eq!(next_change(&suspended), None);

    let chosen = json!({"clientId": "mine", "rotation": {"interval": "1h", "strategy": "ReplaceClient"}});
    let mut unsupported = new(&chosen);
    pass(&mut unsupported, at(0));
    assert_eq!(pass(&mut unsupported, at(2)), [""; 0]);
    assert_eq!(next_change(&unsupported), None);
}

#[test]
fn tokens_stay_fresh_while_what_is_asked_for_cannot_be_done() {
    for placement in [json!({}), json!({"tokens": "SameSecret"})] {
        let mut o = new(&json!({"accessTokens": [{"name": "t"}], "secret": placement}));
        pass(&mut o, at(0));
        let applied = |o: &Observed| o.secret.ours().unwrap().hints.applied.clone();
        let before = applied(&o);
        // This key manager sets no life of refresh tokens.
        o.key.spec.lifetimes = serde_json::from_value(json!({"refreshToken": "1h"})).unwrap();
        assert_eq!(pass(&mut o, at(1)), ["FetchToken", "Publish"], "{placement}");
        let status = o.key.status.clone().unwrap();
        assert_eq!(
            conditions::reason(&status.conditions, "Ready"),
            Some("UnsupportedLifetime")
        );
        assert!(next_change(&o).unwrap() > at(1), "the next renewal is due");
        assert_eq!(pass(&mut o, at(1)), [""; 0], "once is enough");
        assert_eq!(applied(&o), before, "what was asked for is not noted as done");
        // A credential that is refused is no reason to go on.
        o.hand.refused = true;
        assert!(matches!(key::next(&o, at(9)), Step::Done(_)));
    }
}

#[test]
fn a_year_forward_rotates_once_and_a_day_back_does_nothing() {
    let mut o = new(&json!({"rotation": {"interval": "720h", "overlap": "1h"}, "accessTokens": [{"name": "t"}]}));
    pass(&mut o, at(0));
    let year = 365 * 24;
    let steps = pass(&mut o, at(year));
    assert_eq!(rotations(&steps), 1, "{steps:?}");
    let again = pass(&mut o, at(year));
    assert_eq!(again, [""; 0], "once is enough");
    assert!(next_change(&o).unwrap() > at(year));
    let steps = pass(&mut o, at(year - 24));
    assert_eq!(steps, [""; 0], "what is from the future is good still");
    assert!(next_change(&o).unwrap() > at(year - 24));
    assert_eq!(pass(&mut o, at(year - 24)), [""; 0]);
}

/// Times that no clock should say, and what is computed from them.
#[test]
fn the_ends_of_time_are_no_panic() {
    let spec = json!({
        "rotation": {"interval": "87600h", "overlap": "87600h"},
        "accessTokens": [{"name": "t", "renewBefore": "8760h"}, {"name": "u"}],
        "lifetimes": {"accessToken": "24h"},
    });
    for first in [Timestamp::MIN, Timestamp::UNIX_EPOCH, at(0), Timestamp::MAX] {
        for second in [Timestamp::MIN, Timestamp::UNIX_EPOCH, at(0), Timestamp::MAX] {
            let mut o = new(&spec);
            pass(&mut o, first);
            for trigger in ["one", "two"] {
                o.key.spec.rotation.as_mut().unwrap().trigger = Some(trigger.into());
                pass(&mut o, second);
                assert!(next_change(&o).is_none_or(|next| next > second));
            }
        }
    }
}
