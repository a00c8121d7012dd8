//! A process that is told to stop brings what it has begun to its end.

use std::time::Duration;

use testbed::memory_api::{Fault, Id};

use super::{
    bench::{Bench, ready},
    profile::Profile,
    runs::run,
    schedule::Mishap,
};

#[test]
fn the_answer_that_a_stopping_process_waits_for_is_kept() {
    // Which of the writes of a new key the registration is.
    let registration = run(async {
        let mut bench = Bench::new(1, Profile::OidcOpen, Profile::OidcOpen);
        new_key(&bench);
        bench.start();
        assert!(
            bench
                .until(Duration::from_mins(1), |bench| ready(&bench.key("k")))
                .await
        );
        let writes = bench.trace();
        let writes = writes
            .lines()
            .filter(|line| line.starts_with("20") && !line.contains("process"));
        writes.take_while(|line| !line.contains(" register ")).count()
    });
    run(async {
        let mut bench = Bench::new(1, Profile::OidcOpen, Profile::OidcOpen);
        new_key(&bench);
        let slow = Mishap::Lose(Fault::Delay(Duration::from_secs(2)));
        bench.start_with(Some((registration, slow)), None);
        assert!(
            bench
                .until(Duration::from_mins(1), |bench| bench.trace().contains(" register "))
                .await
        );
        bench.stop();
        bench.until_dead(Duration::from_secs(20)).await;
        assert!(!bench.is_running(), "it stops\n{}", bench.trace());
        assert_eq!(bench.clients().len(), 1, "{}", bench.trace());
        let secret = Id::secret("team", "k");
        assert!(
            bench.get(&secret).is_some(),
            "its pass comes to its end\n{}",
            bench.trace()
        );
        let good = |bench: &Bench| ready(&bench.key("k"));
        assert!(bench.until(Duration::from_mins(1), good).await, "{}", bench.trace());
        assert_eq!(
            (bench.clients().len(), bench.named_orphans()),
            (1, 0),
            "{}",
            bench.trace()
        );
    });
}

fn new_key(bench: &Bench) {
    bench.put_key("k", &serde_json::json!({}));
}
