//! Each call of each verb lost, before its effect and after it: the verb is repeated, and nothing is left behind.

use appkeys::key_manager::{Category, Error, Registered, Room, SecretAdded};
use secrecy::SecretString;
use testbed::key_managers::wso2::{Call, Fault, Settings, Version};

use super::bench::{Bench, is_refused};

/// What is done, and what must be so at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Register,
    Update,
    Add,
    Replace,
    Retire,
    Delete,
}

/// A client with this version of its secret, and what was published before it.
struct Begun {
    bench: Bench,
    secret: SecretString,
    before: Option<SecretString>,
}

async fn begun(version: Version, verb: Verb) -> Begun {
    let mut bench = Bench::new(Settings::of(version)).await;
    if verb == Verb::Register {
        return Begun {
            bench,
            secret: SecretString::default(),
            before: None,
        };
    }
    let secret = bench.made().await;
    if verb != Verb::Retire {
        bench.properties.display_name = "Another name".into();
        return Begun {
            bench,
            secret,
            before: None,
        };
    }
    let next = bench.added(&secret, 2, Room::Keep).await;
    Begun {
        bench,
        secret: next,
        before: Some(secret),
    }
}

impl Begun {
    /// Does it; what is new is its secret then.
    async fn doing(&mut self, verb: Verb) -> Result<(), Error> {
        match verb {
            Verb::Register => match self.bench.register().await? {
                Registered::Made(answer) => self.secret = answer.secret,
                // A call before this one made it: its secret is read or replaced.
                Registered::Exists => {
                    self.bench.update().await?;
                    self.secret = match self.bench.driver.read_secret(&self.bench.client).await? {
                        Some(answer) => answer.secret,
                        None => self.replaced(None).await?,
                    };
                }
            },
            Verb::Update => drop(self.bench.update().await?),
            Verb::Add => {
                let added = match self.bench.add(Some(&self.secret), 2, Room::Keep).await? {
                    SecretAdded::Occupied => self.bench.add(Some(&self.secret), 2, Room::Replace).await?,
                    other => other,
                };
                let SecretAdded::Added(added) = added else {
                    panic!("{added:?}");
                };
                self.before = Some(std::mem::replace(&mut self.secret, added));
            }
            Verb::Replace => self.secret = self.replaced(Some(self.secret.clone())).await?,
            Verb::Retire => drop(self.bench.retire(&self.secret, 2).await?),
            Verb::Delete => drop(self.bench.delete().await?),
        }
        Ok(())
    }

    async fn replaced(&self, published: Option<SecretString>) -> Result<SecretString, Error> {
        match self.bench.add(published.as_ref(), 2, Room::Only).await? {
            SecretAdded::Added(secret) => Ok(secret),
            other => panic!("{other:?}"),
        }
    }

    async fn is_well(&self, verb: Verb, place: &str) {
        if verb == Verb::Delete {
            assert!(!self.bench.works(&self.secret).await, "{place}");
            return self.bench.is_empty();
        }
        assert!(self.bench.works(&self.secret).await, "{place}");
        if let Some(before) = &self.before {
            assert_eq!(self.bench.works(before).await, verb == Verb::Add, "{place}");
        }
        let secrets = self.bench.server.state().resident().clients[&self.bench.client.id]
            .secrets
            .len();
        assert_eq!(secrets, if verb == Verb::Add { 2 } else { 1 }, "{place}");
        assert_eq!(self.bench.server.state().applications.len(), 1, "{place}");
        self.bench.leaves_nothing().await;
    }
}

/// The kinds of call that a verb makes on a clean run.
async fn calls(version: Version, verb: Verb) -> Vec<Call> {
    let mut begun = begun(version, verb).await;
    let before = begun.bench.server.state().records.len();
    begun.doing(verb).await.unwrap();
    let mut calls: Vec<_> = {
        let state = begun.bench.server.state();
        state.records[before..]
            .iter()
            .filter_map(|record| record.call)
            .collect()
    };
    begun.is_well(verb, "a clean run").await;
    calls.sort();
    calls.dedup();
    calls
}

#[tokio::test]
async fn w12_a_call_that_is_lost_costs_nothing_but_another_try() {
    for version in [Version::V4_2, Version::V4_7] {
        for verb in [
            Verb::Register,
            Verb::Update,
            Verb::Add,
            Verb::Replace,
            Verb::Retire,
            Verb::Delete,
        ] {
            if version == Version::V4_2 && matches!(verb, Verb::Add | Verb::Retire) {
                continue;
            }
            for call in calls(version, verb).await {
                for fault in [Fault::LoseRequest, Fault::LoseAnswer, Fault::Refuse(503)] {
                    let place = format!("{version:?} {verb:?} {call:?} {fault:?}");
                    let mut begun = begun(version, verb).await;
                    begun.bench.server.state().fail_next(call, fault);
                    let mut tries = 0;
                    while let Err(error) = begun.doing(verb).await {
                        tries += 1;
                        assert!(tries < 4 && error.is_retryable(), "{place}: {error}");
                    }
                    // Where a key cannot be deleted its secret is replaced as well as can be: it may do nothing anyhow.
                    let idle = (verb, call) == (Verb::Delete, Call::RegenerateSecret);
                    assert!(tries > 0 || idle, "{place}: nobody noticed");
                    begun.is_well(verb, &place).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_made_in_an_application_whose_deletion_may_still_come() {
    let mut bench = Bench::new(Settings::of(Version::V4_7)).await;
    bench.made().await;
    bench
        .server
        .state()
        .fail_next(Call::DeleteApplication, Fault::LoseRequest);
    is_refused(bench.delete().await, Category::Unreachable, &[]);
    is_refused(bench.register().await, Category::NotYet, &["may still be under way"]);
    bench.leaves_nothing().await;
}
