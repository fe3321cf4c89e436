//! Events, pulled.

use std::ffi::c_char;
use std::sync::Arc;

use super::guard::{guard, guard_plain};
use super::handle::{get, remove};
use super::text::{Out, optional, time};
use super::{mxo_connector, mxo_error, mxo_status, mxo_value};
use crate::base::{Status, Value, limits};
use crate::connector::events::{Filter, Next};
use crate::connector::options::parse;
use crate::connector::{Connector, Subscription};

/// A subscription to events. Each has a queue of its own, so that two readers do not steal from each other.
pub struct mxo_events {
    _opaque: [u8; 0],
}

/// Opens a subscription to what happens from now on. Any thread; does not block.
///
/// Each event has "/type": "system" (added, changed, removed, connected, sign_in_required …), "sign_in" (each step of
/// one), "completion" (an operation of this connector ended: "/operation_id", "/status", "/name", never its result),
/// "log" (a line of the log, only when asked for), and "lost" ("/count" events were dropped because nobody read them:
/// read the state again). A completion is kept until it was read or its operation freed; of the rest the newest 1,024.
///
/// @param connector    An open connector.
/// @param filter_json  A JSON object (docs/schema/events-filter.schema.json): "types", "system_id", "log_level". May
///                     be NULL: everything but the log.
/// @param events       Receives the subscription; close it with mxo_events_close.
/// @param error        Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `filter_json` is NULL or NUL-terminated; `events` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_events_open(
    connector: *mut mxo_connector,
    filter_json: *const c_char,
    events: *mut *mut mxo_events,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(events, "events") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let filter = unsafe { optional(filter_json, "filter_json", limits::OPTIONS) }?;
        let filter = filter.map(|json| parse::<Filter>("filter_json", json)).transpose()?.unwrap_or_default();
        out.give(connector.subscribe(filter)?)?;
        Ok(Status::Ok)
    })
}

/// Waits for the next event. Any thread; several may wait on one subscription, each event goes to one of them.
///
/// @param events      A subscription.
/// @param timeout_ms  How long to wait, in milliseconds; 0 looks once, MXO_FOREVER waits until there is one.
/// @param event       Receives the event; free it with mxo_value_free.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_TIMEOUT: nothing came; MXO_END: the connector was closed and everything was read;
///         MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `event` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_events_next(
    events: *mut mxo_events,
    timeout_ms: u32,
    event: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(event, "event") };
    guard(error, || {
        let out = out?;
        let subscription = get::<Subscription>(events, "events")?;
        match subscription.next(time(timeout_ms)) {
            Next::Event(value) => {
                out.give::<Value>(value)?;
                Ok(Status::Ok)
            }
            Next::TimedOut => Ok(Status::Timeout),
            Next::End => Ok(Status::End),
        }
    })
}

/// Closes a subscription; a wait on it in another thread ends with MXO_END. Any thread; does not block.
///
/// @param events  The subscription. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_events_close(events: *mut mxo_events) {
    guard_plain((), || {
        if let Some(subscription) = remove::<Subscription>(events) {
            subscription.end();
            drop::<Arc<Subscription>>(subscription);
        }
    });
}
