//! The statuses as the header has them. Written out, because cbindgen does not see what a macro makes; a test holds
//! them equal to [`Status`].

use std::ffi::CStr;

use crate::base::Status;

/// How a call ended: 0 done, negative failed, positive "not a failure" (`MXO_PENDING`, `MXO_TIMEOUT` and `MXO_END`
/// without a result, `MXO_PARTIAL` with one). The hundreds group the failures: 1xx use of the library, 2xx sign-in,
/// 3xx network, 4xx mail protocols, 5xx store and files, 9xx internal. New ones may come; a number never changes.
pub type mxo_status = i32;

/// Done.
pub const MXO_OK: mxo_status = 0;
/// Not ended yet: the status of a sign-in or an operation that still runs.
pub const MXO_PENDING: mxo_status = 1;
/// A wait ran out of time; the work goes on.
pub const MXO_TIMEOUT: mxo_status = 2;
/// Nothing will ever come any more: the event queue is drained and its connector closed.
pub const MXO_END: mxo_status = 3;
/// Done in part: the mail was accepted, but not for every recipient.
pub const MXO_PARTIAL: mxo_status = 4;
/// A parameter is not what it must be; the message names it and its field.
pub const MXO_E_ARGUMENT: mxo_status = -100;
/// A handle is NULL, stale, freed already, or of another kind.
pub const MXO_E_HANDLE: mxo_status = -101;
/// The connector was closed.
pub const MXO_E_CLOSED: mxo_status = -102;
/// This process was forked from one that had the library open; it must load it anew (exec).
pub const MXO_E_FORKED: mxo_status = -103;
/// A callback would have waited for itself.
pub const MXO_E_WOULD_DEADLOCK: mxo_status = -104;
/// No system, sign-in, mail or job of that identifier.
pub const MXO_E_NOT_FOUND: mxo_status = -105;
/// The host cancelled the work, or something newer took its place.
pub const MXO_E_CANCELED: mxo_status = -106;
/// No result in the time that the caller gave.
pub const MXO_E_TIMEOUT: mxo_status = -107;
/// A limit of this library was reached.
pub const MXO_E_LIMIT: mxo_status = -108;
/// The job was settled before, and otherwise.
pub const MXO_E_SETTLED: mxo_status = -109;
/// Another process took the job over.
pub const MXO_E_LEASE_LOST: mxo_status = -110;
/// Somebody must sign in (again).
pub const MXO_E_SIGN_IN_REQUIRED: mxo_status = -200;
/// The person declined.
pub const MXO_E_SIGN_IN_DECLINED: mxo_status = -201;
/// The code was not used in time.
pub const MXO_E_SIGN_IN_EXPIRED: mxo_status = -202;
/// The client ID is not known in the tenant.
pub const MXO_E_APP_NOT_FOUND: mxo_status = -203;
/// The tenant ID is not known in this cloud.
pub const MXO_E_TENANT_NOT_FOUND: mxo_status = -204;
/// The registration does not allow public client flows.
pub const MXO_E_PUBLIC_CLIENT_OFF: mxo_status = -205;
/// The app registration is wrong in another way.
pub const MXO_E_APP_SETUP: mxo_status = -206;
/// The tenant is not set up for this: licence, service principal, assignment.
pub const MXO_E_TENANT_SETUP: mxo_status = -207;
/// Consent to the permissions is missing.
pub const MXO_E_CONSENT: mxo_status = -208;
/// A policy of the tenant (Conditional Access, security defaults) forbids it.
pub const MXO_E_POLICY: mxo_status = -209;
/// The account cannot be used: disabled, locked, of another organisation.
pub const MXO_E_ACCOUNT: mxo_status = -210;
/// Another account signed in than the one meant.
pub const MXO_E_WRONG_ACCOUNT: mxo_status = -211;
/// The sign-in granted less than the system needs.
pub const MXO_E_PERMISSION_MISSING: mxo_status = -212;
/// The identity service is busy or throttles; the same request works later.
pub const MXO_E_IDENTITY_BUSY: mxo_status = -213;
/// The identity service refused for a reason that this library does not know better.
pub const MXO_E_IDENTITY_REFUSED: mxo_status = -214;
/// An administrator switched the system off.
pub const MXO_E_DISABLED: mxo_status = -215;
/// No connection, or it broke.
pub const MXO_E_NETWORK: mxo_status = -300;
/// A host name could not be resolved.
pub const MXO_E_NAME_RESOLUTION: mxo_status = -301;
/// TLS could not be set up.
pub const MXO_E_TLS: mxo_status = -302;
/// The server's certificate is not trusted.
pub const MXO_E_CERTIFICATE: mxo_status = -303;
/// The proxy refused, or wants authentication.
pub const MXO_E_PROXY: mxo_status = -304;
/// A server answered something that the protocol does not allow.
pub const MXO_E_PROTOCOL: mxo_status = -400;
/// The mail server does not offer STARTTLS.
pub const MXO_E_STARTTLS_MISSING: mxo_status = -401;
/// The mail server refused the login.
pub const MXO_E_LOGIN_REFUSED: mxo_status = -402;
/// SMTP AUTH is off for the tenant or the mailbox.
pub const MXO_E_SMTP_AUTH_OFF: mxo_status = -403;
/// A policy of the tenant blocks the login to the mail server.
pub const MXO_E_LOGIN_BLOCKED: mxo_status = -404;
/// The mailbox may not send with this sender address.
pub const MXO_E_SENDER_REFUSED: mxo_status = -405;
/// Every recipient was refused.
pub const MXO_E_RECIPIENTS_REFUSED: mxo_status = -406;
/// The server refused the message itself.
pub const MXO_E_MESSAGE_REFUSED: mxo_status = -407;
/// The message is bigger than the server takes.
pub const MXO_E_MESSAGE_TOO_BIG: mxo_status = -408;
/// The mail server is busy or throttles; the same request works later.
pub const MXO_E_MAIL_BUSY: mxo_status = -409;
/// A daily limit or the mailbox's quota is used up.
pub const MXO_E_QUOTA: mxo_status = -410;
/// The service blocked the account from sending.
pub const MXO_E_SENDER_BLOCKED: mxo_status = -411;
/// The connection broke after the whole mail was handed over: it may have been sent, or not.
pub const MXO_E_SEND_UNKNOWN: mxo_status = -412;
/// The login worked, but the mailbox cannot be opened.
pub const MXO_E_MAILBOX: mxo_status = -413;
/// The store failed.
pub const MXO_E_STORE: mxo_status = -500;
/// Other processes kept the store busy for too long.
pub const MXO_E_STORE_BUSY: mxo_status = -501;
/// The store was written by a newer version of this library.
pub const MXO_E_STORE_VERSION: mxo_status = -502;
/// The store's file is damaged.
pub const MXO_E_STORE_DAMAGED: mxo_status = -503;
/// The data directory cannot be used by this process, or others can read it.
pub const MXO_E_STORE_ACCESS: mxo_status = -504;
/// The store's key is missing or does not open it.
pub const MXO_E_STORE_KEY: mxo_status = -505;
/// The disk is full.
pub const MXO_E_DISK_FULL: mxo_status = -506;
/// A file could not be read, or changed while it was sent.
pub const MXO_E_FILE: mxo_status = -507;
/// A fault of this library; the log has more.
pub const MXO_E_INTERNAL: mxo_status = -900;

/// Every constant with its name and the status that it stands for.
const ALL: &[(&CStr, mxo_status, Status)] = &[
    (c"MXO_OK", MXO_OK, Status::Ok),
    (c"MXO_PENDING", MXO_PENDING, Status::Pending),
    (c"MXO_TIMEOUT", MXO_TIMEOUT, Status::Timeout),
    (c"MXO_END", MXO_END, Status::End),
    (c"MXO_PARTIAL", MXO_PARTIAL, Status::Partial),
    (c"MXO_E_ARGUMENT", MXO_E_ARGUMENT, Status::Argument),
    (c"MXO_E_HANDLE", MXO_E_HANDLE, Status::Handle),
    (c"MXO_E_CLOSED", MXO_E_CLOSED, Status::Closed),
    (c"MXO_E_FORKED", MXO_E_FORKED, Status::Forked),
    (c"MXO_E_WOULD_DEADLOCK", MXO_E_WOULD_DEADLOCK, Status::WouldDeadlock),
    (c"MXO_E_NOT_FOUND", MXO_E_NOT_FOUND, Status::NotFound),
    (c"MXO_E_CANCELED", MXO_E_CANCELED, Status::Canceled),
    (c"MXO_E_TIMEOUT", MXO_E_TIMEOUT, Status::CallTimeout),
    (c"MXO_E_LIMIT", MXO_E_LIMIT, Status::Limit),
    (c"MXO_E_SETTLED", MXO_E_SETTLED, Status::Settled),
    (c"MXO_E_LEASE_LOST", MXO_E_LEASE_LOST, Status::LeaseLost),
    (c"MXO_E_SIGN_IN_REQUIRED", MXO_E_SIGN_IN_REQUIRED, Status::SignInRequired),
    (c"MXO_E_SIGN_IN_DECLINED", MXO_E_SIGN_IN_DECLINED, Status::SignInDeclined),
    (c"MXO_E_SIGN_IN_EXPIRED", MXO_E_SIGN_IN_EXPIRED, Status::SignInExpired),
    (c"MXO_E_APP_NOT_FOUND", MXO_E_APP_NOT_FOUND, Status::AppNotFound),
    (c"MXO_E_TENANT_NOT_FOUND", MXO_E_TENANT_NOT_FOUND, Status::TenantNotFound),
    (c"MXO_E_PUBLIC_CLIENT_OFF", MXO_E_PUBLIC_CLIENT_OFF, Status::PublicClientOff),
    (c"MXO_E_APP_SETUP", MXO_E_APP_SETUP, Status::AppSetup),
    (c"MXO_E_TENANT_SETUP", MXO_E_TENANT_SETUP, Status::TenantSetup),
    (c"MXO_E_CONSENT", MXO_E_CONSENT, Status::Consent),
    (c"MXO_E_POLICY", MXO_E_POLICY, Status::Policy),
    (c"MXO_E_ACCOUNT", MXO_E_ACCOUNT, Status::Account),
    (c"MXO_E_WRONG_ACCOUNT", MXO_E_WRONG_ACCOUNT, Status::WrongAccount),
    (c"MXO_E_PERMISSION_MISSING", MXO_E_PERMISSION_MISSING, Status::PermissionMissing),
    (c"MXO_E_IDENTITY_BUSY", MXO_E_IDENTITY_BUSY, Status::IdentityBusy),
    (c"MXO_E_IDENTITY_REFUSED", MXO_E_IDENTITY_REFUSED, Status::IdentityRefused),
    (c"MXO_E_DISABLED", MXO_E_DISABLED, Status::Disabled),
    (c"MXO_E_NETWORK", MXO_E_NETWORK, Status::Network),
    (c"MXO_E_NAME_RESOLUTION", MXO_E_NAME_RESOLUTION, Status::NameResolution),
    (c"MXO_E_TLS", MXO_E_TLS, Status::Tls),
    (c"MXO_E_CERTIFICATE", MXO_E_CERTIFICATE, Status::Certificate),
    (c"MXO_E_PROXY", MXO_E_PROXY, Status::Proxy),
    (c"MXO_E_PROTOCOL", MXO_E_PROTOCOL, Status::Protocol),
    (c"MXO_E_STARTTLS_MISSING", MXO_E_STARTTLS_MISSING, Status::StarttlsMissing),
    (c"MXO_E_LOGIN_REFUSED", MXO_E_LOGIN_REFUSED, Status::LoginRefused),
    (c"MXO_E_SMTP_AUTH_OFF", MXO_E_SMTP_AUTH_OFF, Status::SmtpAuthOff),
    (c"MXO_E_LOGIN_BLOCKED", MXO_E_LOGIN_BLOCKED, Status::LoginBlocked),
    (c"MXO_E_SENDER_REFUSED", MXO_E_SENDER_REFUSED, Status::SenderRefused),
    (c"MXO_E_RECIPIENTS_REFUSED", MXO_E_RECIPIENTS_REFUSED, Status::RecipientsRefused),
    (c"MXO_E_MESSAGE_REFUSED", MXO_E_MESSAGE_REFUSED, Status::MessageRefused),
    (c"MXO_E_MESSAGE_TOO_BIG", MXO_E_MESSAGE_TOO_BIG, Status::MessageTooBig),
    (c"MXO_E_MAIL_BUSY", MXO_E_MAIL_BUSY, Status::MailBusy),
    (c"MXO_E_QUOTA", MXO_E_QUOTA, Status::Quota),
    (c"MXO_E_SENDER_BLOCKED", MXO_E_SENDER_BLOCKED, Status::SenderBlocked),
    (c"MXO_E_SEND_UNKNOWN", MXO_E_SEND_UNKNOWN, Status::SendUnknown),
    (c"MXO_E_MAILBOX", MXO_E_MAILBOX, Status::Mailbox),
    (c"MXO_E_STORE", MXO_E_STORE, Status::Store),
    (c"MXO_E_STORE_BUSY", MXO_E_STORE_BUSY, Status::StoreBusy),
    (c"MXO_E_STORE_VERSION", MXO_E_STORE_VERSION, Status::StoreVersion),
    (c"MXO_E_STORE_DAMAGED", MXO_E_STORE_DAMAGED, Status::StoreDamaged),
    (c"MXO_E_STORE_ACCESS", MXO_E_STORE_ACCESS, Status::StoreAccess),
    (c"MXO_E_STORE_KEY", MXO_E_STORE_KEY, Status::StoreKey),
    (c"MXO_E_DISK_FULL", MXO_E_DISK_FULL, Status::DiskFull),
    (c"MXO_E_FILE", MXO_E_FILE, Status::File),
    (c"MXO_E_INTERNAL", MXO_E_INTERNAL, Status::Internal),
];

/// The name of a status.
pub(super) fn name(code: mxo_status) -> Option<&'static CStr> {
    ALL.iter().find(|(_, known, _)| *known == code).map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_the_statuses() {
        assert_eq!(ALL.len(), Status::ALL.len());
        for ((name, code, status), expected) in ALL.iter().zip(Status::ALL) {
            let name = name.to_str().unwrap();
            assert_eq!((name, *code, *status), (expected.name(), expected.code(), *expected));
        }
    }
}
