//! Wrong attempts are answered more slowly each time, per client and source; a right secret is never kept waiting.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// After so long without a wrong attempt the count begins anew.
const FORGET: Duration = Duration::from_mins(5);
/// The first delay; doubled with each further attempt.
const FIRST: Duration = Duration::from_millis(25);
/// The longest delay.
const MOST: Duration = Duration::from_secs(3);
/// Clients and sources that are remembered.
const REMEMBERED: usize = 10_000;
/// Answers that are held back at the same time; more are given at once rather than hold the server's connections.
const HELD: usize = 512;

/// Counts of wrong attempts.
#[derive(Debug)]
pub struct WrongAttempts {
    counts: Mutex<HashMap<(String, IpAddr), (u32, Instant)>>,
    held: Semaphore,
}

impl Default for WrongAttempts {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            held: Semaphore::new(HELD),
        }
    }
}

impl WrongAttempts {
    /// Counts a wrong attempt and tells how long its answer is to be held back.
    pub fn count(&self, client_id: &str, source: IpAddr) -> Duration {
        let now = Instant::now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= REMEMBERED {
            counts.retain(|_, (_, last)| now.duration_since(*last) < FORGET);
        }
        if counts.len() >= REMEMBERED {
            return MOST;
        }
        let (count, last) = counts.entry((client_id.to_owned(), source)).or_insert((0, now));
        if now.duration_since(*last) >= FORGET {
            *count = 0;
        }
        *count += 1;
        *last = now;
        (FIRST * 2_u32.saturating_pow(*count - 1)).min(MOST)
    }

    /// Holds the answer to a wrong attempt back.
    pub async fn slow_down(&self, client_id: &str, source: IpAddr) {
        let delay = self.count(client_id, source);
        if let Ok(_held) = self.held.try_acquire() {
            sleep(delay).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_grow_to_a_limit_per_client_and_source_and_are_forgotten() {
        let attempts = WrongAttempts::default();
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let delays: Vec<_> = (0..10).map(|_| attempts.count("a", here)).collect();
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!((delays[0], delays[9]), (FIRST, MOST));
        assert_eq!(attempts.count("a", there), FIRST);
        assert_eq!(attempts.count("b", here), FIRST);
        tokio::time::advance(FORGET).await;
        assert_eq!(attempts.count("a", here), FIRST);
    }
}
