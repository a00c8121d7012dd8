//! Plans at a key manager that keeps clients in applications: one client for each environment, and none beside it.

use serde_json::json;

use super::{
    clock::{at, new, written},
    hand::{Hand, InHand},
    hints, key,
    observed::{Observed, PlacedClient, State},
    rotation,
    step::Step,
};
use crate::{
    api::{FINALIZER, RotationStrategy, conditions::Say},
    key_manager::{Choice, IdForm, Overlap},
};

/// A key with what `spec` adds, at such a key manager: a client has one secret, which the key manager makes.
fn begun(spec: &serde_json::Value) -> Observed {
    let mut o = new(spec);
    o.key.metadata.finalizers = Some(vec![FINALIZER.into()]);
    let capabilities = &mut o.target.as_mut().unwrap().capabilities;
    capabilities.applications = true;
    capabilities.client_ids = IdForm::Word;
    capabilities.secret_at_rotation = Some(Choice::Theirs);
    capabilities.overlap = Overlap::None;
    let target = o.target.as_ref().unwrap();
    let first = o.desired_client(target).unwrap();
    let note = format!("{}/{}", target.reference, first.id);
    o.key.metadata.annotations = Some([(hints::FIRST_CLIENT.to_owned(), note)].into());
    o
}

/// The same with its client published.
fn published(spec: &serde_json::Value) -> Observed {
    let mut o = begun(spec);
    let id = o.desired_client(o.target.as_ref().unwrap()).unwrap().id;
    o.hand.credential = Some(InHand {
        client_id: id,
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
    o
}

fn says(step: &Step) -> &[Say] {
    match step {
        Step::Done(says) => says,
        other => panic!("{other:?}"),
    }
}

fn said<'a>(says: &'a [Say], type_: &str) -> &'a Say {
    says.iter().find(|say| say.type_ == type_).unwrap()
}

#[test]
fn of_two_keys_for_one_environment_the_second_is_refused_before_anything_is_done() {
    let mut o = begun(&json!({}));
    o.key.metadata.finalizers = None;
    o.first_in_environment = Some("elder".into());
    let step = key::next(&o, at(0));
    let ready = said(says(&step), "Ready");
    assert_eq!(ready.reason, "EnvironmentTaken");
    assert!(
        ready
            .message
            .contains("key elder comes first in Production of Application shop"),
        "{}",
        ready.message
    );
    // Elsewhere two keys of one environment are two clients.
    o.target.as_mut().unwrap().capabilities.applications = false;
    assert!(matches!(key::next(&o, at(0)), Step::Begin(_)));
}

#[test]
fn a_key_that_has_its_client_keeps_it_whoever_is_older() {
    let mut o = published(&json!({}));
    o.first_in_environment = Some("moved-here".into());
    let step = key::next(&o, at(0));
    assert_eq!(said(says(&step), "Ready").status, Some(true));
}

#[test]
fn nothing_rotates_until_the_one_way_is_chosen() {
    let rotation = |strategy: RotationStrategy| json!({"rotation": {"trigger": "x", "strategy": strategy}});
    for (strategy, words) in [
        (
            RotationStrategy::Overlap,
            "choose rotation.strategy InPlace (a short cut)",
        ),
        (RotationStrategy::ReplaceClient, "choose another rotation.strategy"),
    ] {
        let mut o = published(&json!({}));
        o.key.spec = serde_json::from_value(json!({
            "applicationRef": {"name": "shop"}, "environment": "Production", "rotation": rotation(strategy)["rotation"],
        }))
        .unwrap();
        let step = key::next(&o, at(1));
        let say = said(says(&step), "RotationUnsupported");
        assert!(say.message.ends_with(words), "{}", say.message);
        assert_eq!(rotation::strategy(&o.key.spec), strategy);
    }
    let mut o = published(&json!({}));
    o.key.spec.rotation = serde_json::from_value(rotation(RotationStrategy::InPlace)["rotation"].clone()).unwrap();
    let Step::Announce(say) = key::next(&o, at(1)) else {
        panic!("the cut is not announced");
    };
    assert_eq!((say.reason, say.status), ("RotationCut", Some(false)));
}

#[test]
fn what_needs_another_client_is_refused_and_the_credential_stays() {
    for change in [
        json!({"clientId": "chosen_by_the_team_0123"}),
        json!({
            "clientAuthentication": "None", "grantTypes": ["AuthorizationCode"],
            "redirectUris": ["https://shop.example.com/callback"],
        }),
    ] {
        let mut o = published(&json!({}));
        let capabilities = &mut o.target.as_mut().unwrap().capabilities;
        capabilities.authentication.push(crate::api::ClientAuthentication::None);
        capabilities.grant_types.push(crate::api::GrantType::AuthorizationCode);
        capabilities.pkce = crate::key_manager::PkceMethods::Both;
        let mut spec = json!({"applicationRef": {"name": "shop"}, "environment": "Production"});
        spec.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        o.key.spec = serde_json::from_value(spec).unwrap();
        let step = key::next(&o, at(0));
        assert_eq!(said(says(&step), "Ready").status, Some(true), "{change}");
        let say = said(says(&step), "UpToDate");
        assert_eq!(say.reason, "CannotChangeInPlace");
        assert!(
            say.message.contains("one client for each environment"),
            "{}",
            say.message
        );
    }
}

/// A server that chooses ids and gives no secret twice: a lost one is in the way of the next.
#[test]
fn a_client_whose_secret_is_lost_goes_before_the_next_one_is_made() {
    let mut o = begun(&json!({}));
    let target = o.target.as_mut().unwrap();
    target.capabilities.client_id = Choice::Theirs;
    let key_manager = target.reference.clone();
    o.state = State {
        replacements: 1,
        old: Some(PlacedClient {
            key_manager,
            client: o.client("lost".into()),
        }),
        ..State::default()
    };
    o.hand.looked = true;
    let Step::DeleteClient(old) = key::next(&o, at(0)) else {
        panic!("it stays");
    };
    assert_eq!(old.client.id, "lost");
    o.hand.deleted.insert((old.key_manager, old.client.id));
    assert!(matches!(key::next(&o, at(0)), Step::RegisterGiven(_)));
}

#[test]
fn what_an_application_is_given_concerns_only_key_managers_that_have_applications() {
    let mut o = begun(&json!({}));
    let hash = |o: &Observed| o.properties_hash(o.target.as_ref().unwrap());
    let before = hash(&o);
    let application = o.application.as_mut().unwrap();
    application.properties.attributes.insert("team".into(), "a".into());
    assert_ne!(hash(&o), before);
    let described = |o: &Observed| o.properties(o.target.as_ref().unwrap()).application_properties;
    assert_eq!(described(&o).unwrap().attributes["team"], "a");
    o.target.as_mut().unwrap().capabilities.applications = false;
    assert!(described(&o).is_none());
}
