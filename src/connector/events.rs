//! Events: each subscription has a queue of its own, so that two readers do not steal from each other.
//!
//! Completions are kept until they are read or their operation is freed; of everything else the oldest are dropped when
//! nobody reads, and the reader is told how many.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::log::Level;
use crate::base::{Value, limits};

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A system was added, changed, removed, connected, or needs a sign-in.
    System,
    /// A sign-in went on.
    SignIn,
    /// An operation of this connector ended.
    Completion,
    /// A line of the log.
    Log,
}

/// What a subscription wants. Schema: `docs/schema/events-filter.schema.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Kinds of event; all but the log by default.
    pub types: Vec<Kind>,
    /// Events of one system only, and those that belong to none.
    pub system_id: Option<String>,
    /// The finest log level wanted.
    pub log_level: Level,
}

impl Default for Filter {
    fn default() -> Self {
        Self { types: vec![Kind::System, Kind::SignIn, Kind::Completion], system_id: None, log_level: Level::Info }
    }
}

/// An event on its way.
#[derive(Clone)]
pub struct Event {
    /// What kind.
    pub kind: Kind,
    /// Of which system.
    pub system_id: Option<String>,
    /// For log lines.
    pub level: Option<Level>,
    /// What the reader gets.
    pub value: Arc<Value>,
    /// For completions: whether the operation was freed.
    pub freed: Option<Arc<AtomicBool>>,
}

impl Event {
    /// An event of a system.
    #[must_use]
    pub fn of_system(kind: Kind, system_id: &str, json: Json) -> Self {
        let value = Arc::new(json.into());
        Self { kind, system_id: Some(system_id.to_owned()), level: None, value, freed: None }
    }

    /// The end of an operation. It carries the status and never the result, which may be a token.
    #[must_use]
    pub fn completion(operation: &super::Operation) -> Self {
        let status = operation.status();
        let json = json!({
            "type": "completion", "operation_id": operation.id, "status": status, "name": status.name(),
        });
        let freed = Some(Arc::clone(&operation.freed));
        Self { kind: Kind::Completion, system_id: None, level: None, value: Arc::new(json.into()), freed }
    }
}

/// What a wait for the next event gave.
pub enum Next {
    /// An event.
    Event(Arc<Value>),
    /// None in time.
    TimedOut,
    /// None ever again.
    End,
}

/// A subscription.
pub struct Subscription {
    filter: Filter,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Numbers the events, so that both queues are read in one order.
    arrivals: u64,
    ordinary: VecDeque<(u64, Arc<Value>)>,
    completions: VecDeque<(u64, Arc<Value>, Arc<AtomicBool>)>,
    /// When this many completions wait, those of freed operations are thrown out.
    purge_at: usize,
    lost: u64,
    ended: bool,
}

impl Subscription {
    /// A subscription to what the filter lets through.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        let queue = Queue { purge_at: limits::EVENTS, ..Queue::default() };
        Self { filter, queue: Mutex::new(queue), arrived: Condvar::new() }
    }

    /// Whether log lines of this level are wanted.
    #[must_use]
    pub fn wants_log(&self, level: Level) -> bool {
        self.filter.types.contains(&Kind::Log) && level <= self.filter.log_level
    }

    /// Queues an event if it is wanted.
    pub fn publish(&self, event: &Event) {
        let other_system = match (&self.filter.system_id, &event.system_id) {
            (Some(wanted), Some(system_id)) => wanted != system_id,
            _ => false,
        };
        let unwanted = match event.level {
            Some(level) => !self.wants_log(level),
            None => !self.filter.types.contains(&event.kind),
        };
        if other_system || unwanted {
            return;
        }
        let mut queue = self.queue();
        if queue.ended {
            return;
        }
        queue.push(event);
        drop(queue);
        self.arrived.notify_one();
    }

    /// Waits for the next event; `None` means for ever.
    #[must_use]
    pub fn next(&self, time: Option<Duration>) -> Next {
        let until = time.and_then(|time| Instant::now().checked_add(time));
        let mut queue = self.queue();
        loop {
            if let Some(value) = queue.pop() {
                return Next::Event(value);
            }
            if queue.ended {
                return Next::End;
            }
            queue = match until {
                None => self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Next::TimedOut;
                    }
                    self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Nothing more comes; what waits can still be read.
    pub fn end(&self) {
        self.queue().ended = true;
        self.arrived.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, event: &Event) {
        self.arrivals += 1;
        if let Some(freed) = &event.freed {
            if self.completions.len() >= self.purge_at {
                self.completions.retain(|(_, _, freed)| !freed.load(Ordering::Relaxed));
                // Doubled, so that throwing out costs little however many operations live.
                self.purge_at = limits::EVENTS.max(self.completions.len() * 2);
            }
            self.completions.push_back((self.arrivals, Arc::clone(&event.value), Arc::clone(freed)));
        } else {
            if self.ordinary.len() >= limits::EVENTS {
                self.ordinary.pop_front();
                self.lost += 1;
            }
            self.ordinary.push_back((self.arrivals, Arc::clone(&event.value)));
        }
    }

    fn pop(&mut self) -> Option<Arc<Value>> {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            return Some(Arc::new(json!({"type": "lost", "count": lost}).into()));
        }
        let ordinary = self.ordinary.front().map_or(u64::MAX, |(arrival, _)| *arrival);
        let completion = self.completions.front().map_or(u64::MAX, |(arrival, ..)| *arrival);
        if ordinary < completion {
            self.ordinary.pop_front().map(|(_, value)| value)
        } else {
            self.completions.pop_front().map(|(_, value, _)| value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(number: usize) -> Event {
        Event::of_system(Kind::System, "s", json!({"number": number}))
    }

    fn completion(number: i64) -> (Event, Arc<AtomicBool>) {
        let operation = super::super::Operation::new(number, tokio_util::sync::CancellationToken::new());
        (Event::completion(&operation), Arc::clone(&operation.freed))
    }

    fn text(next: Next) -> String {
        match next {
            Next::Event(value) => value.json().to_str().unwrap().to_owned(),
            Next::TimedOut => "timed out".to_owned(),
            Next::End => "end".to_owned(),
        }
    }

    #[test]
    fn the_oldest_are_lost_and_counted_but_never_a_completion() {
        let subscription = Subscription::new(Filter::default());
        let (first, _freed) = completion(1);
        subscription.publish(&first);
        (0..limits::EVENTS + 7).for_each(|number| subscription.publish(&news(number)));
        let now = Some(Duration::ZERO);
        assert!(text(subscription.next(now)).contains(r#""count":7"#));
        assert!(text(subscription.next(now)).contains("completion"));
        assert!(text(subscription.next(now)).contains(r#""number":7"#));
        subscription.end();
        (1..limits::EVENTS).for_each(|_| assert!(text(subscription.next(now)).contains("number")));
        assert_eq!(text(subscription.next(now)), "end");
    }

    #[test]
    fn a_reader_that_never_reads_costs_bounded_memory() {
        let subscription = Subscription::new(Filter::default());
        for number in 0..100_000 {
            let (event, freed) = completion(number);
            subscription.publish(&event);
            freed.store(true, Ordering::Relaxed);
        }
        assert!(subscription.queue().completions.len() <= 2 * limits::EVENTS);
    }

    #[test]
    fn a_filter_lets_through_what_it_names() {
        let filter: Filter = serde_json::from_value(json!({"types": ["system"], "system_id": "other"})).unwrap();
        let subscription = Subscription::new(filter);
        subscription.publish(&news(1));
        subscription.publish(&completion(1).0);
        assert_eq!(text(subscription.next(Some(Duration::ZERO))), "timed out");
        assert!(serde_json::from_value::<Filter>(json!({"kinds": []})).is_err());
    }
}
