use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{ClientAuthentication, CredentialKind, Environment},
    key_manager::{
        KeyAlgorithm as Kind, Mark, Room,
        private_key::{self, PrivateKey},
        resident::record::{COMPONENT, Credential},
    },
};

const ISSUER: &str = "https://idp.example";
const TOKEN: &str = "https://idp.example/token";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

struct Client {
    keys: Vec<PrivateKey>,
    record: ClientRecord,
}

impl Client {
    /// With these keys.
    fn new(kinds: &[Kind]) -> Self {
        let pems: Vec<_> = kinds.iter().map(|kind| private_key::generate(*kind).unwrap()).collect();
        let credential = |pem| Credential::of(CredentialKind::PrivateKey, pem).unwrap();
        let record = ClientRecord {
            client_id: "me".into(),
            key_manager: COMPONENT.into(),
            mark: Mark {
                cluster_id: "c".into(),
                namespace: "n".into(),
                name: "k".into(),
            },
            application: "shop".into(),
            environment: Environment::Sandbox,
            authentication: ClientAuthentication::PrivateKeyJwt,
            scopes: vec![],
            resources: vec![],
            access_token_lifetime: None,
            frozen: false,
            secrets: pems.iter().map(credential).collect(),
        };
        let keys = pems.iter().map(|pem| PrivateKey::from_pem(pem).unwrap()).collect();
        Self { keys, record }
    }

    fn sign(&self, key: usize, claims: &Value) -> String {
        let mut header = Header::new(self.keys[key].algorithm());
        header.kid = Some(self.keys[key].id().to_owned());
        jsonwebtoken::encode(&header, claims, self.keys[key].signing()).unwrap()
    }

    fn takes(&self, token: String) -> bool {
        let assertion = Assertion::read(token.into());
        assertion.is_some_and(|assertion| assertion.verify(&self.record, &[ISSUER, TOKEN], at(0)).is_some())
    }
}

/// Good claims, with these instead; one that is null is left out.
fn claims(instead: Value) -> Value {
    let now = at(0).as_second();
    let mut claims = json!({"iss": "me", "sub": "me", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "1"});
    let Value::Object(instead) = instead else {
        panic!("no claims");
    };
    let all = claims.as_object_mut().unwrap();
    all.extend(instead);
    all.retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_good_assertion_says_when_it_ends_and_which_one_it_is() {
    for kind in [Kind::ES256, Kind::RS256] {
        let client = Client::new(&[kind]);
        let assertion = Assertion::read(client.sign(0, &claims(json!({}))).into()).unwrap();
        assert_eq!(assertion.client_id(), "me");
        let once = assertion.verify(&client.record, &[ISSUER, TOKEN], at(0)).unwrap();
        assert_eq!((once.jti.as_str(), once.exp), ("1", at(60)));
        let token = assertion.token.expose_secret();
        assert!(!format!("{assertion:?}").contains(token));
        let again = Assertion::read(client.sign(0, &claims(json!({"jti": "2"}))).into()).unwrap();
        assert_ne!(assertion.digest(), again.digest());
    }
}

#[test]
fn every_claim_is_as_the_rfc_asks() {
    let client = Client::new(&[Kind::ES256]);
    let now = at(0).as_second();
    let good = [
        json!({"aud": TOKEN}),
        json!({"aud": [TOKEN]}),
        json!({"aud": ["https://other.example", ISSUER]}),
        json!({"iat": null}),
        json!({"iat": now + 60, "nbf": now + 60}),
        json!({"iat": now - 3600}),
        json!({"exp": now + 600}),
        json!({"exp": 1_800_000_000.5}),
        json!({"more": {"of": "it"}}),
    ];
    let bad = [
        json!({"iss": "you"}),
        json!({"iss": null}),
        json!({"iss": ["me"]}),
        json!({"iss": "you", "sub": "you"}),
        json!({"sub": "you"}),
        json!({"sub": null}),
        json!({"sub": ["me"]}),
        json!({"aud": null}),
        json!({"aud": []}),
        json!({"aud": 5}),
        json!({"aud": "https://other.example"}),
        json!({"aud": ["https://other.example"]}),
        json!({"aud": "https://idp.example/token/more"}),
        json!({"exp": null}),
        json!({"exp": now}),
        json!({"exp": now - 1}),
        json!({"exp": now + 601}),
        json!({"exp": "soon"}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"iat": now + 61}),
        json!({"iat": "now"}),
        json!({"iat": 1e300}),
        json!({"nbf": now + 61}),
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": 1}),
    ];
    for instead in good {
        assert!(client.takes(client.sign(0, &claims(instead.clone()))), "{instead}");
    }
    for instead in bad {
        assert!(!client.takes(client.sign(0, &claims(instead.clone()))), "{instead}");
    }
    let header = encoded(r#"{"alg":"ES256"}"#);
    let doubled = format!("{header}.{}.x", encoded(r#"{"sub":"me","sub":"you"}"#));
    assert!(Assertion::read(doubled.into()).is_none(), "a claim given twice");
    for nonsense in ["", ".", "..", "a.b.c", "%%%", &"x".repeat(60_000)] {
        assert!(Assertion::read(nonsense.to_owned().into()).is_none());
    }
}

#[test]
fn only_a_live_key_of_the_client_counts() {
    let mut client = Client::new(&[Kind::ES256, Kind::RS256]);
    let good = claims(json!({}));
    assert!(client.takes(client.sign(0, &good)) && client.takes(client.sign(1, &good)));

    let other = Client::new(&[Kind::ES256]);
    assert!(!client.takes(other.sign(0, &good)), "a foreign key");
    let header = |kid: Option<&str>| Header {
        kid: kid.map(str::to_owned),
        ..Header::new(Algorithm::ES256)
    };
    let with = |header: &Header, key: &EncodingKey| jsonwebtoken::encode(header, &good, key).unwrap();
    let (first, second) = (&client.keys[0], &client.keys[1]);
    assert!(
        client.takes(with(&header(None), first.signing())),
        "no kid: all are tried"
    );
    let rsa = Header::new(Algorithm::RS256);
    assert!(client.takes(with(&rsa, second.signing())), "no kid: the second, too");
    assert!(!client.takes(with(&header(None), other.keys[0].signing())));
    assert!(
        !client.takes(with(&header(Some("x")), first.signing())),
        "a kid that there is not"
    );
    assert!(
        !client.takes(with(&header(Some(second.id())), first.signing())),
        "a kid of another"
    );
    let claimed = with(&header(Some(first.id())), other.keys[0].signing());
    assert!(!client.takes(claimed), "a kid of the client, a foreign key");
    let mut critical = header(Some(first.id()));
    critical.crit = Some(vec!["b64".into()]);
    assert!(
        !client.takes(with(&critical, first.signing())),
        "RFC 7515 section 4.1.11"
    );

    client.record.secrets[0].not_after = Some(at(1));
    assert!(client.takes(client.sign(0, &good)));
    client.record.secrets[0].not_after = Some(at(0));
    assert!(!client.takes(client.sign(0, &good)), "ended");
    assert!(client.takes(client.sign(1, &good)));
    let only = client.record.secrets[0].clone();
    assert!(client.record.add_secret(None, only, Room::Only, at(0)));
    assert!(!client.takes(client.sign(1, &good)), "taken away");
}

/// The classic confusions: no signature, a public key as the secret of a MAC, another hash than the key is for.
#[test]
fn the_algorithm_is_that_of_the_key() {
    let client = Client::new(&[Kind::ES256, Kind::RS256]);
    let good = claims(json!({}));
    let unsigned = format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(&good.to_string()));
    assert!(!client.takes(unsigned));
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &good, client.keys[1].signing()).unwrap();
        assert!(!client.takes(token), "{algorithm:?}");
    }
    for key in &client.keys {
        let public = serde_json::to_vec(key.public()).unwrap();
        for mac in [
            EncodingKey::from_secret(&public),
            EncodingKey::from_secret(key.id().as_bytes()),
        ] {
            let header = Header {
                kid: Some(key.id().to_owned()),
                ..Header::new(Algorithm::HS256)
            };
            assert!(!client.takes(jsonwebtoken::encode(&header, &good, &mac).unwrap()));
        }
    }
    let signed = client.sign(0, &good);
    let (message, signature) = signed.rsplit_once('.').unwrap();
    assert!(!client.takes(format!("{message}.")), "no signature");
    let (header, _) = message.split_once('.').unwrap();
    let other = encoded(&claims(json!({"jti": "2"})).to_string());
    assert!(!client.takes(format!("{header}.{other}.{signature}")), "other claims");
}

fn encoded(json: &str) -> String {
    data_encoding::BASE64URL_NOPAD.encode(json.as_bytes())
}
