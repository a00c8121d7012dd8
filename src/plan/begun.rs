//! A client that was begun for a key, and that nobody has yet, is taken or goes; it is never forgotten.

use serde_json::json;

use super::{
    another::{key_of, note},
    clock::{at, written},
    hand::{Hand, InHand},
    key,
    observed::{Attempt, Observed, PlacedClient, State, StoredAnswer},
    step::Step,
};
use crate::{api::CredentialKind, key_manager::Choice};

/// A key whose Secret appeared with a client of the key manager that its spec named before: a late write published that after
/// another one was begun here.
fn published_late(given: bool) -> Observed {
    let mut o = key_of(&json!({}));
    if given {
        o.key.metadata.annotations = None;
        o.target.as_mut().unwrap().capabilities.client_id = Choice::Theirs;
    }
    o.hand.credential = Some(InHand {
        client_id: "late".into(),
        secret: "s".to_owned().into(),
        verified: Some(true),
        previous_works: false,
        secret_ends: None,
        applied: None,
    });
    let Step::Publish { rendered, .. } = key::next(&o, at(0)) else {
        panic!("it is not published");
    };
    o.secret = written(*rendered);
    o.hand = Hand::default();
    o.target.as_mut().unwrap().reference.name = "now".into();
    o
}

fn here(o: &Observed, id: &str) -> PlacedClient {
    PlacedClient {
        key_manager: o.target.as_ref().unwrap().reference.clone(),
        client: o.client(id.to_owned()),
    }
}

fn moved(o: &Observed) -> State {
    let Step::WriteState(state) = key::next(o, at(0)) else {
        panic!("the old client is not noted");
    };
    assert_eq!(state.old.as_ref().unwrap().client.id, "late");
    *state
}

#[test]
fn an_attempt_is_looked_for_before_another_is_made() {
    let mut o = published_late(true);
    o.state.attempt = Some(Attempt {
        id: "attempt".into(),
        key_manager: o.target.as_ref().unwrap().reference.clone(),
        place: o.place(),
        kind: CredentialKind::Secret,
        applied: String::new(),
    });
    o.state = moved(&o);
    let step = key::next(&o, at(0));
    assert!(matches!(step, Step::Find(attempt) if attempt.id == "attempt"));
}

#[test]
fn a_client_that_was_made_and_answered_is_the_one_that_is_published() {
    let mut o = published_late(true);
    o.state.client = Some(here(&o, "made"));
    o.state.answer = Some(StoredAnswer {
        client_id: "made".into(),
        kind: CredentialKind::Secret,
        secret: "of the made one".to_owned().into(),
        applied: String::new(),
        secret_ends: None,
        differs: String::new(),
    });
    o.state = moved(&o);
    assert_eq!(o.state.client.as_ref().unwrap().client.id, "made");
    assert!(o.state.answer.is_some());
}

#[test]
fn a_client_with_an_id_of_ours_that_was_begun_here_is_the_one_that_is_made() {
    let mut o = published_late(false);
    let begun = here(&o, &o.desired_client(o.target.as_ref().unwrap()).unwrap().id);
    note(&mut o, &begun);
    o.state = moved(&o);
    assert_eq!(o.state.making.as_ref().unwrap().client.id, begun.client.id);
    assert_eq!(o.state.replacements, 0);
    let Step::Register { client, .. } = key::next(&o, at(0)) else {
        panic!("nothing is made");
    };
    assert_eq!(client.id, begun.client.id);
}

#[test]
fn one_that_cannot_be_used_goes_before_the_next_is_begun() {
    let mut o = published_late(false);
    o.state = moved(&o);
    let made = o.state.making.clone().unwrap();
    o.hand.looked = true;
    o.hand.exists = true;
    let Step::Update { client, .. } = key::next(&o, at(0)) else {
        panic!("it is not given its properties");
    };
    assert_eq!(client.id, made.client.id);
    o.hand.updated = true;
    o.hand.exists = false;
    o.hand.needs_another = Some((client.id, "it is of another kind".to_owned()));
    let Step::DeleteClient(gone) = key::next(&o, at(0)) else {
        panic!("it stays");
    };
    assert_eq!(gone.client.id, made.client.id);
    o.hand.deleted.insert((gone.key_manager, gone.client.id));
    let state = moved(&o);
    assert_ne!(state.making.unwrap().client.id, made.client.id);
}

#[test]
fn a_published_one_that_works_and_cannot_be_changed_waits_for_the_one_that_drains() {
    let mut o = published_late(true);
    o.target.as_mut().unwrap().reference.name = "resident".into();
    o.state.client = Some(here(&o, "late"));
    o.state.old = Some(here(&o, "older"));
    let super::observed::SecretView::Ours(published) = &mut o.secret else {
        panic!("nothing is published");
    };
    published.hints.previous_valid_until = Some(at(10));
    o.key.spec.scopes = vec!["another".into()];
    (o.hand.updated, o.hand.unmanageable, o.hand.checked) = (true, true, true);
    let Step::Done(says) = key::next(&o, at(9)) else {
        panic!("it does not wait");
    };
    assert!(says.iter().any(|say| say.type_ == "Draining"), "{says:?}");
    let step = key::next(&o, at(10));
    assert!(matches!(step, Step::DeleteClient(gone) if gone.client.id == "older"));
}
