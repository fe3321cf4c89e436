//! The library itself: versions, what a host draws its dialog from, what an error means.

use std::ffi::{CStr, c_char};
use std::sync::Arc;

use super::guard::guard;
use super::text::{Out, required};
use super::{mxo_error, mxo_status, mxo_value, status};
use crate::Error;
use crate::base::{Status, Value, limits};
use crate::connector::{UseError, descriptor};
use crate::explain;

/// The major number of the ABI: it changes when something that a host uses is altered or taken away.
pub const MXO_ABI_MAJOR: u32 = 1;
/// The minor number of the ABI: it grows with each addition.
pub const MXO_ABI_MINOR: u32 = 1;

/// The version of the ABI: major << 16 | minor. A binding asks for it first, wants its own major and at least its own
/// minor, and refuses politely otherwise: the high halves must be equal, and the whole number at least that of the
/// header. Any thread; does not block.
///
/// @return MXO_ABI_MAJOR << 16 | MXO_ABI_MINOR of the library that is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_abi_version() -> u32 {
    MXO_ABI_MAJOR << 16 | MXO_ABI_MINOR
}

/// The version of the library, as "1.2.3". Lives as long as the process. Any thread; does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// The name of a status, as "MXO_E_ARGUMENT"; NULL for a number that this version does not know. Lives as long as the
/// process. Any thread; does not block.
///
/// @param value  A status.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_status_name(value: mxo_status) -> *const c_char {
    status::name(value).map_or(std::ptr::null(), CStr::as_ptr)
}

/// Describes the external system, so that a host can draw its "Add" dialog and its pop-up: "/kind", "/display_name",
/// "/fields" (name, label, required, pattern, help), "/settings", "/serves", "/sign_in", "/permissions" (name, GUID,
/// purpose), "/set_up" (the steps in the Entra admin center). Any thread; does not block.
///
/// @param descriptor  Receives the description; free it with mxo_value_free.
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `descriptor` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_descriptor(descriptor: *mut *mut mxo_value, error: *mut *mut mxo_error) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(descriptor, "descriptor") };
    guard(error, || {
        let out = out?;
        out.give::<Value>(Arc::new(descriptor::descriptor().into()))?;
        Ok(Status::Ok)
    })
}

/// Explains what a person pastes: an AADSTS number, the text of an error page, an SMTP reply. The value has "/kind"
/// ("aadsts" or "smtp"), "/status" and "/name" (what this library would report), "/message", "/remedy",
/// "/transient"; of an AADSTS number also "/class", what kind of trouble it is ("app_setup", "consent", "policy",
/// "sign_in_again", "wait" …). Any thread; does not block.
///
/// @param text         The text, UTF-8, at most 256 KiB.
/// @param explanation  Receives the explanation; free it with mxo_value_free.
/// @param error        Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_NOT_FOUND when nothing in the text is known; MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated; `explanation` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_explain(
    text: *const c_char,
    explanation: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(explanation, "explanation") };
    guard(error, || {
        let out = out?;
        // SAFETY: passed on from the header.
        let text = unsafe { required(text, "text", limits::OPTIONS) }?;
        let found = explain::explain(text)
            .ok_or_else(|| UseError::NotFound { what: "known error", id: text.chars().take(80).collect() });
        out.give::<Value>(Arc::new(found.map_err(Error::from)?.into()))?;
        Ok(Status::Ok)
    })
}
