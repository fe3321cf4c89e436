//! What a host can do, in safe Rust: systems, sign-in, tokens, sending, events. The only async code, with
//! [`crate::net`].

pub mod check;
pub mod core;
pub mod courier;
pub mod descriptor;
pub mod error;
pub mod events;
mod leases;
pub mod log;
pub mod operation;
pub mod options;
mod refresher;
pub mod sending;
pub mod sign_in;
pub mod smtp;
pub mod systems;
pub mod tokens;
mod watching;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use core::Core;
pub use courier::Courier;
pub use error::UseError;
pub use events::{Event, Subscription};
pub use log::{Level, Line};
pub use operation::{Operation, Outcome, Success};
pub use options::Options;

use crate::Error;
use crate::base::limits;

/// How long a closing connector lets its operations end by themselves.
const GRACE: Duration = Duration::from_millis(100);
/// The same for a mail whose final dot is not answered yet: the answer is mostly on its way.
const GRACE_IN_DOUBT: Duration = Duration::from_millis(1_000);

/// A host's connector. Two of one directory share a [`Core`]; loggers, events and operations are each one's own.
pub struct Connector {
    /// What it shares with others of the same directory.
    pub core: Arc<Core>,
    options: Options,
    logger: Mutex<Option<(Level, Courier<Line>)>>,
    subscriptions: Mutex<Vec<Weak<Subscription>>>,
    operations: Mutex<HashMap<i64, Arc<Operation>>>,
    /// Set under the lock of the operations, so that none begins afterwards.
    closed: AtomicBool,
    stop: CancellationToken,
}

/// Numbers the operations of this process: 1 … 2^53 - 1.
static NEXT_OPERATION: AtomicI64 = AtomicI64::new(1);

impl Connector {
    /// Opens a connector; threads start with the first of a directory.
    pub fn open(options: Options) -> Result<Arc<Self>, Error> {
        let core = Core::enter(options.clone())?;
        let connector = Arc::new(Self {
            options,
            stop: core.stop.child_token(),
            core,
            logger: Mutex::default(),
            subscriptions: Mutex::default(),
            operations: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        connector.core.join(&connector);
        let core = Arc::clone(&connector.core);
        connector.core.spawn(async move { core.drive_unfinished().await });
        Ok(connector)
    }

    /// The options that it was opened with; the core has those of the first.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Shuts down within two seconds, whatever its callbacks do. Doing it twice is fine.
    pub fn close(&self) {
        let live = {
            let operations = lock(&self.operations);
            if self.closed.swap(true, Ordering::SeqCst) {
                return;
            }
            operations.values().cloned().collect::<Vec<_>>()
        };
        self.stop.cancel();
        self.core.wake();
        let begun = Instant::now();
        for operation in &live {
            let left = |grace: Duration| Some(grace.saturating_sub(begun.elapsed()));
            let in_doubt = || operation.in_doubt.load(Ordering::SeqCst);
            let mut ended = operation.wait(left(GRACE)).is_some();
            if !ended && in_doubt() {
                ended = operation.wait(left(GRACE_IN_DOUBT)).is_some();
            }
            if !ended {
                let error = if in_doubt() { sending::unknown() } else { UseError::Closed.into() };
                self.end(operation, Err(Arc::new(error)));
            }
            operation.silence();
        }
        // Taken out first: what the host releases runs without our lock.
        let logger = lock(&self.logger).take();
        if let Some((_, courier)) = logger {
            courier.close();
        }
        lock(&self.subscriptions).iter().filter_map(Weak::upgrade).for_each(|subscription| subscription.end());
        self.core.leave();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Fails when it was closed.
    pub fn check_open(&self) -> Result<(), UseError> {
        if self.is_closed() { Err(UseError::Closed) } else { Ok(()) }
    }

    /// A new operation, to be given its work with [`Connector::run`].
    pub fn new_operation(&self) -> Result<Arc<Operation>, UseError> {
        let mut operations = lock(&self.operations);
        if self.is_closed() {
            return Err(UseError::Closed);
        }
        if operations.len() >= limits::HANDLES {
            return Err(UseError::Limit { what: "running operations" });
        }
        let id = NEXT_OPERATION.fetch_add(1, Ordering::Relaxed);
        let operation = Arc::new(Operation::new(id, self.stop.child_token()));
        operations.insert(id, Arc::clone(&operation));
        Ok(operation)
    }

    /// Forgets an operation whose work never began.
    pub fn abandon(&self, operation: &Arc<Operation>) {
        operation.silence();
        lock(&self.operations).remove(&operation.id);
    }

    /// Runs the work of an operation on the library's threads.
    pub fn run<F>(self: &Arc<Self>, operation: &Arc<Operation>, work: F)
    where
        F: Future<Output = Result<Success, Error>> + Send + 'static,
    {
        let (connector, operation) = (Arc::clone(self), Arc::clone(operation));
        self.core.spawn(async move {
            // A task of its own, so that a panic in the work ends as an error of the operation.
            let outcome = match tokio::spawn(work).await {
                Ok(Ok(success)) => Ok(success),
                Ok(Err(Error::Use(UseError::Canceled { .. }))) if connector.is_closed() => {
                    Err(Arc::new(UseError::Closed.into()))
                }
                Ok(Err(error)) => Err(Arc::new(error)),
                Err(failed) => Err(Arc::new(match failed.try_into_panic() {
                    Ok(payload) => Error::panicked(&*payload),
                    Err(_) => UseError::Closed.into(),
                })),
            };
            connector.end(&operation, outcome);
        });
    }

    /// Runs work and waits for it: the blocking form. When the time is over the work goes on.
    pub fn call<F>(self: &Arc<Self>, time: Option<Duration>, work: F) -> Outcome
    where
        F: Future<Output = Result<Success, Error>> + Send + 'static,
    {
        let operation = self.new_operation().map_err(|error| Arc::new(error.into()))?;
        operation.freed.store(true, Ordering::Relaxed);
        self.run(&operation, work);
        operation.wait(time).unwrap_or_else(|| Err(Arc::new(UseError::Timeout.into())))
    }

    fn end(&self, operation: &Arc<Operation>, outcome: Outcome) {
        if operation.complete(outcome) {
            let completion = Event::completion(operation);
            operation.announce_end(&completion.value);
            if !operation.freed.load(Ordering::Relaxed) {
                self.publish(&completion);
            }
        }
        lock(&self.operations).remove(&operation.id);
    }

    /// Sets the logger, or removes it. The one before is told nothing more.
    pub fn set_logger(&self, logger: Option<(Level, Courier<Line>)>) -> Result<(), UseError> {
        // Under the lock under which `closed` is set, so that no logger outlives its connector.
        let operations = lock(&self.operations);
        if self.is_closed() {
            drop(operations);
            if let Some((_, courier)) = logger {
                courier.close();
            }
            return Err(UseError::Closed);
        }
        let before = std::mem::replace(&mut *lock(&self.logger), logger);
        drop(operations);
        if let Some((_, courier)) = before {
            courier.close();
        }
        Ok(())
    }

    /// Opens a subscription.
    pub fn subscribe(&self, filter: events::Filter) -> Result<Arc<Subscription>, UseError> {
        let _closing_waits = lock(&self.operations);
        if self.is_closed() {
            return Err(UseError::Closed);
        }
        let subscription = Arc::new(Subscription::new(filter));
        let mut subscriptions = lock(&self.subscriptions);
        subscriptions.retain(|known| known.strong_count() > 0);
        subscriptions.push(Arc::downgrade(&subscription));
        Ok(subscription)
    }

    /// Gives an event to every subscription.
    pub fn publish(&self, event: &Event) {
        let subscriptions: Vec<_> = lock(&self.subscriptions).iter().filter_map(Weak::upgrade).collect();
        subscriptions.iter().for_each(|subscription| subscription.publish(event));
    }

    /// Gives a line to the logger and to the subscriptions that ask for the log.
    pub fn log(&self, level: Level, target: &'static str, text: &str) {
        // One line is one line, whatever a server put into its words.
        let text = &text.replace("\r\n", " ").replace(char::is_control, " ");
        let logger = lock(&self.logger).as_ref().filter(|(wanted, _)| level <= *wanted).map(|(_, to)| to.clone());
        if let Some(logger) = logger {
            logger.bring(Line { level, text: format!("{target}: {text}") });
        }
        let subscriptions: Vec<_> = lock(&self.subscriptions).iter().filter_map(Weak::upgrade).collect();
        if subscriptions.iter().any(|subscription| subscription.wants_log(level)) {
            let json = serde_json::json!({
                "type": "log", "level": level as i32, "level_name": level.name(), "target": target, "message": text,
                "at_unix_s": self.core.clock.unix_s(),
            });
            let value = Arc::new(json.into());
            let event = Event { kind: events::Kind::Log, system_id: None, level: Some(level), value, freed: None };
            subscriptions.iter().for_each(|subscription| subscription.publish(&event));
        }
    }
}

/// A lock that a panic elsewhere does not take away: what it guards is always whole between two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
