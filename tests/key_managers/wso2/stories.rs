//! What went wrong elsewhere, tried at WSO2: the numbers are those of the list of failure stories.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::key_managers::wso2::{
    Application, Call, Client, Fault, Key, KeyManager as Inside, KeyType, Kind, Settings, Trouble, Version, Wso2,
};

use crate::key_managers::{
    beds::Bed,
    team::{Entries, Team, version, works},
};

/// A WSO2 with a team that has it for itself.
async fn wso2(namespace: &'static str, of: Version) -> (Wso2, Team) {
    crate::support::provider();
    let wso2 = Wso2::start(Settings::of(of)).await.unwrap();
    let team = Team::new(namespace, &Bed::wso2(&wso2, "wso2")).await;
    (wso2, team)
}

/// For the end of a test: no application of ours is left, and nothing passed that WSO2's files do not have.
fn end(wso2: &Wso2, team: &Team) {
    team.delete("--all");
    let state = wso2.state();
    let mut descriptions = state.applications.values().map(|one| &one.described.description);
    let left = descriptions.any(|text| text.as_deref().is_some_and(|text| text.contains("appkeys.dev/owner")));
    assert!(!left, "{:?}", state.applications);
    assert!(state.orphans().is_empty());
    drop(state);
    wso2.audit().assert_clean();
}

/// The client of a Secret, and its key.
fn client(wso2: &Wso2, entries: &Entries) -> (Key, Client) {
    let state = wso2.state();
    let id = &entries["client-id"];
    let key = state.keys.values().find(|key| key.client.as_ref() == Some(id)).unwrap();
    (key.clone(), state.client_of(key).unwrap().clone())
}

#[tokio::test]
async fn story_8_two_keys_that_choose_one_client_do_not_touch_each_other() {
    let (wso2, team) = wso2("wso2-story-8", Version::V4_7).await;
    let spec = |environment: &str| json!({"clientId": "chosen_by_two_keys", "environment": environment});
    let first = team.made("first", &spec("Production")).await;
    assert_eq!(first["client-id"], "chosen_by_two_keys");
    let before = client(&wso2, &first);
    team.apply("second", &spec("Sandbox"));
    let words = ["there is a client chosen_by_two_keys in WSO2 already"];
    team.says("second", "Ready", "ClientConflict", &words).await;
    assert_eq!(client(&wso2, &first), before);
    team.delete("second");
    assert_eq!(client(&wso2, &first), before);
    assert!(works(&first).await);
    end(&wso2, &team);
}

#[tokio::test]
async fn story_12_no_secret_is_made_of_what_somebody_knows() {
    let (wso2, team) = wso2("wso2-story-12", Version::V4_7).await;
    let mut secrets = BTreeSet::new();
    for (name, environment) in [("a", "Production"), ("b", "Sandbox")] {
        for (n, trigger) in [(1, "first"), (2, "second")] {
            let rotation = json!({"overlap": "2s", "trigger": trigger});
            team.apply(name, &json!({"environment": environment, "rotation": rotation}));
            let secret = team.has(name, n).await["client-secret"].clone();
            // The first is ours, 256 random bits in base64url; WSO2 makes the others.
            assert!(n == 2 || secret.len() == 43, "{} characters", secret.len());
            secrets.insert(secret);
        }
    }
    assert_eq!(secrets.len(), 4, "each is another one");
    let known = [team.namespace, "shop", "first", "second"];
    let guessed = |secret: &String| known.iter().any(|word| secret.contains(word));
    assert!(!secrets.iter().any(guessed));
    // The same names, made anew, have other secrets.
    team.delete("--all");
    let again = team.made("a", &json!({})).await;
    assert!(!secrets.contains(&again["client-secret"]));
    end(&wso2, &team);
}

#[tokio::test]
async fn story_20_among_many_applications_a_key_concerns_its_own() {
    let (wso2, team) = wso2("wso2-story-20", Version::V4_2).await;
    let first = team.made("k", &json!({})).await;
    let name = {
        let state = wso2.state();
        let ours = state.applications.values().next().unwrap();
        ours.described.name.clone()
    };
    // More than two pages of what a search for ours finds too, before it and after it in any order.
    for n in 0..60 {
        for name in [format!("{n:02}-{name}"), format!("{name}-{n:02}")] {
            let body = json!({"name": name, "throttlingPolicy": "Unlimited"});
            assert_eq!(wso2.by_hand(wso2.user(), "POST", "/applications", &body).0, 201);
        }
    }
    let others = || -> Vec<Application> {
        let state = wso2.state();
        let all = state.applications.values();
        all.filter(|one| one.described.name != name).cloned().collect()
    };
    let before = others();
    assert_eq!(before.len(), 120);

    // It is looked up, and its secret is read.
    team.cluster.kubectl(&["-n", team.namespace, "delete", "secret", "k"]);
    let back = async || {
        let listed = [
            "-n",
            team.namespace,
            "get",
            "secrets",
            "k",
            "--ignore-not-found",
            "-o",
            "name",
        ];
        !team.cluster.kubectl(&listed).is_empty()
    };
    team.cluster.until("the Secret to be back", back).await;
    assert_eq!(team.secret("k").await, first);
    assert_eq!(
        wso2.state().count(Call::CreateApplication),
        1,
        "found, and not made again"
    );
    team.delete("k");
    assert!(!works(&first).await);
    assert_eq!(others(), before, "each is as it was");
    end(&wso2, &team);
}

#[tokio::test]
async fn story_22_what_fails_at_the_moment_is_tried_again() {
    let (wso2, team) = wso2("wso2-story-22", Version::V4_7).await;
    // The number that WSO2 gives anything, and a key manager that WSO2 does not know yet.
    for call in [Call::CreateApplication, Call::GenerateKeys] {
        wso2.state().fail_next(call, Fault::Refuse(500));
    }
    let rotated = |trigger: &str| json!({"rotation": {"overlap": "2s", "trigger": trigger}});
    wso2.state().resident().troubles.insert(Trouble::NotLoaded);
    team.apply("k", &rotated("first"));
    team.says("k", "Ready", "NotYet", &["does not show it"]).await;
    wso2.state().resident().troubles.clear();
    team.cluster.ready(team.namespace, "k").await;
    let first = team.secret("k").await;
    assert!(works(&first).await);
    for call in [Call::ListSecrets, Call::GenerateSecret, Call::RevokeSecret] {
        wso2.state().fail_next(call, Fault::Refuse(500));
    }
    team.apply("k", &rotated("second"));
    let second = team.has("k", 2).await;
    let ended = async || !works(&first).await;
    team.cluster.until("the old secret to end", ended).await;
    assert!(works(&second).await);
    assert_eq!(client(&wso2, &second).1.secrets.len(), 1);
    assert_eq!(wso2.state().applications.len(), 1);
    end(&wso2, &team);
}

#[tokio::test]
async fn story_25_production_and_sandbox_are_two_clients() {
    for (namespace, of) in [("wso2-story-25-one", Version::V4_2), ("wso2-story-25", Version::V4_7)] {
        let (wso2, team) = wso2(namespace, of).await;
        let production = team.made("production", &json!({"environment": "Production"})).await;
        let sandbox = team.made("sandbox", &json!({"environment": "Sandbox"})).await;
        assert_ne!(production["client-id"], sandbox["client-id"]);
        for (entries, kind) in [(&production, KeyType::Production), (&sandbox, KeyType::Sandbox)] {
            assert!(works(entries).await);
            assert_eq!(client(&wso2, entries).0.key_type, kind);
        }
        for (one, other) in [(&production, &sandbox), (&sandbox, &production)] {
            let mut mixed = one.clone();
            mixed.insert("client-secret".into(), other["client-secret"].clone());
            assert!(!works(&mixed).await, "the secret of the one does not open the other");
        }
        assert_eq!(wso2.state().applications.len(), 1, "they share an application");
        // A third one of an environment is told whose it is.
        team.apply("third", &json!({"environment": "Sandbox"}));
        team.says("third", "Ready", "EnvironmentTaken", &["sandbox"]).await;
        team.delete("third");
        team.delete("sandbox");
        assert!(works(&production).await && !works(&sandbox).await);
        end(&wso2, &team);
    }
}

#[tokio::test]
async fn story_26_a_rotation_that_cannot_be_is_never_said_to_have_been() {
    let (wso2, team) = wso2("wso2-story-26", Version::V4_6).await;
    let rotated = |trigger: &str| json!({"rotation": {"strategy": "InPlace", "trigger": trigger}});
    let before = team.made("k", &rotated("first")).await;
    // It hides the key, and answers what replaces a secret with an empty 204.
    wso2.state().resident().troubles.insert(Trouble::Unreachable);
    team.apply("k", &rotated("second"));
    let said = team.says("k", "Ready", "NotYet", &["does not show it"]).await;
    assert_eq!(version(&said), 1, "it is not said to be rotated");
    assert_eq!(team.secret("k").await, before);
    wso2.state().resident().troubles.clear();
    let after = team.has("k", 2).await;
    assert_ne!(after["client-secret"], before["client-secret"]);
    assert!(works(&after).await);
    end(&wso2, &team);
}

#[tokio::test]
async fn story_26_at_a_keycloak_behind_wso2_nothing_is_said_to_rotate() {
    crate::support::provider();
    let wso2 = Wso2::start(Settings::of(Version::V4_6)).await.unwrap();
    let behind = Inside::new("Keycloak behind", Kind::Keycloak);
    wso2.state().key_managers.push(behind);
    let mut bed = Bed::wso2(&wso2, "wso2");
    bed.spec["wso2"]["keyManager"] = json!("Keycloak behind");
    let team = Team::new("wso2-story-26-behind", &bed).await;
    let spec = |rotation: Value| {
        let properties = json!({"subject_type": "public", "tls_client_certificate_bound_access_tokens": "false"});
        json!({"wso2": {"properties": properties}, "rotation": rotation})
    };
    let before = team.made("k", &spec(json!({}))).await;
    for (strategy, why) in [
        ("Overlap", "keeps one secret"),
        ("InPlace", "cannot change a client's secret"),
        ("ReplaceClient", "cannot change a client's secret"),
    ] {
        team.apply("k", &spec(json!({"strategy": strategy, "trigger": strategy})));
        let words = ["nothing rotates", why];
        let said = team
            .says("k", "RotationUnsupported", "NotAtThisKeyManager", &words)
            .await;
        assert_eq!(version(&said), 1, "{strategy}");
    }
    assert_eq!(team.secret("k").await, before);
    assert!(works(&before).await);
    assert_eq!(wso2.state().count(Call::RegenerateSecret), 0);
    end(&wso2, &team);
}
