//! What runs beside the lanes: the reconciler, the scheduler of later messages, probes of paused
//! lanes, deadlines and pruning.

use crate::gateway::Gateway;
use crate::queue::{LaneId, News};
use crate::reconcile::reconcile;
use crate::store::at_once;
use crate::store::upkeep::{self, Pruned, Retention};
use crate::store::{StoreError, echoes, mailboxes, sends};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchboard_channels::model::MessageId;
use tokio_util::sync::CancellationToken;

/// Schedule and truth are compared this often (design: every minute).
const RECONCILE_EVERY: Duration = Duration::from_secs(60);
/// Lanes paused for credentials or account are looked at this often (design: every minute).
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// Old rows are looked for this often; each time a bounded number goes.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Batches of old rows that go in one round, so that pruning never holds the writer for long.
const PRUNE_ROUNDS: usize = 20;
/// Deadlines of waiting messages are looked at this often.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// While the store does not answer, the scheduler asks again after so long.
const STORE_DOWN: Duration = Duration::from_secs(1);

/// Held echoes are looked at this often: they were written a moment ago, and somebody may be reading.
const ECHOES_EVERY: Duration = Duration::from_secs(1);

/// Compares schedule and truth, every minute and when the queue may have forgotten something.
pub async fn reconciler(gateway: Arc<Gateway>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RECONCILE_EVERY) => {}
            () = gateway.rebuild.notified() => {}
            () = stop.cancelled() => return,
        }
        // The pauses first: what is made due in a lane that is paused must not be claimed.
        if let Err(error) = match_pauses(&gateway).await {
            tracing::warn!(%error, "the pauses were not compared");
        }
        if let Err(error) = reconcile(&gateway).await {
            tracing::warn!(%error, "schedule and truth were not compared");
        }
    }
}

/// Hands on what other processes tell.
pub async fn listener(gateway: Arc<Gateway>, stop: CancellationToken) {
    loop {
        let news = tokio::select! {
            news = gateway.queue.news() => news,
            () = stop.cancelled() => return,
        };
        match news {
            News::Outcomes(ids) => {
                for id in ids {
                    gateway.outcomes.notify(MessageId(id));
                }
            }
            News::Scheduled => gateway.scheduled.notify_one(),
            News::Missed => {
                gateway.outcomes.notify_all();
                gateway.scheduled.notify_one();
            }
            News::Rebuild => gateway.rebuild.notify_one(),
        }
    }
}

/// Opens scheduled messages when their time has come. Sleeps until the next one or a new one.
pub async fn scheduler(gateway: Arc<Gateway>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let released = gateway
            .store
            .write(|tx, unit| at_once(sends::release_scheduled(tx, unit)))
            .await;
        let wait = match released {
            Ok(((_, next), wakes)) => {
                gateway.wake(wakes).await;
                next.map(|at| at.since(crate::store::now()).max(0))
                    .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
            }
            Err(error) => {
                tracing::warn!(%error, "scheduled messages cannot be read");
                Some(STORE_DOWN)
            }
        };
        // A stepping clock is noticed at the latest after a minute.
        let wait = wait.unwrap_or(RECONCILE_EVERY).min(RECONCILE_EVERY);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = gateway.scheduled.notified() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Gives up what is too old, in paused lanes too.
pub async fn expirer(gateway: Arc<Gateway>, stop: CancellationToken) {
    while pause(EXPIRE_EVERY, &stop).await {
        match gateway
            .store
            .write(|tx, unit| at_once(upkeep::expire(tx, unit)))
            .await
        {
            Ok((count, wakes)) => {
                if count > 0 {
                    tracing::warn!(count, "messages were given up: their time was over");
                }
                gateway.wake(wakes).await;
            }
            Err(error) => tracing::warn!(%error, "deadlines cannot be read"),
        }
    }
}

/// Lets echoes go whose sends are recorded, or whose time is over.
pub async fn echoer(gateway: Arc<Gateway>, stop: CancellationToken) {
    let channels: Vec<_> = gateway.channels.values().map(|c| c.info.clone()).collect();
    let channels = Arc::new(channels);
    while pause(ECHOES_EVERY, &stop).await {
        let released = async {
            if !gateway.store.read(|tx| at_once(echoes::any(tx))).await? {
                return Ok(());
            }
            let channels = Arc::clone(&channels);
            let unit = gateway
                .store
                .write(move |tx, unit| at_once(echoes::release(tx, unit, &channels)));
            let (_, wakes) = unit.await?;
            gateway.wake(wakes).await;
            Ok::<(), StoreError>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "held echoes cannot be read");
        }
    }
}

/// Forgets what is past its time.
pub async fn pruner(gateway: Arc<Gateway>, keep: Retention, stop: CancellationToken) {
    let mut from = 0;
    while pause(PRUNE_EVERY, &stop).await {
        for _ in 0..PRUNE_ROUNDS {
            match gateway
                .store
                .write(move |tx, unit| at_once(upkeep::prune(tx, unit, &keep, from)))
                .await
            {
                Ok((Pruned { gone, next }, _)) => {
                    from = next.unwrap_or(0);
                    if gone == 0 && next.is_none() {
                        break;
                    }
                    tracing::debug!(gone, "old rows are gone");
                }
                Err(error) => {
                    tracing::warn!(%error, "old rows cannot be pruned");
                    break;
                }
            }
        }
        if let Err(error) = prune_mails(&gateway, keep.raw_events_ms).await {
            tracing::warn!(%error, "old mails cannot be erased");
        }
    }
}

/// Erases kept mails past their time: first the bytes, then the row, so that none is left behind.
async fn prune_mails(gateway: &Gateway, keep_ms: i64) -> anyhow::Result<()> {
    let (keys, _) = gateway
        .store
        .write(move |tx, unit| at_once(mailboxes::expired_kept(tx, unit, keep_ms)))
        .await?;
    for key in keys {
        gateway.mails.remove(&key).await?;
        gateway
            .store
            .write(move |tx, _| at_once(mailboxes::forget_kept(tx, &key)))
            .await?;
    }
    Ok(())
}

/// Probes the paused lanes, each as often as its channel says, and resumes those whose credentials
/// work again.
pub async fn prober(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut probed: HashMap<String, Instant> = HashMap::new();
    while pause(PROBE_EVERY, &stop).await {
        let paused = match gateway.store.read(|tx| at_once(upkeep::paused(tx))).await {
            Ok(paused) => paused,
            Err(error) => {
                tracing::warn!(%error, "paused lanes cannot be read");
                continue;
            }
        };
        probed.retain(|lane, _| paused.iter().any(|p| p.lane == *lane));
        for lane in paused.iter().filter(|p| p.reason != "operator") {
            let Some(live) = gateway.channel(&lane.lane) else {
                continue;
            };
            let every = Duration::from_secs(live.channel.probe_seconds());
            let last = probed.entry(lane.lane.clone()).or_insert_with(|| {
                // As if it had been probed when it was paused: that was a failed login, too.
                let ago = crate::store::now().since(lane.since);
                let ago = Duration::from_millis(u64::try_from(ago).unwrap_or(0));
                Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
            });
            if !is_due(last.elapsed(), every) {
                continue;
            }
            *last = Instant::now();
            match live.channel.probe(&gateway.ctx()).await {
                Ok(_) => {
                    if let Err(error) = gateway.resume(&live.lane).await {
                        tracing::warn!(%error, "a lane works again but is not resumed");
                    }
                }
                Err(error) => {
                    tracing::warn!(lane = %lane.lane, %error, "the lane stays paused");
                }
            }
        }
    }
}

/// Whether a lane is to be probed that was probed so long ago: a little early rather than a whole round
/// late.
fn is_due(passed: Duration, every: Duration) -> bool {
    passed + PROBE_EVERY / 2 >= every
}

/// Puts the pauses that the store knows into effect, and ends those that it does not know: the queue
/// may have forgotten them, or not have answered when they began or ended.
///
/// # Errors
/// When they cannot be read.
pub async fn match_pauses(gateway: &Gateway) -> Result<(), StoreError> {
    let paused = paused_lanes(gateway).await?;
    for lane in gateway.lanes() {
        // A queue that does not answer now is compared again when it does.
        let Ok(stats) = gateway.queue.stats(lane).await else {
            continue;
        };
        let wanted = paused.contains(lane.as_str());
        let one = OneLane { gateway, lane };
        let wanted = match_pause(&one, stats.paused, wanted).await?;
        let gauge = if wanted { 1.0 } else { 0.0 };
        metrics::gauge!(crate::telemetry::names::LANE_PAUSED, "lane" => lane.to_string())
            .set(gauge);
    }
    Ok(())
}

/// A lane that can be paused, and a store that has an opinion of it.
trait Pausable {
    fn set(&self, paused: bool) -> impl Future<Output = ()> + Send;
    fn wanted(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

struct OneLane<'g> {
    gateway: &'g Gateway,
    lane: &'g LaneId,
}

impl Pausable for OneLane<'_> {
    async fn set(&self, paused: bool) {
        let lane = self.lane;
        tracing::warn!(lane = %lane, paused, "the lane is paused as the store has it");
        if let Err(error) = self.gateway.queue.pause(lane, paused).await {
            tracing::error!(lane = %lane, %error, "the lane is not paused or resumed");
        }
    }

    async fn wanted(&self) -> Result<bool, StoreError> {
        let paused = paused_lanes(self.gateway).await?;
        Ok(paused.contains(self.lane.as_str()))
    }
}

/// Makes a lane that `is` paused or not as the store wants it. Somebody may pause or resume it meanwhile, in
/// the store first: then what was just set is wrong, and set anew. Gives what the store wants at last.
async fn match_pause(
    lane: &impl Pausable,
    mut is: bool,
    mut wanted: bool,
) -> Result<bool, StoreError> {
    while is != wanted {
        lane.set(wanted).await;
        is = wanted;
        wanted = lane.wanted().await?;
    }
    Ok(wanted)
}

async fn paused_lanes(gateway: &Gateway) -> Result<BTreeSet<String>, StoreError> {
    let paused = gateway.store.read(|tx| at_once(upkeep::paused(tx))).await?;
    Ok(paused.into_iter().map(|p| p.lane).collect())
}

/// Sleeps; `false` when it is time to stop.
async fn pause(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = stop.cancelled() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A store of one mind after the other, and what was set on the lane.
    struct Minds {
        left: Mutex<Vec<bool>>,
        set: Mutex<Vec<bool>>,
    }

    impl Pausable for Minds {
        async fn set(&self, paused: bool) {
            self.set.lock().unwrap().push(paused);
        }

        async fn wanted(&self) -> Result<bool, StoreError> {
            let mut left = self.left.lock().unwrap();
            if left.len() > 1 {
                left.remove(0);
            }
            Ok(left[0])
        }
    }

    /// What is set on a lane that is paused or not while the store is of these minds.
    async fn set(is: bool, minds: &[bool]) -> Vec<bool> {
        let lane = Minds {
            left: Mutex::new(minds.to_vec()),
            set: Mutex::default(),
        };
        let at_last = match_pause(&lane, is, minds[0]).await.unwrap();
        assert_eq!(at_last, *minds.last().unwrap());
        lane.set.into_inner().unwrap()
    }

    #[tokio::test]
    async fn a_lane_is_paused_as_the_store_has_it_at_last() {
        assert!(set(false, &[false]).await.is_empty());
        assert_eq!(set(false, &[true]).await, [true]);
        assert_eq!(set(true, &[false]).await, [false]);
        // Resumed after the store was read and before the lane was looked at.
        assert_eq!(set(false, &[true, false]).await, [true, false]);
        assert_eq!(set(true, &[false, true, false]).await, [false, true, false]);
    }

    #[test]
    fn each_channel_is_probed_as_often_as_it_says() {
        let minute = Duration::from_secs(60);
        assert!(is_due(minute, minute));
        assert!(!is_due(Duration::ZERO, minute));
        // A mail provider locks an account that fails every minute.
        let half_hour = Duration::from_secs(1800);
        for rounds in 1..29 {
            assert!(!is_due(minute * rounds, half_hour), "{rounds}");
        }
        assert!(is_due(minute * 30, half_hour));
    }
}
