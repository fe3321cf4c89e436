//! Around every exported function: forks are refused, panics end here, errors become objects.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use super::error::Failure;
use super::{fork, handle, mxo_error, mxo_status, status};
use crate::Error;
use crate::base::Status;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs the body of a function that reports errors. Clears `*error` first.
pub(super) fn guard(error: *mut *mut mxo_error, body: impl FnOnce() -> Result<Status, Error>) -> mxo_status {
    if !error.is_null() {
        // SAFETY: the header asks for NULL or a valid pointer to a handle.
        unsafe { error.write(std::ptr::null_mut()) };
    }
    if fork::is_forked() {
        // Without an object: the table's lock may be held for ever by a thread that is not in this process.
        return status::MXO_E_FORKED;
    }
    match caught(body) {
        Ok(Ok(status)) => status.code(),
        Ok(Err(failure)) => tell(error, &failure),
        Err(failure) => tell(error, &failure),
    }
}

/// Runs the body of a function that has nothing to report with; `fallback` stands for a fork or a panic.
pub(super) fn guard_plain<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    if fork::is_forked() {
        return fallback;
    }
    caught(body).unwrap_or(fallback)
}

fn tell(error: *mut *mut mxo_error, failure: &Error) -> mxo_status {
    let report = failure.report();
    let code = report.status.code();
    if !error.is_null()
        && let Ok(Ok(handle)) = caught(|| handle::insert(Arc::new(Failure::new(report))))
    {
        // SAFETY: as in `guard`.
        unsafe { error.write(handle) };
    }
    code
}

fn caught<T>(body: impl FnOnce() -> T) -> Result<T, Error> {
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(before);
    result.map_err(|payload| {
        let error = Error::panicked(&*payload);
        // A payload whose own drop panics must not get out either.
        std::mem::forget(payload);
        error
    })
}

/// Keeps our panics off the host's stderr: they are told as errors. Others', where Rust is shared, stay as they were.
pub(super) fn quiet_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let ours = INSIDE.get() || std::thread::current().name().is_some_and(|name| name.starts_with("mxo"));
            if !ours {
                before(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_words() {
        quiet_panics();
        let mut error = std::ptr::null_mut();
        let status = guard(&raw mut error, || panic!("out of cheese"));
        assert_eq!(status, status::MXO_E_INTERNAL);
        let failure = handle::remove::<Failure>(error).unwrap();
        assert!(failure.report.message.contains("out of cheese"));
    }

    #[test]
    fn an_error_pointer_may_be_null() {
        assert_eq!(guard(std::ptr::null_mut(), || Ok(Status::End)), status::MXO_END);
        let refused = guard(std::ptr::null_mut(), || Err(crate::connector::UseError::Closed.into()));
        assert_eq!(refused, status::MXO_E_CLOSED);
    }
}
