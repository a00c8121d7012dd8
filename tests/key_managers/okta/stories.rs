//! What went wrong elsewhere, tried at Okta: the numbers are those of the list of failure stories. Story 20 is trap O6 and O7, story 22
//! trap O22.

use std::collections::BTreeSet;

use serde_json::json;

use super::team::{Team, version, works};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn story_8_two_keys_that_choose_one_client_do_not_touch_each_other() {
    let team = Team::new("okta-story-8").await;
    let spec = json!({"clientId": "chosen-by-two"});
    let first = team.made("first", &spec).await;
    // How often it was read is nobody's business.
    let there = || {
        let app = team.app(&first).unwrap();
        format!("{:?}", (app.label, app.active, app.profile, app.secrets, app.settings))
    };
    let before = there();
    team.apply("second", &spec);
    let words = ["client chosen-by-two already that is not this key's"];
    team.says("second", "Ready", "ClientConflict", &words).await;
    assert_eq!(there(), before);
    let delete = ["-n", team.namespace, "delete", "akey", "second", "--timeout=60s"];
    team.cluster.kubectl(&delete);
    assert_eq!(there(), before);
    assert!(works(&first).await);
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn story_12_no_secret_is_made_of_what_somebody_knows() {
    let team = Team::new("okta-story-12").await;
    let mut secrets = BTreeSet::new();
    for name in ["a", "b"] {
        for trigger in ["first", "second"] {
            let spec = json!({"rotation": {"overlap": "2s", "trigger": trigger}});
            team.apply(name, &spec);
            let n = if trigger == "first" { 1 } else { 2 };
            team.cluster
                .key_until(team.namespace, name, |key| version(key) == n)
                .await;
            secrets.insert(team.secret(name).await["client-secret"].clone());
        }
    }
    assert_eq!(secrets.len(), 4, "each is another one");
    for secret in &secrets {
        // 256 random bits in base64url.
        assert_eq!(secret.len(), 43);
        let known = [team.namespace, "shop", "first", "second"];
        assert!(known.iter().all(|word| !secret.contains(word)));
    }
    // The same names, made anew, have other secrets.
    team.end();
    let again = team.made("a", &json!({})).await;
    assert!(!secrets.contains(&again["client-secret"]));
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn story_25_production_and_sandbox_are_two_clients() {
    let team = Team::new("okta-story-25").await;
    let production = team.made("production", &json!({"environment": "Production"})).await;
    let sandbox = team.made("sandbox", &json!({"environment": "Sandbox"})).await;
    assert_ne!(production["client-id"], sandbox["client-id"]);
    assert_ne!(production["client-secret"], sandbox["client-secret"]);
    for (entries, environment) in [(&production, "Production"), (&sandbox, "Sandbox")] {
        assert!(works(entries).await);
        let bodies = team.okta.audit().exchanges();
        let made = bodies
            .iter()
            .filter(|one| one.method == "POST" && one.path.starts_with("/api/v1/apps?"));
        let of = made.filter(|one| String::from_utf8_lossy(&one.request).contains(&entries["client-id"]));
        let texts: Vec<_> = of
            .map(|one| String::from_utf8_lossy(&one.request).into_owned())
            .collect();
        assert!(
            texts.len() == 1 && texts[0].contains(&format!("({environment})")),
            "{environment}"
        );
    }
    let crossed = [(&production, &sandbox), (&sandbox, &production)];
    for (one, other) in crossed {
        let mut mixed = one.clone();
        mixed.insert("client-secret".into(), other["client-secret"].clone());
        assert!(!works(&mixed).await, "the secret of the one does not open the other");
    }
    let delete = ["-n", team.namespace, "delete", "akey", "sandbox", "--timeout=60s"];
    team.cluster.kubectl(&delete);
    assert!(works(&production).await && !works(&sandbox).await);
    team.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn story_26_a_rotation_that_cannot_be_is_never_said_to_have_been() {
    let team = Team::new("okta-story-26").await;
    let rotated = |trigger: &str| json!({"rotation": {"overlap": "2s", "trigger": trigger}});
    let before = team.made("k", &rotated("first")).await;
    team.okta.set(|modes| modes.secrets_hidden = true);
    team.apply("k", &rotated("second"));
    let words = ["okta.apps.clientCredentials.read"];
    let said = team.says("k", "UpToDate", "MissingPermission", &words).await;
    assert_eq!(version(&said), 1, "it is not said to be rotated");
    assert_eq!(team.secret("k").await, before);
    assert_eq!(team.app(&before).unwrap().secrets.len(), 1);
    team.okta.set(|modes| modes.secrets_hidden = false);
    team.cluster
        .key_until(team.namespace, "k", |key| version(key) == 2)
        .await;
    let after = team.secret("k").await;
    assert_ne!(after["client-secret"], before["client-secret"]);
    assert!(works(&after).await);
    team.end();
}
