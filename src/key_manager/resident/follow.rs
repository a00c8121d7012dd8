//! What a replica serves from, whether it leads or not: it follows the resident key managers, their signing keys and the
//! certificate, and changes nothing.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    ResidentKeyManagers,
    certificate::{self, OwnCertificate},
    open::{self, CERTIFICATE, CERTIFICATE_COMPONENT, SIGNING_KEYS},
};
use crate::{
    api::{ClusterKeyManager, ResidentSpec},
    controller::{follow::backoff, secrets::COMPONENT_LABEL},
    scope::RESIDENT,
};

/// How often a certificate is read that somebody else renews.
const GIVEN_CERTIFICATE: Duration = Duration::from_mins(1);

/// What was seen last.
#[derive(Default)]
struct Followed {
    managers: BTreeMap<String, ResidentSpec>,
    secrets: BTreeMap<String, Secret>,
}

impl ResidentKeyManagers {
    /// Follows for ever.
    pub async fn follow(&self) {
        let mut seen = Followed::default();
        let managers = match self.scope.limited() {
            None => {
                let all = Api::<DeserializeGuard<ClusterKeyManager>>::all(self.client.clone());
                events(all, watcher::Config::default()).left_stream()
            }
            Some(limited) => {
                let given = limited.resident.as_ref().and_then(|spec| spec.resident.clone());
                seen.managers.extend(given.map(|spec| (RESIDENT.to_owned(), spec)));
                stream::pending().right_stream()
            }
        };
        let selector = format!("{COMPONENT_LABEL} in ({SIGNING_KEYS}, {CERTIFICATE_COMPONENT})");
        let mut managers = pin!(managers);
        let mut secrets = pin!(events(self.secrets(), watcher::Config::default().labels(&selector)));
        let mut ticks = interval(GIVEN_CERTIFICATE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = managers.next() => {
                    // One that cannot be read is named by the leader, and is served no more.
                    let resident = |manager: DeserializeGuard<ClusterKeyManager>| {
                        let manager = manager.0.ok()?;
                        Some((manager.name_any(), manager.spec.resident?))
                    };
                    remember(&mut seen.managers, event, resident);
                    self.serve_from(&seen);
                }
                Some(event) = secrets.next() => {
                    remember(&mut seen.secrets, event, |secret| Some((secret.name_any(), secret)));
                    self.serve_from(&seen);
                }
                _ = ticks.tick() => {}
                else => return,
            }
            self.read_given_certificates(&seen).await;
        }
    }

    fn serve_from(&self, seen: &Followed) {
        for (name, spec) in &seen.managers {
            let keys = seen.secrets.get(&open::signing_keys(name)).and_then(open::read);
            // Without keys the leader has not opened it yet.
            if let Some(issuer) = keys.and_then(|keys| self.issuer(name, spec, None, keys).ok()) {
                self.issuers.put(issuer);
            }
        }
        self.issuers.keep(&seen.managers.keys().cloned().collect::<Vec<_>>());
        let own = seen.secrets.get(CERTIFICATE).and_then(open::read::<OwnCertificate>);
        let now = self.clock.now();
        if let Some(own) = own
            && seen.managers.values().all(|spec| spec.certificate_secret_ref.is_none())
            && let Ok((certified, _)) = certificate::certified_key(&own.certificate, &own.key, now)
        {
            self.certificate.set(certified);
        }
    }

    async fn read_given_certificates(&self, seen: &Followed) {
        for given in seen
            .managers
            .values()
            .filter_map(|spec| spec.certificate_secret_ref.as_ref())
        {
            if let Err(say) = self.given_certificate(&given.name, self.clock.now()).await {
                tracing::warn!(
                    message = say.message,
                    "the server goes on with the certificate that it has"
                );
            }
        }
    }
}

fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Event<K>>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config)
        .backoff(backoff())
        .into_stream()
        .filter_map(async |event| event.ok())
}

fn remember<K, V>(all: &mut BTreeMap<String, V>, event: Event<K>, entry: impl Fn(K) -> Option<(String, V)>)
where
    K: kube::Resource,
{
    match event {
        Event::Init => all.clear(),
        Event::InitDone => {}
        Event::Apply(object) | Event::InitApply(object) => {
            let name = object.meta().name.clone().unwrap_or_default();
            all.remove(&name);
            all.extend(entry(object));
        }
        Event::Delete(object) => drop(object.meta().name.as_ref().and_then(|name| all.remove(name))),
    }
}
