//! Templates: what cannot be filled registers nothing, harms no credential, and is said without a value.

use serde_json::{Value, json};

use super::{
    clock::{at, new, pass},
    key,
    observed::Observed,
    step::Step,
};
use crate::api::conditions::Say;

const GOOD: &str = "id={{ client_id }} secret={{ client_secret }}";
const BAD: &str = "id={{ client_id }}\nsecret={{ client_secrett }}";

fn spec(template: &str, more: &Value) -> Value {
    let mut spec = json!({"secret": {"templates": {"app.conf": template}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn set(o: &mut Observed, template: &str) {
    let templates = &mut o.key.spec.secret.as_mut().unwrap().templates;
    templates.insert("app.conf".into(), template.into());
}

fn entry<'a>(o: &'a Observed, name: &str) -> Option<&'a str> {
    o.secret.ours()?.entries.text(name)
}

/// What a key says at the end of a pass.
fn says(o: &Observed) -> Vec<Say> {
    match key::next(o, at(0)) {
        Step::Done(says) => says,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_key_registers_nothing_until_its_template_can_be_filled() {
    let mut o = new(&spec(BAD, &json!({})));
    assert_eq!(pass(&mut o, at(0)), [""; 0]);
    let said = says(&o);
    assert_eq!(
        (said[0].type_, said[0].status, said[0].reason),
        ("Ready", Some(false), "InvalidTemplate")
    );
    let wanted = "spec.secret.templates: template app.conf, line 2, column 8: this key has no client_secrett, it has client_id, client_secret";
    assert!(said[0].message.starts_with(wanted), "{}", said[0].message);
    set(&mut o, GOOD);
    // It said that it is not ready, so its secret is used once more before it says otherwise.
    let steps = pass(&mut o, at(0));
    assert_eq!(steps, ["Begin", "Register", "Verify", "Publish", "Check"]);
    let id = entry(&o, "client-id").unwrap();
    assert_eq!(entry(&o, "app.conf"), Some(&*format!("id={id} secret=s")));
    assert_eq!(o.key.status.unwrap().binding.unwrap().name, "k");
}

#[test]
fn another_template_is_published_without_a_rotation() {
    let mut o = new(&spec(GOOD, &json!({})));
    pass(&mut o, at(0));
    set(&mut o, "{{ client_secret | tojson }}");
    assert_eq!(pass(&mut o, at(1)), ["Publish"]);
    assert_eq!(entry(&o, "app.conf"), Some("\"s\""));
    assert_eq!(o.secret.ours().unwrap().hints.version, 1);
    assert_eq!(pass(&mut o, at(2)), [""; 0]);
    o.key.spec.secret.as_mut().unwrap().templates.clear();
    assert_eq!(pass(&mut o, at(3)), ["Publish"]);
    assert_eq!(entry(&o, "app.conf"), None);
}

#[test]
fn a_credential_with_a_bad_template_is_kept_as_it_is_and_its_tokens_are_renewed() {
    let more = json!({"rotation": {"interval": "10h", "overlap": "1h"}, "accessTokens": [{"name": "t"}]});
    let mut o = new(&spec(GOOD, &more));
    pass(&mut o, at(0));
    let before = entry(&o, "app.conf").unwrap().to_owned();
    set(&mut o, BAD);
    assert_eq!(pass(&mut o, at(0)), [""; 0], "nothing is written");
    let said = says(&o);
    let said = |type_: &str| said.iter().find(|say| say.type_ == type_).unwrap();
    assert_eq!(said("Ready").status, Some(true));
    let up_to_date = said("UpToDate");
    assert_eq!((up_to_date.status, up_to_date.reason), (Some(false), "InvalidTemplate"));
    // Neither the interval nor a person rotates it, and what is renewed is renewed.
    o.key.spec.rotation.as_mut().unwrap().trigger = Some("now".into());
    assert_eq!(pass(&mut o, at(11)), ["FetchToken", "Publish"]);
    assert_eq!(entry(&o, "app.conf"), Some(&*before));
    // What waited is done once it is mended.
    set(&mut o, GOOD);
    let steps = pass(&mut o, at(12));
    assert!(steps.contains(&"AddSecret"), "{steps:?}");
}

#[test]
fn a_secret_that_the_key_manager_ends_is_replaced_all_the_same() {
    let mut o = new(&spec(GOOD, &json!({})));
    pass(&mut o, at(0));
    let super::observed::SecretView::Ours(published) = &mut o.secret else {
        panic!("nothing is published");
    };
    published.hints.secret_ends = Some(at(10));
    published.annotations.extend(published.hints.write());
    set(&mut o, BAD);
    assert_eq!(pass(&mut o, at(1)), [""; 0]);
    let steps = pass(&mut o, at(9));
    assert!(steps.contains(&"AddSecret") && steps.contains(&"Publish"), "{steps:?}");
    assert!(entry(&o, "app.conf").is_some());
}

#[test]
fn a_move_waits_for_a_template_that_can_be_filled() {
    let mut o = new(&spec(GOOD, &json!({})));
    pass(&mut o, at(0));
    set(&mut o, BAD);
    o.key.spec.client_id = Some("another".into());
    let said = says(&o);
    assert_eq!((said[1].type_, said[1].reason), ("UpToDate", "InvalidTemplate"));
    set(&mut o, GOOD);
    assert!(matches!(key::next(&o, at(0)), Step::WriteState(_)));
}
