//! The statuses of the C ABI, as the rest of the crate names them.
//!
//! Codes are for ever (`tests/abi/status.txt` is append-only); a retired number stays reserved. The hundreds group
//! them, so that a binding which meets a status that it does not know can still tell what kind of thing it is:
//! 1xx use of the library, 2xx sign-in, 3xx network, 4xx mail protocols, 5xx store and files, 9xx internal.

macro_rules! statuses {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $name:literal;)+) => {
        /// How a call ended. The numbers are those of the header.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Status {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Status {
            /// Every status there is, in the order of the header.
            pub const ALL: &'static [Status] = &[$(Status::$variant,)+];

            /// The number that crosses the C ABI.
            #[must_use]
            pub const fn code(self) -> i32 {
                match self { $(Status::$variant => $code,)+ }
            }

            /// The status of a number, as a store or another process wrote it.
            #[must_use]
            pub fn from_code(code: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|status| status.code() == code)
            }

            /// The name of the constant in the header.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Status::$variant => $name,)+ }
            }
        }
    };
}

statuses! {
    /// Done.
    Ok = 0, "MXO_OK";
    /// Not ended yet: the status of a sign-in or an operation that still runs.
    Pending = 1, "MXO_PENDING";
    /// A wait ran out of time; the work goes on.
    Timeout = 2, "MXO_TIMEOUT";
    /// Nothing will ever come any more: the event queue is drained and its connector closed.
    End = 3, "MXO_END";
    /// Done in part: the mail was accepted, but not for every recipient.
    Partial = 4, "MXO_PARTIAL";

    /// A parameter is not what it must be; the message names it and its field.
    Argument = -100, "MXO_E_ARGUMENT";
    /// A handle is NULL, stale, freed already, or of another kind.
    Handle = -101, "MXO_E_HANDLE";
    /// The connector was closed.
    Closed = -102, "MXO_E_CLOSED";
    /// This process was forked from one that had the library open; it must load it anew (exec).
    Forked = -103, "MXO_E_FORKED";
    /// A callback would have waited for itself.
    WouldDeadlock = -104, "MXO_E_WOULD_DEADLOCK";
    /// No system, sign-in, mail or job of that identifier.
    NotFound = -105, "MXO_E_NOT_FOUND";
    /// The host cancelled the work, or something newer took its place.
    Canceled = -106, "MXO_E_CANCELED";
    /// No result in the time that the caller gave.
    CallTimeout = -107, "MXO_E_TIMEOUT";
    /// A limit of this library was reached.
    Limit = -108, "MXO_E_LIMIT";
    /// The job was settled before, and otherwise.
    Settled = -109, "MXO_E_SETTLED";
    /// Another process took the job over.
    LeaseLost = -110, "MXO_E_LEASE_LOST";

    /// Somebody must sign in (again).
    SignInRequired = -200, "MXO_E_SIGN_IN_REQUIRED";
    /// The person declined.
    SignInDeclined = -201, "MXO_E_SIGN_IN_DECLINED";
    /// The code was not used in time.
    SignInExpired = -202, "MXO_E_SIGN_IN_EXPIRED";
    /// The client ID is not known in the tenant.
    AppNotFound = -203, "MXO_E_APP_NOT_FOUND";
    /// The tenant ID is not known in this cloud.
    TenantNotFound = -204, "MXO_E_TENANT_NOT_FOUND";
    /// The registration does not allow public client flows.
    PublicClientOff = -205, "MXO_E_PUBLIC_CLIENT_OFF";
    /// The app registration is wrong in another way.
    AppSetup = -206, "MXO_E_APP_SETUP";
    /// The tenant is not set up for this: licence, service principal, assignment.
    TenantSetup = -207, "MXO_E_TENANT_SETUP";
    /// Consent to the permissions is missing.
    Consent = -208, "MXO_E_CONSENT";
    /// A policy of the tenant (Conditional Access, security defaults) forbids it.
    Policy = -209, "MXO_E_POLICY";
    /// The account cannot be used: disabled, locked, of another organisation.
    Account = -210, "MXO_E_ACCOUNT";
    /// Another account signed in than the one meant.
    WrongAccount = -211, "MXO_E_WRONG_ACCOUNT";
    /// The sign-in granted less than the system needs.
    PermissionMissing = -212, "MXO_E_PERMISSION_MISSING";
    /// The identity service is busy or throttles; the same request works later.
    IdentityBusy = -213, "MXO_E_IDENTITY_BUSY";
    /// The identity service refused for a reason that this library does not know better.
    IdentityRefused = -214, "MXO_E_IDENTITY_REFUSED";
    /// An administrator switched the system off.
    Disabled = -215, "MXO_E_DISABLED";

    /// No connection, or it broke.
    Network = -300, "MXO_E_NETWORK";
    /// A host name could not be resolved.
    NameResolution = -301, "MXO_E_NAME_RESOLUTION";
    /// TLS could not be set up.
    Tls = -302, "MXO_E_TLS";
    /// The server's certificate is not trusted.
    Certificate = -303, "MXO_E_CERTIFICATE";
    /// The proxy refused, or wants authentication.
    Proxy = -304, "MXO_E_PROXY";

    /// A server answered something that the protocol does not allow.
    Protocol = -400, "MXO_E_PROTOCOL";
    /// The mail server does not offer STARTTLS.
    StarttlsMissing = -401, "MXO_E_STARTTLS_MISSING";
    /// The mail server refused the login.
    LoginRefused = -402, "MXO_E_LOGIN_REFUSED";
    /// SMTP AUTH is off for the tenant or the mailbox.
    SmtpAuthOff = -403, "MXO_E_SMTP_AUTH_OFF";
    /// A policy of the tenant blocks the login to the mail server.
    LoginBlocked = -404, "MXO_E_LOGIN_BLOCKED";
    /// The mailbox may not send with this sender address.
    SenderRefused = -405, "MXO_E_SENDER_REFUSED";
    /// Every recipient was refused.
    RecipientsRefused = -406, "MXO_E_RECIPIENTS_REFUSED";
    /// The server refused the message itself.
    MessageRefused = -407, "MXO_E_MESSAGE_REFUSED";
    /// The message is bigger than the server takes.
    MessageTooBig = -408, "MXO_E_MESSAGE_TOO_BIG";
    /// The mail server is busy or throttles; the same request works later.
    MailBusy = -409, "MXO_E_MAIL_BUSY";
    /// A daily limit or the mailbox's quota is used up.
    Quota = -410, "MXO_E_QUOTA";
    /// The service blocked the account from sending.
    SenderBlocked = -411, "MXO_E_SENDER_BLOCKED";
    /// The connection broke after the whole mail was handed over: it may have been sent, or not.
    SendUnknown = -412, "MXO_E_SEND_UNKNOWN";
    /// The login worked, but the mailbox cannot be opened.
    Mailbox = -413, "MXO_E_MAILBOX";

    /// The store failed.
    Store = -500, "MXO_E_STORE";
    /// Other processes kept the store busy for too long.
    StoreBusy = -501, "MXO_E_STORE_BUSY";
    /// The store was written by a newer version of this library.
    StoreVersion = -502, "MXO_E_STORE_VERSION";
    /// The store's file is damaged.
    StoreDamaged = -503, "MXO_E_STORE_DAMAGED";
    /// The data directory cannot be used by this process, or others can read it.
    StoreAccess = -504, "MXO_E_STORE_ACCESS";
    /// The store's key is missing or does not open it.
    StoreKey = -505, "MXO_E_STORE_KEY";
    /// The disk is full.
    DiskFull = -506, "MXO_E_DISK_FULL";
    /// A file could not be read, or changed while it was sent.
    File = -507, "MXO_E_FILE";

    /// A fault of this library; the log has more.
    Internal = -900, "MXO_E_INTERNAL";
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_code(i32::deserialize(deserializer)?).unwrap_or(Self::Internal))
    }
}
