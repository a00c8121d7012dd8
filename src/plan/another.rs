//! A client that cannot become what is asked for: another one takes its place, and the old one stays through the overlap.

use serde_json::{Value, json};

use super::{
    clock::{at, new, written},
    hand::{Hand, InHand},
    hints::FIRST_CLIENT,
    key,
    observed::{Observed, PlacedClient, SecretView},
    step::Step,
};
use crate::api::{ClientAuthentication, FINALIZER};

const WHY: &str = "app 0oa is of type service for good";

/// A key whose first client is noted on it.
pub(super) fn key_of(spec: &Value) -> Observed {
    let mut o = new(spec);
    let Step::Begin(Some(first)) = key::next(&o, at(0)) else {
        panic!("it does not begin");
    };
    o.key.metadata.finalizers = Some(vec![FINALIZER.into()]);
    note(&mut o, &first);
    o
}

pub(super) fn note(o: &mut Observed, first: &PlacedClient) {
    let note = format!("{}/{}", first.key_manager, first.client.id);
    o.key.metadata.annotations = Some([(FIRST_CLIENT.to_owned(), note)].into());
}

/// A key whose client is published, and whose spec has changed since.
fn changed(spec: &Value) -> Observed {
    let mut o = key_of(spec);
    o.hand.credential = Some(InHand {
        client_id: o.desired_client(o.target.as_ref().unwrap()).unwrap().id,
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
    o.key.spec.scopes = vec!["another".into()];
    o
}

/// The key manager says that this client cannot be changed so. What the next step writes.
fn refused(o: &mut Observed) -> Step {
    let Step::Update { client, .. } = key::next(o, at(0)) else {
        panic!("it is not changed");
    };
    o.hand.updated = true;
    o.hand.exists = false;
    o.hand.needs_another = Some((client.id, WHY.to_owned()));
    key::next(o, at(0))
}

/// The old client is recorded, and then another one is made.
fn is_replaced(mut o: Observed, step: Step, old: &str) {
    let Step::WriteState(state) = step else {
        panic!("{step:?}");
    };
    assert_eq!(state.old.as_ref().unwrap().client.id, old);
    assert_eq!(state.replacements, 1);
    o.state = *state;
    let step = key::next(&o, at(0));
    let Step::Register { client, .. } = step else {
        panic!("{step:?}");
    };
    assert_ne!(client.id, old);
}

#[test]
fn a_published_client_is_replaced() {
    let mut o = changed(&json!({}));
    let old = o.secret.ours().unwrap().hints.client_id.clone();
    let step = refused(&mut o);
    is_replaced(o, step, &old);
}

#[test]
fn one_more_change_waits_until_the_client_of_before_is_gone() {
    let mut o = changed(&json!({}));
    let before = PlacedClient {
        key_manager: o.target.as_ref().unwrap().reference.clone(),
        client: o.client("before".to_owned()),
    };
    let mut another_kind = o.clone();
    let private_key = ClientAuthentication::PrivateKeyJwt;
    another_kind.key.spec.client_authentication = Some(private_key);
    let target = another_kind.target.as_mut().unwrap();
    target.capabilities.authentication.push(private_key);
    let Step::Update { client, .. } = key::next(&o, at(0)) else {
        panic!("it is not changed");
    };
    o.hand.updated = true;
    o.hand.needs_another = Some((client.id, WHY.to_owned()));
    for mut o in [o, another_kind] {
        o.state.old = Some(before.clone());
        let SecretView::Ours(published) = &mut o.secret else {
            panic!("nothing is published");
        };
        published.hints.previous_valid_until = Some(at(10));
        // Workloads may still use the client of before.
        let Step::Done(says) = key::next(&o, at(9)) else {
            panic!("it does not wait");
        };
        let said = says.iter().find(|say| say.type_ == "Draining").unwrap();
        assert!(
            said.message.starts_with("client before drains first"),
            "{}",
            said.message
        );
        // Then it goes, and only then the one that is published is the old one.
        let Step::DeleteClient(gone) = key::next(&o, at(10)) else {
            panic!("the client of before does not go");
        };
        assert_eq!(gone.client.id, "before");
    }
}

#[test]
fn a_client_that_nobody_uses_yet_is_replaced_too() {
    let mut o = key_of(&json!({}));
    let old = o.desired_client(o.target.as_ref().unwrap()).unwrap().id;
    o.hand.exists = true;
    o.hand.looked = true;
    let step = refused(&mut o);
    is_replaced(o, step, &old);
}

#[test]
fn one_with_a_chosen_id_stays_as_it_is_and_says_why() {
    let mut o = changed(&json!({"clientId": "chosen"}));
    let Step::Done(says) = refused(&mut o) else {
        panic!("something is changed");
    };
    let said = says.iter().find(|say| say.type_ == "UpToDate").unwrap();
    assert_eq!((said.status, said.reason), (Some(false), "CannotChangeInPlace"));
    assert!(
        said.message.contains(WHY) && said.message.contains("spec.clientId"),
        "{}",
        said.message
    );
    assert!(says.iter().any(|say| say.type_ == "Ready" && say.status == Some(true)));
    // And one that is not published.
    let mut o = key_of(&json!({"clientId": "chosen"}));
    o.hand.exists = true;
    o.hand.looked = true;
    let Step::Done(says) = refused(&mut o) else {
        panic!("something is changed");
    };
    assert_eq!((says[0].status, says[0].reason), (Some(false), "CannotChangeInPlace"));
}

#[test]
fn what_is_to_be_done_about_a_refused_token_is_the_key_manager_s_to_say() {
    let mut o = changed(&json!({"accessTokens": [{"name": "t"}]}));
    o.target.as_mut().unwrap().capabilities.reasons = vec![("access_denied", "add a policy".into())];
    o.hand.updated = true;
    for (word, words) in [
        ("access_denied", "(access_denied): add a policy"),
        ("invalid_scope", "(invalid_scope)"),
    ] {
        o.hand.refused_tokens = [("t".to_owned(), word)].into();
        let says = super::tokens::says(&o, o.target.as_ref().unwrap());
        assert_eq!((says[0].type_, says[0].reason), ("TokensIssued", "TokenRefused"));
        assert!(says[0].message.ends_with(words), "{}", says[0].message);
    }
}
