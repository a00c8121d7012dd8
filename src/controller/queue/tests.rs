use super::*;

fn key(name: &str) -> Item {
    Item::Key(Name::new("ns", name))
}

#[tokio::test(start_paused = true)]
async fn changes_go_before_what_only_time_asked_for() {
    let queue = Queue::default();
    queue.add(key("renewal"), Lane::Own, Cause::Time);
    queue.add(key("edited"), Lane::Own, Cause::Change);
    assert_eq!(queue.next().await, key("edited"));
    assert_eq!(queue.next().await, key("renewal"));
}

#[tokio::test(start_paused = true)]
async fn an_item_is_worked_on_by_one_worker_and_once_more_if_asked_meanwhile() {
    let queue = Queue::default();
    queue.add(key("a"), Lane::Own, Cause::Change);
    let item = queue.next().await;
    queue.add(key("a"), Lane::Own, Cause::Change);
    queue.add(key("a"), Lane::Own, Cause::Change);
    assert!(futures::FutureExt::now_or_never(queue.next()).is_none());
    queue.done(&item);
    assert_eq!(queue.next().await, key("a"));
    queue.done(&item);
    assert_eq!(queue.depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn its_age_is_that_of_what_waits_longest_for_its_turn() {
    let queue = Queue::default();
    assert_eq!(queue.age(), SignedDuration::ZERO);
    for name in ["a", "b"] {
        queue.add(key(name), Lane::Own, Cause::Change);
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    }
    assert_eq!(queue.age(), SignedDuration::from_secs(10));
    queue.next().await;
    assert_eq!(queue.age(), SignedDuration::from_secs(5));
    queue.next().await;
    assert_eq!(queue.age(), SignedDuration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn later_comes_later_and_the_last_time_counts() {
    let queue = Queue::default();
    queue.add_after(key("a"), Lane::Own, Cause::Time, SignedDuration::from_secs(10));
    queue.add_after(key("a"), Lane::Own, Cause::Time, SignedDuration::from_secs(60));
    let start = Instant::now();
    assert_eq!(queue.next().await, key("a"));
    assert_eq!(start.elapsed().as_secs(), 60);
}

fn lane(name: &str) -> Lane {
    Lane::Keys(KeyManagerKind::ClusterKeyManager, Name::new("", name))
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_holds_up_no_other() {
    let queue = Queue::default();
    queue.set_limit(lane("slow"), 1);
    for name in ["a", "b"] {
        queue.add(key(name), lane("slow"), Cause::Change);
    }
    let slow = queue.next().await;
    queue.add(key("c"), lane("fast"), Cause::Time);
    assert_eq!(queue.next().await, key("c"));
    assert!(futures::FutureExt::now_or_never(queue.next()).is_none());
    queue.done(&slow);
    assert_eq!(queue.next().await, key("b"));
}

#[tokio::test(start_paused = true)]
async fn namespaces_take_turns() {
    let queue = Queue::default();
    let of = |namespace: &str, name: &str| Item::Key(Name::new(namespace, name));
    for n in 0..100 {
        queue.add(of("many", &n.to_string()), lane("a"), Cause::Time);
    }
    queue.add(of("few", "one"), lane("a"), Cause::Time);
    queue.next().await;
    assert_eq!(queue.next().await, of("few", "one"));
}
