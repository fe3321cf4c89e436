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
        // All of it is wiped, also behind a NUL by which the host may have shortened it.
        unsafe {
            wipe(text.cast(), room(text));
            libc::free(text.cast());
        }
    });
}

/// How many octets of the text may be written: on Linux as many as malloc gave.
///
/// # Safety
///
/// `text` is from `copy` and was not freed.
#[cfg(target_os = "linux")]
unsafe fn room(text: *mut c_char) -> usize {
    // SAFETY: passed on; whoever keeps that many octets lets the caller use them all.
    unsafe { libc::malloc_usable_size(text.cast()) }
}

#[cfg(not(target_os = "linux"))]
unsafe fn room(text: *mut c_char) -> usize {
    // SAFETY: passed on; `copy` put a NUL behind.
    unsafe { libc::strlen(text) }
}

/// Overwrites what nobody may read any more. The system's own way is many times faster than a loop of volatile writes.
///
/// # Safety
///
/// `start` is valid for writes of `length` octets.
unsafe fn wipe(start: *mut u8, length: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: passed on.
    unsafe {
        libc::explicit_bzero(start.cast(), length);
    }
    #[cfg(not(target_os = "linux"))]
    // SAFETY: passed on; elsewhere the length is that of a text, which was written.
    zeroize::Zeroize::zeroize(unsafe { std::slice::from_raw_parts_mut(start, length) });
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
