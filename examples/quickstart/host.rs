//! The C ABI with a thin coat of Rust: what a binding in any language does.

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::ptr::{null, null_mut};

use myq_exchange_online::ffi::connector::{mxo_connector_close, mxo_connector_open};
use myq_exchange_online::ffi::device_code::{
    mxo_device_code_free, mxo_device_code_user_code, mxo_device_code_verification_uri,
};
use myq_exchange_online::ffi::error::{mxo_error_free, mxo_error_message, mxo_error_remedy};
use myq_exchange_online::ffi::mail::{
    MXO_TO, mxo_mail_add_recipient, mxo_mail_attach_bytes, mxo_mail_free, mxo_mail_new, mxo_mail_set_subject,
    mxo_mail_set_text,
};
use myq_exchange_online::ffi::operation::{MXO_FOREVER, mxo_operation_free, mxo_operation_wait};
use myq_exchange_online::ffi::send::mxo_send;
use myq_exchange_online::ffi::sign_in::{mxo_sign_in_code, mxo_sign_in_start};
use myq_exchange_online::ffi::status::MXO_TIMEOUT;
use myq_exchange_online::ffi::string::mxo_string_free;
use myq_exchange_online::ffi::system::mxo_system_add;
use myq_exchange_online::ffi::token::mxo_access_token;
use myq_exchange_online::ffi::value::{mxo_value_count, mxo_value_free, mxo_value_string};
use myq_exchange_online::ffi::{mxo_connector, mxo_error, mxo_operation, mxo_status, mxo_value};

/// How long each call may take, in milliseconds.
const PATIENCE_MS: u32 = 60_000;

/// A failed call in the library's own words.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    remedy: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.message, self.remedy)
    }
}

impl std::error::Error for Failure {}

fn c(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// A borrowed text of the library, copied; empty for NULL.
fn text(borrowed: *const c_char) -> String {
    if borrowed.is_null() {
        return String::new();
    }
    // SAFETY: the library's texts end with NUL and live until their owner is freed, which is later.
    unsafe { CStr::from_ptr(borrowed) }.to_string_lossy().into_owned()
}

fn check(status: mxo_status, error: *mut mxo_error) -> Result<(), Failure> {
    if status >= 0 && status != MXO_TIMEOUT {
        return Ok(());
    }
    let timed_out = || "It took too long.".to_owned();
    let failure = Failure {
        message: if status == MXO_TIMEOUT { timed_out() } else { text(mxo_error_message(error)) },
        remedy: text(mxo_error_remedy(error)),
    };
    mxo_error_free(error);
    Err(failure)
}

/// A text that the library gave away.
fn owned(given: *mut c_char) -> String {
    let copy = text(given);
    // SAFETY: from the library, and not freed before.
    unsafe { mxo_string_free(given) };
    copy
}

pub(crate) struct Code {
    pub(crate) verification_uri: String,
    pub(crate) user_code: String,
}

pub(crate) struct Value(*mut mxo_value);

impl Value {
    pub(crate) fn string(&self, path: &str) -> Option<String> {
        let found = mxo_value_string(self.0, c(path).as_ptr());
        (!found.is_null()).then(|| text(found))
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        mxo_value_count(self.0, c(path).as_ptr())
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        mxo_value_free(self.0);
    }
}

pub(crate) struct Operation(*mut mxo_operation);

impl Operation {
    pub(crate) fn wait(&self) -> Result<Value, Failure> {
        let (mut result, mut error) = (null_mut(), null_mut());
        // SAFETY: valid out-pointers.
        let status = unsafe { mxo_operation_wait(self.0, MXO_FOREVER, &raw mut result, &raw mut error) };
        check(status, error).map(|()| Value(result))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        mxo_operation_free(self.0);
    }
}

pub(crate) struct Connector(*mut mxo_connector);

impl Connector {
    pub(crate) fn open(options: &str) -> Result<Self, Failure> {
        let (mut connector, mut error) = (null_mut(), null_mut());
        // SAFETY: a NUL-terminated text, valid out-pointers.
        let status = unsafe { mxo_connector_open(c(options).as_ptr(), &raw mut connector, &raw mut error) };
        check(status, error).map(|()| Self(connector))
    }

    pub(crate) fn add_system(
        &self,
        title: &str,
        client_id: &str,
        tenant_id: &str,
        settings: &str,
    ) -> Result<String, Failure> {
        let (title, client_id, tenant_id, settings) = (c(title), c(client_id), c(tenant_id), c(settings));
        let (mut id, mut error) = (null_mut(), null_mut());
        // SAFETY: NUL-terminated texts, valid out-pointers.
        let status = unsafe {
            mxo_system_add(
                self.0,
                title.as_ptr(),
                client_id.as_ptr(),
                tenant_id.as_ptr(),
                settings.as_ptr(),
                &raw mut id,
                &raw mut error,
            )
        };
        check(status, error).map(|()| owned(id))
    }

    pub(crate) fn start_sign_in(&self, system: &str) -> Result<Operation, Failure> {
        let system = c(system);
        let (mut operation, mut error) = (null_mut(), null_mut());
        // SAFETY: NUL-terminated texts, valid out-pointers, no callback.
        let status = unsafe {
            mxo_sign_in_start(
                self.0,
                system.as_ptr(),
                null(),
                None,
                null_mut(),
                None,
                &raw mut operation,
                &raw mut error,
            )
        };
        check(status, error).map(|()| Operation(operation))
    }

    pub(crate) fn wait_for_code(&self, system: &str) -> Result<Code, Failure> {
        let system = c(system);
        let (mut code, mut error) = (null_mut(), null_mut());
        // SAFETY: NUL-terminated texts, valid out-pointers.
        let status =
            unsafe { mxo_sign_in_code(self.0, system.as_ptr(), null(), PATIENCE_MS, &raw mut code, &raw mut error) };
        check(status, error)?;
        let shown = Code {
            verification_uri: text(mxo_device_code_verification_uri(code)),
            user_code: text(mxo_device_code_user_code(code)),
        };
        mxo_device_code_free(code);
        Ok(shown)
    }

    pub(crate) fn access_token(&self, system: &str) -> Result<String, Failure> {
        let system = c(system);
        let (mut token, mut error) = (null_mut(), null_mut());
        // SAFETY: NUL-terminated texts, valid out-pointers; NULL where the header allows it.
        let status = unsafe {
            mxo_access_token(self.0, system.as_ptr(), 60, PATIENCE_MS, &raw mut token, null_mut(), &raw mut error)
        };
        check(status, error).map(|()| owned(token))
    }

    pub(crate) fn send_mail(
        &self,
        system: &str,
        to: &str,
        subject: &str,
        body: &str,
        file_name: &str,
        file: &[u8],
    ) -> Result<Value, Failure> {
        let (system, to, subject, body, file_name) = (c(system), c(to), c(subject), c(body), c(file_name));
        let (mut mail, mut report, mut error) = (null_mut(), null_mut(), null_mut());
        // SAFETY: NUL-terminated texts, readable bytes, valid out-pointers. The mail is freed on every way out.
        unsafe {
            check(mxo_mail_new(&raw mut mail, &raw mut error), error)?;
            let sent = (|| {
                check(mxo_mail_add_recipient(mail, MXO_TO, to.as_ptr(), null(), &raw mut error), error)?;
                check(mxo_mail_set_subject(mail, subject.as_ptr(), &raw mut error), error)?;
                check(mxo_mail_set_text(mail, body.as_ptr(), &raw mut error), error)?;
                let bytes = file.as_ptr().cast();
                let attached =
                    mxo_mail_attach_bytes(mail, file_name.as_ptr(), null(), bytes, file.len(), &raw mut error);
                check(attached, error)?;
                check(mxo_send(self.0, system.as_ptr(), mail, PATIENCE_MS, &raw mut report, &raw mut error), error)
            })();
            mxo_mail_free(mail);
            sent.map(|()| Value(report))
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        mxo_connector_close(self.0);
    }
}
