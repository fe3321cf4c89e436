//! External systems.

use std::ffi::c_char;
use std::sync::Arc;

use super::guard::guard;
use super::handle::get;
use super::text::{Out, optional, required};
use super::{mxo_connector, mxo_error, mxo_status, mxo_value};
use crate::base::{Status, Value, limits};
use crate::connector::Connector;
use crate::connector::options::parse;

/// Adds an external system. It is not connected yet: that takes a sign-in. Any thread; does not touch the network.
///
/// @param connector      An open connector.
/// @param title          What the administrator calls it; 1 to 256 octets.
/// @param client_id      Application (client) ID of the app registration: a GUID.
/// @param tenant_id      Directory (tenant) ID: a GUID, or a domain of the organisation.
/// @param settings_json  A JSON object (docs/schema/system-settings.schema.json): "cloud" (a name or a record),
///                       "serves" (of "smtp", "imap", "pop3"), "login_name", "sender", "openid". May be NULL: the
///                       worldwide cloud and all three protocols.
/// @param system_id      Receives the system's identifier; free it with mxo_string_free.
/// @param error          Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the parameter and the field; MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT,
///         MXO_E_FORKED, the failures of the store (5xx).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `system_id` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_system_add(
    connector: *mut mxo_connector,
    title: *const c_char,
    client_id: *const c_char,
    tenant_id: *const c_char,
    settings_json: *const c_char,
    system_id: *mut *mut c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(system_id, "system_id") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let (title, client_id, tenant_id, settings) = unsafe {
            (
                required(title, "title", limits::TEXT)?,
                required(client_id, "client_id", limits::TEXT)?,
                required(tenant_id, "tenant_id", limits::TEXT)?,
                optional(settings_json, "settings_json", limits::OPTIONS)?,
            )
        };
        let settings = settings.map(|text| parse("settings_json", text)).transpose()?;
        out.text(&connector.add_system(title, client_id, tenant_id, settings.as_ref())?)?;
        Ok(Status::Ok)
    })
}

/// Changes a system. Another client ID, tenant ID or cloud ends its connection: somebody must sign in again. Any
/// thread; does not touch the network.
///
/// @param connector   An open connector.
/// @param system_id   The system.
/// @param patch_json  A merge patch (RFC 7396) of "title", "client_id", "tenant_id" and "settings".
/// @param error       Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_NOT_FOUND, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED;
///         MXO_E_STORE_BUSY when somebody else changed it at the same moment; the failures of the store (5xx).
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_system_update(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    patch_json: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    guard(error, || {
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        let patch = unsafe { required(patch_json, "patch_json", limits::OPTIONS) }?;
        connector.update_system(system_id, &parse("patch_json", patch)?)?;
        Ok(Status::Ok)
    })
}

/// Removes a system with its tokens; a sign-in of it is cancelled. Any thread; does not touch the network.
///
/// @param connector  An open connector.
/// @param system_id  The system.
/// @param error      Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_FORKED, the failures of the store
///         (5xx).
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_system_remove(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    guard(error, || {
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        connector.remove_system(unsafe { required(system_id, "system_id", limits::TEXT) }?)?;
        Ok(Status::Ok)
    })
}

/// Tells a system: "/id", "/title", "/client_id", "/tenant_id", "/settings" and "/status". "/status/state" is
/// "not_connected", "signing_in", "code_waiting", "connected" or "sign_in_required"; "/status/login_name" is whom it is
/// connected as; "/status/warnings" is what refused although the sign-in worked, each with "/protocol" (null when it is
/// of none), "/status", "/name", "/message" and "/remedy"; "/status/error" is why it must be connected again. Any
/// thread; does not touch the network.
///
/// @param connector  An open connector.
/// @param system_id  The system.
/// @param system     Receives the value; free it with mxo_value_free.
/// @param error      Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_NOT_FOUND, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures
///         of the store (5xx).
///
/// # Safety
///
/// `system_id` is NULL or NUL-terminated; `system` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_system_get(
    connector: *mut mxo_connector,
    system_id: *const c_char,
    system: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(system, "system") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        // SAFETY: passed on from the header.
        let system_id = unsafe { required(system_id, "system_id", limits::TEXT) }?;
        out.give::<Value>(Arc::new(connector.system_json(system_id)?.into()))?;
        Ok(Status::Ok)
    })
}

/// Tells all systems, as "/systems/0", "/systems/1" …, each as mxo_system_get does. Any thread; does not touch the
/// network.
///
/// @param connector  An open connector.
/// @param systems    Receives the value; free it with mxo_value_free.
/// @param error      Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_CLOSED, MXO_E_LIMIT, MXO_E_FORKED, the failures of the store
///         (5xx).
///
/// # Safety
///
/// `systems` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_system_list(
    connector: *mut mxo_connector,
    systems: *mut *mut mxo_value,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(systems, "systems") };
    guard(error, || {
        let out = out?;
        let connector = get::<Connector>(connector, "connector")?;
        out.give::<Value>(Arc::new(connector.systems_json()?.into()))?;
        Ok(Status::Ok)
    })
}
