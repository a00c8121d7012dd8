//! What a test can order: limits, failures, outages, a clock that is wrong.

use std::time::Duration;

use super::{
    super::{Bucket, Failure, Outage},
    Bed, machine,
};

#[tokio::test]
async fn o19_each_bucket_has_its_limit() {
    let mut bed = Bed::start().await;
    bed.create(machine("shop")).await;
    bed.okta.set(|modes| modes.clock_ahead = 3000);
    bed.okta.limit(Bucket::ListApps, 600, 1, 30);
    let near = bed.call("GET", "/api/v1/apps", None).await;
    assert_eq!(
        (
            near.status,
            near.header("x-rate-limit-limit"),
            near.header("x-rate-limit-remaining")
        ),
        (200, "600", "0")
    );
    let gone = bed.call("GET", "/api/v1/apps", None).await;
    assert_eq!(gone.error(), (429, "E0000047"));
    assert!(gone.headers.get("retry-after").is_none());
    // By the org's own clock, which is far from ours.
    let reset: i64 = gone.header("x-rate-limit-reset").parse().unwrap();
    let date = jiff::fmt::rfc2822::parse(gone.header("date"))
        .unwrap()
        .timestamp()
        .as_second();
    assert!((25..=30).contains(&(reset - date)), "{reset} {date}");
    let id = bed.okta.apps()[0].id.clone();
    assert_eq!(
        bed.call("GET", &format!("/api/v1/apps/{id}"), None).await.status,
        200,
        "another bucket"
    );
    // The window ends.
    bed.okta.set(|modes| modes.clock_ahead += 31);
    assert_eq!(
        bed.call("GET", "/api/v1/apps", None)
            .await
            .header("x-rate-limit-remaining"),
        "599"
    );

    bed.okta.limit(Bucket::CustomServer, 1, 0, 30);
    let token = bed.token("client-shop", "secret-of-shop-0123456789", &[]).await;
    assert_eq!(token.error(), (429, "E0000047"), "not the shape of OAuth");
    let keys = Bed::send(bed.request("GET", "/oauth2/default/v1/keys")).await;
    assert_eq!((keys.status, keys.header("x-rate-limit-limit")), (200, ""));
    bed.okta.set(|modes| modes.concurrency_full = true);
    let full = bed.call("GET", "/api/v1/apps", None).await;
    assert_eq!(
        (
            full.status,
            full.header("x-rate-limit-limit"),
            full.header("x-rate-limit-remaining")
        ),
        (429, "0", "0")
    );
    bed.clean();
    bed.okta.stop().await;
}

#[tokio::test]
async fn requests_and_answers_get_lost() {
    let bed = Bed::start().await;
    let lost = async || {
        let token = format!("SSWS {}", bed.okta.operator().api_token);
        let request = bed
            .request("POST", "/api/v1/apps")
            .header("authorization", token)
            .json(&machine("shop"));
        request.send().await.is_err()
    };
    bed.okta.fail_next("POST /api/v1/apps", Failure::RequestLost);
    bed.okta.fail_next("POST /api/v1/apps", Failure::AnswerLost);
    bed.okta.fail_next(
        "POST /api/v1/apps",
        Failure::Okta(409, "E0000195", "Api validation failed due to conflict"),
    );
    assert!(lost().await && bed.okta.apps().is_empty());
    assert!(lost().await);
    assert_eq!(bed.okta.apps().len(), 1, "it was carried out");
    let conflict = bed.call("POST", "/api/v1/apps", Some(machine("other"))).await;
    assert_eq!(conflict.error(), (409, "E0000195"));
    let token = "POST /oauth2/{authorizationServerId}/v1/token";
    bed.okta
        .fail_next(token, Failure::OAuth(400, "temporarily_unavailable", "Try again."));
    let busy = bed.token("client-shop", "secret-of-shop-0123456789", &[]).await;
    assert_eq!(busy.error(), (400, "temporarily_unavailable"));
    assert_eq!(
        bed.token("client-shop", "secret-of-shop-0123456789", &[]).await.status,
        200
    );
    let made: Vec<_> = bed
        .okta
        .calls()
        .into_iter()
        .filter(|call| call.operation == "POST /api/v1/apps")
        .collect();
    assert_eq!(
        made.iter().map(|call| call.status).collect::<Vec<_>>(),
        [None, None, Some(409)]
    );
    bed.clean();
}

#[tokio::test]
async fn the_org_can_be_away() {
    let mut bed = Bed::start().await;
    bed.create(machine("shop")).await;
    let ask = async |bed: &Bed| bed.token("client-shop", "secret-of-shop-0123456789", &[]).await;
    bed.okta.set(|modes| modes.outage = Some(Outage::ReadOnly));
    assert_eq!(bed.call("GET", "/api/v1/apps", None).await.error(), (503, "E0000010"));
    bed.okta.set(|modes| modes.outage = Some(Outage::InternalError));
    assert_eq!(bed.call("GET", "/api/v1/apps", None).await.error(), (500, "E0000009"));
    assert_eq!(ask(&bed).await.error(), (500, "server_error"));
    bed.okta.set(|modes| modes.outage = None);
    assert_eq!(ask(&bed).await.status, 200);
    bed.okta.stop().await;
    let refused = bed.request("GET", "/oauth2/default/v1/keys").send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    bed.okta.start_again().await.unwrap();
    assert_eq!(ask(&bed).await.status, 200, "nothing is forgotten");
    bed.clean();
}

#[tokio::test]
async fn answers_can_be_slow_and_the_most_at_once_is_known() {
    let bed = Bed::start().await;
    bed.okta.set(|modes| modes.latency = Duration::from_hours(1));
    let calls = futures::future::join_all((0..3).map(|_| bed.call("GET", "/api/v1/apps", None)));
    tokio::select! {
        got = calls => panic!("answered: {got:?}"),
        () = bed.okta.until_in_flight(3) => {},
    }
    assert_eq!(bed.okta.calls(), [], "none was carried out");
    bed.okta.set(|modes| modes.latency = Duration::ZERO);
    assert_eq!(bed.call("GET", "/api/v1/apps", None).await.status, 200);
    bed.clean();
}

#[tokio::test]
async fn a_wrong_clock_refuses_proofs() {
    let bed = Bed::start().await;
    bed.okta.set(|modes| modes.clock_ahead = -3600);
    let got = bed.org_token(&bed.org_form("okta.apps.read", |_| {})).await;
    assert_eq!(got.error(), (401, "invalid_client"));
    bed.clean();
}

#[tokio::test]
async fn a_strict_lifecycle_can_be_ordered() {
    let bed = Bed::start().await;
    let app = bed.create(machine("shop")).await;
    let path = format!("/api/v1/apps/{}/lifecycle/activate", app["id"].as_str().unwrap());
    assert_eq!(bed.call("POST", &path, None).await.status, 200);
    bed.okta.set(|modes| modes.strict_lifecycle = true);
    assert_eq!(bed.call("POST", &path, None).await.error(), (403, "E0000143"));
    bed.clean();
}
