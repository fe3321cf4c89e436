//! Errors, as objects.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use super::guard::guard_plain;
use super::handle::{get, remove};
use super::{mxo_status, status};
use crate::base::Report;
use crate::base::value::Text;

/// Why a call failed, in words for an administrator. Belongs to the caller: free it with mxo_error_free. Every getter
/// may be called from any thread; the texts live until the error is freed.
pub struct mxo_error {
    _opaque: [u8; 0],
}

/// A report with its texts for C.
pub(super) struct Failure {
    pub(super) report: Report,
    message: Text,
    remedy: Option<Text>,
    service_error: Option<Text>,
    service_text: Option<Text>,
    enhanced_code: Option<Text>,
    trace_id: Option<Text>,
    correlation_id: Option<Text>,
    json: OnceLock<Text>,
}

impl Failure {
    pub(super) fn new(report: Report) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(Text::new);
        Self {
            message: Text::new(&report.message),
            remedy: text(&report.remedy),
            service_error: text(&report.service.error),
            service_text: text(&report.service.text),
            enhanced_code: text(&report.service.enhanced_code),
            trace_id: text(&report.service.trace_id),
            correlation_id: text(&report.service.correlation_id),
            json: OnceLock::new(),
            report,
        }
    }

    fn json(&self) -> &CStr {
        self.json.get_or_init(|| Text::new(&self.report.to_json().to_string())).as_c_str()
    }
}

fn read<T>(error: *const mxo_error, fallback: T, read: impl FnOnce(&Failure) -> T) -> T {
    guard_plain(None, || get::<Failure>(error, "error").ok().map(|failure| read(&failure))).unwrap_or(fallback)
}

fn read_text(error: *const mxo_error, text: impl FnOnce(&Failure) -> Option<&Text>) -> *const c_char {
    // Borrowed by C until the error is freed, as the header says: the table keeps the object until then.
    read(error, std::ptr::null(), |failure| text(failure).map_or(std::ptr::null(), |text| text.as_c_str().as_ptr()))
}

/// The status that the call also returned; MXO_E_HANDLE when `error` is no live error.
///
/// @param error  The error. May be NULL: gives MXO_E_HANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_status(error: *const mxo_error) -> mxo_status {
    read(error, status::MXO_E_HANDLE, |failure| failure.report.status.code())
}

/// One sentence for the administrator: what happened. Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_message(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| Some(&failure.message))
}

/// What to do about it, naming the exact setting; NULL where there is nothing to do. Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_remedy(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| failure.remedy.as_ref())
}

/// 1 when the same call may work later without anybody doing anything, else 0.
///
/// @param error  The error. May be NULL: gives 0.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_is_transient(error: *const mxo_error) -> i32 {
    read(error, 0, |failure| i32::from(failure.report.transient))
}

/// Seconds before which it should not be tried again, as the service said; -1 when it said nothing.
///
/// @param error  The error. May be NULL: gives -1.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_retry_after_s(error: *const mxo_error) -> i64 {
    read(error, -1, |failure| {
        let wait = failure.report.retry_after.map(|wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
        wait.unwrap_or(-1)
    })
}

/// 1 when somebody must sign in before it can work, else 0.
///
/// @param error  The error. May be NULL: gives 0.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_sign_in_required(error: *const mxo_error) -> i32 {
    read(error, 0, |failure| i32::from(failure.report.sign_in_required))
}

/// The number of Microsoft's AADSTS error; 0 when there is none.
///
/// @param error  The error. May be NULL: gives 0.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_aadsts(error: *const mxo_error) -> i64 {
    read(error, 0, |failure| failure.report.service.aadsts.map_or(0, i64::from))
}

/// The code of the SMTP reply, such as 535; 0 when there is none.
///
/// @param error  The error. May be NULL: gives 0.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_smtp_code(error: *const mxo_error) -> i32 {
    read(error, 0, |failure| failure.report.service.smtp_code.map_or(0, i32::from))
}

/// The enhanced status code of a mail server (RFC 3463), such as "5.7.139"; NULL when there is none. Borrowed until the
/// error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_enhanced_code(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| failure.enhanced_code.as_ref())
}

/// The error code of the identity service (RFC 6749 section 5.2), such as "invalid_grant"; NULL when there is none.
/// Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_service_error(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| failure.service_error.as_ref())
}

/// What the service said, in its own words, cut to 8 KiB; NULL when it said nothing. Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_service_text(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| failure.service_text.as_ref())
}

/// Microsoft's trace id, for its support; NULL when there is none. Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_trace_id(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| failure.trace_id.as_ref())
}

/// Microsoft's correlation id, for its support; NULL when there is none. Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_correlation_id(error: *const mxo_error) -> *const c_char {
    read_text(error, |failure| failure.correlation_id.as_ref())
}

/// All of it as a JSON object: status, name, message, remedy, transient, retry_after_s, sign_in_required, service.
/// Borrowed until the error is freed.
///
/// @param error  The error. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_json(error: *const mxo_error) -> *const c_char {
    read(error, std::ptr::null(), |failure| failure.json().as_ptr())
}

/// Frees an error. Any thread; does not block.
///
/// @param error  The error. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_error_free(error: *mut mxo_error) {
    guard_plain((), || drop(remove::<Failure>(error)));
}
