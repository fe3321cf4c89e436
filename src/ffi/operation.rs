//! Operations.

use std::sync::Arc;

use super::guard::{guard, guard_plain};
use super::handle::{get, remove};
use super::text::{Out, time};
use super::{mxo_error, mxo_status, mxo_value};
use crate::Error;
use crate::base::{Report, Status, Value};
use crate::connector::{Operation, Outcome, UseError};

/// A time-out in milliseconds that never runs out.
pub const MXO_FOREVER: u32 = 0xffff_ffff;

/// Long work that was started: wait for it, cancel it, or let it go. Completions come as events too.
pub struct mxo_operation {
    _opaque: [u8; 0],
}

/// The number of an operation, as its completion event carries it: 1 to 2^53 - 1; 0 when `operation` is none. Any
/// thread; does not block.
///
/// @param operation  The operation. May be NULL: gives 0.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_operation_id(operation: *const mxo_operation) -> i64 {
    guard_plain(0, || get::<Operation>(operation, "operation").map_or(0, |operation| operation.id))
}

/// Waits for the end of an operation and gives its result, as often as it is asked. Any thread. Inside the callback of
/// this very operation a wait for an operation that has not ended gives MXO_E_WOULD_DEADLOCK, unless `timeout_ms` is 0.
///
/// @param operation   The operation.
/// @param timeout_ms  How long to wait, in milliseconds; 0 looks once, MXO_FOREVER waits until it has ended.
/// @param result      Receives the result on MXO_OK and MXO_PARTIAL; free it with mxo_value_free. May be NULL.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK or MXO_PARTIAL: it ended well; MXO_TIMEOUT: it goes on; MXO_E_HANDLE, MXO_E_WOULD_DEADLOCK,
///         MXO_E_LIMIT, MXO_E_FORKED; or the failure with which it ended: MXO_E_CANCELED, MXO_E_CLOSED, and what the
///         function that started it names.
///
/// # Safety
///
/// `result` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_operation_wait(
    operation: *mut mxo_operation,
    timeout_ms: u32,
    result: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = (!result.is_null()).then(|| unsafe { Out::handle(result, "result") }).transpose();
    guard(error, || {
        let out = out?;
        let operation = get::<Operation>(operation, "operation")?;
        if operation.is_calling() && timeout_ms != 0 && operation.status() == Status::Pending {
            return Err(UseError::WouldDeadlock.into());
        }
        match operation.wait(time(timeout_ms)) {
            None => Ok(Status::Timeout),
            Some(outcome) => give(outcome, |value| out.as_ref().map_or(Ok(()), |out| out.give::<Value>(value))),
        }
    })
}

/// Asks an operation to end. It ends with MXO_E_CANCELED unless it ended before; a mail whose final dot is not answered
/// ends with MXO_E_SEND_UNKNOWN. The handle stays. Any thread; does not block.
///
/// @param operation  The operation. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_operation_cancel(operation: *mut mxo_operation) {
    guard_plain((), || {
        if let Ok(operation) = get::<Operation>(operation, "operation") {
            operation.request_cancel();
        }
    });
}

/// Lets go of an operation and no more: the work goes on. No new callback of it begins after this returns; one that is
/// running may still end, and then the user data is released. Any thread; does not block.
///
/// @param operation  The operation. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_operation_free(operation: *mut mxo_operation) {
    guard_plain((), || {
        if let Some(operation) = remove::<Operation>(operation) {
            operation.let_go();
        }
    });
}

/// Hands an outcome to C: the value on success, the error of the work on failure.
pub(super) fn give(outcome: Outcome, give: impl FnOnce(Arc<Value>) -> Result<(), Error>) -> Result<Status, Error> {
    match outcome {
        Ok(success) => {
            give(success.value)?;
            Ok(success.status)
        }
        Err(failed) => Err(Error::from(Report::clone(&failed.report()))),
    }
}
