//! One fault at every single write of a new key, a rotation, a renewal, a move and a deletion: the process dies just
//! before it or just after it, its answer is lost, or it comes late.

use std::time::Duration;

use appkeys::{
    api::CredentialKind,
    key_manager::{KeyAlgorithm, private_key},
};
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testbed::memory_api::{Fault, Id};

use super::{
    bench::{Bench, ready},
    invariants::entry,
    profile::{Profile, with_kinds},
    runs::{run, side_by_side},
    schedule::Mishap,
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
    /// The key managers that can do it, and the kinds of credential that it concerns.
    fits: fn(Profile, CredentialKind) -> bool,
    /// Time without an operator before it.
    idle: Duration,
}

/// Longer than the lease.
const SOON: Duration = Duration::from_secs(65);
/// Minutes pass quicker than with the usual one.
const LEASE: Duration = Duration::from_mins(1);

/// Whether a client's credential can be changed.
fn changes(profile: Profile, kind: CredentialKind) -> bool {
    profile.facts().capabilities.with(kind).secret_at_rotation.is_some()
}

/// Whether a client has one.
fn provable(_: Profile, kind: CredentialKind) -> bool {
    kind != CredentialKind::Nothing
}

fn plain() -> Value {
    json!({"accessTokens": [{"name": "t"}], "rotation": {"overlap": "10m", "trigger": "one"}})
}

/// A client that is there already, a Secret that proves whose it is, and a rule that lets it be taken over.
fn adopt(bench: &Bench) {
    let encoded = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let (entry, theirs) = if bench.kind == CredentialKind::PrivateKey {
        let key = private_key::generate(KeyAlgorithm::ES256).unwrap();
        ("private-key.pem", key.expose_secret().to_owned())
    } else {
        ("client-secret", "their-secret".to_owned())
    };
    let proof = json!({
        entry: encoded(&theirs),
        "registration-client-uri": encoded("https://key-manager/register/theirs"),
        "registration-access-token": encoded("registration-0"),
    });
    bench.servers.0["first"].plant(bench.kind, std::iter::once(("theirs".to_owned(), theirs)));
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

const STORIES: [Story; 11] = [
    Story {
        name: "new key",
        before: None,
        act: |bench| bench.put_key("k", &plain()),
        good: |bench| ready(&bench.key("k")),
        clients: 1,
        overlap: SignedDuration::ZERO,
        fits: |_, _| true,
        idle: SOON,
    },
    Story {
        name: "adoption",
        before: None,
        act: adopt,
        good: |bench| ready(&bench.key("k")) && bench.key("k")["status"]["clientId"] == "theirs",
        clients: 1,
        overlap: SignedDuration::ZERO,
        fits: |profile, kind| profile != Profile::Resident && provable(profile, kind),
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
        fits: |profile, kind| profile.facts().overlaps(kind),
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
        fits: changes,
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
        fits: |_, kind| kind == CredentialKind::Secret,
        idle: Duration::from_hours(9),
    },
    Story {
        name: "change of the client",
        before: Some(plain),
        act: |bench| {
            let spec = json!({"spec": {"displayName": "Another name"}});
            bench
                .api
                .edit(|store| store.put(&Id::ours("applications", "team", "shop"), spec));
        },
        good: |bench| ready(&bench.key("k")) && bench.trace().contains("update"),
        clients: 1,
        overlap: SignedDuration::from_mins(10),
        fits: |profile, _| profile != Profile::Resident,
        idle: SOON,
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
        fits: provable,
        idle: SOON,
    },
    Story {
        name: "another kind of credential",
        before: Some(plain),
        act: |bench| {
            let other = match bench.kind {
                CredentialKind::PrivateKey => "ClientSecretBasic",
                CredentialKind::Secret | CredentialKind::Nothing => "PrivateKeyJwt",
            };
            let mut spec = plain();
            spec["clientAuthentication"] = other.into();
            bench.put_key("k", &spec);
        },
        good: |bench| {
            let key = bench.key("k");
            ready(&key)
                && key["status"]["credential"]["version"].as_i64() >= Some(2)
                && bench.clients().len() <= 1 + bench.named_orphans()
        },
        clients: 1,
        overlap: SignedDuration::from_mins(10),
        fits: |profile, kind| provable(profile, kind) && profile.facts().serves(CredentialKind::PrivateKey),
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
        fits: |_, _| true,
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
        fits: |_, _| true,
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
        fits: |_, _| true,
        idle: SOON,
    },
];

/// Plays a story; the mishap is at a write of the process that plays it. Gives the number of its writes.
async fn play(
    story: &Story,
    (profile, kind): (Profile, CredentialKind),
    mishap: Option<(usize, Mishap)>,
) -> Result<usize, String> {
    let mut bench = Bench::of_kind(1, profile, profile, kind);
    bench.lease = LEASE;
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
            "{} of {kind} at {profile:?} with {mishap:?}: {what}\n{}\n{:#}",
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
    let lost = if mishap.is_none() && profile.facts().is_managed() {
        0
    } else {
        named
    };
    if clients.len() < story.clients || clients.len() > story.clients + lost {
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

/// `STORY=name` plays just that one.
#[test]
fn any_single_fault_at_any_single_write_ends_well() {
    let mut runs = vec![];
    let wanted = std::env::var("STORY").ok();
    let all = STORIES
        .iter()
        .filter(|story| wanted.as_ref().is_none_or(|wanted| story.name == wanted))
        .flat_map(|story| with_kinds().map(move |subject| (story, subject)));
    for (story, subject) in all.filter(|(story, (profile, kind))| (story.fits)(*profile, *kind)) {
        let writes = run(play(story, subject, None)).unwrap();
        runs.extend((0..writes).flat_map(|at| MISHAPS.map(|mishap| (story, subject, at, mishap))));
    }
    let all = runs.len();
    let failures = side_by_side(runs, |(story, subject, at, mishap)| {
        run(play(story, subject, Some((at, mishap)))).err()
    });
    assert!(
        failures.is_empty(),
        "{} of {all} runs failed; the first:\n{}",
        failures.len(),
        failures[0]
    );
}
