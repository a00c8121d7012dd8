//! Ways in which operators of this kind have failed, each as a test here. The numbers are those of a list of such failures;
//! one that is missing concerns a part of the list that other tests cover, or that this operator does not have.

mod credentials; // a secret that is lost, cut off, rotated twice or fought over
mod drift; // clients that somebody changes or deletes at the key manager
mod endings; // keys that are renamed, pruned, restored, deleted, or half made
mod fleets; // many keys: restarts, outages, refused credentials, and what one change costs
mod given; // servers that choose what clients are, and change it
mod kinds; // clients that hold private keys, and clients that hold nothing
mod partial; // what arrives late, what is not seen, and what must not be written
mod spread; // when the keys of a fleet are rotated and renewed
mod unsaid; // what nobody may read, and what is frozen into the CRDs

use std::{collections::BTreeMap, time::Duration};

use appkeys::api::CredentialKind;
use jiff::Timestamp;
use serde_json::{Value, json};
use testbed::memory_api::Id;
use tokio::time::{Instant, sleep};

use super::{
    bench::{Bench, ready},
    invariants::{credential, entry},
    profile::{PROFILES, Profile},
    record::Asked,
};

/// Longer than anything takes that is not told to wait.
const SOON: Duration = Duration::from_mins(2);

/// A lease with which days pass quickly.
const LONG_LEASE: Duration = Duration::from_hours(2);

/// The profiles of key managers outside the operator.
fn outside() -> impl Iterator<Item = Profile> {
    PROFILES.into_iter().filter(|profile| *profile != Profile::Resident)
}

/// The strategy that rotates a secret without a cut.
fn uncut(profile: Profile) -> &'static str {
    profile.uncut(CredentialKind::Secret)
}

/// A spec with one access token, and a rotation without a cut for each new `trigger`.
fn rotated(profile: Profile, trigger: &str) -> Value {
    let rotation = json!({"overlap": "10m", "trigger": trigger, "strategy": uncut(profile)});
    json!({"accessTokens": [{"name": "t"}], "rotation": rotation})
}

/// A client id and its secret.
type Credential = (String, String);

impl Bench {
    /// Servers with two key managers of this profile, a process, and a key `k` that is ready.
    async fn with_key(profile: Profile, spec: &Value) -> Self {
        let mut bench = Self::new(1, profile, profile);
        bench.start();
        bench.put_key("k", spec);
        bench.becomes("ready", |bench| ready(&bench.key("k"))).await;
        bench
    }

    /// Servers with a process and so many keys that are ready; invariants are not looked at, which many keys make slow.
    async fn with_fleet(profile: Profile, keys: usize, spec: &Value) -> Self {
        let mut bench = Self::new(1, profile, profile);
        bench.api.inspect(|_| {});
        bench.put_fleet(keys, spec);
        bench.start();
        bench.fleet_is_ready(keys, SOON).await;
        bench
    }

    /// Applies keys `k-0`, `k-1` and so on.
    fn put_fleet(&self, keys: usize, spec: &Value) {
        for n in 0..keys {
            self.put_key(&format!("k-{n}"), spec);
        }
    }

    /// How many keys are ready.
    fn ready_keys(&self) -> usize {
        let store = self.api.store();
        store.all("applicationkeys").filter(|(_, key)| ready(key)).count()
    }

    /// Waits until all keys are ready. How long it took.
    async fn fleet_is_ready(&self, keys: usize, limit: Duration) -> Duration {
        let start = Instant::now();
        while self.ready_keys() < keys {
            let ready = self.ready_keys();
            assert!(
                start.elapsed() < limit,
                "{ready} of {keys} keys are ready\n{}",
                self.trace()
            );
            sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    }

    /// Waits until `good`, and not long.
    async fn becomes(&mut self, what: &str, good: impl Fn(&Self) -> bool) {
        let good = self.until(SOON, good).await;
        assert!(good, "not {what}:\n{}\n{:#}", self.trace(), self.key("k"));
    }

    /// The entries of a Secret of namespace `team`; empty where there is none.
    fn entries(&self, name: &str) -> BTreeMap<String, String> {
        let secret = self.get(&Id::secret("team", name)).unwrap_or_default();
        let names = secret["data"].as_object().into_iter().flatten();
        names
            .filter_map(|(name, _)| Some((name.clone(), entry(&secret, name)?)))
            .collect()
    }

    /// What is published.
    fn credential(&self, name: &str) -> Credential {
        let secret = self.get(&Id::secret("team", name)).unwrap_or_default();
        credential(&secret).unwrap_or_default()
    }

    /// Whether a workload that holds this gets a token.
    fn works(&self, (id, secret): &Credential) -> bool {
        self.invariants.works(&self.api.store(), id, secret)
    }

    /// The client secrets or private keys that were ever in a Secret of namespace `team`, each once, in order.
    fn published(&self, name: &str) -> Vec<String> {
        let store = self.api.store();
        let id = Id::secret("team", name);
        let ours = store.history("secrets").filter(|(other, _)| **other == id);
        let mut all: Vec<String> = vec![];
        for (_, secret) in ours.filter_map(|(_, secret)| credential(secret)) {
            if !all.contains(&secret) {
                all.push(secret);
            }
        }
        all
    }

    /// Deletes a key of namespace `team` as a person does.
    pub(super) fn delete_key(&self, name: &str) {
        self.api
            .edit(|store| store.delete(&Id::ours("applicationkeys", "team", name)));
    }

    /// Asserts that no invariant was broken.
    fn is_sound(&self) {
        let broken = self.invariants.broken();
        assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), self.trace());
    }
}

/// The reason of a condition of an object, where it has this status.
fn reason(object: &Value, type_: &str, status: &str) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|c| c["type"] == type_ && c["status"] == status)?;
    found["reason"].as_str().map(str::to_owned)
}

/// A time in an object.
fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How much of what was asked is a write at the API server, one read of it, or a call to a key manager.
fn counts(asked: &[Asked]) -> (usize, usize, usize) {
    let count = |of: fn(&Asked) -> bool| asked.iter().filter(|asked| of(asked)).count();
    (count(Asked::is_write), count(Asked::is_read), count(|asked| asked.call))
}
