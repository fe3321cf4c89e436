//! The connector and its logger.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::callback::{UserData, log_call, mxo_drop_fn, mxo_log_fn};
use super::guard::{guard, guard_plain, quiet_panics};
use super::handle::{self, get};
use super::text::{Out, optional};
use super::{fork, mxo_error, mxo_status};
use crate::base::{Status, limits};
use crate::connector::{Connector, Courier, Level, Options, UseError};
use crate::store::DataKey;

/// A connector: what a host opens once and keeps open for months. Any of its functions may be called from any thread
/// at the same time.
pub struct mxo_connector {
    _opaque: [u8; 0],
}

/// mxo_connector_set_logger: no lines.
pub const MXO_LOG_OFF: i32 = 0;
/// mxo_connector_set_logger: something failed and somebody should look.
pub const MXO_LOG_ERROR: i32 = 1;
/// mxo_connector_set_logger: something is not as it should be.
pub const MXO_LOG_WARNING: i32 = 2;
/// mxo_connector_set_logger: milestones.
pub const MXO_LOG_INFO: i32 = 3;
/// mxo_connector_set_logger: one line for each exchange on the network.
pub const MXO_LOG_DEBUG: i32 = 4;

/// Opens a connector. The library's threads start with the first one.
///
/// With a "data_directory" systems and tokens last, and are shared by all processes that open it at the same time; the
/// tokens are sealed. So are sign-ins: one process begins one, others follow it, see it through or cancel it. Without
/// one everything is kept in the memory of this connector and ends with it.
///
/// Two that are opened in one process with the same "data_directory" share everything but loggers, events and
/// operations; their other options must be equal. Any thread; does not touch the network; waits for other processes
/// that open the same directory, 10 seconds at most.
///
/// @param options_json  Options as a JSON object (docs/schema/connector-options.schema.json). May be NULL: defaults.
///                      "data_directory" (absolute path, on a local disk; made with access for its owner only, and
///                      refused if others can use it), "share_with_group" (true: its group may use it too), "key" (what
///                      seals the tokens, base64 of 32 octets; without it a key file in the directory),
///                      "run_sign_ins" (true: this connector sees the sign-ins of all processes through to their ends,
///                      also those of processes that are gone), "run_refresh" (true: it refreshes the tokens of all
///                      systems ahead of their expiry; weekly every connector does), "tls_roots"
///                      ("platform" or "file"), "ca_file" (a PEM file with authorities to trust beside), "proxy"
///                      ("system", "none" or http://user:password@host:port; for sign-in and mail), "bind_address" (the
///                      IP address from which connections begin), "ip_family" ("any", "ipv4" or "ipv6"), "timeouts" (an
///                      object of seconds: "resolve_s", "connect_s", "tls_s", "http_s", "smtp_command_s", "smtp_auth_s",
///                      "smtp_body_block_s", "smtp_final_dot_s"), "client_name" (the DNS name that this server gives
///                      itself in EHLO). An unknown option is MXO_E_ARGUMENT and named. With "system" the environment's
///                      proxy is read now, and not again.
/// @param connector     Receives the connector; close it with mxo_connector_close.
/// @param error         Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED; of the store: MXO_E_STORE_ACCESS: others can use the
///         directory, or this process cannot; MXO_E_STORE_KEY: not its key, or none; MXO_E_STORE_VERSION: a newer
///         version of this library has written it; MXO_E_STORE_DAMAGED: its file is damaged and was set aside under
///         the name that the message tells, and the next open begins with an empty store; MXO_E_STORE_BUSY,
///         MXO_E_DISK_FULL, MXO_E_STORE.
///
/// # Safety
///
/// `options_json` is NULL or NUL-terminated; `connector` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_connector_open(
    options_json: *const c_char,
    connector: *mut *mut mxo_connector,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(connector, "connector") };
    guard(error, || {
        let out = out?;
        // SAFETY: passed on from the header.
        let options = unsafe { optional(options_json, "options_json", limits::OPTIONS) }?;
        let options = options.map(Options::from_json).transpose()?.unwrap_or_default();
        fork::watch();
        quiet_panics();
        let opened = Connector::open(options)?;
        if let Err(failed) = out.give::<Connector>(Arc::clone(&opened)) {
            opened.close();
            return Err(failed);
        }
        Ok(Status::Ok)
    })
}

/// Closes a connector and frees it, within 2 seconds even past a callback that is stuck. Running calls return
/// MXO_E_CLOSED, operations complete truthfully, event queues drain to MXO_END. Handles that it gave can still be read
/// and freed afterwards, in any order. May be called from a callback, and twice. Any thread.
///
/// @param connector  The connector. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_connector_close(connector: *mut mxo_connector) {
    guard_plain((), || {
        if let Some(connector) = handle::remove::<Connector>(connector) {
            connector.close();
        }
    });
}

/// Seals everything in the data directory with a new key, and forgets the old one. Other processes that have the
/// directory open take a new key file by themselves; with a key of the host's they must open anew with it. Any thread;
/// waits for others that write, 10 seconds at most. Since ABI 1.1.
///
/// @param connector  An open connector.
/// @param new_key    The key that the host keeps from now on, base64 of 32 octets: the option "key" of later opens. May
///                   be NULL: a new key in the key file of the directory.
/// @param error      Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT: not such a key; MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
///         (5xx): then the old key still holds.
///
/// # Safety
///
/// `new_key` is NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_connector_change_key(
    connector: *mut mxo_connector,
    new_key: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    guard(error, || {
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let new_key = unsafe { optional(new_key, "new_key", limits::TEXT) }?;
        let wrong = || UseError::argument("new_key", "it must be base64 of 32 octets");
        let new_key = new_key.map(|text| DataKey::from_base64(text).ok_or_else(wrong)).transpose()?;
        connector.check_open()?;
        connector.core.store().change_key(new_key)?;
        Ok(Status::Ok)
    })
}

/// Sets the connector's logger, or replaces it. The one before is told nothing more, and its user data is released.
/// Any thread; does not block.
///
/// @param connector       An open connector.
/// @param level           The finest level wanted: MXO_LOG_OFF to MXO_LOG_DEBUG.
/// @param log             Is given each line. May be NULL: no logger from now on.
/// @param user_data       Passed to `log` as it is. May be NULL.
/// @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
/// @param error           Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_CLOSED, MXO_E_FORKED.
///
/// # Safety
///
/// The functions may be called with `user_data` from any thread until it is released; `error` is NULL or valid for a
/// write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_connector_set_logger(
    connector: *mut mxo_connector,
    level: i32,
    log: mxo_log_fn,
    user_data: *mut c_void,
    drop_user_data: mxo_drop_fn,
    error: *mut *mut mxo_error,
) -> mxo_status {
    let user_data = UserData::new(user_data, drop_user_data);
    guard(error, || {
        let connector = get::<Connector>(connector, "connector")?;
        let unknown = || UseError::argument("level", "it must be MXO_LOG_OFF to MXO_LOG_DEBUG, 0 to 4");
        let level = Level::from_number(level).ok_or_else(unknown)?;
        let call = log_call(log, user_data);
        let logger = call.map(|call| (level, Courier::new(connector.core.callbacks().clone(), call)));
        connector.set_logger(logger)?;
        Ok(Status::Ok)
    })
}
