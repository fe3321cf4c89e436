//! What crosses the border by pointer: texts and bytes in, texts and handles out.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::handle::{self, Noun};
use super::operation::MXO_FOREVER;
use crate::Error;
use crate::base::limits;
use crate::connector::UseError;

/// A time-out; `None` is for ever.
pub(super) fn time(timeout_ms: u32) -> Option<Duration> {
    (timeout_ms != MXO_FOREVER).then(|| Duration::from_millis(u64::from(timeout_ms)))
}

/// A NUL-terminated UTF-8 text that must be there.
///
/// # Safety
///
/// `text` is NULL, or readable up to its NUL and unchanged during `'a`.
pub(super) unsafe fn required<'a>(
    text: *const c_char,
    parameter: &'static str,
    longest: usize,
) -> Result<&'a str, UseError> {
    // SAFETY: passed on.
    let text = unsafe { optional(text, parameter, longest) }?;
    text.ok_or_else(|| UseError::argument(parameter, "it is NULL"))
}

/// A NUL-terminated UTF-8 text, or NULL.
///
/// # Safety
///
/// As for [`required`].
pub(super) unsafe fn optional<'a>(
    text: *const c_char,
    parameter: &'static str,
    longest: usize,
) -> Result<Option<&'a str>, UseError> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the text is readable up to its NUL, and strnlen reads no further than that.
    let length = unsafe { libc::strnlen(text, longest + 1) };
    if length > longest {
        return Err(UseError::argument(parameter, format!("it is longer than {longest} octets")));
    }
    // SAFETY: `length` octets before the NUL, readable as the caller promised.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    let text = std::str::from_utf8(bytes).map_err(|_| UseError::argument(parameter, "it is not UTF-8"))?;
    Ok(Some(text))
}

/// Bytes; NULL with length 0 is legal.
///
/// # Safety
///
/// `bytes` is NULL, or `length` octets are readable there and unchanged during `'a`.
pub(super) unsafe fn bytes<'a>(
    bytes: *const c_void,
    length: usize,
    parameter: &'static str,
) -> Result<&'a [u8], UseError> {
    if length == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(UseError::argument(parameter, "it is NULL though its length is not 0"));
    }
    if length > limits::MAIL {
        return Err(UseError::argument(parameter, format!("it is longer than {} octets", limits::MAIL)));
    }
    // SAFETY: as the caller promised; the length is below `isize::MAX`.
    Ok(unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) })
}

/// Where a result goes: cleared at once, before the guard, so that even a forked child finds nothing in it; filled on
/// success.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `pointer` is NULL, or valid for a write of `T` until the function returns.
    pub(super) unsafe fn cleared(pointer: *mut T, parameter: &'static str, cleared: T) -> Result<Self, UseError> {
        if pointer.is_null() {
            return Err(UseError::argument(parameter, "it is NULL"));
        }
        // SAFETY: not NULL, and valid as the caller promised.
        unsafe { pointer.write(cleared) };
        Ok(Self(pointer))
    }

    pub(super) fn fill(&self, value: T) {
        // SAFETY: checked and promised in `cleared`, and the function has not returned.
        unsafe { self.0.write(value) };
    }
}

impl<T> Out<*mut T> {
    /// # Safety
    ///
    /// As for [`Out::cleared`].
    pub(super) unsafe fn handle(pointer: *mut *mut T, parameter: &'static str) -> Result<Self, UseError> {
        // SAFETY: passed on.
        unsafe { Self::cleared(pointer, parameter, std::ptr::null_mut()) }
    }

    /// Gives an object to C.
    pub(super) fn give<N: Noun<Handle = T>>(&self, object: Arc<N>) -> Result<(), Error> {
        self.fill(handle::insert(object)?);
        Ok(())
    }
}

impl Out<*mut c_char> {
    /// Gives a token to C, which frees it with `mxo_string_free`. Tokens are printable ASCII.
    pub(super) fn token(&self, token: &str) -> Result<(), Error> {
        self.fill(super::string::copy(token.as_bytes())?);
        Ok(())
    }

    /// Gives a text to C, which frees it with `mxo_string_free`.
    pub(super) fn text(&self, text: &str) -> Result<(), Error> {
        self.fill(super::string::allocate(text)?);
        Ok(())
    }
}
