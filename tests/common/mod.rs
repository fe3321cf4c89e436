//! A host for the tests: the C ABI with just enough around it to read well.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use exchange_simulator::{Options, Simulator};
use myq_exchange_online::ffi::connector::{mxo_connector_close, mxo_connector_open};
use myq_exchange_online::ffi::device_code::{mxo_device_code_free, mxo_device_code_user_code};
use myq_exchange_online::ffi::error::{mxo_error_free, mxo_error_json};
use myq_exchange_online::ffi::events::{mxo_events_close, mxo_events_next, mxo_events_open};
use myq_exchange_online::ffi::mail::{
    MXO_TO, mxo_mail_add_recipient, mxo_mail_attach_bytes, mxo_mail_free, mxo_mail_new, mxo_mail_set_from,
    mxo_mail_set_subject, mxo_mail_set_text,
};
use myq_exchange_online::ffi::operation::{mxo_operation_cancel, mxo_operation_free, mxo_operation_wait};
use myq_exchange_online::ffi::send::{mxo_send, mxo_send_start};
use myq_exchange_online::ffi::sign_in::{mxo_sign_in_cancel, mxo_sign_in_code, mxo_sign_in_start, mxo_sign_in_state};
use myq_exchange_online::ffi::status::MXO_OK;
use myq_exchange_online::ffi::string::mxo_string_free;
use myq_exchange_online::ffi::system::{mxo_system_add, mxo_system_get};
use myq_exchange_online::ffi::token::mxo_access_token;
use myq_exchange_online::ffi::value::{mxo_value_free, mxo_value_json};
use myq_exchange_online::ffi::{mxo_connector, mxo_error, mxo_events, mxo_mail, mxo_operation, mxo_status, mxo_value};
use serde_json::Value as Json;

/// A failed call: the status, and the error object as JSON.
#[derive(Debug, Clone)]
pub struct Failure {
    pub status: mxo_status,
    pub error: Json,
}

impl Failure {
    pub fn name(&self) -> &str {
        self.error["name"].as_str().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.error["message"].as_str().unwrap_or_default()
    }

    pub fn remedy(&self) -> &str {
        self.error["remedy"].as_str().unwrap_or_default()
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

pub fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Turns a status and its error object into a result.
pub fn checked(status: mxo_status, error: *mut mxo_error) -> Result<mxo_status> {
    if status >= 0 {
        assert!(error.is_null(), "an error object beside status {status}");
        return Ok(status);
    }
    let json = unsafe { CStr::from_ptr(mxo_error_json(error)) }.to_str().unwrap();
    let error_json: Json = serde_json::from_str(json).unwrap();
    mxo_error_free(error);
    assert_eq!(error_json["status"], status);
    Err(Failure { status, error: error_json })
}

pub fn taken(value: *mut mxo_value) -> Json {
    let json = unsafe { CStr::from_ptr(mxo_value_json(value)) }.to_str().unwrap();
    let json = serde_json::from_str(json).unwrap();
    mxo_value_free(value);
    json
}

/// A connector with one system.
pub struct Host {
    pub connector: *mut mxo_connector,
    pub system: CString,
}

unsafe impl Send for Host {}
unsafe impl Sync for Host {}

/// A simulator that is quick about polling.
pub fn simulator() -> Simulator {
    let simulator = Simulator::start(Options::default()).unwrap();
    simulator.set(serde_json::json!({"interval_s": 1}));
    simulator
}

impl Host {
    /// A connector of its own, and a system that points at the simulator.
    pub fn new(simulator: &Simulator) -> Self {
        Self::with(simulator, simulator.client_id(), simulator.tenant_id(), &simulator.settings_json())
    }

    pub fn with(_simulator: &Simulator, client_id: &str, tenant_id: &str, settings: &str) -> Self {
        let connector = open(r#"{"proxy": "none"}"#).unwrap();
        let system = add(connector, client_id, tenant_id, settings).unwrap();
        Self { connector, system }
    }

    /// With a connector that is opened with these options.
    pub fn opened(simulator: &Simulator, options: &Json, settings: &str) -> Self {
        let connector = open(&options.to_string()).unwrap();
        let system = add(connector, simulator.client_id(), simulator.tenant_id(), settings).unwrap();
        Self { connector, system }
    }

    /// A connector that is connected.
    pub fn connected(simulator: &Simulator) -> Self {
        let host = Self::new(simulator);
        let outcome = host.sign_in(simulator).unwrap();
        assert_eq!(outcome["state"], "connected", "{outcome}");
        assert_eq!(outcome["warnings"], serde_json::json!([]), "{outcome}");
        host
    }

    /// Starts a sign-in.
    pub fn start_sign_in(&self) -> Operation {
        self.start_sign_in_with(null()).unwrap()
    }

    pub fn start_sign_in_with(&self, options: *const c_char) -> Result<Operation> {
        let (mut operation, mut error) = (null_mut(), null_mut());
        let status = unsafe {
            mxo_sign_in_start(
                self.connector,
                self.system.as_ptr(),
                options,
                None,
                null_mut(),
                None,
                &raw mut operation,
                &raw mut error,
            )
        };
        checked(status, error).map(|_| Operation(operation))
    }

    /// The code to type.
    pub fn code(&self) -> Result<String> {
        let (mut code, mut error) = (null_mut(), null_mut());
        let status = unsafe {
            mxo_sign_in_code(self.connector, self.system.as_ptr(), null(), 20_000, &raw mut code, &raw mut error)
        };
        assert_eq!(checked(status, error)?, MXO_OK, "no code in 20 s");
        let text = unsafe { CStr::from_ptr(mxo_device_code_user_code(code)) }.to_str().unwrap().to_owned();
        mxo_device_code_free(code);
        Ok(text)
    }

    pub fn sign_in_state(&self) -> Result<Json> {
        let (mut state, mut error) = (null_mut(), null_mut());
        let status = unsafe {
            mxo_sign_in_state(self.connector, self.system.as_ptr(), null(), 0, &raw mut state, &raw mut error)
        };
        checked(status, error).map(|_| taken(state))
    }

    pub fn cancel_sign_in(&self) -> Result<()> {
        let mut error = null_mut();
        let status = unsafe { mxo_sign_in_cancel(self.connector, self.system.as_ptr(), null(), &raw mut error) };
        checked(status, error).map(|_| ())
    }

    /// Signs in with the person saying yes.
    pub fn sign_in(&self, simulator: &Simulator) -> Result<Json> {
        let operation = self.start_sign_in();
        simulator.approve(&self.code()?);
        operation.wait()
    }

    pub fn system(&self) -> Json {
        let (mut system, mut error) = (null_mut(), null_mut());
        let status = unsafe { mxo_system_get(self.connector, self.system.as_ptr(), &raw mut system, &raw mut error) };
        checked(status, error).unwrap();
        taken(system)
    }

    pub fn token(&self, min_validity_s: u32) -> Result<(String, i64)> {
        let (mut token, mut expires, mut error) = (null_mut(), 0, null_mut());
        let status = unsafe {
            mxo_access_token(
                self.connector,
                self.system.as_ptr(),
                min_validity_s,
                20_000,
                &raw mut token,
                &raw mut expires,
                &raw mut error,
            )
        };
        checked(status, error)?;
        let text = unsafe { CStr::from_ptr(token) }.to_str().unwrap().to_owned();
        unsafe { mxo_string_free(token) };
        Ok((text, expires))
    }

    /// Sends; gives status and report.
    pub fn send(&self, mail: &Mail) -> Result<(mxo_status, Json)> {
        self.send_within(mail, 30_000)
    }

    pub fn send_within(&self, mail: &Mail, timeout_ms: u32) -> Result<(mxo_status, Json)> {
        let (mut report, mut error) = (null_mut(), null_mut());
        let status = unsafe {
            mxo_send(self.connector, self.system.as_ptr(), mail.0, timeout_ms, &raw mut report, &raw mut error)
        };
        let status = checked(status, error)?;
        Ok((status, taken(report)))
    }

    pub fn start_send(&self, mail: &Mail) -> Operation {
        let (mut operation, mut error) = (null_mut(), null_mut());
        let status = unsafe {
            mxo_send_start(
                self.connector,
                self.system.as_ptr(),
                mail.0,
                None,
                null_mut(),
                None,
                &raw mut operation,
                &raw mut error,
            )
        };
        checked(status, error).unwrap();
        Operation(operation)
    }

    pub fn events(&self, filter: Option<&str>) -> Events {
        let (mut events, mut error) = (null_mut(), null_mut());
        let filter = filter.map(c);
        let filter = filter.as_ref().map_or(null(), |filter| filter.as_ptr());
        let status = unsafe { mxo_events_open(self.connector, filter, &raw mut events, &raw mut error) };
        checked(status, error).unwrap();
        Events(events)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        mxo_connector_close(self.connector);
    }
}

pub fn open(options: &str) -> Result<*mut mxo_connector> {
    let (mut connector, mut error) = (null_mut(), null_mut());
    let status = unsafe { mxo_connector_open(c(options).as_ptr(), &raw mut connector, &raw mut error) };
    checked(status, error).map(|_| connector)
}

pub fn add(connector: *mut mxo_connector, client_id: &str, tenant_id: &str, settings: &str) -> Result<CString> {
    let (mut system, mut error) = (null_mut(), null_mut());
    let status = unsafe {
        mxo_system_add(
            connector,
            c("Microsoft Exchange Online").as_ptr(),
            c(client_id).as_ptr(),
            c(tenant_id).as_ptr(),
            c(settings).as_ptr(),
            &raw mut system,
            &raw mut error,
        )
    };
    checked(status, error)?;
    let id = unsafe { CStr::from_ptr(system) }.to_owned();
    unsafe { mxo_string_free(system) };
    Ok(id)
}

/// An operation that is freed in the end.
pub struct Operation(pub *mut mxo_operation);

impl Operation {
    /// Its result; it must end in 60 seconds.
    pub fn wait(&self) -> Result<Json> {
        self.wait_for(60_000).map(|(status, result)| {
            assert!(status == MXO_OK || status == 4, "status {status}");
            result
        })
    }

    pub fn wait_for(&self, timeout_ms: u32) -> Result<(mxo_status, Json)> {
        let (mut result, mut error) = (null_mut(), null_mut());
        let status = unsafe { mxo_operation_wait(self.0, timeout_ms, &raw mut result, &raw mut error) };
        let status = checked(status, error)?;
        Ok((status, if result.is_null() { Json::Null } else { taken(result) }))
    }

    pub fn cancel(&self) {
        mxo_operation_cancel(self.0);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        mxo_operation_free(self.0);
    }
}

/// A subscription that is closed in the end.
pub struct Events(pub *mut mxo_events);

impl Events {
    pub fn next(&self, timeout_ms: u32) -> (mxo_status, Json) {
        let (mut event, mut error) = (null_mut(), null_mut());
        let status = unsafe { mxo_events_next(self.0, timeout_ms, &raw mut event, &raw mut error) };
        let status = checked(status, error).unwrap();
        (status, if event.is_null() { Json::Null } else { taken(event) })
    }

    /// Reads until an event is the one looked for.
    pub fn until(&self, what: impl Fn(&Json) -> bool) -> Json {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            let (status, event) = self.next(1000);
            if status == MXO_OK && what(&event) {
                return event;
            }
        }
        panic!("the event did not come");
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        mxo_events_close(self.0);
    }
}

/// A mail that is freed in the end.
pub struct Mail(pub *mut mxo_mail);

impl Mail {
    pub fn new() -> Self {
        let (mut mail, mut error) = (null_mut(), null_mut());
        checked(unsafe { mxo_mail_new(&raw mut mail, &raw mut error) }, error).unwrap();
        Self(mail)
    }

    /// A small mail to Alice.
    pub fn to_alice() -> Self {
        Self::new().to("alice@contoso.example").subject("Your scan").text("Here it is.")
    }

    pub fn to(self, address: &str) -> Self {
        let mut error = null_mut();
        let (address, name) = (c(address), c("Alice Ångström"));
        let status = unsafe { mxo_mail_add_recipient(self.0, MXO_TO, address.as_ptr(), name.as_ptr(), &raw mut error) };
        checked(status, error).unwrap();
        self
    }

    pub fn from(self, address: &str) -> Self {
        let mut error = null_mut();
        checked(unsafe { mxo_mail_set_from(self.0, c(address).as_ptr(), null(), &raw mut error) }, error).unwrap();
        self
    }

    pub fn subject(self, subject: &str) -> Self {
        let mut error = null_mut();
        checked(unsafe { mxo_mail_set_subject(self.0, c(subject).as_ptr(), &raw mut error) }, error).unwrap();
        self
    }

    pub fn text(self, text: &str) -> Self {
        let mut error = null_mut();
        checked(unsafe { mxo_mail_set_text(self.0, c(text).as_ptr(), &raw mut error) }, error).unwrap();
        self
    }

    pub fn attach(self, name: &str, bytes: &[u8]) -> Self {
        let mut error = null_mut();
        let status = unsafe {
            let pointer: *const c_void = bytes.as_ptr().cast();
            mxo_mail_attach_bytes(self.0, c(name).as_ptr(), null(), pointer, bytes.len(), &raw mut error)
        };
        checked(status, error).unwrap();
        self
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        mxo_mail_free(self.0);
    }
}

/// The lines that a logger was given.
pub static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub unsafe extern "C" fn keep_line(_user_data: *mut c_void, _level: i32, message: *const c_char) {
    LINES.lock().unwrap().push(unsafe { CStr::from_ptr(message) }.to_str().unwrap().to_owned());
}

/// Waits until something is so, 20 seconds at most.
pub fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it never came to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}
