//! The Developer Portal API: one call after another, as the operator's user.

use std::fmt::Debug;

use http::{Method, header};
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::refusal;
use crate::key_manager::{
    Category, Error,
    remote::{HttpClient, Reply, Session},
};

/// The most pages of a list: one that has more is broken.
const PAGES: usize = 400;
/// Entries of a page.
const PAGE: usize = 100;

/// The Developer Portal API of one WSO2.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) http: HttpClient,
    pub(super) session: Session,
    /// Server and path.
    pub(super) base: String,
    /// `Bearer` or `Basic`.
    pub(super) scheme: &'static str,
    /// The tenant whose key managers are meant.
    pub(super) tenant: Option<String>,
}

/// A call: what for, and what of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// For people.
    pub(super) step: &'static str,
    pub(super) method: &'static Method,
    /// Below the base.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, String)],
    pub(super) body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    pub(super) const fn get(step: &'static str, path: &'a str) -> Self {
        Self {
            step,
            method: &Method::GET,
            path,
            query: &[],
            body: None,
        }
    }

    pub(super) const fn post(step: &'static str, path: &'a str, body: Option<&'a Value>) -> Self {
        Self {
            method: &Method::POST,
            body,
            ..Self::get(step, path)
        }
    }

    pub(super) const fn put(step: &'static str, path: &'a str, body: &'a Value) -> Self {
        Self {
            method: &Method::PUT,
            body: Some(body),
            ..Self::get(step, path)
        }
    }

    pub(super) const fn delete(step: &'static str, path: &'a str) -> Self {
        Self {
            method: &Method::DELETE,
            ..Self::get(step, path)
        }
    }
}

impl Portal {
    /// What WSO2 answers; its own refusals, server errors too, are answers.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Reply, Error> {
        let url = format!("{}{}", self.base, call.path);
        let reply = self
            .session
            .ask_authorized(call.step, |token| {
                let mut request = self.http.request(call.method.clone(), &url);
                let mut authorization =
                    header::HeaderValue::from_str(&format!("{} {}", self.scheme, token.expose_secret()))
                        .unwrap_or(header::HeaderValue::from_static(""));
                authorization.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, authorization);
                if let Some(tenant) = &self.tenant {
                    request = request.header("X-WSO2-Tenant", tenant);
                }
                if !call.query.is_empty() {
                    request = request.query(call.query);
                }
                match call.body {
                    Some(body) => request.json(body),
                    None => request,
                }
            })
            .await?;
        // A page of what is in front of WSO2 is no word of its own.
        if refusal::code(&reply).is_some() {
            Ok(reply)
        } else {
            reply.without_outage()
        }
    }

    /// What WSO2 gives.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        let reply = self.ask(call).await?;
        if !reply.status.is_success() {
            return Err(refusal::explain(call.step, &reply));
        }
        reply.json()
    }

    /// What WSO2 gives of something that may not be there.
    pub(super) async fn fetch_if_there<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, Error> {
        let reply = self.ask(call).await?;
        match reply.status.as_u16() {
            404 => Ok(None),
            _ if reply.status.is_success() => reply.json().map(Some),
            _ => Err(refusal::explain(call.step, &reply)),
        }
    }

    /// All pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        step: &'static str,
        path: &str,
        query: &str,
    ) -> Result<Vec<T>, Error> {
        #[derive(serde::Deserialize)]
        struct Page<T> {
            #[serde(default = "Vec::new")]
            list: Vec<T>,
        }
        let mut all = vec![];
        for page in 0..PAGES {
            let query = [
                ("query", query.to_owned()),
                ("limit", PAGE.to_string()),
                ("offset", (page * PAGE).to_string()),
            ];
            let call = Call {
                query: &query,
                ..Call::get(step, path)
            };
            let Page { list } = self.fetch::<Page<T>>(call).await?;
            let last = list.len() < PAGE;
            all.extend(list);
            if last {
                return Ok(all);
            }
        }
        let text = format!("{step}: WSO2's list has no end");
        Err(Error::new(Category::NotYet, text))
    }
}
