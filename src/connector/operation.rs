//! An operation: long work that a host starts, waits for, cancels and lets go.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::courier::Courier;
use crate::Error;
use crate::base::{Status, Value};

/// How an operation ended well.
#[derive(Clone)]
pub struct Success {
    /// `Ok` or `Partial`.
    pub status: Status,
    /// The result.
    pub value: Arc<Value>,
}

impl Success {
    /// Done.
    pub fn ok(value: impl Into<Value>) -> Self {
        Self { status: Status::Ok, value: Arc::new(value.into()) }
    }
}

/// How an operation ended.
pub type Outcome = Result<Success, Arc<Error>>;

/// A change of an operation, on its way to the host's function.
pub type Change = Arc<Value>;

/// Long work.
pub struct Operation {
    /// 1 … 2^53 - 1, so that PHP and JSON hold it.
    pub id: i64,
    /// Asks the work to end.
    pub cancel: CancellationToken,
    /// The work passed a point after which its end is not known until it is heard of: the final dot of a mail.
    pub in_doubt: AtomicBool,
    /// The host let go: its completion need not be kept any longer.
    pub freed: Arc<AtomicBool>,
    canceled: AtomicBool,
    courier: Mutex<Option<Courier<Change>>>,
    /// What the host's function is told at the end, when it is more than that it ended.
    last_change: Mutex<Option<Change>>,
    state: Mutex<Option<Outcome>>,
    changed: Condvar,
}

thread_local! {
    /// The operation whose function runs on this thread.
    static CALLING: Cell<i64> = const { Cell::new(0) };
}

/// Marks this thread as running the function of an operation, for as long as `call` takes.
pub fn while_calling(operation_id: i64, call: impl FnOnce()) {
    let before = CALLING.replace(operation_id);
    call();
    CALLING.set(before);
}

impl Operation {
    /// An operation that has just begun.
    #[must_use]
    pub fn new(id: i64, cancel: CancellationToken) -> Self {
        Self {
            id,
            cancel,
            in_doubt: AtomicBool::new(false),
            freed: Arc::default(),
            canceled: AtomicBool::new(false),
            courier: Mutex::new(None),
            last_change: Mutex::new(None),
            state: Mutex::new(None),
            changed: Condvar::new(),
        }
    }

    /// Sets the function that is told of changes.
    pub fn tell(&self, courier: Courier<Change>) {
        *self.courier.lock().unwrap_or_else(PoisonError::into_inner) = Some(courier);
    }

    fn courier(&self) -> Option<Courier<Change>> {
        self.courier.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the host's function.
    pub fn changed(&self, change: &Change) {
        if let Some(courier) = self.courier() {
            courier.bring(Arc::clone(change));
        }
    }

    /// What the host's function will be told when the operation has ended.
    pub fn changes_last(&self, change: &Change) {
        *self.last_change.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(change));
    }

    /// The host asks the work to end.
    pub fn request_cancel(&self) {
        self.canceled.store(true, Ordering::SeqCst);
        self.cancel.cancel();
    }

    /// Whether it was the host who asked, and not its connector that closes.
    #[must_use]
    pub fn was_canceled(&self) -> bool {
        self.canceled.load(Ordering::SeqCst)
    }

    /// Ends it; the first end counts. True when this was the first.
    pub fn complete(&self, outcome: Outcome) -> bool {
        let mut state = self.state();
        let first = state.is_none();
        if first {
            *state = Some(outcome);
        }
        drop(state);
        self.changed.notify_all();
        first
    }

    /// Tells the host's function of the end, as the last thing that it hears.
    pub fn announce_end(&self, completion: &Change) {
        if let Some(courier) = self.courier() {
            let last = self.last_change.lock().unwrap_or_else(PoisonError::into_inner).take();
            courier.bring(last.unwrap_or_else(|| Arc::clone(completion)));
            courier.finish();
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.state().clone()
    }

    /// The status of its end, or `Pending`.
    #[must_use]
    pub fn status(&self) -> Status {
        match &*self.state() {
            None => Status::Pending,
            Some(Ok(success)) => success.status,
            Some(Err(error)) => error.report().status,
        }
    }

    /// Waits for its end; `None` as time means for ever, `None` as result that the time ran out.
    #[must_use]
    pub fn wait(&self, time: Option<Duration>) -> Option<Outcome> {
        let until = time.and_then(|time| Instant::now().checked_add(time));
        let mut state = self.state();
        loop {
            if let Some(outcome) = &*state {
                return Some(outcome.clone());
            }
            state = match until {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Whether the function of this very operation runs on this thread.
    #[must_use]
    pub fn is_calling(&self) -> bool {
        CALLING.get() == self.id
    }

    /// The host lets go: no new call of its function begins. The work goes on.
    pub fn let_go(&self) {
        self.freed.store(true, Ordering::Relaxed);
        self.silence();
    }

    /// No new call of its function begins.
    pub fn silence(&self) {
        let courier = self.courier.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(courier) = courier {
            courier.close();
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
