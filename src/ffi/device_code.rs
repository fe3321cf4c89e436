//! The code that a person types into the browser.

use std::ffi::c_char;

use super::guard::guard_plain;
use super::handle::{get, remove};
use crate::base::value::Text;
use crate::store::{PendingCode, SignIn};

/// The code and link of a sign-in. Belongs to the caller: free it with mxo_device_code_free; its texts live until
/// then. Any thread may read it; nothing here blocks.
pub struct mxo_device_code {
    _opaque: [u8; 0],
}

/// A code with its texts for C.
pub(super) struct Code {
    sign_in_id: Text,
    user_code: Text,
    verification_uri: Text,
    message: Text,
    expires_at_unix_s: i64,
    interval_s: i64,
}

impl Code {
    pub(super) fn new(sign_in: &SignIn, code: &PendingCode) -> Self {
        Self {
            sign_in_id: Text::new(&sign_in.id),
            user_code: Text::new(&code.user_code),
            verification_uri: Text::new(&code.verification_uri),
            message: Text::new(&code.message),
            expires_at_unix_s: code.expires_at_unix_ms / 1000,
            interval_s: i64::try_from(code.interval_s).unwrap_or(i64::MAX),
        }
    }
}

fn text(code: *const mxo_device_code, text: impl FnOnce(&Code) -> &Text) -> *const c_char {
    // Borrowed by C until the code is freed: the table keeps the object until then.
    let read = || get::<Code>(code, "code").map_or(std::ptr::null(), |code| text(&code).as_c_str().as_ptr());
    guard_plain(std::ptr::null(), read)
}

fn number(code: *const mxo_device_code, number: impl FnOnce(&Code) -> i64) -> i64 {
    guard_plain(-1, || get::<Code>(code, "code").map_or(-1, |code| number(&code)))
}

/// The sign-in to which the code belongs: for mxo_sign_in_state and mxo_sign_in_cancel. Borrowed until the code is
/// freed.
///
/// @param code  The code. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_sign_in_id(code: *const mxo_device_code) -> *const c_char {
    text(code, |code| &code.sign_in_id)
}

/// What the person types, to be shown and copied as it is. Borrowed until the code is freed.
///
/// @param code  The code. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_user_code(code: *const mxo_device_code) -> *const c_char {
    text(code, |code| &code.user_code)
}

/// The address where the person types it, to be shown as it is; always https. Borrowed until the code is freed.
///
/// @param code  The code. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_verification_uri(code: *const mxo_device_code) -> *const c_char {
    text(code, |code| &code.verification_uri)
}

/// A sentence for the person that names both, as the service wrote it. Borrowed until the code is freed.
///
/// @param code  The code. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_message(code: *const mxo_device_code) -> *const c_char {
    text(code, |code| &code.message)
}

/// Seconds that are left now to confirm the code; 0 when its time is over.
///
/// @param code  The code. May be NULL: gives -1.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_expires_in_s(code: *const mxo_device_code) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    number(code, |code| code.expires_at_unix_s.saturating_sub(now).max(0))
}

/// Seconds between two questions to the service. The library keeps to it by itself; a page that refreshes may too.
///
/// @param code  The code. May be NULL: gives -1.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_interval_s(code: *const mxo_device_code) -> i64 {
    number(code, |code| code.interval_s)
}

/// Frees a code; the sign-in goes on. Any thread; does not block.
///
/// @param code  The code. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_device_code_free(code: *mut mxo_device_code) {
    guard_plain((), || drop(remove::<Code>(code)));
}
