//! What comes out of the spool, on its way into the store.
//!
//! Requests are verified and parsed again, as what arrives is. Those of one person, or without any,
//! go one after the other, in their order; those of others beside them, so that a backlog shrinks
//! faster than it grows.

use super::spool::Record;
use super::spool::replay::{Sink, Verdict};
use super::{NotTaken, apply, taken, understand};
use crate::gateway::Gateway;
use crate::reconcile::reconcile;
use crate::store::StoreError;
use crate::store::inbound::InboundBatch;
use futures_util::{StreamExt, stream};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Chains of requests that are written at once: as many as commits can be shared by.
const CHAINS_AT_ONCE: usize = 16;

/// Replays the spool of this process, if it has one, until it is told to stop.
pub async fn replay(gateway: Arc<Gateway>, stop: CancellationToken) {
    if let Some(spool) = gateway.spool.get() {
        let sink = IntoStore {
            gateway: &gateway,
            met_duplicates: AtomicBool::new(false),
        };
        spool.replay(&sink, &stop).await;
    }
}

struct IntoStore<'g> {
    gateway: &'g Gateway,
    /// Something was in the store already: its commit went through, and nobody lived to see it.
    met_duplicates: AtomicBool,
}

impl Sink for IntoStore<'_> {
    async fn take(&self, records: &[Record]) -> Result<Vec<Verdict>, StoreError> {
        let understood: Vec<_> = records.iter().map(|record| self.read(record)).collect();
        let keys = understood.iter().map(|found| match found {
            Ok(batches) => sender_keys(batches),
            Err(_) => Vec::new(),
        });
        let chains = chains(keys);
        let written = stream::iter(chains)
            .map(|chain| self.write(chain, &understood))
            .buffer_unordered(CHAINS_AT_ONCE)
            .collect::<Vec<Result<Vec<(usize, Verdict)>, StoreError>>>()
            .await;
        let mut verdicts = vec![Verdict::Done; records.len()];
        for chain in written {
            for (index, verdict) in chain? {
                if let Some(place) = verdicts.get_mut(index) {
                    *place = verdict;
                }
            }
        }
        if self.met_duplicates.swap(false, Ordering::Relaxed) {
            // What it made due was never woken. The next comparison may be a minute away.
            reconcile(self.gateway).await?;
        }
        Ok(verdicts)
    }
}

/// What a record carries, or why it can never be replayed.
type Understood = Result<Arc<[InboundBatch]>, String>;

impl IntoStore<'_> {
    fn read(&self, record: &Record) -> Understood {
        let id = record.channel();
        let live = self.gateway.channel(id);
        let live = live.ok_or_else(|| format!("there is no channel {id} any more"))?;
        let found = understand(self.gateway, live, &record.request);
        let (batches, _reply) = found.map_err(|error| match error {
            NotTaken::Rejected(rejected) => format!("it is not believed any more: {rejected}"),
            NotTaken::Malformed(malformed) => malformed.to_string(),
            other => format!("{other:?}"),
        })?;
        Ok(batches.into())
    }

    /// Writes the requests of a chain in their order.
    async fn write(
        &self,
        chain: Vec<usize>,
        understood: &[Understood],
    ) -> Result<Vec<(usize, Verdict)>, StoreError> {
        let mut verdicts = Vec::with_capacity(chain.len());
        for index in chain {
            let verdict = match understood.get(index) {
                Some(Ok(batches)) => match apply(self.gateway, batches).await {
                    Ok((fates, wakes)) => {
                        if taken(&fates) == "duplicate" {
                            self.met_duplicates.store(true, Ordering::Relaxed);
                        }
                        self.gateway.wake(wakes).await;
                        Verdict::Done
                    }
                    Err(error) if error.may_pass() => return Err(error),
                    Err(error) => Verdict::Hopeless(error.to_string()),
                },
                Some(Err(why)) => Verdict::Hopeless(why.clone()),
                None => Verdict::Hopeless("it was not looked at".to_owned()),
            };
            verdicts.push((index, verdict));
        }
        Ok(verdicts)
    }
}

/// Whom the events are about: those that share a key must keep their order.
fn sender_keys(batches: &[InboundBatch]) -> Vec<String> {
    let mut keys = Vec::new();
    for batch in batches {
        let channel = &batch.channel.id;
        for event in &batch.events {
            let sender = event.sender.iter();
            let ids = sender.flat_map(|s| s.ids.iter().chain(&s.phone).chain(&s.email));
            let before = keys.len();
            keys.extend(ids.map(|id| format!("{channel} {id}")));
            if let Some(thread) = event.thread.as_ref().and_then(|t| t.key.as_ref()) {
                keys.push(format!("{channel} thread {thread}"));
            }
            if keys.len() == before {
                // Statuses and notices: in order among themselves.
                keys.push(channel.clone());
            }
        }
    }
    keys
}

/// Groups indices so that two that share a key, directly or through others, are in one group, in
/// their order.
fn chains(keys: impl Iterator<Item = Vec<String>>) -> Vec<Vec<usize>> {
    let mut chains: Vec<Vec<usize>> = Vec::new();
    let mut of_key: HashMap<String, usize> = HashMap::new();
    for (index, keys) in keys.enumerate() {
        let mut found: Vec<usize> = keys.iter().filter_map(|k| of_key.get(k).copied()).collect();
        found.sort_unstable();
        found.dedup();
        let mut members: Vec<usize> = Vec::new();
        for other in &found {
            members.extend(
                chains
                    .get_mut(*other)
                    .map(std::mem::take)
                    .unwrap_or_default(),
            );
        }
        members.sort_unstable();
        members.push(index);
        let target = chains.len();
        chains.push(members);
        // Keys of the chains that were joined lead to the new one from now on.
        for place in of_key.values_mut().filter(|place| found.contains(place)) {
            *place = target;
        }
        of_key.extend(keys.into_iter().map(|key| (key, target)));
    }
    chains.retain(|chain| !chain.is_empty());
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(keys: &[&[&str]]) -> Vec<Vec<usize>> {
        let owned = keys
            .iter()
            .map(|k| k.iter().map(|k| (*k).to_owned()).collect());
        let mut chains = chains(owned);
        chains.sort();
        chains
    }

    #[test]
    fn what_shares_a_key_stays_in_order_and_the_rest_goes_beside_it() {
        assert_eq!(
            chained(&[&["a"], &["b"], &["a"], &["c"], &["b"], &[]]),
            [vec![0, 2], vec![1, 4], vec![3], vec![5]]
        );
    }

    #[test]
    fn one_that_joins_two_chains_joins_all_that_follows() {
        assert_eq!(
            chained(&[&["a"], &["b"], &["c"], &["a", "b"], &["a"], &["b"], &["c"]]),
            [vec![0, 1, 3, 4, 5], vec![2, 6]]
        );
    }
}
