//! Values: results as an immutable tree.

use std::ffi::c_char;

use super::guard::guard_plain;
use super::handle::{get, remove};
use super::text::optional;
use crate::base::Value;
use crate::base::limits;
use crate::base::value::{Kind, Node};

/// What a call reports: an immutable tree, read by path (JSON Pointer, RFC 6901: "/recipients/0/reply"; "" is the root)
/// or whole as JSON. Belongs to the caller, unless it was lent to a callback: free it with mxo_value_free. Its texts
/// live until then. Any thread may read it at any time; nothing here blocks.
pub struct mxo_value {
    _opaque: [u8; 0],
}

/// mxo_value_kind: there is nothing at the path.
pub const MXO_KIND_ABSENT: i32 = 0;
/// mxo_value_kind: null.
pub const MXO_KIND_NULL: i32 = 1;
/// mxo_value_kind: true or false.
pub const MXO_KIND_BOOLEAN: i32 = 2;
/// mxo_value_kind: a whole number.
pub const MXO_KIND_INTEGER: i32 = 3;
/// mxo_value_kind: a text.
pub const MXO_KIND_STRING: i32 = 4;
/// mxo_value_kind: a list.
pub const MXO_KIND_ARRAY: i32 = 5;
/// mxo_value_kind: an object.
pub const MXO_KIND_OBJECT: i32 = 6;

/// Reads a node; the fallback stands for a dead handle, a path that is no text, and for what is not there.
fn at<T: Copy>(
    value: *const mxo_value,
    path: *const c_char,
    fallback: T,
    read: impl FnOnce(&Value, &str) -> Option<T>,
) -> T {
    guard_plain(fallback, || {
        // SAFETY: the header asks for NULL or a NUL-terminated text.
        let Ok(path) = (unsafe { optional(path, "path", limits::TEXT) }) else { return fallback };
        let Ok(value) = get::<Value>(value, "value") else { return fallback };
        read(&value, path.unwrap_or("")).unwrap_or(fallback)
    })
}

/// What is at a path: one of the MXO_KIND_ constants. Tells absent, null and a wrong type apart.
///
/// @param value  The value. May be NULL: gives MXO_KIND_ABSENT.
/// @param path   JSON Pointer. May be NULL: the root.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_kind(value: *const mxo_value, path: *const c_char) -> i32 {
    at(value, path, MXO_KIND_ABSENT, |value, path| {
        Some(match value.kind(path) {
            Kind::Absent => MXO_KIND_ABSENT,
            Kind::Null => MXO_KIND_NULL,
            Kind::Boolean => MXO_KIND_BOOLEAN,
            Kind::Integer => MXO_KIND_INTEGER,
            Kind::String => MXO_KIND_STRING,
            Kind::Array => MXO_KIND_ARRAY,
            Kind::Object => MXO_KIND_OBJECT,
        })
    })
}

/// The text at a path; NULL when there is none. Borrowed until the value is freed.
///
/// @param value  The value. May be NULL: gives NULL.
/// @param path   JSON Pointer. May be NULL: the root.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_string(value: *const mxo_value, path: *const c_char) -> *const c_char {
    at(value, path, std::ptr::null(), |value, path| match value.at(path)? {
        Node::String(text) => Some(text.as_c_str().as_ptr()),
        _ => None,
    })
}

/// The whole number at a path.
///
/// @param value     The value. May be NULL: gives `fallback`.
/// @param path      JSON Pointer. May be NULL: the root.
/// @param fallback  What is given when there is no whole number at the path.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_integer(value: *const mxo_value, path: *const c_char, fallback: i64) -> i64 {
    at(value, path, fallback, |value, path| match value.at(path)? {
        Node::Integer(number) => Some(*number),
        _ => None,
    })
}

/// The truth at a path: 1 or 0.
///
/// @param value     The value. May be NULL: gives `fallback`.
/// @param path      JSON Pointer. May be NULL: the root.
/// @param fallback  What is given when there is neither true nor false at the path.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_boolean(value: *const mxo_value, path: *const c_char, fallback: i32) -> i32 {
    at(value, path, fallback, |value, path| match value.at(path)? {
        Node::Boolean(truth) => Some(i32::from(*truth)),
        _ => None,
    })
}

/// How many items a list or members an object at a path has; 0 for anything else.
///
/// @param value  The value. May be NULL: gives 0.
/// @param path   JSON Pointer. May be NULL: the root.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_count(value: *const mxo_value, path: *const c_char) -> usize {
    at(value, path, 0, |value, path| match value.at(path)? {
        Node::Array(items) => Some(items.len()),
        Node::Object(members) => Some(members.len()),
        _ => None,
    })
}

/// The key of a member of the object at a path; NULL past the last. Borrowed until the value is freed.
///
/// @param value  The value. May be NULL: gives NULL.
/// @param path   JSON Pointer. May be NULL: the root.
/// @param index  From 0 to mxo_value_count - 1.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_key(value: *const mxo_value, path: *const c_char, index: usize) -> *const c_char {
    at(value, path, std::ptr::null(), |value, path| match value.at(path)? {
        Node::Object(members) => members.get(index).map(|(key, _)| key.as_c_str().as_ptr()),
        _ => None,
    })
}

/// The whole tree as JSON. Borrowed until the value is freed; wiped then, since a value may hold a token.
///
/// @param value  The value. May be NULL: gives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_json(value: *const mxo_value) -> *const c_char {
    at(value, std::ptr::null(), std::ptr::null(), |value, _| Some(value.json().as_ptr()))
}

/// Frees a value. Any thread; does not block.
///
/// @param value  The value. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_value_free(value: *mut mxo_value) {
    guard_plain((), || drop(remove::<Value>(value)));
}
