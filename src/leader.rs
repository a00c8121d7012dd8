//! Who may write, and until when: leadership by a Lease, as a claim that ends by itself.
//!
//! The holder counts from the moment it *sent* its last successful renewal, a candidate from the moment it first saw the
//! current record. Both count on their own monotonic clock; the times in the Lease are for people. So a holder has
//! stopped before anybody can begin, however wrong the wall clocks are and whatever is slow.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{api::FIELD_MANAGER, clock::Clock};

/// How leadership is held.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who this process is; different for each process.
    pub identity: String,
    /// How long a claim lasts after its last renewal was sent.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
    /// How long one call may take; no call of a holder outlives its claim less this margin.
    pub request_timeout: Duration,
}

impl LeaderConfig {
    /// The Lease of an operator's namespace, renewed five times in its life.
    pub fn of(namespace: &str, identity: &str, duration: Duration) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: "appkeys".to_owned(),
            identity: identity.to_owned(),
            duration,
            renew_every: duration / 5,
            request_timeout: (duration / 5).max(Duration::from_secs(1)),
        }
    }
}

/// The right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Counts the holders of the Lease.
    pub epoch: i32,
    /// Nothing is changed before this moment: a call may be under way until then that a process before this one made, be it
    /// under the same name.
    pub changes_from: Instant,
    /// When the claim ends.
    pub ends: Instant,
    /// The last moment at which a write may be under way.
    pub writes_end: Instant,
}

/// The claim ended before the call did, or there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process is not the leader (any more)")]
pub struct Deposed;

/// What others see of leadership. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Sender<Option<Claim>>);

impl Default for Leadership {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Leadership {
    /// With this claim.
    #[cfg(test)]
    pub(crate) fn holding(claim: Claim) -> Self {
        Self(watch::Sender::new(Some(claim)))
    }

    /// The claim, while it is good.
    pub fn claim(&self) -> Option<Claim> {
        self.0.borrow().filter(|claim| Instant::now() < claim.writes_end)
    }

    /// Waits until this process may write.
    pub async fn acquired(&self) -> Claim {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(claim) = self.claim() {
                return claim;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How long it is until this process may change anything, where a process before it may still do so.
    pub fn unsettled(&self) -> Option<Duration> {
        let wait = self.claim()?.changes_from.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Waits until no call of a process before this one can be under way.
    pub async fn settled(&self) {
        if let Some(wait) = self.unsettled() {
            sleep(wait).await;
        }
    }

    /// Waits until the claim has ended.
    pub async fn lost(&self) {
        let mut changes = self.0.subscribe();
        while let Some(claim) = self.claim() {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(claim.writes_end) => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Makes a call as the leader: not begun without a claim, and cut off when that ends. It may outlive the claim that it
    /// began under while that is renewed.
    ///
    /// # Errors
    /// [`Deposed`]; the call may then have had its effect.
    pub async fn bounded<T>(&self, call: impl Future<Output = T>) -> Result<T, Deposed> {
        let mut claim = self.claim().ok_or(Deposed)?;
        let mut call = std::pin::pin!(call);
        loop {
            if let Ok(result) = timeout_at(claim.writes_end, &mut call).await {
                return Ok(result);
            }
            claim = self
                .claim()
                .filter(|renewed| renewed.epoch == claim.epoch)
                .ok_or(Deposed)?;
        }
    }
}

/// What was seen of the Lease, and since when it has been so.
#[derive(Debug, Default)]
struct Seen {
    lease: Option<Lease>,
    since: Option<Instant>,
    /// This process made it.
    made: bool,
}

/// Tries to be the leader until `shutdown`, then gives the Lease up. The caller stops its writers first.
pub async fn run(
    client: Client,
    config: LeaderConfig,
    clock: Clock,
    leadership: Leadership,
    shutdown: CancellationToken,
) {
    let api = Api::<Lease>::namespaced(client, &config.namespace);
    let mut seen = Seen::default();
    loop {
        let sent = Instant::now();
        let round = timeout(config.request_timeout, round(&api, &config, &clock, &mut seen, sent));
        match round.await {
            Ok(Ok(Some(epoch))) => {
                // Nobody can have written before the process that made the Lease, save itself in a claim that has ended.
                let first = seen.made && epoch == 0 && leadership.0.borrow().is_none();
                let before = leadership.claim().filter(|claim| claim.epoch == epoch);
                let changes_from = match before {
                    Some(before) => before.changes_from,
                    None if first => sent,
                    None => sent + config.request_timeout,
                };
                let ends = sent + config.duration;
                let writes_end = ends.checked_sub(config.request_timeout).unwrap_or(sent);
                leadership.0.send_replace(Some(Claim {
                    epoch,
                    changes_from,
                    ends,
                    writes_end,
                }));
            }
            Ok(Ok(None)) => {
                leadership.0.send_replace(None);
            }
            // Lost or refused: the claim is good until it ends; what was seen must be read again.
            Ok(Err(error)) => {
                tracing::warn!(lease = config.name, error = %reason(&error), "lease not renewed");
                seen.lease = None;
            }
            Err(_) => {
                tracing::warn!(lease = config.name, "lease not renewed in time");
                seen.lease = None;
            }
        }
        tokio::select! {
            biased;
            () = sleep(config.renew_every) => {}
            () = shutdown.cancelled() => break,
        }
    }
    let held = leadership.0.send_replace(None).is_some();
    if held && let Some(mut lease) = seen.lease {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        drop(timeout(config.request_timeout, api.replace(&config.name, &params(), &lease)).await);
    }
}

fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        _ => "no answer from the API server".to_owned(),
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// One look at the Lease, and a write where it is ours to make. The epoch where this process holds it now.
async fn round(
    api: &Api<Lease>,
    config: &LeaderConfig,
    clock: &Clock,
    seen: &mut Seen,
    sent: Instant,
) -> kube::Result<Option<i32>> {
    if seen
        .lease
        .as_ref()
        .is_none_or(|lease| holder(lease) != Some(&config.identity))
    {
        let current = api.get_opt(&config.name).await?;
        let version = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if seen.since.is_none() || version(&current) != version(&seen.lease) {
            seen.since = Some(Instant::now());
        }
        seen.lease = current;
    }
    let now = MicroTime(clock.now());
    let Some(lease) = &seen.lease else {
        let spec = spec(config, now.clone(), Some(now), 0);
        let metadata = ObjectMeta {
            name: Some(config.name.clone()),
            ..ObjectMeta::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        let epoch = written(api.create(&params(), &lease).await, config, seen)?;
        seen.made = epoch.is_some();
        return Ok(epoch);
    };
    let before = lease.spec.clone().unwrap_or_default();
    let ours = holder(lease) == Some(&config.identity);
    let free = holder(lease).is_none();
    let duration = before
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok())
        .map_or(config.duration, Duration::from_secs);
    // A holder with a longer lease than ours keeps it as long as it says.
    let expired = seen
        .since
        .is_some_and(|since| sent.duration_since(since) > duration.max(config.duration));
    if !ours && !free && !expired {
        return Ok(None);
    }
    // Somebody else may have written any number; the API server takes no negative one.
    let transitions = before.lease_transitions.unwrap_or_default();
    let transitions = transitions.checked_add(i32::from(!ours)).unwrap_or_default();
    let acquired = if ours { before.acquire_time } else { Some(now.clone()) };
    let next = Lease {
        spec: Some(spec(config, now, acquired, transitions)),
        ..lease.clone()
    };
    written(api.replace(&config.name, &params(), &next).await, config, seen)
}

fn holder(lease: &Lease) -> Option<&String> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_ref()
        .filter(|holder| !holder.is_empty())
}

fn spec(config: &LeaderConfig, now: MicroTime, acquired: Option<MicroTime>, transitions: i32) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(config.identity.clone()),
        lease_duration_seconds: i32::try_from(config.duration.as_secs()).ok(),
        acquire_time: acquired,
        renew_time: Some(now),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

/// Somebody else was first: that is no error, and what was seen must be read again.
fn written(result: kube::Result<Lease>, config: &LeaderConfig, seen: &mut Seen) -> kube::Result<Option<i32>> {
    match result {
        Ok(lease) => {
            let epoch = lease
                .spec
                .as_ref()
                .and_then(|spec| spec.lease_transitions)
                .unwrap_or_default();
            let ours = holder(&lease) == Some(&config.identity);
            seen.lease = Some(lease);
            seen.since = Some(Instant::now());
            Ok(ours.then_some(epoch))
        }
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            seen.lease = None;
            seen.since = None;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
