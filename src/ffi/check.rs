//! The diagnosis.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::callback::{UserData, mxo_drop_fn, mxo_operation_fn};
use super::guard::guard;
use super::handle::get;
use super::send::start;
use super::text::{Out, optional, required};
use super::{mxo_connector, mxo_error, mxo_operation, mxo_status};
use crate::base::limits;
use crate::connector::Connector;
use crate::connector::check::{CheckOptions, check};

/// Walks the whole road of a system and tells of each step whether it works: name resolution, connection and
/// certificate of the sign-in service, its answer, tenant and application, public client flows, the access token, the
/// permissions, the account; name, connection, encryption and login of the SMTP server. The token of a system that is
/// connected is refreshed, unless it is less than a minute old; of one that is not, a sign-in code is asked for and thrown
/// away. No mail is sent and nobody is signed in. Any thread; does not block. Since ABI 1.1.
///
/// The operation's result (docs/schema/check-result.schema.json): "/verdict" ("ok" or "failed"), "/cause" (the first
/// fault as error JSON with "/cause/step", or null), "/steps" (each with "step", "title", "state": "ok", "failed" or
/// "skipped", "duration_ms", "detail" in plain words, "facts", "status", "name", "error" with its remedy), "/text" (all
/// of it as a checklist to print). Its changes are the same after each step, with "/verdict" "pending" while there is no
/// fault; the last one is the completion. A fault that is found is a result: the operation ends MXO_OK. No token is in it.
///
/// @param connector       An open connector.
/// @param system_id       The system.
/// @param options_json    A JSON object (docs/schema/check-options.schema.json): "network_only" (true: asks for no code
///                        and no token, and logs in nowhere), "timeout_s" (for all of it, in seconds, 1 to 600). May be
///                        NULL: the whole road, in three minutes at most.
/// @param on_change       Is told after each step. May be NULL.
/// @param user_data       Passed to `on_change` as it is. May be NULL.
/// @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
/// @param operation       Receives the operation; free it with mxo_operation_free.
/// @param error           Receives the error, if any. May be NULL.
/// @return MXO_OK: it has started; MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED. The operation
///         itself ends MXO_OK whatever it finds, or with MXO_E_NOT_FOUND, MXO_E_CANCELED, MXO_E_CLOSED, the failures of
///         the store (5xx).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; the functions may be called with `user_data` from any thread until it is
/// released; `operation` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_check_start(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    options_json: *const c_char,
    on_change: mxo_operation_fn,
    user_data: *mut c_void,
    drop_user_data: mxo_drop_fn,
    operation: *mut *mut mxo_operation,
    error: *mut *mut mxo_error,
) -> mxo_status {
    let user_data = UserData::new(user_data, drop_user_data);
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(operation, "operation") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?.to_owned();
        // SAFETY: passed on from the header.
        let options = unsafe { optional(options_json, "options_json", limits::OPTIONS) }?;
        let options = options.map(CheckOptions::from_json).transpose()?;
        start(&connector, on_change, user_data, &out, |operation| {
            let core = Arc::clone(&connector.core);
            connector.run(operation, check(core, system_id, options.unwrap_or_default(), Arc::clone(operation)));
            Ok(())
        })
    })
}
