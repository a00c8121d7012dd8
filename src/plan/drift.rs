//! When a client is compared with what it should be. On the wall clock, so that a restart makes none due.

use jiff::{SignedDuration, Timestamp};

use super::identity;

/// The first time after `since` at which the client of a key is compared: the key's share of the interval, plus so many intervals.
pub fn next_time(namespace: &str, name: &str, interval: SignedDuration, since: Timestamp) -> Timestamp {
    let interval = interval.as_secs().max(1);
    let share = identity::share(&["drift", namespace, name], SignedDuration::from_secs(interval)).as_secs();
    let passed = (since.as_second() - share).div_euclid(interval);
    Timestamp::from_second(share + (passed + 1) * interval).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_come_once_an_interval_and_not_all_at_once() {
        let hour = SignedDuration::from_hours(1);
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let mut times = std::collections::BTreeSet::new();
        for n in 0..50 {
            let name = format!("k-{n}");
            let first = next_time("team", &name, hour, start);
            assert!(start < first && first <= start + hour, "{name}: {first}");
            assert_eq!(next_time("team", &name, hour, first), first + hour, "{name}");
            let before = first - SignedDuration::from_secs(1);
            assert_eq!(next_time("team", &name, hour, before), first, "{name}");
            times.insert(first);
        }
        assert!(times.len() > 40, "{times:?}");
    }
}
