//! Steps to effects: one arm a step, no decisions. What an effect changed is put where the plan sees it.

mod clients;
mod attempts;
mod objects;

use jiff::SignedDuration;

pub use self::objects::write_status;
use self::{
    attempts::{find, find_left, register_given},
    clients::{
        adopt, changing, compare, delete_client, driver, fresh_credential, hold, keep_management, not_there,
        not_working, prove, update, verify,
    },
    objects::{begin, delete_former, entomb, fence, hand_over, published, remove_finalizer, write_secret, write_state},
};
use super::{
    Context, observe,
    observe::Seen,
    queue::{Cause, Item, Name},
    report, secrets, steps, world,
};
use crate::{
    key_manager::{self, Current, NewSecret, Registered, SecretAdded, TokenAnswer, TokenRequest},
    plan::{hints, observed::SecretView, status, step::Step},
};

/// Why a pass ended before its plan did.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server refused a call or gave no answer.
    #[error("API server: {}", text(.0))]
    Api(#[from] kube::Error),
    /// A key manager refused a call or gave no answer.
    #[error("{0}")]
    KeyManager(#[from] key_manager::Error),
    /// A key manager gave no answer to a call that changes something: it may still have its effect.
    #[error("{error}")]
    Unsettled {
        /// What happened.
        error: key_manager::Error,
        /// For how long it may.
        settles: SignedDuration,
    },
    /// Somebody else changed what was read; the next pass reads it again.
    #[error("the object changed meanwhile")]
    Changed,
    /// No random numbers.
    #[error(transparent)]
    Entropy(#[from] crate::entropy::NoEntropy),
    /// No private key.
    #[error(transparent)]
    Key(#[from] key_manager::private_key::NoKey),
}

impl Failure {
    /// One PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api(_) => "ApiServerError",
            Self::KeyManager(error) | Self::Unsettled { error, .. } => error.reason(),
            Self::Changed => "Changed",
            Self::Entropy(_) | Self::Key(_) => "NoEntropy",
        }
    }
}

/// The text of an API error without the body of any object.
fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        kube::Error::SerdeError(_) => "the answer could not be read".to_owned(),
        other => other.to_string(),
    }
}

/// Whether the API server refused a request for what it asks: a quota, a policy, a missing right.
pub fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 413 | 422))
}

/// Does one step.
///
/// # Errors
/// Why nothing of this pass can follow it.
pub async fn execute(ctx: &Context, seen: &mut Seen, step: Step) -> Result<(), Failure> {
    let (name, changes) = (step.name(), step.changes());
    steps::take(name, changes, Box::pin(effect(ctx, seen, step))).await
}

#[expect(clippy::too_many_lines, reason = "one arm a step")]
async fn effect(ctx: &Context, seen: &mut Seen, step: Step) -> Result<(), Failure> {
    match step {
        Step::Begin(first) => begin(ctx, seen, first).await,
        Step::RemoveFinalizer => remove_finalizer(ctx, seen).await,
        Step::Announce(say) => {
            let status = status::status(&seen.o, std::slice::from_ref(&say), ctx.clock.now());
            report::publish(ctx, &seen.o.key, &say).await;
            write_status(ctx, seen, status).await?;
            seen.o.hand.announced = true;
            Ok(())
        }
        Step::WriteState(state) => write_state(ctx, seen, *state).await,
        Step::Look => Ok(observe::look(ctx, seen).await?),
        Step::HandOver(former) => hand_over(ctx, seen, &former).await,
        Step::Fence(published) => fence(ctx, seen, &published).await,
        Step::RegisterGiven(properties) => register_given(ctx, seen, &properties).await,
        Step::Find(attempt) => find(ctx, seen, attempt).await,
        Step::Register {
            client,
            properties,
            secret,
        } => {
            let secret = match secret {
                Some(secret) => secret,
                None => fresh_credential(ctx, seen)?,
            };
            let driver = driver(ctx, seen)?;
            match changing(&driver, driver.register(&client, &properties, &secret, None)).await? {
                Registered::Made(answer) => {
                    seen.o.hand.differs = Some(hints::differs(&answer.differences));
                    hold(seen, answer.id, answer.secret, false, answer.secret_ends);
                }
                Registered::Exists => seen.o.hand.exists = true,
            }
            Ok(())
        }
        Step::Update { client, properties } => update(ctx, seen, client, properties).await,
        Step::AddSecret {
            client,
            published,
            room,
        } => {
            let secret = fresh_credential(ctx, seen)?;
            let new = NewSecret {
                kind: seen.o.kind(),
                published: published.as_ref(),
                published_version: seen.o.published_version(),
                secret: &secret,
                version: seen.o.next_version(),
                room,
            };
            let driver = driver(ctx, seen)?;
            match changing(&driver, driver.add_secret(&client, new)).await? {
                SecretAdded::Added(secret) => hold(seen, client.id, secret, room != key_manager::Room::Only, None),
                SecretAdded::Alone(secret) => hold(seen, client.id, secret, false, None),
                SecretAdded::OneSecret => seen.o.hand.one_secret = true,
                SecretAdded::Occupied => seen.o.hand.occupied = true,
                SecretAdded::NotThere if seen.o.create_tells() => seen.o.hand.refused = true,
                SecretAdded::NotThere => return Err(not_there(&client)),
            }
            Ok(())
        }
        Step::ReadSecret(client) => {
            match driver(ctx, seen)?.read_secret(&client).await? {
                Some(answer) => {
                    keep_management(ctx, seen, client, answer.management).await?;
                    hold(seen, answer.id, answer.secret, false, answer.secret_ends);
                }
                None => seen.o.hand.occupied = true,
            }
            Ok(())
        }
        Step::HoldPublic(client) => {
            hold(seen, client.id, String::new().into(), false, None);
            Ok(())
        }
        Step::Compare {
            client,
            properties,
            correct,
        } => Box::pin(compare(ctx, seen, client, properties, correct)).await,
        Step::Prove(adopt) => prove(ctx, seen, adopt).await,
        Step::Adopt {
            client,
            properties,
            secret,
        } => adopt(ctx, seen, client, &properties, secret).await,
        Step::Verify => verify(ctx, seen).await,
        Step::Publish {
            rendered,
            replaces,
            tokens,
        } => {
            let written = write_secret(ctx, seen, &rendered, replaces.as_deref()).await?;
            published(ctx, seen, &rendered.name, written, tokens).await
        }
        Step::Retire { client, current, end } => {
            let driver = driver(ctx, seen)?;
            let current = Current {
                kind: seen.o.kind(),
                secret: &current,
                version: seen.o.published_version(),
            };
            changing(&driver, driver.retire(&client, current, end)).await?;
            seen.o.hand.retired = true;
            Ok(())
        }
        Step::FetchToken {
            client_id,
            secret,
            token,
        } => {
            let authentication = seen.o.spec().client_authentication.unwrap_or_default();
            let request = TokenRequest {
                client_id: &client_id,
                secret: &secret,
                authentication,
                code_for: None,
                scopes: &token.scopes,
                resource: token.resource.as_deref(),
            };
            match driver(ctx, seen)?.token(request).await? {
                TokenAnswer::Issued(fresh) => drop(seen.o.hand.tokens.insert(token.name, fresh)),
                TokenAnswer::Refused(word) => drop(seen.o.hand.refused_tokens.insert(token.name, word)),
                TokenAnswer::InvalidClient => {
                    if seen.o.hand.refused {
                        return Err(not_working(&client_id));
                    }
                    seen.o.hand.refused = true;
                }
            }
            Ok(())
        }
        Step::Check { client_id, secret } => {
            let authentication = seen.o.spec().client_authentication.unwrap_or_default();
            let request = TokenRequest {
                client_id: &client_id,
                secret: &secret,
                authentication,
                code_for: seen.o.code_for(),
                scopes: &[],
                resource: None,
            };
            match driver(ctx, seen)?.token(request).await? {
                TokenAnswer::Issued(_) | TokenAnswer::Refused(_) => seen.o.hand.checked = true,
                TokenAnswer::InvalidClient => seen.o.hand.refused = true,
            }
            Ok(())
        }
        Step::NoteGone => {
            let reference = seen.o.target.as_ref().map(|target| target.reference.clone());
            let key = Name::new(seen.o.namespace(), seen.o.name());
            if let Ok(reference) = reference {
                let manager = world::key_manager_name(&reference, &key.namespace);
                seen.o.hand.gone = Some(ctx.world.lock().note_gone(&key, &manager, ctx.clock.now()));
                ctx.add(Item::KeyManager(manager.0, manager.1), Cause::Change);
            }
            Ok(())
        }
        Step::DeleteClient(placed) => delete_client(ctx, seen, placed).await,
        Step::Entomb(state) => entomb(ctx, seen, *state).await,
        Step::FindLeft(attempt) => find_left(ctx, seen, attempt).await,
        Step::DeleteLeft(placed) => {
            match delete_client(ctx, seen, placed).await {
                // The key itself, where there is one, does not suffer from it.
                Err(Failure::KeyManager(error) | Failure::Unsettled { error, .. }) => {
                    seen.o.hand.uncleaned = Some(error.message);
                }
                other => other?,
            }
            Ok(())
        }
        Step::DeleteSecret(published) => {
            if !secrets::delete(&ctx.client, seen.o.namespace(), &published).await? {
                return Err(Failure::Changed);
            }
            let name = Name::new(seen.o.namespace(), &published.name);
            ctx.world.lock().secrets.remove(&name);
            for view in [&mut seen.o.secret, &mut seen.o.tokens] {
                if view.ours().is_some_and(|ours| ours.name == published.name) {
                    *view = SecretView::Absent;
                }
            }
            if seen
                .o
                .former
                .as_ref()
                .is_some_and(|former| former.name == published.name)
            {
                seen.o.former = None;
            }
            Ok(())
        }
        Step::DeleteFormer(name) => delete_former(ctx, seen, &name).await,
        Step::Done(_) => Ok(()),
    }
}

/// The least time after which a failed pass is tried again, and the most; doubled each time in between.
pub const BACKOFF: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_mins(5));
