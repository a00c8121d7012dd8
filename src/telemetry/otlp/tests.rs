use super::*;

fn answer(status: u16) -> Result<Response<Bytes>, HttpError> {
    let answer = Response::builder().status(status).body(Bytes::new());
    answer.map_err(Into::into)
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_when_it_begins_and_then_now_and_then() {
    let told = Told::default();
    let at = || *told.0.lock().unwrap();
    told.of(&answer(200));
    assert_eq!(at(), None);
    told.of(&Err("no connection".into()));
    let first = at().unwrap();
    tokio::time::advance(QUIET / 2).await;
    told.of(&answer(503));
    assert_eq!(at(), Some(first));
    tokio::time::advance(QUIET).await;
    told.of(&answer(503));
    assert!(at() > Some(first));
    told.of(&answer(200));
    assert_eq!(at(), None);
}

#[test]
fn the_collector_sees_who_it_is() {
    let resource = resource();
    let name = resource.get(&opentelemetry::Key::from_static_str("service.name"));
    assert_eq!(name.unwrap().as_str(), "appkeys");
}
