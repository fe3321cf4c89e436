//! Signing in by device code, and out.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::callback::{UserData, mxo_drop_fn, mxo_operation_fn};
use super::device_code::Code;
use super::guard::guard;
use super::handle::get;
use super::send::start;
use super::text::{Out, optional, required, time};
use super::{mxo_connector, mxo_device_code, mxo_error, mxo_operation, mxo_status, mxo_value};
use crate::Error;
use crate::base::{Status, Value, limits};
use crate::connector::options::parse;
use crate::connector::sign_in::SignInOptions;
use crate::connector::{Connector, UseError};

/// Starts a sign-in by device code (RFC 8628), or joins the one that runs. Any thread; does not block.
///
/// The operation ends when the system is connected and proven (for now: SMTP has let it in once), or with the reason
/// why not. Its changes: at "code_waiting" show "/code/user_code" and "/code/verification_uri" (or ask
/// mxo_sign_in_code), "proving" when the person has confirmed, then "connected" or "failed". The result is what
/// mxo_sign_in_state tells; "/warnings" names each protocol of "serves" that was tried and refused although the sign-in
/// worked. Freeing the operation lets the sign-in go on; cancelling it cancels the sign-in.
///
/// @param connector       An open connector.
/// @param system_id       The system.
/// @param options_json    A JSON object (docs/schema/sign-in-options.schema.json): "if_pending" is "join" or
///                        "replace". May be NULL: join.
/// @param on_change       Is told of each change. May be NULL: pull instead.
/// @param user_data       Passed to `on_change` as it is. May be NULL.
/// @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
/// @param operation       Receives the operation; free it with mxo_operation_free.
/// @param error           Receives the error, if any. May be NULL.
/// @return MXO_OK: it has started; MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT,
///         MXO_E_FORKED, the failures of the store (5xx). The operation itself may end with: MXO_E_SIGN_IN_DECLINED,
///         MXO_E_SIGN_IN_EXPIRED, MXO_E_SIGN_IN_REQUIRED, MXO_E_APP_NOT_FOUND, MXO_E_TENANT_NOT_FOUND,
///         MXO_E_PUBLIC_CLIENT_OFF, MXO_E_APP_SETUP, MXO_E_TENANT_SETUP, MXO_E_CONSENT, MXO_E_POLICY, MXO_E_ACCOUNT,
///         MXO_E_WRONG_ACCOUNT, MXO_E_PERMISSION_MISSING, MXO_E_IDENTITY_BUSY, MXO_E_IDENTITY_REFUSED, MXO_E_PROTOCOL,
///         MXO_E_FILE (the cloud's "ca_file"), MXO_E_CANCELED, MXO_E_CLOSED, and those of the network (3xx) and of
///         the store (5xx).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; the functions may be called with `user_data` from any thread until it is
/// released; `operation` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_sign_in_start(
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
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        let options = unsafe { optional(options_json, "options_json", limits::OPTIONS) }?;
        let options = options.map(|json| parse::<SignInOptions>("options_json", json)).transpose()?;
        let options = options.unwrap_or_default();
        start(&connector, on_change, user_data, &out, |operation| {
            connector.start_sign_in(system_id, options, operation)
        })
    })
}

/// Waits until a sign-in has a code to show. Any thread.
///
/// @param connector   An open connector.
/// @param system_id   The system.
/// @param sign_in_id  Which sign-in. May be NULL: the latest.
/// @param timeout_ms  How long to wait, in milliseconds; 0 looks once.
/// @param code        Receives the code; free it with mxo_device_code_free.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_TIMEOUT: there is none yet; MXO_E_NOT_FOUND: no such system or sign-in; MXO_E_ARGUMENT,
///         MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store (5xx); when the sign-in has
///         failed, its failure (see mxo_sign_in_start).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `code` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_sign_in_code(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    sign_in_id: *const c_char,
    timeout_ms: u32,
    code: *mut *mut mxo_device_code,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(code, "code") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let (system_id, sign_in_id) = unsafe { which(system_id, sign_in_id) }?;
        let Some(sign_in) = connector.sign_in_code(system_id, sign_in_id, time(timeout_ms))? else {
            return Ok(Status::Timeout);
        };
        let code = sign_in.code.as_ref().ok_or(Error::Internal("a code vanished"))?;
        out.give(Arc::new(Code::new(&sign_in, code)))?;
        Ok(Status::Ok)
    })
}

/// Tells where a sign-in stands: "/state" ("starting", "code_waiting", "proving", "connected", "failed"), "/status"
/// (MXO_PENDING while it runs, then how it ended), "/name" (of the status), "/sign_in_id", "/code" (with
/// "/code/expires_in_s") while it waits, "/error" when it failed. Outcomes are kept, so a page asks by the identifier
/// of its own sign-in and never reads an older success. Any process that has the data directory open may ask; a page
/// that asks every few seconds sees the sign-in through to its end, also when nobody else does. Any thread.
///
/// @param connector   An open connector.
/// @param system_id   The system.
/// @param sign_in_id  Which sign-in. May be NULL: the latest.
/// @param timeout_ms  How long to wait for a turn that is due and that this call takes because nobody else does: a poll
///                    of the identity service, which is awaited to its own deadline (30 seconds) so that its answer is
///                    not lost, or the proof. 0 asks nobody and tells what is known.
/// @param state       Receives the value; free it with mxo_value_free.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK, also for a sign-in that has failed; MXO_E_NOT_FOUND: no such system or sign-in; MXO_E_ARGUMENT,
///         MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store (5xx).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `state` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_sign_in_state(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    sign_in_id: *const c_char,
    timeout_ms: u32,
    state: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(state, "state") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let (system_id, sign_in_id) = unsafe { which(system_id, sign_in_id) }?;
        let json = connector.sign_in_state(system_id, sign_in_id, time(timeout_ms))?;
        out.give::<Value>(Arc::new(json.into()))?;
        Ok(Status::Ok)
    })
}

/// Cancels a sign-in, whoever started it; one that has ended stays as it is. Any thread; does not block.
///
/// @param connector   An open connector.
/// @param system_id   The system.
/// @param sign_in_id  Which sign-in. May be NULL: the latest.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
///         (5xx).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_sign_in_cancel(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    sign_in_id: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    guard(error, || {
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let (system_id, sign_in_id) = unsafe { which(system_id, sign_in_id) }?;
        connector.cancel_sign_in(system_id, sign_in_id)?;
        Ok(Status::Ok)
    })
}

/// Forgets the tokens of a system, and cancels a sign-in of it. Local: Microsoft is not told, and the access token goes
/// on living there for its hour. Any thread; does not touch the network.
///
/// @param connector  An open connector.
/// @param system_id  The system.
/// @param error      Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
///         (5xx).
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_sign_out(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    guard(error, || {
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        connector.sign_out(unsafe { required(system_id, "system_id", limits::TEXT) }?)?;
        Ok(Status::Ok)
    })
}

/// # Safety
///
/// As for the functions above.
unsafe fn which<'a>(
    system_id: *const c_char,
    sign_in_id: *const c_char,
) -> Result<(&'a str, Option<&'a str>), UseError> {
    // SAFETY: passed on.
    unsafe { Ok((required(system_id, "system_id", limits::TEXT)?, optional(sign_in_id, "sign_in_id", limits::TEXT)?)) }
}
