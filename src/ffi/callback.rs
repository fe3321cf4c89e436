//! Functions of the host, and what they are given.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use super::handle::{lend, remove};
use super::{mxo_operation, mxo_value};
use crate::base::Value;
use crate::connector::courier::Call;
use crate::connector::operation::{Change, while_calling};
use crate::connector::{Line, Operation};

/// Is told of each change of an operation, and last of its end.
///
/// Called on the library's threads, one call at a time for one operation, in order, with no lock held; it may run
/// before the function that started the operation has returned. It may call any function of this library except a wait
/// for its own operation (MXO_E_WOULD_DEADLOCK). It must not throw, and must not be given to PHP, which cannot be
/// called from a foreign thread: there everything is pulled instead.
///
/// `operation` and `change` are borrowed for the call: free neither. For a sign-in `change` is what
/// mxo_sign_in_state tells (with "/state" and, at "code_waiting", "/code/user_code" and
/// "/code/verification_uri"); for other operations it comes at the end, with "/status" and "/operation_id", and for a
/// check after each step before, as mxo_check_start says.
pub type mxo_operation_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, operation: *mut mxo_operation, change: *const mxo_value)>;

/// Is given each line of the log of a connector: UTF-8, without a line feed at its end, borrowed for the call.
/// Called on the library's threads, by one at a time, never re-entered. Levels are the MXO_LOG_ constants.
pub type mxo_log_fn = Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

/// Releases what `user_data` points to. Runs exactly once, after the last call of the function it belongs to, on any
/// thread; also when the function that took it failed.
pub type mxo_drop_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The host's data, which is released when this is dropped.
pub(super) struct UserData {
    pointer: *mut c_void,
    release: mxo_drop_fn,
}

// SAFETY: the header says that the data is used on the library's threads and released on any; the host vouches for it.
unsafe impl Send for UserData {}
// SAFETY: as above; calls are made one at a time.
unsafe impl Sync for UserData {}

impl UserData {
    pub(super) fn new(pointer: *mut c_void, release: mxo_drop_fn) -> Self {
        Self { pointer, release }
    }
}

impl UserData {
    /// The pointer; a method, so that a closure takes the whole and not the bare pointer.
    fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the host's function with the host's data, once, after the last use of the data.
            unsafe { release(self.pointer) };
        }
    }
}

/// The call to an operation's function. `operation` is its handle, which stays valid until the host frees it.
pub(super) fn operation_call(
    function: mxo_operation_fn,
    user_data: UserData,
    operation: &Arc<Operation>,
    handle: *mut mxo_operation,
) -> Option<Call<Change>> {
    let function = function?;
    let (id, handle) = (operation.id, handle.addr());
    Some(Box::new(move |change: &Change| {
        let value = lend::<Value>(Arc::clone(change));
        while_calling(id, || {
            // SAFETY: the host's function, which the header binds; both handles are live, or refused by the table.
            unsafe { function(user_data.pointer(), std::ptr::without_provenance_mut(handle), value) };
        });
        remove::<Value>(value);
    }))
}

/// The call to a logger.
pub(super) fn log_call(function: mxo_log_fn, user_data: UserData) -> Option<Call<Line>> {
    let function = function?;
    Some(Box::new(move |line: &Line| {
        // A wild NUL would cut the line; the courier's lines hold what servers said.
        let text = CString::new(line.text.replace('\0', "\u{FFFD}")).unwrap_or_default();
        // SAFETY: the host's function, which the header binds; the text lives for the call.
        unsafe { function(user_data.pointer(), line.level as i32, text.as_ptr()) };
    }))
}
