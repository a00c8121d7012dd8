//! Clients whose ids are the key manager's choice: an attempt is noted before the call, and its answer right after it.

use super::{
    Failure,
    clients::{changing, driver, driver_of, fresh_credential, hold, not_there},
    objects::write_state,
};
use crate::{
    controller::{Context, observe::Seen, report},
    key_manager::{self, Client, Registered},
    plan::{
        hints,
        observed::{Attempt, PlacedClient, State, StoredAnswer},
        removal,
    },
};

pub(super) async fn register_given(
    ctx: &Context,
    seen: &mut Seen,
    properties: &key_manager::Properties,
) -> Result<(), Failure> {
    let driver = driver(ctx, seen)?;
    let target = seen.o.target.as_ref().map_err(|_| Failure::Changed)?;
    let attempt = Attempt {
        id: ctx.entropy.attempt_id()?,
        key_manager: target.reference.clone(),
        place: seen.o.place(),
        kind: seen.o.kind(),
        applied: seen.o.properties_hash(target),
    };
    let state = State {
        attempt: Some(attempt.clone()),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await?;
    let client = seen.o.client(String::new());
    let secret = fresh_credential(ctx, seen)?;
    let registered = driver.register(&client, properties, &secret, Some(&attempt.id)).await;
    if registered.as_ref().is_err_and(key_manager::Error::made_nothing) {
        // There is nothing to look for, and no orphan to name.
        let state = State {
            attempt: None,
            ..seen.o.state.clone()
        };
        write_state(ctx, seen, state).await?;
    }
    match changing(&driver, async { registered }).await? {
        Registered::Made(answer) => store_answer(ctx, seen, attempt, answer).await,
        Registered::Exists => Err(not_there(&client)),
    }
}

pub(super) async fn store_answer(
    ctx: &Context,
    seen: &mut Seen,
    attempt: Attempt,
    answer: key_manager::Answer,
) -> Result<(), Failure> {
    let client = Client {
        management: answer.management,
        ..seen.o.client(answer.id.clone())
    };
    let stored = StoredAnswer {
        client_id: answer.id.clone(),
        kind: attempt.kind,
        secret: answer.secret.clone(),
        applied: attempt.applied.clone(),
        secret_ends: answer.secret_ends,
        differs: hints::differs(&answer.differences),
    };
    seen.o.hand.differs = Some(stored.differs.clone());
    let state = State {
        attempt: None,
        client: Some(PlacedClient {
            key_manager: attempt.key_manager,
            client,
        }),
        answer: Some(stored),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await?;
    hold(seen, answer.id, answer.secret, false, answer.secret_ends);
    if let Some(credential) = &mut seen.o.hand.credential {
        credential.applied = Some(attempt.applied);
    }
    Ok(())
}

/// What an attempt was to make; its id is not known.
fn made_by(seen: &Seen, attempt: &Attempt) -> Client {
    Client {
        place: attempt.place.clone(),
        ..seen.o.client(String::new())
    }
}

pub(super) async fn find(ctx: &Context, seen: &mut Seen, attempt: Attempt) -> Result<(), Failure> {
    let driver = driver_of(ctx, &attempt.key_manager, seen.o.namespace())?;
    if let Some(answer) = driver.find(&made_by(seen, &attempt), &attempt.id).await? {
        return store_answer(ctx, seen, attempt, answer).await;
    }
    if !driver.capabilities().find {
        report::orphan(ctx, &seen.o, &attempt.key_manager, &attempt.id).await?;
    }
    seen.o.hand.not_found.insert(attempt.id);
    Ok(())
}

pub(super) async fn find_left(ctx: &Context, seen: &mut Seen, attempt: Attempt) -> Result<(), Failure> {
    let found = match driver_of(ctx, &attempt.key_manager, seen.o.namespace()) {
        Ok(driver) => match driver.find(&made_by(seen, &attempt), &attempt.id).await {
            Ok(None) if !driver.capabilities().find => {
                report::orphan(ctx, &seen.o, &attempt.key_manager, &attempt.id).await?;
                Ok(None)
            }
            other => other.map_err(Failure::from),
        },
        Err(failure) => Err(failure),
    };
    let answer = match found {
        Ok(answer) => answer,
        Err(failure) => {
            seen.o.hand.uncleaned = Some(failure.to_string());
            return Ok(());
        }
    };
    let found = answer.map(|answer| PlacedClient {
        key_manager: attempt.key_manager.clone(),
        client: Client {
            place: attempt.place.clone(),
            management: answer.management,
            ..seen.o.client(answer.id)
        },
    });
    let before = seen.o.state.tombstone.clone().unwrap_or_default();
    let state = State {
        tombstone: Some(removal::without_attempt(&before, &attempt.id, found)),
        ..seen.o.state.clone()
    };
    write_state(ctx, seen, state).await
}
