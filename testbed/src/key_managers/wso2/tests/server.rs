//! The server itself: outage, latency, faults, the record of what passed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bed, code, read};
use crate::key_managers::wso2::{Call, Fault, Reach, Settings, Switch, Version, Wso2};

#[tokio::test]
async fn outage_latency_and_faults_are_to_order() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    bed.wso2.state().settings.reach = Reach::Down;
    assert!(bed.request("GET", "/applications", &Value::Null).send().await.is_err());
    bed.wso2.state().settings.reach = Reach::Unavailable;
    assert_eq!(bed.get("/applications").await, (503, Value::Null));
    bed.wso2.state().settings.reach = Reach::Up;
    bed.wso2.state().fail_next(Call::ListApplications, Fault::Refuse(500));
    bed.wso2.state().fail_next(Call::ListApplications, Fault::LoseRequest);
    assert_eq!(code(&bed.get("/applications").await), (500, 900_967));
    assert!(bed.request("GET", "/applications", &Value::Null).send().await.is_err());
    assert_eq!(bed.get("/applications").await.0, 200);
    bed.wso2.state().fail_next(Call::ListApplications, Fault::Hang);
    let hangs = bed
        .request("GET", "/applications", &Value::Null)
        .timeout(Duration::from_millis(50))
        .send()
        .await;
    assert!(hangs.unwrap_err().is_timeout());
    bed.wso2.state().settings.latency = Duration::from_millis(1);
    assert_eq!(bed.get("/applications").await.0, 200);

    let state = bed.wso2.state();
    assert_eq!(state.count(Call::ListApplications), 7);
    assert_eq!((state.calls()[&Call::Token], state.calls()[&Call::Register]), (1, 1));
    let last = state.records.last().unwrap();
    assert_eq!((last.user.as_deref(), last.status), (Some(bed.wso2.user()), Some(200)));
    drop(state);
    bed.clean();
}

#[tokio::test]
async fn it_is_gone_when_it_is_dropped() {
    let bed = Bed::start(Settings::of(Version::V4_6)).await;
    let Bed { wso2, http, .. } = bed;
    let url = format!("{}/oauth2/jwks", wso2.url());
    assert!(http.get(&url).send().await.is_ok());
    drop(wso2);
    // The accepting task ends as soon as it is polled.
    tokio::task::yield_now().await;
    assert!(http.get(&url).send().await.is_err());
}

#[tokio::test]
async fn basic_works_at_the_portal_until_it_is_switched_off() {
    let wso2 = Wso2::start(Settings::of(Version::V4_6).with(Switch::DefaultApplication))
        .await
        .unwrap();
    let http = crate::key_managers::http::client(Some(wso2.ca())).unwrap();
    let get = || {
        read(
            http.get(format!("{}/applications", wso2.portal()))
                .basic_auth(wso2.user(), Some(wso2.password())),
        )
    };
    let (status, answer) = get().await;
    assert_eq!(
        (status, &answer["list"][0]["name"]),
        (200, &json!("DefaultApplication"))
    );
    wso2.state().settings.turn(Switch::BasicOff, true);
    assert_eq!(get().await.0, 401);
    wso2.audit().assert_clean();
}
