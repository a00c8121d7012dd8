//! A small client of the admin REST API, for tests: it sees and changes what the product's own client does, without it.

use anyhow::{Context as _, bail, ensure};
use reqwest::{Method, StatusCode, header::LOCATION};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::realms::{Rotation, policies, profiles};
use crate::key_managers::http;

pub(super) const ID: &str = "testbed-admin";
pub(super) const SECRET: &str = "the-admin-s-secret-for-tests-only";

const PAGE: usize = 100;

/// All rights in all realms.
#[derive(Clone, Debug)]
pub struct Admin {
    client: reqwest::Client,
    url: String,
}

impl Admin {
    pub(super) fn new(url: String, ca: &str) -> anyhow::Result<Self> {
        Ok(Self {
            client: http::client(Some(ca))?,
            url,
        })
    }

    /// A new access token. It lives 60 s.
    ///
    /// # Errors
    /// Keycloak does not answer, or refuses.
    pub async fn token(&self) -> anyhow::Result<String> {
        let (status, answer) = self.grant("master", ID, SECRET, None).await?;
        let token = answer["access_token"].as_str().map(str::to_owned);
        token.with_context(|| format!("Keycloak gives the test bed no token: {status} {answer}"))
    }

    /// What the token endpoint of a realm answers to a client: the client-credentials grant.
    ///
    /// # Errors
    /// Keycloak does not answer.
    pub async fn grant(
        &self,
        realm: &str,
        client_id: &str,
        secret: &str,
        scope: Option<&str>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let url = format!("{}/realms/{realm}/protocol/openid-connect/token", self.url);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        let answer = self
            .client
            .post(&url)
            .form(&form)
            .send()
            .await
            .context("ask for a token")?;
        let status = answer.status();
        let body = answer.bytes().await.context("read the token endpoint's answer")?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Any request to `/admin/realms` and what follows, such as `/bed/clients`. Its status, body (null where it is not
    /// JSON), and the last part of its `Location`.
    ///
    /// # Errors
    /// Keycloak does not answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value, Option<String>)> {
        let url = format!("{}/admin/realms{path}", self.url);
        let mut request = self
            .client
            .request(method.clone(), &url)
            .bearer_auth(self.token().await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        let made = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let made = made.and_then(|address| address.rsplit('/').next()).map(str::to_owned);
        let body = answer.bytes().await.with_context(|| format!("{method} {path}"))?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default(), made))
    }

    pub(super) async fn done(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(Value, Option<String>)> {
        let (status, answer, made) = self.call(method.clone(), path, body).await?;
        ensure!(status.is_success(), "{method} {path}: {status} {answer}");
        Ok((answer, made))
    }

    /// All clients of a realm, also those that Keycloak makes by itself.
    ///
    /// # Errors
    /// Keycloak does not answer, or refuses.
    pub async fn clients(&self, realm: &str) -> anyhow::Result<Vec<Value>> {
        let mut clients = vec![];
        loop {
            let path = format!("/{realm}/clients?first={}&max={PAGE}", clients.len());
            let (page, _) = self.done(Method::GET, &path, None).await?;
            let Value::Array(page) = page else {
                bail!("GET {path}: {page}");
            };
            let last = page.len() < PAGE;
            clients.extend(page);
            if last {
                return Ok(clients);
            }
        }
    }

    /// The client with a client id.
    ///
    /// # Errors
    /// Keycloak does not answer, or refuses.
    pub async fn client(&self, realm: &str, client_id: &str) -> anyhow::Result<Option<Value>> {
        let name: String = byte_serialize(client_id.as_bytes()).collect();
        let path = format!("/{realm}/clients?clientId={name}");
        let (found, _) = self.done(Method::GET, &path, None).await?;
        Ok(found.get(0).cloned())
    }

    /// The path of an existing client.
    async fn path(&self, realm: &str, client_id: &str) -> anyhow::Result<String> {
        let client = self.client(realm, client_id).await?;
        let client = client.with_context(|| format!("there is no client {client_id} in the realm {realm}"))?;
        let id = client["id"].as_str().context("a client without an id")?;
        Ok(format!("/{realm}/clients/{id}"))
    }

    /// Makes a client, and gives its `id`.
    ///
    /// # Errors
    /// Keycloak does not answer, or refuses.
    pub async fn create(&self, realm: &str, client: &Value) -> anyhow::Result<String> {
        let path = format!("/{realm}/clients");
        let (_, made) = self.done(Method::POST, &path, Some(client)).await?;
        made.context("Keycloak made a client and does not say where")
    }

    /// Changes the members of a client that are named. Under a policy of rotation always name `attributes`, be they empty.
    ///
    /// # Errors
    /// There is no such client, or Keycloak refuses.
    pub async fn update(&self, realm: &str, client_id: &str, changes: &Value) -> anyhow::Result<()> {
        let path = self.path(realm, client_id).await?;
        self.done(Method::PUT, &path, Some(changes)).await?;
        Ok(())
    }

    /// Deletes a client.
    ///
    /// # Errors
    /// There is no such client, or Keycloak refuses.
    pub async fn delete(&self, realm: &str, client_id: &str) -> anyhow::Result<()> {
        let path = self.path(realm, client_id).await?;
        self.done(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// A client's secret.
    ///
    /// # Errors
    /// There is no such client, or Keycloak refuses.
    pub async fn secret(&self, realm: &str, client_id: &str) -> anyhow::Result<String> {
        let path = self.path(realm, client_id).await? + "/client-secret";
        let (answer, _) = self.done(Method::GET, &path, None).await?;
        let secret = answer["value"].as_str().map(str::to_owned);
        secret.with_context(|| format!("GET {path}: {answer}"))
    }

    /// Gives a realm a policy of secret rotation that matches every client but the operator's, or takes it away.
    ///
    /// # Errors
    /// Keycloak does not answer, or refuses.
    pub async fn set_rotation(&self, realm: &str, rotation: Option<Rotation>) -> anyhow::Result<()> {
        let base = format!("/{realm}/client-policies");
        // A policy cannot be there without its profile.
        let parts = [
            ("policies", policies(None)),
            ("profiles", profiles(rotation)),
            ("policies", policies(rotation)),
        ];
        for (part, body) in parts {
            self.done(Method::PUT, &format!("{base}/{part}"), Some(&body)).await?;
        }
        Ok(())
    }
}
