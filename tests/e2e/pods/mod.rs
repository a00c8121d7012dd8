//! Real Pods: the image is installed with the chart, and workloads of a team call an API through a rotation and an upgrade.
//!
//! In a cluster of the test bed, or in any other: with `KUBECONFIG`, and with `APPKEYS_IMAGE` and `APPKEYS_WORKLOAD_IMAGE`, which it
//! must be able to pull or have.

mod bed; // a cluster with Pods
mod team; // what runs in it

use std::time::Instant;

use jiff::Timestamp;
use testbed::workload::name_of;

use self::{
    bed::Bed,
    team::{ENVIRONMENT, FILES, Team},
};

/// How many calls a workload makes before anything is concluded from them.
const CALLS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_in_pods_work_through_a_rotation_and_an_upgrade_of_the_operator() {
    let Some(bed) = Bed::start().await else { return };
    let start = Instant::now();
    bed.helm("install appkeys charts/appkeys --create-namespace", &[]);
    println!("helm install --wait: {:.1?}", start.elapsed());
    let team = Team::with_quickstart(&bed);
    bed.helm(
        "upgrade appkeys charts/appkeys --reuse-values --values charts/appkeys/examples/scopes.yaml",
        &[],
    );
    team.run_workloads(&bed).await;
    for pod in [FILES, ENVIRONMENT] {
        team.calls(&bed, pod, CALLS).await;
    }

    let rotated = Instant::now();
    let old = [team.secret(&bed, FILES).await, team.secret(&bed, ENVIRONMENT).await];
    for (key, old) in [FILES, ENVIRONMENT].into_iter().zip(&old) {
        bed.kubectl(&["-n", team::NAMESPACE, "annotate", "akey", key, "appkeys.dev/rotate=now"]);
        let new = async || team.secret(&bed, key).await != *old;
        bed.until("the rotation", new).await;
    }
    let new = name_of(&team.secret(&bed, FILES).await);
    let seen = async || team.log(&bed, FILES).secrets.last() == Some(&new);
    bed.until("the new secret in the mounted file", seen).await;
    println!(
        "the new secret is in the file {:.1?} after the annotation",
        rotated.elapsed()
    );

    // Those who have the old one until they start again.
    let until = team.old_works_until(&bed, ENVIRONMENT).await;
    let is_over = async || {
        for pod in [FILES, ENVIRONMENT] {
            let log = team.log(&bed, pod);
            // What was asked in the last moment may be answered after it.
            assert!(
                log.failed == 0 || Timestamp::now() > until,
                "{pod} failed: {:?}",
                log.failures
            );
        }
        Timestamp::now() > until
    };
    bed.until("the end of the overlap", is_over).await;
    let refused = async || !team.log(&bed, ENVIRONMENT).failures.is_empty();
    bed.until("the end of the old secret", refused).await;
    let log = team.log(&bed, ENVIRONMENT);
    println!(
        "with the old values: {} calls until the first one failed: {}",
        log.calls, log.failures[0]
    );
    assert!(log.failures[0].contains("no token: 401"), "{:?}", log.failures);
    assert_eq!(log.secrets, [name_of(&old[1])], "a Pod's environment does not change");

    let before = team.calls(&bed, FILES, 0).await;
    bed.helm(
        "upgrade appkeys charts/appkeys --reuse-values",
        &["--set", "podAnnotations.again=yes"],
    );
    team.calls(&bed, FILES, before + CALLS).await;
    let log = team.log(&bed, FILES);
    assert_eq!(log.failed, 0, "{:?}", log.failures);
    assert_eq!(log.secrets, [name_of(&old[0]), new]);
    assert_eq!(team.restarts(&bed), "000", "containers were restarted");
    println!("with the mounted files: {} calls, none failed", log.calls);
    bed.end(&team);
}
