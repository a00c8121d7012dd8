//! The servers, and how each is opened.

use std::sync::Arc;

use appkeys::{
    api::{ClientAuthentication, ClusterKeyManagerSpec, Environment, GrantType, VendorBlocks, conditions::Say},
    clock::Clock,
    controller::queue::Name,
    entropy::Entropy,
    key_manager::{
        Client, Drivers as _, Mark, Opened, Place, Properties, Wanted,
        open::{KeyManagers, RemoteKeyManagers},
        resident::{
            ResidentKeyManagers, http::Issuers, revocations::Revocations, server::CurrentCertificate,
            store::RecordStore,
        },
    },
    scope::Scope,
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Value, json};
use testbed::{
    key_managers::{
        canaille::{self, Canaille},
        keycloak::{Keycloak, OPERATOR, OPERATOR_SECRET, Options, ROTATING},
        oidc_provider::OidcProvider,
        okta::Okta,
        wso2::Wso2,
    },
    memory_api::{Id, MemoryApi, NoFaults},
};
use tokio::sync::Mutex;

use crate::support::{Cluster, provider};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about a server, and all combine"
)]
/// A key manager's spec and the Secrets that it names: (name, entries).
pub(crate) struct Bed {
    pub(crate) name: &'static str,
    pub(crate) spec: Value,
    pub(crate) secrets: Vec<(String, Value)>,
    /// Its clients have one secret although the server could keep two.
    pub(crate) one_secret: bool,
    /// Scopes that the server knows.
    pub(crate) scopes: [&'static str; 2],
    /// A scope that a client may not have is dropped from its tokens without a word, and not refused.
    pub(crate) drops_scopes: bool,
    /// Access tokens are JWTs for the resource that is asked for.
    pub(crate) jwt: bool,
    /// Clients can be changed and deleted.
    pub(crate) management: bool,
    /// Its client_credentials grant takes `client_secret_basic` only, and it reads no key of a registration, whatever its
    /// metadata say.
    pub(crate) only_basic: bool,
}

/// Two applies of one new object at once fail, and some Secrets have one name for several beds.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The scopes of the servers that let us choose.
const ORDERS: [&str; 2] = ["orders:read", "orders:write"];

impl Bed {
    /// The resident key manager; all of it is in the API server.
    pub(crate) fn resident() -> Self {
        Self {
            name: "resident",
            spec: json!({"resident": {}}),
            secrets: vec![],
            one_secret: false,
            scopes: ORDERS,
            drops_scopes: false,
            jwt: true,
            management: true,
            only_basic: false,
        }
    }

    /// A realm of a Keycloak, over TLS with a CA of its own.
    pub(crate) fn keycloak(keycloak: &Keycloak, realm: &'static str) -> Self {
        let keycloak_spec = json!({
            "url": keycloak.https_url(), "realm": realm, "credentialsSecretRef": {"name": "keycloak-operator"},
        });
        let credential = json!({"client-id": OPERATOR, "client-secret": OPERATOR_SECRET});
        Self {
            name: realm,
            spec: json!({"keycloak": keycloak_spec, "caBundleRef": {"name": "keycloak-ca"}}),
            secrets: vec![
                ("keycloak-operator".into(), credential),
                ("keycloak-ca".into(), json!({"ca.crt": keycloak.ca()})),
            ],
            one_secret: realm != ROTATING,
            ..Self::resident()
        }
    }

    /// A double of Okta. The operator has a service app of its own.
    pub(crate) fn okta(okta: &Okta) -> Self {
        let operator = okta.operator();
        let credential = json!({
            "client-id": operator.client_id, "private-key.pem": operator.private_key, "key-id": operator.key_id,
        });
        Self {
            name: "okta",
            spec: json!({
                "okta": {"url": okta.url(), "credentialsSecretRef": {"name": "okta-operator"}},
                "caBundleRef": {"name": "okta-ca"},
            }),
            secrets: vec![
                ("okta-operator".into(), credential),
                ("okta-ca".into(), json!({"ca.crt": okta.ca()})),
            ],
            ..Self::resident()
        }
    }

    /// An oidc-provider, over TLS with a CA of its own. `token` is the initial access token, where one is needed.
    pub(crate) fn oidc_provider(server: &OidcProvider, token: Option<&str>) -> Self {
        let mut oidc = json!({"issuer": server.issuer()});
        let mut secrets = vec![("oidc-ca".into(), json!({"ca.crt": server.ca()}))];
        if let Some(token) = token {
            oidc["initialAccessTokenSecretRef"] = json!({"name": "oidc-token"});
            // With the line end that an editor leaves.
            secrets.push(("oidc-token".into(), json!({"token": format!("{token}\n")})));
        }
        Self {
            name: "oidc-provider",
            spec: json!({"oidc": oidc, "caBundleRef": {"name": "oidc-ca"}}),
            secrets,
            ..Self::resident()
        }
    }

    /// A Canaille: it knows its own scopes only, and its tokens say nothing.
    pub(crate) fn canaille(server: &Canaille) -> Self {
        Self {
            name: "canaille",
            spec: json!({"oidc": {"issuer": server.issuer()}}),
            scopes: canaille::SCOPES,
            drops_scopes: true,
            jwt: false,
            only_basic: true,
            ..Self::resident()
        }
    }

    /// A double of WSO2, whose scopes belong to no client: whoever asks for one gets it, or a token without it.
    pub(crate) fn wso2(server: &Wso2, name: &'static str) -> Self {
        let path = server.portal().replace(server.url(), "");
        let wso2 = json!({
            "url": server.url(), "devPortalPath": path, "login": "Registration",
            "credentialsSecretRef": {"name": format!("{name}-operator")},
        });
        Self {
            name,
            spec: json!({"wso2": wso2, "caBundleRef": {"name": format!("{name}-ca")}}),
            secrets: vec![
                (
                    format!("{name}-operator"),
                    json!({"username": server.user(), "password": server.password()}),
                ),
                (format!("{name}-ca"), json!({"ca.crt": server.ca()})),
            ],
            drops_scopes: true,
            jwt: false,
            ..Self::resident()
        }
    }

    /// Puts the Secrets and the key manager, with `access` to all it has, into a cluster.
    pub(crate) fn install(&self, cluster: &Cluster) {
        let mut spec = self.spec.clone();
        spec["access"] = json!([{
            "namespaceSelector": {}, "scopes": self.scopes,
            "resources": ["https://orders.example.com"], "grantTypes": ["ClientCredentials", "AuthorizationCode"],
            "redirectUriPatterns": ["https://shop.example.com/*"], "clientIdPrefix": "chosen-",
        }]);
        if spec["limits"].is_null() {
            spec["limits"] = json!({"requestsPerSecond": 1000});
        }
        self.put(
            cluster,
            "appkeys",
            json!({"kind": "ClusterKeyManager", "metadata": {"name": self.name}, "spec": spec}),
        );
    }

    /// Puts it into a namespace, as that namespace's own.
    pub(crate) fn install_in(&self, cluster: &Cluster, namespace: &str) {
        let metadata = json!({"name": self.name, "namespace": namespace});
        let manager = json!({"kind": "KeyManager", "metadata": metadata, "spec": self.spec});
        self.put(cluster, namespace, manager);
    }

    fn put(&self, cluster: &Cluster, namespace: &str, mut manager: Value) {
        manager["apiVersion"] = json!("appkeys.dev/v1alpha1");
        let secret = |(name, entries): &(String, Value)| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
                "stringData": entries,
            })
        };
        let mut items: Vec<_> = self.secrets.iter().map(secret).collect();
        items.push(manager);
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}));
    }

    /// Opens the driver as the operator does, with these Secrets at an API server in memory.
    pub(crate) async fn open(&self) -> Result<Opened, Say> {
        let (api, all) = key_managers(true);
        for (name, entries) in &self.secrets {
            put_secret(&api, "appkeys", name, entries);
        }
        let store = all.resident.store.clone();
        tokio::spawn(async move { store.run().await });
        let spec: ClusterKeyManagerSpec = serde_json::from_value(self.spec.clone()).unwrap();
        let name = Name::new("", self.name);
        all.open(Wanted::cluster(&name, &spec)).await
    }
}

/// The Keycloak that tests share which leave each other alone; it ends with the last of them.
pub(crate) async fn keycloak() -> Arc<Keycloak> {
    static SHARED: Mutex<std::sync::Weak<Keycloak>> = Mutex::const_new(std::sync::Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(keycloak) = shared.upgrade() {
        return keycloak;
    }
    provider();
    let keycloak = Arc::new(Keycloak::start(Options::default()).await.unwrap());
    *shared = Arc::downgrade(&keycloak);
    keycloak
}

/// The cluster that these tests share; its operator may use key managers on this machine.
pub(crate) async fn cluster() -> Arc<Cluster> {
    static SHARED: Mutex<std::sync::Weak<Cluster>> = Mutex::const_new(std::sync::Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Cluster::start_with(&["--allow-local-key-managers"]).await);
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// What opens key managers, with Secrets at an API server in memory.
pub(crate) fn key_managers(local_allowed: bool) -> (MemoryApi, KeyManagers) {
    provider();
    let api = MemoryApi::new(Arc::new(|| Clock::system().now().to_string()));
    let client = kube::Client::new(api.service(Arc::new(NoFaults)), "default");
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let resident = ResidentKeyManagers {
        revocations: Arc::new(Revocations::new(
            client.clone(),
            client.clone(),
            "appkeys",
            clock.clone(),
            entropy.clone(),
        )),
        store: Arc::new(RecordStore::new(client.clone(), "appkeys")),
        issuers: Issuers::default(),
        certificate: CurrentCertificate::default(),
        service_url: "https://appkeys.appkeys.svc:8443".parse().unwrap(),
        names: vec![],
        clock: clock.clone(),
        entropy: entropy.clone(),
        client: client.clone(),
        namespace: "appkeys".into(),
        scope: Scope::Cluster,
    };
    let remote = RemoteKeyManagers {
        client,
        namespace: "appkeys".into(),
        clock,
        entropy,
        local_allowed,
        held: std::sync::Mutex::default(),
        rejected: std::sync::Mutex::default(),
        own_addresses: vec![],
    };
    let all = KeyManagers {
        resident: Arc::new(resident),
        remote,
    };
    (api, all)
}

/// A Secret at the API server in memory.
pub(crate) fn put_secret(api: &MemoryApi, namespace: &str, name: &str, entries: &Value) {
    let mut secret: Secret = serde_json::from_value(json!({"stringData": entries})).unwrap();
    let data = secret.string_data.take().into_iter().flatten();
    secret.data = Some(data.map(|(name, text)| (name, ByteString(text.into_bytes()))).collect());
    let id = Id::secret(namespace, name);
    api.edit(|store| store.put(&id, serde_json::to_value(&secret).unwrap()));
}

/// A client for a machine, with an id that no other has, and what it is given.
pub(crate) fn machine(cluster: &str, name: &str) -> (Client, Properties) {
    let mark = Mark {
        cluster_id: cluster.into(),
        namespace: "team".into(),
        name: name.into(),
    };
    let client = Client {
        // As every server takes it.
        id: format!("{name}_{}", Entropy::system().attempt_id().unwrap()),
        mark: mark.clone(),
        place: Place {
            application: "shop".into(),
            environment: Environment::Sandbox,
        },
        management: None,
    };
    let properties = Properties {
        mark,
        application: "shop".into(),
        display_name: "Web shop".into(),
        environment: Environment::Sandbox,
        authentication: ClientAuthentication::ClientSecretBasic,
        grant_types: vec![GrantType::ClientCredentials],
        scopes: vec![],
        resources: vec![],
        access_token_lifetime: None,
        refresh_token_lifetime: None,
        id_token_lifetime: None,
        application_properties: None,
        vendor: VendorBlocks::default(),
        redirect_uris: vec![],
        pkce: None,
        frozen: false,
    };
    (client, properties)
}
