//! One fault at every single write of a new key, a rotation, a renewal, a move and a deletion: the process dies just
//! before it or just after it, its answer is lost, or it comes late.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};

use super::{
    bench::{Bench, Mishap, ready, run, side_by_side},
    invariants::entry,
    key_manager::{PROFILES, Profile},
};

const LATE: Duration = Duration::from_millis(2500);
const MISHAPS: [Mishap; 6] = [
    Mishap::DieBefore,
    Mishap::DieAfter,
    Mishap::Lose(Fault::LoseRequest),
    Mishap::Lose(Fault::LoseAnswer),
    Mishap::Lose(Fault::Late(LATE)),
    Mishap::Lose(Fault::Refuse(500)),
];
const LIMIT: Duration = Duration::from_mins(30);

/// A story: what is there before, what somebody does, and how it ends well.
struct Story {
    name: &'static str,
    /// The key before; none where the story makes it.
    before: Option<fn() -> Value>,
    act: fn(&Bench),
    /// Time that passes after the act before the faults' consequences are looked at.
    good: fn(&Bench) -> bool,
    clients: usize,
    overlap: SignedDuration,
    /// The key managers that can do it.
    fits: fn(Profile) -> bool,
    /// Time without an operator before it.
    idle: Duration,
}

const SOON: Duration = Duration::from_secs(20);

fn two_secrets(profile: Profile) -> bool {
    !matches!(profile, Profile::OneSecret | Profile::GivenIdentity)
}

fn plain() -> Value {
    json!({"accessTokens": [{"name": "t"}], "rotation": {"overlap": "10m", "trigger": "one"}})
}

/// A client that is there already, a Secret that proves whose it is, and a rule that lets it be taken over.
fn adopt(bench: &Bench) {
    bench.servers.0["first"].plant(std::iter::once("theirs".to_owned()));
    let encoded = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let proof = json!({
        "client-secret": encoded("their-secret-of-theirs"),
        "registration-client-uri": encoded("https://key-manager/register/theirs"),
        "registration-access-token": encoded("registration-0"),
    });
    let rules = json!([{"namespaceSelector": {}, "adopt": true}]);
    bench.api.edit(|store| {
        store.put(&Id::secret("team", "proof"), json!({"data": proof}));
        store.put(
            &Id::ours("clusterkeymanagers", "", "first"),
            json!({"spec": {"default": true, "access": rules, "resident": {"accessTokenLifetime": "12h"}}}),
        );
    });
    let adopt = json!({"clientId": "theirs", "secretRef": {"name": "proof"}});
    bench.put_key("k", &json!({"adopt": adopt, "accessTokens": [{"name": "t"}]}));
}

const STORIES: [Story; 9] = [
    Story {
        name: "new key",
        before: None,
        act: |bench| bench.put_key("k", &plain()),
        good: |bench| ready(&bench.key("k")),
        clients: 1,
        overlap: SignedDuration::ZERO,
        fits: |_| true,
        idle: SOON,
    },
    Story {
        name: "adoption",
        before: None,
        act: adopt,
        good: |bench| ready(&bench.key("k")) && bench.key("k")["status"]["clientId"] == "theirs",
        clients: 1,
        overlap: SignedDuration::ZERO,
        fits: |profile| profile != Profile::Resident,
        idle: SOON,
    },
    Story {
        name: "rotation",
        before: Some(plain),
        act: |bench| {
            let spec = json!({"accessTokens": [{"name": "t"}], "rotation": {"overlap": "10m", "trigger": "two"}});
            bench.put_key("k", &spec);
        },
        good: |bench| ready(&bench.key("k")) && bench.key("k")["status"]["credential"]["version"].as_i64() >= Some(2),
        clients: 1,
        overlap: SignedDuration::from_mins(10),
        fits: two_secrets,
        idle: SOON,
    },
    Story {
        name: "rotation in place",
        before: Some(plain),
        act: |bench| {
            let rotation = json!({"overlap": "10m", "trigger": "two", "strategy": "InPlace"});
            bench.put_key("k", &json!({"accessTokens": [{"name": "t"}], "rotation": rotation}));
        },
        good: |bench| ready(&bench.key("k")) && bench.key("k")["status"]["credential"]["version"].as_i64() >= Some(2),
        clients: 1,
        overlap: SignedDuration::ZERO,
        fits: |profile| profile != Profile::GivenIdentity,
        idle: SOON,
    },
    Story {
        name: "renewal of an access token",
        before: Some(plain),
        act: |_| {},
        good: |bench| {
            let key = bench.key("k");
            let renewed =
                key["status"]["accessTokens"][0]["renewAt"].as_str().unwrap_or_default() > &*bench.api.store().now();
            ready(&key) && renewed
        },
        clients: 1,
        overlap: SignedDuration::ZERO,
        fits: |_| true,
        idle: Duration::from_hours(9),
    },
    Story {
        name: "replacement of the client",
        before: Some(plain),
        act: |bench| {
            let rotation = json!({"overlap": "10m", "trigger": "two", "strategy": "ReplaceClient"});
            bench.put_key("k", &json!({"accessTokens": [{"name": "t"}], "rotation": rotation}));
        },
        good: |bench| {
            let key = bench.key("k");
            ready(&key)
                && key["status"]["credential"]["version"].as_i64() >= Some(2)
                && bench.clients().len() <= 1 + bench.named_orphans()
        },
        clients: 1,
        overlap: SignedDuration::from_mins(10),
        fits: |_| true,
        idle: SOON,
    },
    Story {
        name: "move to another key manager",
        before: Some(plain),
        act: |bench| {
            let rotation = json!({"overlap": "10m", "trigger": "one"});
            bench.put_key(
                "k",
                &json!({"keyManagerRef": {"name": "second"}, "accessTokens": [{"name": "t"}], "rotation": rotation}),
            );
        },
        good: |bench| {
            let key = bench.key("k");
            ready(&key)
                && key["status"]["keyManager"]["name"] == "second"
                && bench.clients().len() <= 1 + bench.named_orphans()
        },
        clients: 1,
        overlap: SignedDuration::from_mins(10),
        fits: |_| true,
        idle: SOON,
    },
    Story {
        name: "new name of the Secret",
        before: Some(plain),
        act: |bench| {
            let rotation = json!({"overlap": "10m", "trigger": "one"});
            bench.put_key(
                "k",
                &json!({"secret": {"name": "renamed"}, "accessTokens": [{"name": "t"}], "rotation": rotation}),
            );
        },
        good: |bench| ready(&bench.key("k")) && bench.key("k")["status"]["secretRef"]["name"] == "renamed",
        clients: 1,
        overlap: SignedDuration::from_mins(10),
        fits: |_| true,
        idle: SOON,
    },
    Story {
        name: "deletion",
        before: Some(plain),
        act: |bench| {
            bench
                .api
                .edit(|store| store.delete(&Id::ours("applicationkeys", "team", "k")));
        },
        good: |bench| bench.get(&Id::ours("applicationkeys", "team", "k")).is_none(),
        clients: 0,
        overlap: SignedDuration::ZERO,
        fits: |_| true,
        idle: SOON,
    },
];

/// Plays a story; the mishap is at a write of the process that plays it. Gives the number of its writes.
async fn play(story: &Story, profile: Profile, mishap: Option<(usize, Mishap)>) -> Result<usize, String> {
    let mut bench = Bench::new(1, profile, profile);
    if let Some(before) = story.before {
        bench.put_key("k", &before());
    }
    bench.start();
    let settled = bench
        .until(LIMIT, |bench| {
            story.before.is_none() && bench.writes() > 3 || ready(&bench.key("k"))
        })
        .await;
    if !settled {
        return Err(format!("not ready before the story: {:#}", bench.key("k")));
    }
    bench.pass(Duration::from_secs(5)).await;
    bench.invariants.expect_overlap(story.overlap);
    bench.kill();
    // The next process may lead once the lease of the one before has ended.
    bench.pass_alone(story.idle).await;
    (story.act)(&bench);
    bench.start_with(mishap, None);
    let good = bench.until(LIMIT, story.good).await;
    let writes = bench.writes();
    bench.pass(Duration::from_mins(20)).await;
    let at_rest = bench.writes();
    bench.pass(Duration::from_mins(5)).await;
    let later = bench.writes();
    let report = |what: String| {
        format!(
            "{} at {profile:?} with {mishap:?}: {what}\n{}\n{:#}",
            story.name,
            bench.trace(),
            bench.key("k")
        )
    };
    if !good || !(story.good)(&bench) {
        return Err(report("did not come to a good end".into()));
    }
    let broken = bench.invariants.broken();
    if !broken.is_empty() {
        return Err(report(broken.join("\n")));
    }
    let (clients, named) = (bench.clients(), bench.named_orphans());
    if clients.len() < story.clients || clients.len() > story.clients + named {
        return Err(report(format!(
            "{} clients instead of {}, {named} orphans are named",
            clients.len(),
            story.clients
        )));
    }
    let name = bench.key("k")["status"]["secretRef"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if let Some(secret) = bench.get(&Id::secret("team", &name))
        && !clients.contains(&entry(&secret, "client-id").unwrap_or_default())
    {
        return Err(report("the published client does not exist".into()));
    }
    if later != at_rest {
        return Err(report(format!(
            "{} writes although nothing is to be done",
            later - at_rest
        )));
    }
    Ok(writes)
}

#[test]
fn any_single_fault_at_any_single_write_ends_well() {
    let mut runs = vec![];
    let all = STORIES
        .iter()
        .flat_map(|story| PROFILES.map(|profile| (story, profile)));
    for (story, profile) in all.filter(|(story, profile)| (story.fits)(*profile)) {
        let writes = run(play(story, profile, None)).unwrap();
        runs.extend((0..writes).flat_map(|at| MISHAPS.map(|mishap| (story, profile, at, mishap))));
    }
    let all = runs.len();
    let failures = side_by_side(runs, |(story, profile, at, mishap)| {
        run(play(story, profile, Some((at, mishap)))).err()
    });
    assert!(
        failures.is_empty(),
        "{} of {all} runs failed; the first:\n{}",
        failures.len(),
        failures[0]
    );
}
