//! Sending mail.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::callback::{UserData, mxo_drop_fn, mxo_operation_fn, operation_call};
use super::guard::guard;
use super::handle::{self, get};
use super::mail::MailObject;
use super::operation::give;
use super::text::{Out, required, time};
use super::{mxo_connector, mxo_error, mxo_mail, mxo_operation, mxo_status, mxo_value};
use crate::Error;
use crate::base::{Status, Value, limits};
use crate::connector::{Connector, Courier, Operation, UseError, sending};

/// How much longer than the caller's time the call waits for the work to end by itself, and truthfully.
const TRUTH: Duration = Duration::from_secs(5);

/// Sends a mail now, and waits until the server has it. Any thread; blocks.
///
/// The mail's state is taken when this is called: it may be changed, sent again or freed right after. It is never sent
/// twice by itself. The report has "/message_id", "/reply" (the server's own words, with its name for the mail),
/// "/accepted", "/refused" and "/recipients" ("/recipients/0/address", "/accepted", "/reply", "/enhanced_code").
///
/// @param connector   An open connector.
/// @param system_id   The system.
/// @param mail        The mail. Without a sender address it is sent from the system's.
/// @param timeout_ms  How long it may take, in milliseconds, connecting included.
/// @param report      Receives the report on MXO_OK and MXO_PARTIAL; free it with mxo_value_free. May be NULL.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_PARTIAL: sent, but not to every recipient; MXO_E_SEND_UNKNOWN: it may have been sent or not;
///         with every other failure it was not sent: MXO_E_TIMEOUT, MXO_E_SIGN_IN_REQUIRED and the others of
///         mxo_access_token, MXO_E_LOGIN_REFUSED (MXO_E_WRONG_ACCOUNT where another account than the mailbox is
///         refused), MXO_E_SMTP_AUTH_OFF, MXO_E_LOGIN_BLOCKED, MXO_E_STARTTLS_MISSING, MXO_E_SENDER_REFUSED,
///         MXO_E_RECIPIENTS_REFUSED, MXO_E_MESSAGE_REFUSED, MXO_E_MESSAGE_TOO_BIG, MXO_E_MAIL_BUSY, MXO_E_QUOTA,
///         MXO_E_SENDER_BLOCKED, MXO_E_PROTOCOL, MXO_E_FILE, those of the network (3xx), MXO_E_NOT_FOUND,
///         MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store (5xx).
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; `report` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_send(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    mail: *mut mxo_mail,
    timeout_ms: u32,
    report: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = (!report.is_null()).then(|| unsafe { Out::handle(report, "report") }).transpose();
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        let mail = get::<MailObject>(mail, "mail")?.snapshot();
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?.to_owned();
        let operation = connector.new_operation()?;
        operation.freed.store(true, std::sync::atomic::Ordering::Relaxed);
        let time = time(timeout_ms);
        let work = sending::send(Arc::clone(&connector.core), system_id, mail, time, Arc::clone(&operation));
        connector.run(&operation, work);
        let outcome = operation.wait(time.map(|time| time.saturating_add(TRUTH)));
        let outcome = outcome.unwrap_or_else(|| {
            operation.request_cancel();
            let in_doubt = operation.in_doubt.load(std::sync::atomic::Ordering::SeqCst);
            Err(Arc::new(if in_doubt { sending::unknown() } else { UseError::Timeout.into() }))
        });
        give(outcome, |value| out.as_ref().map_or(Ok(()), |out| out.give::<Value>(value)))
    })
}

/// The same as an operation, whose result is the report. Any thread; does not block.
///
/// @param connector       An open connector.
/// @param system_id       The system.
/// @param mail            The mail.
/// @param on_change       Is told of the end. May be NULL.
/// @param user_data       Passed to `on_change` as it is. May be NULL.
/// @param drop_user_data  Releases `user_data`, exactly once, also when this call fails. May be NULL.
/// @param operation       Receives the operation; free it with mxo_operation_free.
/// @param error           Receives the error, if any. May be NULL.
/// @return MXO_OK: it has started; MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED. The operation
///         itself ends as mxo_send does, or with MXO_E_CANCELED.
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; the functions may be called with `user_data` from any thread until it is
/// released; `operation` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_send_start(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    mail: *mut mxo_mail,
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
        let mail = get::<MailObject>(mail, "mail")?.snapshot();
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?.to_owned();
        start(&connector, on_change, user_data, &out, |operation| {
            let core = Arc::clone(&connector.core);
            connector.run(operation, sending::send(core, system_id, mail, None, Arc::clone(operation)));
            Ok(())
        })
    })
}

/// Starts an operation: its handle exists and its function is set before its work can tell anything.
pub(super) fn start(
    connector: &Arc<Connector>,
    on_change: mxo_operation_fn,
    user_data: UserData,
    out: &Out<*mut mxo_operation>,
    work: impl FnOnce(&Arc<Operation>) -> Result<(), Error>,
) -> Result<Status, Error> {
    let operation = connector.new_operation()?;
    let begun = handle::insert(Arc::clone(&operation)).map_err(Error::from).and_then(|handle| {
        if let Some(call) = operation_call(on_change, user_data, &operation, handle) {
            operation.tell(Courier::new(connector.core.callbacks().clone(), call));
        }
        out.fill(handle);
        work(&operation).inspect_err(|_| {
            handle::remove::<Operation>(handle);
            out.fill(std::ptr::null_mut());
        })
    });
    if begun.is_err() {
        connector.abandon(&operation);
    }
    begun.map(|()| Status::Ok)
}
