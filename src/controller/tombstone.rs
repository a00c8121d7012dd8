//! After a key is gone: what its tombstone names is cleaned up, in the same queue item as any later key of that name.

use super::{Context, departed, execute, execute::Failure, key::Again, observe, queue::Name, report};
use crate::plan::{identity, removal};

/// Goes on with the clean-up after a key that is gone.
pub async fn clean(ctx: &Context, name: &Name) -> Again {
    match Box::pin(pass(ctx, name)).await {
        Ok(true) => {
            departed::cleaned(ctx, name);
            Again::OnChange
        }
        Ok(false) => Again::Failed,
        Err(failure) => {
            report::failed_pass(name, &failure);
            Again::Failed
        }
    }
}

/// Whether nothing is left.
async fn pass(ctx: &Context, name: &Name) -> Result<bool, Failure> {
    let state = identity::state_secret_name(&name.namespace, &name.name);
    if !ctx.world.lock().states.contains(&state) {
        return Ok(true);
    }
    let stored = observe::read_state(ctx, name).await?;
    let mut seen = observe::departed(ctx, name, stored);
    while let Some(step) = removal::clean(&seen.o) {
        tracing::debug!(key = %name, step = step.name(), "clean up");
        execute::execute(ctx, &mut seen, step).await?;
    }
    if let Some(why) = &seen.o.hand.uncleaned {
        tracing::warn!(key = %name, error = why, "a client of a deleted key is still to be deleted");
    }
    Ok(seen.o.state.tombstone.is_none())
}
