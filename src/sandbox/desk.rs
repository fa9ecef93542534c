//! What the sandbox keeps per account, and the only places that call an emulator.

use super::Account;
use super::faults::Faults;
use super::hooks::{HOOK_LAG, Posted, Queue};
use super::log::Log;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_channels::kit::emulator::{Action, CannotAct, Emulator, PhoneLine};
use switchboard_channels::kit::http::{Request, Response};
use switchboard_channels::model::Millis;
use tokio::sync::oneshot;

/// The accounts of a sandbox.
pub(super) struct Site {
    /// Root of the URLs that emulators see.
    pub(super) base_url: String,
    /// In the order given.
    pub(super) desks: Vec<Arc<Desk>>,
    by_id: HashMap<String, Arc<Desk>>,
}

impl Site {
    pub(super) fn new(base_url: String, desks: Vec<Arc<Desk>>) -> Self {
        let by_id = desks
            .iter()
            .map(|desk| (desk.id.clone(), Arc::clone(desk)))
            .collect();
        Self {
            base_url,
            desks,
            by_id,
        }
    }

    pub(super) fn desk(&self, id: &str) -> Option<&Desk> {
        self.by_id.get(id).map(Arc::as_ref)
    }
}

/// One account.
pub(super) struct Desk {
    pub(super) id: String,
    pub(super) kind: &'static str,
    /// Held for one call at a time and never across an await.
    emulator: Mutex<Box<dyn Emulator>>,
    pub(super) queue: Arc<Queue>,
    pub(super) faults: Faults,
    /// `None`: switched off.
    pub(super) log: Option<Log>,
}

impl Desk {
    pub(super) fn new(account: Account, log_requests: bool) -> Self {
        Self {
            id: account.id,
            kind: account.kind,
            emulator: Mutex::new(account.emulator),
            queue: Arc::default(),
            faults: Faults::default(),
            log: log_requests.then(Log::default),
        }
    }

    /// The emulator. One that panicked before may have lost a message, not its sense.
    fn emulator(&self) -> MutexGuard<'_, Box<dyn Emulator>> {
        locked(&self.emulator)
    }

    /// Has a request answered, and its webhooks queued.
    pub(super) fn handle(&self, request: &Request) -> Response {
        let mut emulator = self.emulator();
        let handled = catch_unwind(AssertUnwindSafe(|| emulator.handle(request, now())));
        let Ok(exchange) = handled else {
            // A panic would end the whole worker and cut off every other connection with it.
            tracing::error!(channel.id = %self.id, "the emulator panicked");
            return Response::json(500, r#"{"ok":false,"error":"the emulator panicked"}"#);
        };
        // Still under the emulator's lock: else two requests could queue their webhooks in the
        // other order than the one in which they were handled.
        self.queue.push(exchange.hooks, HOOK_LAG);
        drop(emulator);
        exchange.response
    }

    /// Lets the customer do something; each receiver gets what became of one webhook.
    pub(super) fn act(&self, action: &Action) -> Result<Vec<oneshot::Receiver<Posted>>, CannotAct> {
        let mut emulator = self.emulator();
        let acted = catch_unwind(AssertUnwindSafe(|| emulator.act(action, now())));
        let Ok(acted) = acted else {
            tracing::error!(channel.id = %self.id, "the emulator panicked");
            return Err(CannotAct("the emulator panicked".to_owned()));
        };
        // Under the lock for the order, as above. Nobody waits for an answer: no lag.
        let receivers = self.queue.push_watched(acted?, Duration::ZERO);
        drop(emulator);
        Ok(receivers)
    }

    pub(super) fn phone(&self) -> Vec<PhoneLine> {
        self.emulator().phone()
    }

    /// Forgets conversations, and the webhooks that tell of them.
    pub(super) fn reset(&self) {
        let mut emulator = self.emulator();
        emulator.reset();
        self.queue.clear();
    }
}

/// Locks a mutex of ours, whoever panicked while holding it: what they guard is whole between any
/// two statements.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Millis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}
