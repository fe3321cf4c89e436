//! Tokens for a host that talks to the mail servers itself.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::callback::{UserData, mxo_drop_fn, mxo_operation_fn};
use super::guard::guard;
use super::handle::{get, peek};
use super::send::start;
use super::text::{Out, optional, required, time};
use super::{mxo_connector, mxo_error, mxo_operation, mxo_status};
use crate::Error;
use crate::base::value::{Node, Text};
use crate::base::{Report, Status, Value, limits};
use crate::connector::tokens::{AccessToken, Need};
use crate::connector::{Connector, Core, Success, UseError};
use crate::protocol::sasl;

/// Gives an access token for the mail servers, refreshed if it must be. Any thread; blocks while it asks the identity
/// service. A refresh that is under way is shared, and goes on when the time is over.
///
/// @param connector          An open connector.
/// @param system_id          The system.
/// @param min_validity_s     How long the token must live at least, in seconds. One that was refreshed in the last
///                           minute is given even if it is shorter.
/// @param timeout_ms         How long to wait, in milliseconds.
/// @param token              Receives the token: opaque text of 1.5 to 3 kB, rarely up to 64 KiB. Free it with
///                           mxo_string_free, which wipes it.
/// @param expires_at_unix_s  Receives when it ends, in seconds since 1970. May be NULL.
/// @param error              Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_SIGN_IN_REQUIRED and the other failures of a sign-in (2xx): somebody must connect the system;
///         MXO_E_IDENTITY_BUSY; MXO_E_TIMEOUT: not in this time; MXO_E_FILE (the cloud's "ca_file"); the failures of
///         the network (3xx); MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED,
///         the failures of the store (5xx).
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; the other pointers are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_access_token(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    min_validity_s: u32,
    timeout_ms: u32,
    token: *mut *mut c_char,
    expires_at_unix_s: *mut i64,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(token, "token") };
    let expiry = (!expires_at_unix_s.is_null())
        // SAFETY: passed on from the header.
        .then(|| unsafe { Out::cleared(expires_at_unix_s, "expires_at_unix_s", 0) })
        .transpose();
    guard(error, || {
        let (out, expiry) = (out?, expiry?);
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) };
        let give = |got: &AccessToken| {
            out.token(got.token.expose_secret())?;
            if let Some(expiry) = &expiry {
                expiry.fill(got.expires_at_unix_s);
            }
            Ok(Status::Ok)
        };
        let warm = |connector: &Arc<Connector>| {
            connector.check_open()?;
            Ok::<_, Error>(connector.core.with_warm_token(system_id.clone()?, &need(min_validity_s), give))
        };
        if let Some(given) = peek(connector, "connector", warm)?? {
            return given;
        }
        let (connector, system_id) = (get::<Connector>(connector, "connector")?, system_id?);
        give(&wait_for_token(&connector, system_id, min_validity_s, timeout_ms)?)
    })
}

/// The same as an operation. Its result has "/access_token" and "/expires_at_unix_s", and is wiped when freed. Any
/// thread; does not block.
///
/// @param connector       An open connector.
/// @param system_id       The system.
/// @param min_validity_s  As for mxo_access_token.
/// @param on_change       Is told of the end. May be NULL.
/// @param user_data       Passed to `on_change` as it is. May be NULL.
/// @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
/// @param operation       Receives the operation; free it with mxo_operation_free.
/// @param error           Receives the error, if any. May be NULL.
/// @return MXO_OK: it has started; MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED. The operation
///         itself ends as mxo_access_token does.
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; the functions may be called with `user_data` from any thread until it is
/// released; `operation` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_access_token_start(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    min_validity_s: u32,
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
        let core = Arc::clone(&connector.core);
        start(&connector, on_change, user_data, &out, |operation| {
            let cancel = operation.cancel.clone();
            connector.run(operation, async move {
                let got = tokio::select! {
                    got = core.access_token(&system_id, need(min_validity_s)) => got?,
                    () = cancel.cancelled() => return Err(canceled()),
                };
                let members = vec![
                    (Text::new("access_token"), Node::from(&got.token)),
                    (Text::new("expires_at_unix_s"), Node::Integer(got.expires_at_unix_s)),
                ];
                Ok(Success::ok(Value::new(Node::Object(members))))
            });
            Ok(())
        })
    })
}

/// Gives the XOAUTH2 response for a mail server: base64 on one line, for a client of your own. Send `AUTH XOAUTH2`
/// alone and this after the server's challenge: it is longer than a command line may be. Any thread; blocks as
/// mxo_access_token does.
///
/// @param connector         An open connector.
/// @param system_id         The system.
/// @param mailbox           The login name. May be NULL: that of the system.
/// @param timeout_ms        How long to wait, in milliseconds.
/// @param initial_response  Receives the response: a secret of 2 to 4 kB, rarely up to 88 KiB. Free it with
///                          mxo_string_free, which wipes it.
/// @param error             Receives the error, if any. May be NULL.
/// @return As mxo_access_token.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `initial_response` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_xoauth2(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    mailbox: *const c_char,
    timeout_ms: u32,
    initial_response: *mut *mut c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(initial_response, "initial_response") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        let mailbox = unsafe { optional(mailbox, "mailbox", limits::TEXT) }?;
        if mailbox.is_some_and(|mailbox| mailbox.chars().any(char::is_control)) {
            return Err(UseError::argument("mailbox", "it holds control characters").into());
        }
        let got = wait_for_token(&connector, system_id, 0, timeout_ms)?;
        let response: SecretString = sasl::xoauth2(mailbox.unwrap_or(&got.login_name), &got.token)?;
        out.text(response.expose_secret())?;
        Ok(Status::Ok)
    })
}

fn need(min_validity_s: u32) -> Need {
    Need { min_validity: Duration::from_secs(u64::from(min_validity_s)), ..Need::default() }
}

fn canceled() -> Error {
    UseError::Canceled { what: "It was cancelled" }.into()
}

/// The token itself comes through a channel and not as an operation's value: one copy less to wipe.
fn wait_for_token(
    connector: &Arc<Connector>,
    system_id: &str,
    min_validity_s: u32,
    timeout_ms: u32,
) -> Result<AccessToken, Error> {
    let (give, taken) = std::sync::mpsc::sync_channel(1);
    let (core, system_id): (Arc<Core>, String) = (Arc::clone(&connector.core), system_id.to_owned());
    let outcome = connector.call(time(timeout_ms), async move {
        let got = core.access_token(&system_id, need(min_validity_s)).await?;
        let _ = give.send(got);
        Ok(Success::ok(serde_json::Value::Null))
    });
    outcome.map_err(|failed| Error::from(Report::clone(&failed.report())))?;
    taken.try_recv().map_err(|_| Error::Internal("a token vanished"))
}
