//! The double against the vendor's behaviour: each trap once, by number, over HTTPS and held to the OpenAPI files.

mod bodies;
mod files;
mod keys;
mod secrets;
mod server;
mod tokens;
mod traps;

use http::Method;
use serde_json::{Value, json};

use super::{Application, Key, Settings, Wso2};
use crate::key_managers::http::client;

/// The scopes that a client of the Developer Portal asks for.
const SCOPES: &str = "apim:subscribe apim:app_manage";

/// A server, and a client that is logged in.
struct Bed {
    wso2: Wso2,
    http: reqwest::Client,
    /// Id and secret of the client that the operator registered.
    registered: (String, String),
    token: String,
}

impl Bed {
    async fn start(settings: Settings) -> Self {
        let wso2 = Wso2::start(settings).await.unwrap();
        let http = client(Some(wso2.ca())).unwrap();
        let mut bed = Self {
            wso2,
            http,
            registered: (String::new(), String::new()),
            token: String::new(),
        };
        let body = json!({
            "clientName": "operator", "owner": bed.wso2.user(), "grantType": "password client_credentials refresh_token",
            "callbackUrl": "https://localhost/callback", "saasApp": true,
        });
        let (status, answer) = bed.register(bed.wso2.user(), bed.wso2.password(), &body).await;
        assert_eq!(status, 200, "{answer}");
        bed.registered = (text(&answer["clientId"]), text(&answer["clientSecret"]));
        let (status, answer) = bed.log_in(SCOPES).await;
        assert_eq!((status, &answer["scope"]), (200, &json!(SCOPES)));
        bed.token = text(&answer["access_token"]);
        bed
    }

    async fn register(&self, user: &str, password: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/client-registration/v0.17/register", self.wso2.url());
        read(self.http.post(url).basic_auth(user, Some(password)).json(body)).await
    }

    /// The operator's user, by password.
    async fn log_in(&self, scopes: &str) -> (u16, Value) {
        let (user, password) = (self.wso2.user(), self.wso2.password());
        let form = [
            ("grant_type", "password"),
            ("username", user),
            ("password", password),
            ("scope", scopes),
        ];
        self.token(&self.registered.0, &self.registered.1, &form).await
    }

    async fn token(&self, id: &str, secret: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/oauth2/token", self.wso2.url());
        read(self.http.post(url).basic_auth(id, Some(secret)).form(form)).await
    }

    /// The status of a client_credentials request.
    async fn proves(&self, id: &str, secret: &str) -> u16 {
        self.token(id, secret, &[("grant_type", "client_credentials")]).await.0
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.wso2.portal());
        let request = self
            .http
            .request(Method::from_bytes(method.as_bytes()).unwrap(), url)
            .bearer_auth(&self.token);
        if body.is_null() { request } else { request.json(body) }
    }

    /// A call of the Developer Portal: status and body.
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        read(self.request(method, path, &body)).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null).await
    }

    /// A call that has to succeed.
    async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!(matches!(status, 200 | 201 | 204), "{method} {path}: {status} {answer}");
        answer
    }

    async fn application(&self, name: &str) -> String {
        let answer = self
            .good(
                "POST",
                "/applications",
                json!({"name": name, "throttlingPolicy": "Unlimited"}),
            )
            .await;
        text(&answer["applicationId"])
    }

    async fn generate(&self, application: &str, more: Value) -> (u16, Value) {
        let mut body = json!({"keyType": "PRODUCTION", "grantTypesToBeSupported": ["client_credentials"]});
        merge(&mut body, more);
        self.call("POST", &format!("/applications/{application}/generate-keys"), body)
            .await
    }

    /// An application with a production key: its id, and the answer.
    async fn key(&self, name: &str) -> (String, Value) {
        let application = self.application(name).await;
        let (status, key) = self.generate(&application, json!({})).await;
        assert_eq!(status, 200, "{key}");
        (application, key)
    }

    /// The keys of an application as the list has them.
    async fn keys(&self, application: &str) -> Vec<Value> {
        let answer = self
            .good("GET", &format!("/applications/{application}/oauth-keys"), Value::Null)
            .await;
        answer["list"].as_array().unwrap().clone()
    }

    fn stored_key(&self) -> Key {
        self.wso2.state().keys.values().next().unwrap().clone()
    }

    fn stored_application(&self, id: &str) -> Application {
        self.wso2.state().applications[id].clone()
    }

    /// The end of a test: what passed is as the OpenAPI files say, but for what is declared.
    fn clean(&self) {
        self.wso2.audit().assert_clean();
    }
}

/// The path of a key that generate-keys answered with.
fn of_key(application: &str, key: &Value) -> String {
    format!("/applications/{application}/oauth-keys/{}", text(&key["keyMappingId"]))
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn merge(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

/// Status and code of a refusal.
fn code((status, answer): &(u16, Value)) -> (u16, i64) {
    (*status, answer["code"].as_i64().unwrap_or_default())
}
