//! Compares the schedule with the truth and makes due what the truth calls due. Running it twice
//! changes nothing: a group that is scheduled or worked on already stays as it is.

use crate::gateway::Gateway;
use crate::queue::{Due, LaneId, Priority};
use crate::store::StoreError;
use crate::store::at_once;
use crate::store::upkeep::{self, DueGroup, PAGE};
use std::collections::HashMap;
use std::time::Duration;
use switchboard_channels::model::Millis;

fn due(group: &DueGroup, now: Millis) -> Due {
    let after = Duration::from_millis(u64::try_from(group.next_at.since(now)).unwrap_or(0));
    let priority = if group.bulk {
        Priority::Bulk
    } else {
        Priority::Normal
    };
    Due {
        group: group.group,
        after,
        priority,
        retry: group.retry,
    }
}

/// Schedules everything that the store calls due.
///
/// # Errors
/// When the store cannot be read; what was scheduled until then stays scheduled.
pub async fn reconcile(gateway: &Gateway) -> Result<usize, StoreError> {
    let mut count = 0;
    let mut after = 0;
    loop {
        let page = gateway
            .store
            .read(move |tx| at_once(upkeep::due_conversations(tx, after)))
            .await?;
        let Some(last) = page.last() else { break };
        after = last.group;
        count += page.len();
        schedule(gateway, LaneId::channel, &page).await;
    }
    for hook in gateway.hooks.keys() {
        let mut after = -1; // group 0 holds the events of channels
        loop {
            let id = hook.clone();
            let page = gateway
                .store
                .read(move |tx| at_once(upkeep::due_deliveries(tx, &id, after)))
                .await?;
            let Some(last) = page.last() else { break };
            after = last.group;
            count += page.len();
            schedule(gateway, LaneId::events, &page).await;
        }
    }
    for channel in gateway.channels.keys() {
        let mut after = 0;
        loop {
            let id = channel.clone();
            let page = gateway
                .store
                .read(move |tx| at_once(upkeep::due_media(tx, &id, after)))
                .await?;
            let Some(last) = page.last() else { break };
            after = last.group;
            count += page.len();
            schedule(gateway, LaneId::media, &page).await;
        }
    }
    let (effects, _) = gateway
        .store
        .write(|tx, unit| at_once(upkeep::due_effects(tx, unit)))
        .await?;
    for (channel, id) in effects {
        let due = [Due::now(-id, Priority::Normal)];
        if let Err(error) = gateway
            .queue
            .schedule(&LaneId::channel(&channel), &due)
            .await
        {
            tracing::debug!(%error, "an effect is not scheduled");
        }
    }
    Ok(count)
}

async fn schedule(gateway: &Gateway, lane: impl Fn(&str) -> LaneId, page: &[DueGroup]) {
    debug_assert!(page.len() <= usize::try_from(PAGE).unwrap_or(usize::MAX));
    let now = crate::store::now();
    let mut lanes: HashMap<&str, Vec<Due>> = HashMap::new();
    for group in page {
        lanes.entry(&group.owner).or_default().push(due(group, now));
    }
    for (owner, due) in lanes {
        // Messages of a channel that is no longer configured wait for it.
        if let Err(error) = gateway.queue.schedule(&lane(owner), &due).await {
            tracing::warn!(owner, waiting = due.len(), %error, "not scheduled");
        }
    }
}
