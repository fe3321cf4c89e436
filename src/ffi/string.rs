//! Texts that C owns until it gives them back.

use std::ffi::c_char;

use super::guard::guard_plain;
use crate::Error;
use crate::connector::UseError;

/// Frees a text that this library gave through a `char **`, and wipes it first.
///
/// Any thread; does not block.
///
/// @param text  The text. May be NULL: then nothing is done.
///
/// # Safety
///
/// `text` is NULL or a text of this library that was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_string_free(text: *mut c_char) {
    guard_plain((), || {
        if text.is_null() {
            return;
        }
        // SAFETY: the header asks for a text of this library, not freed before: from `allocate`, with its NUL.
        // The host may have shortened it by a NUL of its own; malloc does not need the length back.
        unsafe {
            let length = libc::strlen(text);
            let bytes = std::slice::from_raw_parts_mut(text.cast::<u8>(), length);
            wipe(bytes);
            libc::free(text.cast());
        }
    });
}

/// Overwrites what nobody may read any more. The system's own way is many times faster than a loop of volatile writes.
fn wipe(bytes: &mut [u8]) {
    #[cfg(target_os = "linux")]
    // SAFETY: the slice is valid for writes of its length.
    unsafe {
        libc::explicit_bzero(bytes.as_mut_ptr().cast(), bytes.len());
    }
    #[cfg(not(target_os = "linux"))]
    zeroize::Zeroize::zeroize(bytes);
}

/// A text for C, with its NUL; a NUL inside becomes U+FFFD.
pub(super) fn allocate(text: &str) -> Result<*mut c_char, Error> {
    copy(crate::base::value::Text::new(text).as_c_str().to_bytes())
}

/// The same for bytes that hold no NUL, as tokens do not: one allocation, and a NUL behind.
pub(super) fn copy(bytes: &[u8]) -> Result<*mut c_char, Error> {
    // SAFETY: malloc with a length of at least 1; the result is checked before it is used, and holds `bytes` and a NUL.
    unsafe {
        let memory = libc::malloc(bytes.len().saturating_add(1)).cast::<u8>();
        if memory.is_null() {
            return Err(UseError::Limit { what: "bytes in use: the system has no more memory" }.into());
        }
        memory.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        memory.add(bytes.len()).write(0);
        Ok(memory.cast())
    }
}
