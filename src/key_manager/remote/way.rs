//! The way to a remote key manager: an HTTP client with bounds, and errors in the words of the domain.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use reqwest::{Certificate, RequestBuilder, Response, Url, redirect};
use tracing::Instrument as _;

use super::{
    address::{self, Resolver},
    failure,
    reply::Reply,
    roots,
};
use crate::{
    clock::Clock,
    key_manager::{Category, Error},
    spans,
};

/// How a key manager is reached.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// What traces call the key manager.
    pub name: String,
    /// PEM of CAs that are trusted beside the public ones.
    pub ca: Option<String>,
    /// It is a namespace's own: its author may be a tenant, who learns nothing of our network and gets nowhere that only we can.
    pub tenant: bool,
    /// For development: plain http and addresses of this machine are allowed.
    pub local_allowed: bool,
    /// Addresses of the API server and the operator, where no tenant's key manager can be.
    pub own_addresses: Vec<IpAddr>,
}

/// How long and how large an answer may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest time until there is a connection, names and TLS included.
    pub connect: Duration,
    /// Longest time until the whole answer is there.
    pub whole: Duration,
    /// Largest body in bytes.
    pub body: usize,
    /// Whether the proxy of the usual variables (`HTTPS_PROXY`, `NO_PROXY`) is used.
    pub proxy: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            // Shorter than the bound of a whole call, so that the text says what hangs.
            whole: Duration::from_secs(20),
            body: 1 << 20,
            proxy: true,
        }
    }
}

/// Calls one key manager. Cheap to clone; clones share connections.
///
/// A tenant's key manager is asked for by https only, and never at an address of this machine, of the link, or of
/// [`Way::own_addresses`]: names are checked by the resolver whose addresses are connected to, literals in the URL itself. Where
/// `HTTPS_PROXY` is set and `NO_PROXY` does not exclude the host, the proxy resolves the name and decides instead; a cluster that
/// has one for the sake of control wants just that. Give such a proxy by an address or a name that is not this machine's: its own
/// name is resolved under the same rule.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    name: Arc<str>,
    bounds: Bounds,
    tenant: bool,
    local_allowed: bool,
    own_addresses: Vec<IpAddr>,
    clock: Clock,
}

impl HttpClient {
    /// A client for this way.
    ///
    /// # Errors
    /// For people: the CA bundle cannot be read.
    pub fn new(way: &Way, clock: Clock) -> Result<Self, String> {
        Self::within(way, clock, Bounds::default())
    }

    /// A client with other bounds.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn within(way: &Way, clock: Clock, bounds: Bounds) -> Result<Self, String> {
        let guarded = way.tenant && !way.local_allowed;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("appkeys/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(bounds.connect)
            .timeout(bounds.whole)
            // A redirect would take credentials to a place that nobody configured.
            .redirect(redirect::Policy::none())
            // Whether a call may be repeated is decided by the plan.
            .retry(reqwest::retry::never())
            .https_only(!way.local_allowed)
            .tls_certs_merge(roots::built_in())
            .dns_resolver(Resolver {
                guard: guarded.then(|| way.own_addresses.clone()),
            });
        if !bounds.proxy {
            builder = builder.no_proxy();
        }
        if let Some(ca) = &way.ca {
            let certificates = Certificate::from_pem_bundle(ca.as_bytes()).unwrap_or_default();
            if certificates.is_empty() {
                return Err("the CA bundle holds no certificate in PEM".to_owned());
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|_| {
            if way.ca.is_some() {
                "the CA bundle holds a certificate that cannot be read".to_owned()
            } else {
                "SSL_CERT_FILE and SSL_CERT_DIR hold no certificate: name others, or give the key manager's CA in caBundleRef".to_owned()
            }
        })?;
        Ok(Self {
            client,
            name: way.name.as_str().into(),
            bounds,
            tenant: way.tenant,
            local_allowed: way.local_allowed,
            own_addresses: way.own_addresses.clone(),
            clock,
        })
    }

    /// The clock that answers are dated by.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A request to build on; it goes out by [`HttpClient::send`].
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// `url`, where a call to it is allowed.
    ///
    /// # Errors
    /// [`Category::InvalidRequest`], not sent: it is no URL, not https, or at an address that is not allowed.
    pub fn allowed(&self, url: &str) -> Result<Url, Error> {
        let url = Url::parse(url).map_err(|_| unsent(Category::InvalidRequest, "a URL cannot be read".to_owned()))?;
        self.check(&url)?;
        Ok(url)
    }

    fn check(&self, url: &Url) -> Result<(), Error> {
        let refuse = |why: &str| {
            Err(unsent(
                Category::InvalidRequest,
                format!("the URL of {} {why}", host(url)),
            ))
        };
        let secure = url.scheme() == "https" || (self.local_allowed && url.scheme() == "http");
        if !secure {
            return refuse("must begin with https://");
        }
        let literal = match url.host() {
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(url::Host::Domain(_)) | None => None,
        };
        let guarded = self.tenant && !self.local_allowed;
        match literal {
            Some(literal) if guarded && !address::allowed(literal, &self.own_addresses) => {
                refuse("has an address that is not allowed")
            }
            _ => Ok(()),
        }
    }

    /// Sends a request; `step` says for people what it is for ("register the client").
    ///
    /// # Errors
    /// - [`Category::Unreachable`]: no answer (not sent where there was no connection), a server error other than 501, or one that never ends.
    /// - [`Category::Throttled`]: 429, with the time that was asked for (one second to one hour).
    /// - [`Category::InvalidRequest`]: a redirect, or a URL that is not allowed.
    pub async fn send(&self, step: &str, request: RequestBuilder) -> Result<Reply, Error> {
        self.ask(step, request).await?.without_outage()
    }

    /// Sends a request and gives what was answered, server errors too: where a server has words of its own for them.
    ///
    /// # Errors
    /// As [`HttpClient::send`], but for answers with a status that is no redirect.
    pub async fn ask(&self, step: &str, request: RequestBuilder) -> Result<Reply, Error> {
        let request = request.build();
        let request =
            request.map_err(|_| unsent(Category::InvalidRequest, format!("{step}: the request cannot be built")))?;
        let url = request.url().clone();
        self.check(&url)
            .map_err(|error| unsent(error.category, format!("{step}: {error}")))?;
        let span = spans::http(&self.name, step, request.method(), &url);
        let answer = self.answer(step, request, &url).instrument(span.clone()).await;
        spans::answered(&span, answer.as_ref().ok().map(|answer| answer.status));
        let Answered {
            status,
            headers,
            received_at,
            body,
        } = answer?;
        let place = format!("{step}: {}", host(&url));
        let reply = Reply::new(place, status, headers, body, received_at);
        if status.is_redirection() {
            return Err(self.redirected(&reply, &url));
        }
        Ok(reply)
    }

    async fn answer(&self, step: &str, request: reqwest::Request, url: &Url) -> Result<Answered, Error> {
        let response = self.client.execute(request).await;
        let mut response = response.map_err(|error| self.no_answer(step, url, &error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let received_at = self.clock.now();
        let body = self.body(&mut response, step, url).await?;
        Ok(Answered {
            status,
            headers,
            received_at,
            body,
        })
    }

    async fn body(&self, response: &mut Response, step: &str, url: &Url) -> Result<Vec<u8>, Error> {
        let mut body = vec![];
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.no_answer(step, url, &error))?
        {
            if body.len() + chunk.len() > self.bounds.body {
                let text = format!(
                    "{step}: {} answered with more than {} bytes: is the URL right?",
                    host(url),
                    self.bounds.body
                );
                return Err(Error::new(Category::Unreachable, text));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn no_answer(&self, step: &str, url: &Url, error: &reqwest::Error) -> Error {
        // What differs between closed ports, silent hosts and other protocols is a map of our network.
        let text = if self.tenant {
            format!("{step}: {}: Unreachable", host(url))
        } else {
            format!("{step}: {}", failure::explain(error, &host(url), self.bounds))
        };
        Error {
            sent: !error.is_connect(),
            ..Error::new(Category::Unreachable, text)
        }
    }

    fn redirected(&self, reply: &Reply, url: &Url) -> Error {
        let target = reply.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        // Without path and query, which may hold a session; nothing of it for a tenant.
        let target = target.and_then(|to| url.join(to).ok()).filter(|_| !self.tenant);
        let hint = target.map_or_else(
            || "a redirect: give the URL that it leads to".to_owned(),
            |to| format!("a redirect to {}: give that URL", to.origin().ascii_serialization()),
        );
        reply.error(Category::InvalidRequest, &hint)
    }
}

/// What came back, and when.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    received_at: Timestamp,
    body: Vec<u8>,
}

/// Host and port of a URL.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("nowhere");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn unsent(category: Category, text: String) -> Error {
    Error {
        sent: false,
        ..Error::new(category, text)
    }
}

#[cfg(test)]
mod tests;
