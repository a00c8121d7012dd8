//! The assertions that were used (RFC 7523 section 3, `jti`): none is good twice, as far as this process knows.
//!
//! The memory is that of one replica, and empty after a restart. Who has stolen an assertion that was used can use it once more
//! at each other replica, until it ends: at most ten minutes, one with the usual clients. Writing every use to the API server
//! would make each token cost a write.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use super::assertion::Once;

/// Uses that are remembered: about seven megabytes.
const LIMIT: usize = 100_000;
/// Uses of one client that are remembered, so that one cannot take the room of all.
const LIMIT_OF_ONE: usize = LIMIT / 10;

/// Half a SHA-256: to collide with another client's use would take a second preimage.
type Id = [u8; 16];

/// What is known of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the first.
    First,
    /// It was used before, or has ended.
    Again,
    /// Nobody can tell: too many others have not ended yet.
    Unknown,
}

/// The uses that have not ended.
#[derive(Debug, Default)]
pub struct Replays(Mutex<Uses>);

#[derive(Debug, Default)]
struct Uses {
    known: HashSet<Id>,
    ends: BinaryHeap<Reverse<(Timestamp, Id, Arc<str>)>>,
    of_client: HashMap<Arc<str>, usize>,
}

impl Replays {
    /// Remembers a use by a client of the key manager until it ends.
    pub fn remember(&self, key_manager: &str, client_id: &str, once: &Once, now: Timestamp) -> Use {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.forget(now);
        let id = id(&[key_manager, client_id, &once.jti]);
        // It may have ended while the record was read, and be forgotten.
        if once.exp <= now || uses.known.contains(&id) {
            return Use::Again;
        }
        let count = uses.of_client.get(client_id).copied().unwrap_or_default();
        if uses.known.len() >= LIMIT || count >= LIMIT_OF_ONE {
            return Use::Unknown;
        }
        let known_client = uses.of_client.get_key_value(client_id).map(|(name, _)| name.clone());
        let client = known_client.unwrap_or_else(|| client_id.into());
        uses.known.insert(id);
        uses.ends.push(Reverse((once.exp, id, client.clone())));
        uses.of_client.insert(client, count + 1);
        Use::First
    }
}

impl Uses {
    fn forget(&mut self, now: Timestamp) {
        while let Some(Reverse((end, ..))) = self.ends.peek()
            && *end <= now
            && let Some(Reverse((_, id, client))) = self.ends.pop()
        {
            self.known.remove(&id);
            let left = self.of_client.get(&client).map_or(0, |count| count - 1);
            if left == 0 {
                self.of_client.remove(&client);
            } else {
                self.of_client.insert(client, left);
            }
        }
    }
}

fn id(parts: &[&str]) -> Id {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut id = Id::default();
    let length = id.len();
    id.copy_from_slice(&hash.finish().as_ref()[..length]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn once(jti: &str, end: i64) -> Once {
        Once {
            jti: jti.into(),
            exp: at(end),
        }
    }

    #[test]
    fn an_assertion_is_good_once_until_it_ends_and_never_after() {
        let replays = Replays::default();
        assert_eq!(replays.remember("r", "me", &once("a", 60), at(0)), Use::First);
        assert_eq!(replays.remember("r", "me", &once("a", 60), at(59)), Use::Again);
        assert_eq!(replays.remember("r", "me", &once("a", 60), at(60)), Use::Again, "ended");
        assert_eq!(replays.remember("r", "me", &once("a", 120), at(60)), Use::First);
        assert_eq!(replays.remember("r", "me", &once("b", 120), at(60)), Use::First);
        assert_eq!(replays.remember("r", "you", &once("a", 120), at(60)), Use::First);
        assert_eq!(replays.remember("other", "me", &once("a", 120), at(60)), Use::First);
    }

    #[test]
    fn one_client_cannot_take_the_room_of_all_and_what_has_ended_takes_none() {
        let replays = Replays::default();
        let fill = |client: &str, end: i64, now: i64| {
            let first = |n: &usize| replays.remember("r", client, &once(&n.to_string(), end), at(now)) == Use::First;
            (0..=LIMIT_OF_ONE).take_while(first).count()
        };
        assert_eq!(fill("0", 60, 0), LIMIT_OF_ONE);
        assert_eq!(replays.remember("r", "me", &once("a", 60), at(0)), Use::First);
        let others: usize = (1..11).map(|client: i32| fill(&client.to_string(), 120, 0)).sum();
        assert_eq!(others, LIMIT - LIMIT_OF_ONE - 1);
        assert_eq!(replays.remember("r", "me", &once("b", 60), at(0)), Use::Unknown);
        assert_eq!(
            replays.remember("r", "me", &once("a", 60), at(0)),
            Use::Again,
            "what is known stays known"
        );
        assert_eq!(fill("0", 120, 60), LIMIT_OF_ONE, "those of before have ended");
        let uses = replays.0.lock().unwrap();
        assert_eq!(uses.known.len(), uses.ends.len());
        assert_eq!(uses.known.len(), uses.of_client.values().sum::<usize>());
    }
}
