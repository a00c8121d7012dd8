use std::{convert::Infallible, sync::Arc};

use axum::body::{Body, Bytes};
use futures::{FutureExt as _, StreamExt as _, stream};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::key_manager::remote::testing::{Server, answer, bounds, client, nobody, now};

fn with(way: &Way, bounds: Bounds) -> HttpClient {
    HttpClient::within(way, Clock::new(now), bounds).unwrap()
}

fn tenant(local_allowed: bool) -> Way {
    Way {
        tenant: true,
        local_allowed,
        ..Way::default()
    }
}

fn local() -> Way {
    Way {
        local_allowed: true,
        ..Way::default()
    }
}

async fn get(http: &HttpClient, url: &str) -> Result<Reply, Error> {
    http.send("look", http.request(Method::GET, url)).await
}

#[tokio::test]
async fn what_is_no_answer_to_the_question_is_an_error_and_the_rest_is_the_driver_s() {
    let cases = [
        (429, Some(Category::Throttled), true),
        (503, Some(Category::Unreachable), true),
        (500, Some(Category::Unreachable), false),
        (501, None, false),
        (502, Some(Category::Unreachable), false),
        (200, None, false),
        (204, None, false),
        (400, None, false),
        (401, None, false),
        (404, None, false),
    ];
    for (status, category, waits) in cases {
        let body = if status == 204 {
            ""
        } else {
            r#"{"error": "busy", "error_description": "s3cret"}"#
        };
        let server = Server::always(status, &[("retry-after", "120")], body).await;
        let result = get(&client(), &server.url).await;
        assert_eq!(result.as_ref().err().map(|error| error.category), category, "{status}");
        let seen = server.seen().remove(0);
        assert_eq!(
            seen.header("user-agent"),
            concat!("appkeys/", env!("CARGO_PKG_VERSION"))
        );
        let Err(error) = result else { continue };
        let at = error.retry_at.map(|at| at.duration_since(now()).as_secs());
        assert_eq!(at, waits.then_some(120), "{status}");
        let host = server.url.trim_start_matches("http://");
        let until = if waits {
            ": no call before 2001-02-03T04:07:06Z"
        } else {
            ""
        };
        assert_eq!(error.message, format!("look: {host} answered {status} (busy){until}"));
        assert!(error.sent);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_query_not_shown() {
    let to = &[("location", "https://other.example:444/login?session=s3cret")];
    for (way, said) in [
        (tenant(true), "answered 302: a redirect: give the URL that it leads to"),
        (
            local(),
            "answered 302: a redirect to https://other.example:444: give that URL",
        ),
    ] {
        let server = Server::always(302, to, "").await;
        let error = get(&with(&way, bounds()), &server.url).await.unwrap_err();
        assert_eq!(error.category, Category::InvalidRequest);
        assert!(error.message.ends_with(said), "{error}");
    }
    // One that could be followed.
    let server = Server::always(307, &[("location", "/again")], "").await;
    get(&client(), &server.url).await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_endless_body_and_a_silent_one_end() {
    let endless = Server::new(|_, _| {
        let chunks = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 4096])));
        axum::response::Response::new(Body::from_stream(chunks))
    })
    .await;
    let error = get(&with(&local(), bounds()), &endless.url).await.unwrap_err();
    assert!(error.message.contains("more than 1048576 bytes"), "{error}");
    assert!(error.sent && error.category == Category::Unreachable);
    let just = Server::new(|_, _| answer(200, &[], &" ".repeat(bounds().body))).await;
    assert_eq!(get(&client(), &just.url).await.unwrap().body().len(), bounds().body);
    let over = Server::new(|_, _| answer(200, &[], &" ".repeat(bounds().body + 1))).await;
    assert!(get(&client(), &over.url).await.is_err());

    let silent = Server::new(|_, _| {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"{")) });
        axum::response::Response::new(Body::from_stream(first.chain(stream::pending())))
    })
    .await;
    let short = Bounds {
        whole: Duration::from_millis(200),
        ..bounds()
    };
    let error = get(&with(&local(), short), &silent.url).await.unwrap_err();
    assert!(error.message.contains("no answer from"), "{error}");
    assert!(error.sent, "it may have been done");
}

#[tokio::test]
async fn a_platform_team_reads_what_is_wrong_and_a_tenant_only_that_it_is() {
    let closed = nobody().await;
    let quiet = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = Server::always(200, &[], "").await;
    let (certificate, _) = tls().await;
    let cases = [
        (format!("https://{closed}"), "refuses the connection"),
        (format!("https://{}", quiet.local_addr().unwrap()), "no connection to"),
        (plain.url.replace("http:", "https:"), "does not speak TLS"),
        // A label over 63 characters needs no server to be found wrong.
        (format!("http://{}.invalid", "a".repeat(64)), "cannot resolve aaaa"),
        (certificate, "is not trusted: give its CA in caBundleRef"),
    ];
    for (url, said) in cases {
        let short = Bounds {
            connect: Duration::from_millis(if said == "no connection to" { 200 } else { 5000 }),
            ..bounds()
        };
        let platform = with(&local(), short);
        let error = get(&platform, &url).await.unwrap_err();
        assert!(error.message.contains(said), "{error}");
        assert!(!error.sent && error.category == Category::Unreachable, "{error}");
        let error = get(&with(&tenant(true), short), &url).await.unwrap_err();
        let host = url.split("//").last().unwrap();
        assert_eq!(error.message, format!("look: {host}: Unreachable"));
        assert!(!error.sent && error.category == Category::Unreachable, "{error}");
    }
}

/// A server with a certificate of its own for `localhost`: its URL and its PEM.
async fn tls() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await else {
                continue;
            };
            let service =
                hyper::service::service_fn(async |_| Ok::<_, Infallible>(axum::response::Response::new(Body::empty())));
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    (url, cert.pem())
}

#[tokio::test]
async fn a_given_ca_is_trusted_and_one_that_cannot_be_read_is_said() {
    let (url, pem) = tls().await;
    let way = |ca: &str| Way {
        ca: Some(ca.to_owned()),
        ..Way::default()
    };
    let http = with(&way(&format!("# our CA\n{pem}")), bounds());
    assert_eq!(get(&http, &url).await.unwrap().status, http::StatusCode::OK);
    let error = get(&http, &url.replace("localhost", "127.0.0.1")).await.unwrap_err();
    assert!(error.message.ends_with("is for another name"), "{error}");
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bad in ["", "no PEM", garbled, &pem.replace("CERTIFICATE", "PUBLIC KEY")] {
        let error = HttpClient::new(&way(bad), Clock::new(now)).unwrap_err();
        assert!(error.starts_with("the CA bundle holds"), "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_tenant_gets_nowhere_that_only_the_operator_can_however_the_address_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let http = with(
        &Way {
            own_addresses: vec!["10.96.0.1".parse().unwrap()],
            ..tenant(false)
        },
        bounds(),
    );
    for host in "127.0.0.1 0x7f.1 2130706433 0 [::1] [::ffff:127.0.0.1] 169.254.169.254 [fe80::1] 10.96.0.1".split(' ')
    {
        let error = get(&http, &format!("https://{host}:{port}/")).await.unwrap_err();
        assert!(error.message.ends_with("has an address that is not allowed"), "{error}");
        assert!(!error.sent && error.category == Category::InvalidRequest);
    }
    for name in ["localhost", "localhost.", "LOCALHOST"] {
        let error = get(&http, &format!("https://{name}:{port}/")).await.unwrap_err();
        assert!(error.message.ends_with(": Unreachable") && !error.sent, "{error}");
    }
    assert!(listener.accept().now_or_never().is_none(), "nobody was connected to");
    let error = get(&with(&Way::default(), bounds()), "http://idp.example")
        .await
        .unwrap_err();
    assert!(
        error.message.contains("must begin with https://") && !error.sent,
        "{error}"
    );
    for url in ["file:///etc/passwd", "/relative", "https://"] {
        assert!(!get(&client(), url).await.unwrap_err().sent, "{url}");
    }
}
