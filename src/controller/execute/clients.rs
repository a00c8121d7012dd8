//! Effects at key managers: clients, their secrets and tokens.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Failure, objects::write_state};
use crate::{
    api::{Adopt, CredentialKind, KeyManagerRef},
    controller::{Context, drift, observe::Seen, queue::Name, report, secrets, world},
    key_manager::{
        self, Category, Changed, Client, Compared, KeyManager, Outcome, TokenAnswer, TokenRequest, gate::Gated,
        private_key,
    },
    plan::{
        hand::{InHand, Proof, proves},
        hints,
        observed::{PlacedClient, Published, State, StoredAnswer},
    },
};

pub(super) fn driver(ctx: &Context, seen: &Seen) -> Result<Arc<dyn KeyManager>, Failure> {
    let target = seen
        .o
        .target
        .as_ref()
        .map_err(|say| key_manager::Error::new(Category::Unreachable, say.message.clone()))?;
    driver_of(ctx, &target.reference, seen.o.namespace())
}

pub(super) fn driver_of(
    ctx: &Context,
    reference: &KeyManagerRef,
    namespace: &str,
) -> Result<Arc<dyn KeyManager>, Failure> {
    let world = ctx.world.lock();
    let entry = world.key_managers.get(&world::key_manager_name(reference, namespace));
    let driver = entry.map(|entry| {
        let gate = entry.gate.clone();
        entry.driver.clone().map(|driver| Gated { driver, gate })
    });
    drop(world);
    match driver {
        Some(Ok(driver)) => Ok(Arc::new(driver)),
        Some(Err(say)) => {
            Err(key_manager::Error::new(Category::Unreachable, format!("{reference}: {}", say.message)).into())
        }
        None => Err(key_manager::Error::new(Category::Unreachable, format!("there is no {reference}")).into()),
    }
}

/// A call that changes something. Where its answer is lost it may still have its effect for a while, and nothing else may
/// be changed there until that is over.
pub(super) async fn changing<T>(
    driver: &Arc<dyn KeyManager>,
    call: impl Future<Output = Result<T, key_manager::Error>>,
) -> Result<T, Failure> {
    call.await.map_err(|error| {
        let settles = driver.settles();
        if error.sent && error.category == Category::Unreachable && !settles.is_zero() {
            Failure::Unsettled { error, settles }
        } else {
            error.into()
        }
    })
}

pub(super) async fn update(
    ctx: &Context,
    seen: &mut Seen,
    client: Client,
    properties: key_manager::Properties,
) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let changed = changing(&driver, driver.update(&client, &properties)).await?;
    seen.o.hand.updated = true;
    match changed {
        Changed::Done(outcome) => done(ctx, seen, &driver, client, outcome).await?,
        Changed::NotThere if driver.capabilities().chosen_identity() => seen.o.hand.refused = true,
        Changed::NotThere | Changed::Refused => seen.o.hand.unmanageable = true,
        Changed::NeedsAnother(why) => {
            seen.o.hand.needs_another = Some((client.id, why));
            // Of the other one nothing is known.
            seen.o.hand.exists = false;
        }
    }
    Ok(())
}

/// A change was made. Where it gave the client another secret (RFC 7592 section 2.2), the published one ended with it.
async fn done(
    ctx: &Context,
    seen: &mut Seen,
    driver: &Arc<dyn KeyManager>,
    client: Client,
    outcome: Outcome,
) -> Result<(), Failure> {
    let differs = hints::differs(&outcome.differences);
    seen.o.hand.differs = Some(differs.clone());
    let published = seen.o.secret.ours().and_then(Published::client_secret);
    let is_published = |secret: &SecretString| {
        let published = published.as_ref().map(secrecy::ExposeSecret::expose_secret);
        published == Some(secret.expose_secret())
    };
    let fresh = outcome
        .secret
        .filter(|secret| !is_published(secret))
        .map(|secret| StoredAnswer {
            client_id: client.id.clone(),
            kind: seen.o.kind(),
            secret,
            applied: applied(seen),
            secret_ends: outcome.secret_ends,
            differs,
        });
    keep_management(ctx, seen, client, outcome.management).await?;
    let Some(fresh) = fresh else { return Ok(()) };
    let request = TokenRequest {
        client_id: &fresh.client_id,
        code_for: seen.o.code_for(),
        secret: &fresh.secret,
        authentication: seen.o.spec().client_authentication.unwrap_or_default(),
        scopes: &[],
        resource: None,
    };
    // What a server shows as the secret can be a mask or a hash of it.
    if matches!(driver.token(request).await?, TokenAnswer::InvalidClient) {
        return Ok(());
    }
    let state = State {
        answer: Some(fresh.clone()),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await?;
    hold(seen, fresh.client_id, fresh.secret, false, fresh.secret_ends);
    Ok(())
}

/// Management data that changed are stored at once: the ones before may not work any more.
pub(super) async fn keep_management(
    ctx: &Context,
    seen: &mut Seen,
    client: Client,
    management: Option<key_manager::Management>,
) -> Result<(), Failure> {
    let Some(management) = management else { return Ok(()) };
    let client = Client {
        management: Some(management),
        ..client
    };
    let target = seen.o.target.as_ref().map_err(|_| Failure::Changed)?;
    let state = State {
        client: Some(PlacedClient {
            key_manager: target.reference.clone(),
            client,
        }),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await
}

pub(super) fn hold(
    seen: &mut Seen,
    client_id: String,
    secret: SecretString,
    previous_works: bool,
    secret_ends: Option<Timestamp>,
) {
    seen.o.hand.credential = Some(InHand {
        client_id,
        secret,
        verified: None,
        previous_works,
        secret_ends,
        applied: None,
    });
}

/// Hash of the properties that this pass gives a client.
fn applied(seen: &Seen) -> String {
    let target = seen.o.target.as_ref();
    target.map(|target| seen.o.properties_hash(target)).unwrap_or_default()
}

/// What a client is to prove itself with: a secret, a private key in PEM, or nothing.
pub(super) fn fresh_credential(ctx: &Context, seen: &Seen) -> Result<SecretString, Failure> {
    Ok(match seen.o.kind() {
        CredentialKind::Secret => ctx.entropy.client_secret()?,
        CredentialKind::PrivateKey => {
            let target = seen.o.target.as_ref().map_err(|_| Failure::Changed)?;
            private_key::generate(target.capabilities.key_algorithm)?
        }
        CredentialKind::Nothing => SecretString::default(),
    })
}

pub(super) fn not_there(client: &Client) -> Failure {
    let text = format!("client {} was there a moment ago and is not found now", client.id);
    key_manager::Error::new(Category::NotYet, text).into()
}

pub(super) fn not_working(client_id: &str) -> Failure {
    let text = format!("the key manager refuses the secret that it was just given for client {client_id}");
    key_manager::Error::new(Category::NotYet, text).into()
}

pub(super) async fn verify(ctx: &Context, seen: &mut Seen) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let authentication = seen.o.spec().client_authentication.unwrap_or_default();
    let Some(credential) = &seen.o.hand.credential else {
        return Ok(());
    };
    // The first access token that the key asks for is the canary: one call less.
    let wanted = seen.o.spec().access_tokens.first().cloned();
    let scopes = wanted.as_ref().map(|token| token.scopes.clone()).unwrap_or_default();
    let request = TokenRequest {
        client_id: &credential.client_id,
        secret: &credential.secret,
        authentication,
        code_for: seen.o.code_for(),
        scopes: &scopes,
        resource: wanted.as_ref().and_then(|token| token.resource.as_deref()),
    };
    match driver.token(request).await? {
        TokenAnswer::Issued(token) => {
            if let Some(wanted) = wanted {
                seen.o.hand.tokens.insert(wanted.name, token);
            }
        }
        TokenAnswer::Refused(word) => {
            if let Some(wanted) = wanted {
                seen.o.hand.refused_tokens.insert(wanted.name, word);
            }
        }
        TokenAnswer::InvalidClient => return Err(not_working(&credential.client_id)),
    }
    if let Some(credential) = &mut seen.o.hand.credential {
        credential.verified = Some(true);
    }
    Ok(())
}

/// Compares a client with what it should be; one that is gone is made again where `correct`.
pub(super) async fn compare(
    ctx: &Context,
    seen: &mut Seen,
    client: Client,
    properties: key_manager::Properties,
    correct: bool,
) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let drifted = match driver.compare(&client, &properties).await? {
        Compared::Differs(drifted, management) => {
            keep_management(ctx, seen, client, management).await?;
            drifted
        }
        Compared::NotThere => {
            seen.o.hand.refused = correct;
            vec!["the client is gone".to_owned()]
        }
        Compared::Refused => {
            seen.o.hand.unmanageable = correct;
            vec!["the client cannot be read any more".to_owned()]
        }
    };
    if !drifted.is_empty() {
        report::drifted(ctx, &seen.o.key, &drifted, correct).await;
    }
    drift::done(ctx, &Name::new(seen.o.namespace(), seen.o.name()));
    seen.o.hand.compared = Some(drifted);
    Ok(())
}

/// Uses what the team says is the secret of the client that is to be adopted.
pub(super) async fn prove(ctx: &Context, seen: &mut Seen, adopt: Adopt) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let place = format!("Secret {} of this namespace", adopt.secret_ref.name);
    let entry = match seen.o.kind() {
        CredentialKind::PrivateKey => "private-key.pem",
        CredentialKind::Secret | CredentialKind::Nothing => "client-secret",
    };
    let entries = secrets::entries(&ctx.client, seen.o.namespace(), &adopt.secret_ref.name).await?;
    let Some(secret) = entries.as_ref().and_then(|entries| entries.text(entry)) else {
        let text = format!(
            "{place} has no entry {entry}, which proves that client {} is yours",
            adopt.client_id
        );
        seen.o.hand.proof = Some(Proof::Refused(text));
        return Ok(());
    };
    let secret = SecretString::from(secret.to_owned());
    let text = |name: &str| entries.as_ref().and_then(|entries| entries.text(name));
    let management = text("registration-client-uri").zip(text("registration-access-token"));
    let management = management.map(|(uri, token)| key_manager::Management {
        uri: uri.to_owned(),
        token: token.to_owned().into(),
        previous: None,
    });
    let request = TokenRequest {
        client_id: &adopt.client_id,
        code_for: seen.o.code_for(),
        secret: &secret,
        authentication: seen.o.spec().client_authentication.unwrap_or_default(),
        scopes: &[],
        resource: None,
    };
    seen.o.hand.proof = Some(match driver.token(request).await? {
        TokenAnswer::Issued(_) => Proof::Good { secret, management },
        TokenAnswer::Refused(word) if proves(word) => Proof::Good { secret, management },
        TokenAnswer::Refused(word) => Proof::Refused(format!(
            "the key manager answers {word} to {entry} of {place}, which does not prove that client {} is yours",
            adopt.client_id
        )),
        TokenAnswer::InvalidClient => Proof::Refused(format!(
            "the key manager refuses {entry} of {place} as that of client {}",
            adopt.client_id
        )),
    });
    Ok(())
}

pub(super) async fn adopt(
    ctx: &Context,
    seen: &mut Seen,
    client: Client,
    properties: &key_manager::Properties,
    secret: SecretString,
) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    // What manages it may change with the next call: it is kept from before that.
    keep_management(ctx, seen, client.clone(), client.management.clone()).await?;
    let id = client.id.clone();
    match changing(&driver, driver.adopt(&client, properties, &secret)).await? {
        Changed::Done(outcome) => keep_management(ctx, seen, client, outcome.management).await?,
        // It can be used and not changed: what manages it was not given, or was used up when an answer was lost.
        Changed::Refused => {}
        Changed::NotThere => return Err(not_there(&client)),
        Changed::NeedsAnother(why) => return Err(key_manager::Error::new(Category::InvalidRequest, why).into()),
    }
    hold(seen, id, secret, true, None);
    if let Some(credential) = &mut seen.o.hand.credential {
        credential.verified = Some(true);
    }
    seen.o.hand.updated = true;
    Ok(())
}

pub(super) async fn delete_client(ctx: &Context, seen: &mut Seen, placed: PlacedClient) -> Result<(), Failure> {
    let driver = driver_of(ctx, &placed.key_manager, seen.o.namespace())?;
    if let Changed::Refused = changing(&driver, driver.delete(&placed.client)).await? {
        report::orphan(ctx, &seen.o, &placed.key_manager, &placed.client.id).await?;
    }
    let credential = seen.o.hand.credential.as_ref();
    if credential.is_some_and(|credential| credential.client_id == placed.client.id) {
        seen.o.hand.credential = None;
    }
    seen.o.hand.deleted.insert((placed.key_manager, placed.client.id));
    Ok(())
}
