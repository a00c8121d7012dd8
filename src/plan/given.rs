//! Plans for clients whose server chooses what they are: it may change what is asked for, and may let nobody change it later.

use serde_json::json;

use super::{
    clock::{at, new, written},
    hand::{Hand, InHand},
    hints::{self, Hints},
    key,
    observed::{Observed, PlacedClient, Published, SecretView, StoredAnswer},
    step::Step,
};
use crate::{
    api::{CredentialKind, FINALIZER, conditions::Say},
    key_manager::{Choice, Overlap, Token},
};

/// A key whose client is made and not published yet, with what `spec` adds.
fn made(spec: &serde_json::Value) -> Observed {
    let mut o = new(spec);
    o.key.metadata.finalizers = Some(vec![FINALIZER.into()]);
    let target = o.target.as_mut().unwrap();
    target.capabilities.client_id = Choice::Theirs;
    target.capabilities.secret_at_creation = Choice::Theirs;
    target.capabilities.secret_at_rotation = None;
    target.capabilities.overlap = Overlap::None;
    let key_manager = target.reference.clone();
    o.state.client = Some(PlacedClient {
        key_manager,
        client: o.client("id".into()),
    });
    o
}

/// The same with the client published.
fn published(spec: &serde_json::Value) -> Observed {
    let mut o = made(spec);
    o.hand.credential = Some(InHand {
        client_id: "id".into(),
        secret: "s".to_owned().into(),
        verified: Some(true),
        previous_works: false,
        secret_ends: None,
        applied: None,
    });
    publish(&mut o);
    o
}

/// The next step must publish; it succeeds, and the pass ends.
fn publish(o: &mut Observed) {
    let step = key::next(o, at(0));
    let Step::Publish { rendered, .. } = step else {
        panic!("{step:?}");
    };
    o.secret = written(*rendered);
    o.hand = Hand::default();
}

fn hints(o: &Observed) -> &Hints {
    let SecretView::Ours(published) = &o.secret else {
        panic!("nothing is published");
    };
    let published: &Published = published;
    &published.hints
}

fn says(o: &Observed) -> Vec<Say> {
    match key::next(o, at(0)) {
        Step::Done(says) => says,
        other => panic!("{other:?}"),
    }
}

fn said<'a>(says: &'a [Say], type_: &str) -> Option<&'a Say> {
    says.iter().find(|say| say.type_ == type_)
}

#[test]
fn a_client_that_nothing_manages_keeps_its_place_when_only_names_change() {
    let mut o = published(&json!({}));
    o.application.as_mut().unwrap().display_name = "Another name".into();
    o.target.as_mut().unwrap().endpoints.jwks = Some("https://idp.example/keys".into());
    assert!(matches!(key::next(&o, at(0)), Step::Update { .. }));
    (o.hand.updated, o.hand.unmanageable) = (true, true);
    assert!(
        matches!(key::next(&o, at(0)), Step::Check { .. }),
        "it may be gone as well"
    );
    o.hand.checked = true;
    publish(&mut o);
    let target = o.target.clone().unwrap();
    assert_eq!(hints(&o).applied, o.properties_hash(&target), "it is not asked again");
    assert!(said(&says(&o), "Ready").is_some());
}

#[test]
fn a_client_that_nothing_manages_is_replaced_when_it_must_be_able_to_do_something_else() {
    let mut o = published(&json!({}));
    o.key.spec.scopes = vec!["orders:read".into()];
    assert!(matches!(key::next(&o, at(0)), Step::Update { .. }));
    (o.hand.updated, o.hand.unmanageable, o.hand.checked) = (true, true, true);
    let Step::WriteState(state) = key::next(&o, at(0)) else {
        panic!("it is not replaced");
    };
    assert_eq!(state.old.unwrap().client.id, "id");
}

#[test]
fn a_refusal_to_manage_a_client_alone_is_never_that_it_is_gone() {
    let mut o = published(&json!({}));
    o.application.as_mut().unwrap().display_name = "Another name".into();
    (o.hand.updated, o.hand.unmanageable, o.hand.refused) = (true, true, true);
    assert!(matches!(key::next(&o, at(0)), Step::NoteGone));
    o.hand.gone = Some(super::hand::Gone::Perhaps);
    assert_eq!(said(&says(&o), "Ready").unwrap().reason, "ClientGone");
}

#[test]
fn what_a_server_made_otherwise_is_said_until_it_says_that_all_is_as_asked() {
    let mut o = published(&json!({}));
    assert!(said(&says(&o), "RegistrationDiffers").is_none());
    let long = vec!["scope: asked for \u{e9}, got none".to_owned(), "x".repeat(2000)];
    o.hand.differs = Some(hints::differs(&long));
    o.hand.updated = true;
    publish(&mut o);
    // Another pass, which asks nobody.
    let says = says(&o);
    let say = said(&says, "RegistrationDiffers").unwrap();
    assert_eq!(say.reason, "ServerChangedFields");
    assert!(
        say.message.contains("otherwise than asked: scope: asked for"),
        "{}",
        say.message
    );
    assert_eq!(hints(&o).differs.len(), 1024);
    o.hand.differs = Some(hints::differs(&[]));
    publish(&mut o);
    assert!(hints(&o).differs.is_empty());
    assert!(said(&self::says(&o), "RegistrationDiffers").is_none());
}

#[test]
fn a_token_with_fewer_scopes_than_asked_is_published_and_says_so() {
    let spec = json!({
        "scopes": ["a", "b", "c"],
        "accessTokens": [{"name": "one", "scopes": ["a"]}, {"name": "two", "scopes": ["a", "b", "c"]}],
    });
    let mut o = published(&spec);
    for (name, scopes) in [("one", &["a", "more"][..]), ("two", &["b"])] {
        let token = Token {
            value: "t".to_owned().into(),
            issued_at: at(0),
            expires_at: at(12),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        o.hand.tokens.insert(name.into(), token);
    }
    let Step::Publish { rendered, .. } = key::next(&o, at(0)) else {
        panic!("the tokens are not published");
    };
    let hints = hints::token_hints(&rendered.annotations);
    o.tokens = written(*rendered);
    if let SecretView::Ours(tokens) = &mut o.tokens {
        tokens.hints.tokens = hints;
    }
    o.hand = Hand::default();
    let says = says(&o);
    let say = said(&says, "TokensIssued").unwrap();
    assert_eq!((say.status, say.reason), (Some(false), "ScopesMissing"));
    assert!(say.message.contains("access token two without a, c"), "{}", say.message);
}

#[test]
fn a_client_that_was_made_for_another_kind_of_credential_goes_before_the_next_is_made() {
    let mut o = made(&json!({}));
    let answer = |kind| StoredAnswer {
        client_id: "id".into(),
        kind,
        secret: "s".to_owned().into(),
        applied: "earlier".into(),
        secret_ends: None,
        differs: String::new(),
    };
    o.state.answer = Some(answer(CredentialKind::PrivateKey));
    let Step::DeleteClient(gone) = key::next(&o, at(0)) else {
        panic!("it stays");
    };
    assert_eq!(gone.client.id, "id");
    o.hand.deleted.insert((gone.key_manager, gone.client.id));
    let Step::WriteState(state) = key::next(&o, at(0)) else {
        panic!("it is not forgotten");
    };
    assert!(state.client.is_none() && state.answer.is_none());
    // One of the right kind is published, and says with what properties it was made.
    o.state.answer = Some(answer(CredentialKind::Secret));
    o.hand = Hand {
        credential: Some(InHand {
            client_id: "id".into(),
            secret: "s".to_owned().into(),
            verified: Some(true),
            previous_works: false,
            secret_ends: None,
            applied: Some("earlier".into()),
        }),
        ..Hand::default()
    };
    publish(&mut o);
    assert_eq!(hints(&o).applied, "earlier");
    assert!(matches!(key::next(&o, at(0)), Step::Update { .. }));
}

#[test]
fn a_client_that_an_earlier_pass_made_is_given_its_properties_before_its_secret() {
    let mut o = new(&json!({}));
    o.key.metadata.finalizers = Some(vec![FINALIZER.into()]);
    let Step::Begin(Some(first)) = key::next(&o, at(0)) else {
        panic!("its first client is noted first");
    };
    let note = format!("{}/{}", first.key_manager, first.client.id);
    o.key.metadata.annotations = Some([(hints::FIRST_CLIENT.to_owned(), note)].into());
    (o.hand.exists, o.hand.looked) = (true, true);
    assert!(matches!(key::next(&o, at(0)), Step::Update { .. }));
    o.hand.updated = true;
    assert!(!matches!(key::next(&o, at(0)), Step::Update { .. }));
}
