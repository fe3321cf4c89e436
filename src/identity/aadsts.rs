//! What the errors of Microsoft's identity platform mean: RFC 6749 section 5.2 and RFC 8628 section 3.5 decide what to
//! *do*, the `AADSTS` numbers choose the *words*. Microsoft warns that clients which branch on numbers break, so a
//! number decides only one thing here: one that speaks of a passing disturbance never ends a connection, whatever
//! `error` it came with.
//!
//! Numbers and names are those of Microsoft's list "Microsoft Entra authentication and authorization error codes",
//! where it gives a name; otherwise the name is ours. Not here: numbers that a device code sign-in or a refresh cannot
//! meet (SAML, certificates, password change).

use std::time::Duration;

use crate::base::{Report, ServiceWords, Status};

/// One number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The digits behind `AADSTS`.
    pub code: u32,
    /// Microsoft's name.
    pub name: &'static str,
    /// What kind of trouble it is.
    pub class: Class,
    /// What happened.
    pub message: &'static str,
    /// What to do about it; `None` where there is nothing to do but wait.
    pub remedy: Option<&'static str>,
}

/// Kinds of trouble, by who can end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody has confirmed the code yet.
    Pending,
    /// The code cannot be used (any more): start again with a fresh one.
    Code,
    /// The code was not used in time.
    Expired,
    /// The person said no.
    Declined,
    /// The registration does not allow public client flows.
    PublicClient,
    /// The app is not known in the tenant.
    AppNotFound,
    /// The app registration is wrong in another way.
    AppSetup,
    /// The tenant is not known in this cloud.
    TenantNotFound,
    /// The tenant lacks something: Exchange Online, an enabled app, an assignment.
    TenantSetup,
    /// Consent is missing.
    Consent,
    /// A policy forbids it.
    Policy,
    /// The account cannot be used.
    Account,
    /// The person must sign in again.
    Person,
    /// Passes by itself within minutes.
    Wait,
    /// A fault at Microsoft or at a federation server, which does not pass so soon.
    Fault,
    /// This library asked for something wrong.
    Bug,
}

impl Class {
    /// The status that a host sees.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Code | Self::Person => Status::SignInRequired,
            Self::Expired => Status::SignInExpired,
            Self::Declined => Status::SignInDeclined,
            Self::PublicClient => Status::PublicClientOff,
            Self::AppNotFound => Status::AppNotFound,
            Self::AppSetup => Status::AppSetup,
            Self::TenantNotFound => Status::TenantNotFound,
            Self::TenantSetup => Status::TenantSetup,
            Self::Consent => Status::Consent,
            Self::Policy => Status::Policy,
            Self::Account => Status::Account,
            Self::Wait | Self::Fault => Status::IdentityBusy,
            Self::Bug => Status::IdentityRefused,
        }
    }

    /// How it is called where a host explains a number.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Code => "code",
            Self::Expired => "expired",
            Self::Declined => "declined",
            Self::PublicClient => "public_client_off",
            Self::AppNotFound => "app_not_found",
            Self::AppSetup => "app_setup",
            Self::TenantNotFound => "tenant_not_found",
            Self::TenantSetup => "tenant_setup",
            Self::Consent => "consent",
            Self::Policy => "policy",
            Self::Account => "account",
            Self::Person => "sign_in_again",
            Self::Wait => "wait",
            Self::Fault => "fault",
            Self::Bug => "bug",
        }
    }

    /// Whether it passes without anybody doing anything, so that it must not end a connection.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Wait | Self::Fault)
    }
}

/// What to do about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Not confirmed yet: poll again after the interval.
    KeepPolling,
    /// The same, with five seconds more from now on.
    SlowDown,
    /// The person said no.
    Declined,
    /// The code's time is over.
    Expired,
    /// The service does not know the code: mistyped, used up, of another tenant.
    CodeUnknown,
    /// Stop: something must be set up first.
    Refused,
    /// The grant is void: the person must sign in again.
    SignInAgain,
    /// Passes by itself; the same request again later.
    Wait,
}

/// An answer understood.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// The number that has the best words, when one is known.
    pub entry: Option<&'static Entry>,
    /// Send the same request once more before believing it: Microsoft has refused good refresh tokens with 70000.
    pub retry_once: bool,
    behaviour: &'static Behaviour,
}

/// What an `error` or a `suberror` asks for, with words for when no number has better ones.
#[derive(Debug)]
struct Behaviour {
    error: &'static str,
    action: Action,
    class: Class,
    message: &'static str,
    remedy: Option<&'static str>,
}

/// After 50196 Microsoft wants to be left alone for a while; recovery was seen after about two minutes.
const LOOP_PAUSE: Duration = Duration::from_secs(60);
/// Between two attempts while Microsoft or a federation server is broken.
const FAULT_PAUSE: Duration = Duration::from_secs(600);

const LOOP_DETECTED: u32 = 50196;
const INVALID_GRANT: u32 = 70000;

/// The entry of a number.
#[must_use]
pub fn find(code: u32) -> Option<&'static Entry> {
    ENTRIES.binary_search_by_key(&code, |entry| entry.code).ok().and_then(|index| ENTRIES.get(index))
}

/// Every number that is known, in order.
#[must_use]
pub fn all() -> &'static [Entry] {
    ENTRIES
}

/// The numbers in whatever a person pastes: an error page, a log line, Microsoft's lookup address, or the digits alone.
pub fn numbers_in(text: &str) -> impl Iterator<Item = u32> + use<> {
    let text = text.to_ascii_lowercase();
    let mut numbers = Vec::new();
    for mark in ["aadsts", "error code", "error?code="] {
        for number in text.split(mark).skip(1).filter_map(leading_number) {
            if !numbers.contains(&number) && numbers.len() < MOST_NUMBERS {
                numbers.push(number);
            }
        }
    }
    if numbers.is_empty() {
        numbers.extend(text.trim().parse::<u32>().ok());
    }
    numbers.into_iter()
}

const MOST_NUMBERS: usize = 32;

fn leading_number(rest: &str) -> Option<u32> {
    let rest = rest.trim_start_matches([' ', ':', '\u{a0}']);
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    // The shortest number of Microsoft's has five digits; "error code: 5" is something else.
    (digits.len() >= 5).then(|| digits.parse().ok()).flatten()
}

/// What a person's text is about: its first number that is known.
#[must_use]
pub fn explain(text: &str) -> Option<&'static Entry> {
    numbers_in(text).find_map(find)
}

/// Understands an error answer: `codes` with the most specific first.
#[must_use]
pub fn judge(error: &str, suberror: Option<&str>, codes: &[u32], http_status: u16) -> Verdict {
    let known = || codes.iter().copied().filter_map(find);
    if let Some(entry) = known().find(|entry| entry.class.passes()) {
        return Verdict { action: Action::Wait, entry: Some(entry), retry_once: false, behaviour: &BUSY };
    }
    if http_status == 429 || http_status >= 500 {
        return Verdict { action: Action::Wait, entry: None, retry_once: false, behaviour: &BUSY };
    }
    let behaviour = behaviour_of(error, suberror);
    match behaviour.action {
        // The words of a number about the person would hide that it is the service that is busy.
        Action::Wait => Verdict { action: Action::Wait, entry: None, retry_once: false, behaviour },
        action => Verdict {
            action,
            entry: known().next(),
            retry_once: action == Action::SignInAgain && codes.contains(&INVALID_GRANT),
            behaviour,
        },
    }
}

fn behaviour_of(error: &str, suberror: Option<&str>) -> &'static Behaviour {
    let of = |table: &'static [Behaviour], name: &str| table.iter().find(|behaviour| behaviour.error == name);
    let general = of(ERRORS, error).unwrap_or(&UNKNOWN);
    match suberror {
        // A suberror only says more about a grant that is void.
        Some(suberror) if general.action == Action::SignInAgain => of(SUBERRORS, suberror).unwrap_or(general),
        _ => general,
    }
}

impl Entry {
    /// What a host is told of a number alone, as a browser showed it.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::new(self.class.status(), self.message);
        report.remedy = self.remedy.map(String::from);
        report.transient = matches!(self.class, Class::Pending) || self.class.passes();
        report.sign_in_required = matches!(self.class, Class::Person | Class::Code);
        report.retry_after = self.pause();
        report.service.aadsts = Some(self.code);
        report
    }

    fn pause(&self) -> Option<Duration> {
        match self.class {
            Class::Wait if self.code == LOOP_DETECTED => Some(LOOP_PAUSE),
            Class::Fault => Some(FAULT_PAUSE),
            _ => None,
        }
    }
}

impl Verdict {
    /// What a host is told.
    #[must_use]
    pub fn report(&self, words: ServiceWords) -> Report {
        let mut report = match self.entry {
            Some(entry) => Report { service: ServiceWords { aadsts: Some(entry.code), ..words }, ..entry.report() },
            None => self.generic(words),
        };
        report.sign_in_required = self.action == Action::SignInAgain;
        report.transient = matches!(self.action, Action::Wait | Action::KeepPolling | Action::SlowDown);
        // Where the error does not ask for a person, a number must not seem to.
        if self.action == Action::Refused && report.status == Status::SignInRequired {
            report.status = Status::IdentityRefused;
        }
        report
    }

    /// Words for an answer without a number that is known.
    fn generic(&self, words: ServiceWords) -> Report {
        let mut report = Report::new(self.behaviour.class.status(), self.behaviour.message);
        report.remedy = self.behaviour.remedy.map(String::from);
        if self.behaviour.error == MESSAGE_ONLY
            && let Some(text) = words.text.as_deref().and_then(|text| text.lines().next())
        {
            report.message = format!("{} Microsoft says: {text}", report.message);
        }
        if let Some(number) = words.aadsts {
            let look_up = format!("More about it: https://login.microsoftonline.com/error?code={number}.");
            report.message = format!("{} (AADSTS{number})", report.message);
            report.remedy = Some(join(report.remedy.take(), &look_up));
        }
        if self.action != Action::Wait
            && let Some(trace) = &words.trace_id
        {
            report.remedy = Some(join(report.remedy.take(), &format!("For Microsoft's support: trace ID {trace}.")));
        }
        report.service = words;
        report
    }
}

fn join(before: Option<String>, sentence: &str) -> String {
    match before {
        Some(before) => format!("{before} {sentence}"),
        None => sentence.to_owned(),
    }
}

const fn behaviour(
    error: &'static str,
    action: Action,
    class: Class,
    message: &'static str,
    remedy: &'static str,
) -> Behaviour {
    let remedy = if remedy.is_empty() { None } else { Some(remedy) };
    Behaviour { error, action, class, message, remedy }
}

static BUSY: Behaviour = behaviour(
    "",
    Action::Wait,
    Class::Wait,
    "Microsoft's sign-in service is busy or disturbed.",
    "Try again in a few minutes; nothing needs to be changed.",
);

static UNKNOWN: Behaviour = behaviour(
    "",
    Action::Refused,
    Class::Bug,
    "Microsoft's sign-in service refused for a reason that this version does not know.",
    "Check the app registration and the tenant ID.",
);

/// By `error`: RFC 6749 section 5.2, RFC 8628 section 3.5, OpenID Connect Core section 3.1.2.6, and Microsoft's own.
#[rustfmt::skip]
static ERRORS: &[Behaviour] = &[
    behaviour("authorization_pending", Action::KeepPolling, Class::Pending, "Waiting for the code to be entered.", ""),
    behaviour("slow_down", Action::SlowDown, Class::Pending, "Waiting for the code to be entered.", ""),
    behaviour("authorization_declined", Action::Declined, Class::Declined, DECLINED, ACCEPT),
    behaviour("access_denied", Action::Declined, Class::Declined, DECLINED, ACCEPT),
    behaviour("expired_token", Action::Expired, Class::Expired, CODE_EXPIRED, IN_TIME),
    behaviour("code_expired", Action::Expired, Class::Expired, CODE_EXPIRED, IN_TIME),
    behaviour(
        "bad_verification_code",
        Action::CodeUnknown,
        Class::Code,
        "Microsoft does not know the code, or it was used already.",
        FRESH_CODE,
    ),
    behaviour("invalid_grant", Action::SignInAgain, Class::Person, "The sign-in is not valid any more.", CONNECT_AGAIN),
    behaviour("interaction_required", Action::SignInAgain, Class::Person, PERSON_NEEDED, CONNECT_AGAIN),
    behaviour("login_required", Action::SignInAgain, Class::Person, PERSON_NEEDED, CONNECT_AGAIN),
    behaviour("consent_required", Action::SignInAgain, Class::Consent, NO_CONSENT, CONSENT),
    behaviour("invalid_client", Action::Refused, Class::AppSetup, "Microsoft does not accept the app.", PUBLIC_CLIENT),
    behaviour(
        "unauthorized_client",
        Action::Refused,
        Class::AppSetup,
        "The app is not known in this tenant, or may not sign in this way.",
        APP_IDS,
    ),
    behaviour("invalid_scope", Action::Refused, Class::AppSetup, "The app may not ask for these permissions.", PERMISSIONS),
    behaviour("invalid_resource", Action::Refused, Class::TenantSetup, NO_EXCHANGE, EXCHANGE),
    behaviour("invalid_request", Action::Refused, Class::Bug, "Microsoft did not accept the request.", CHECK_IDS),
    behaviour("unsupported_grant_type", Action::Refused, Class::Bug, "The service does not offer sign-in by code.", CHECK_IDS),
    behaviour("temporarily_unavailable", Action::Wait, Class::Wait, UNAVAILABLE, ""),
    behaviour("server_error", Action::Wait, Class::Wait, UNAVAILABLE, ""),
];

const MESSAGE_ONLY: &str = "message_only";

/// By `suberror`, where the grant is void. All but one end in a new sign-in.
#[rustfmt::skip]
static SUBERRORS: &[Behaviour] = &[
    behaviour("basic_action", Action::SignInAgain, Class::Person, PERSON_NEEDED, CONNECT_AGAIN),
    behaviour("additional_action", Action::SignInAgain, Class::Person, PERSON_NEEDED, CONNECT_AGAIN),
    behaviour(MESSAGE_ONLY, Action::Refused, Class::Policy, "A new sign-in would not help.", POLICY),
    behaviour("consent_required", Action::SignInAgain, Class::Consent, NO_CONSENT, CONSENT),
    behaviour("user_password_expired", Action::SignInAgain, Class::Person, "The account's password has expired.", PASSWORD),
    behaviour("bad_token", Action::SignInAgain, Class::Person, "The sign-in is not valid any more.", CONNECT_AGAIN),
    behaviour("token_expired", Action::SignInAgain, Class::Person, "The sign-in has expired.", CONNECT_AGAIN),
    behaviour("client_mismatch", Action::SignInAgain, Class::Person, "The sign-in belongs to another app.", CONNECT_AGAIN),
    behaviour("protection_policy_required", Action::SignInAgain, Class::Policy, "A policy asks for a managed app.", POLICY),
    behaviour("device_authentication_failed", Action::SignInAgain, Class::Policy, DEVICE_DEMANDED, DEVICE),
];

const DECLINED: &str = "The sign-in was declined.";
const CODE_EXPIRED: &str = "The code was not used within its time.";
const PERSON_NEEDED: &str = "Microsoft wants the person to sign in again.";
const NO_CONSENT: &str = "Nobody has consented to the app's permissions.";
const NO_EXCHANGE: &str = "Exchange Online is not available in this tenant.";
const UNAVAILABLE: &str = "Microsoft is briefly unavailable.";
const THROTTLED: &str = "Microsoft is throttling this tenant.";
const BAD_REQUEST: &str = "Microsoft did not understand the request.";
const DEVICE_DEMANDED: &str = "A policy lets only managed devices sign in.";
const OTHER_CLOUD: &str = "The tenant belongs to another of Microsoft's clouds.";
const NOT_ON_ALIAS: &str = "The app may not sign in without naming the organisation's own tenant.";
const NOT_OF_TENANT: &str = "The account does not belong to this organisation.";
const TENANT_FORBIDDEN: &str = "A network proxy or a policy between organisations forbids this tenant.";
const BROKEN: &str = "There is a fault at Microsoft.";
const BROKEN_FEDERATION: &str = "There is a fault at the organisation's federation server or its second factor.";
const PASSWORD_EXPIRED: &str = "The account's password has expired or must be changed.";
const POLICY_BLOCKS: &str = "A policy of the tenant blocks this sign-in.";

const PUBLIC_CLIENT: &str = "Entra admin center > Entra ID > App registrations > the app > Authentication: set \"Allow \
     public client flows\" to Yes (manifest: \"isFallbackPublicClient\": true). If the app has only a Web platform, add \
     \"Mobile and desktop applications\" too.";
const APP_IDS: &str = "Compare client ID and tenant ID with those in Entra admin center > Entra ID > App registrations > \
     the app > Overview, and check that the app is registered in this tenant and this cloud.";
const CHECK_IDS: &str =
    "Check client ID, tenant ID and cloud of the system; if they are right, report this with the log.";
const ENABLE_APP: &str = "Entra admin center > Entra ID > Enterprise apps > the app > Properties: set \"Enabled for users \
     to sign in?\" to Yes.";
const ASSIGN: &str = "Entra admin center > Entra ID > Enterprise apps > the app > Users and groups: add the mailbox \
     account; or set \"Assignment required?\" to No under Properties.";
const TENANT_ID: &str = "Copy the tenant ID from Entra admin center > Entra ID > Overview, and choose the cloud that the \
     tenant belongs to (worldwide, US Government, China operated by 21Vianet).";
const OWN_TENANT: &str = "Enter the organisation's own tenant ID (Entra admin center > Entra ID > Overview) in place of \
     \"common\", \"organizations\" or \"consumers\".";
const CLOUD: &str =
    "Choose the cloud that the tenant belongs to: worldwide, US Government, or China operated by 21Vianet.";
const REPORT_IT: &str = "This is a fault of the connector: please report it with the trace ID and the log.";
const EXCHANGE: &str = "Check the licence (Microsoft 365 admin center > Billing > Licenses), and that \"Office 365 Exchange \
     Online\" is there and enabled in Entra admin center > Entra ID > Enterprise apps (application type: Microsoft \
     Applications).";
const PERMISSIONS: &str = "Entra admin center > Entra ID > App registrations > the app > API permissions: add the \
     delegated Microsoft Graph permissions SMTP.Send, IMAP.AccessAsUser.All, POP.AccessAsUser.All and offline_access, \
     press \"Grant admin consent\", then sign in again.";
const CONSENT: &str = "Entra admin center > Entra ID > App registrations > the app > API permissions: press \"Grant admin \
     consent\", then sign in again.";
const ADMIN_CONSENT: &str = "Users may not consent in this tenant: an administrator must press \"Grant admin consent\" in \
     Entra admin center > Entra ID > App registrations > the app > API permissions; then sign in again.";
const ACCEPT: &str = "Start again and accept; or have an administrator press \"Grant admin consent\" in Entra admin center \
     > Entra ID > App registrations > the app > API permissions.";
const IN_TIME: &str = "Start again and enter the code within 15 minutes. If the browser showed an AADSTS number, look that \
     number up: most refusals are shown only there.";
const FRESH_CODE: &str = "Start again and enter the fresh code.";
const CONTINUE: &str =
    "Start again, and answer \"Continue\" when the page asks whether you are trying to sign in to the app.";
const CONNECT_AGAIN: &str = "Connect the system again: start a sign-in and confirm it with the account of the mailbox.";
const MFA: &str = "Sign in again with multifactor authentication. For an unattended mailbox, exempt its account from the \
     policy that asks for it, or lengthen the sign-in frequency (Entra admin center > Entra ID > Conditional Access > \
     Policies).";
const FREQUENCY: &str = "Exclude the mailbox account from the policy whose session control is \"Sign-in frequency\" (Entra \
     admin center > Entra ID > Conditional Access > Policies), then connect again; else this comes back each time.";
const PASSWORD: &str = "Change the account's password, then connect again.";
const UNLOCK: &str = "Entra admin center > Entra ID > Monitoring & health > Sign-in logs tells whether the account is \
     locked or the network address has a bad reputation; unlock the account or wait, then connect again.";
const ENABLE_ACCOUNT: &str = "Microsoft 365 admin center > Users > Active users > the account: unblock its sign-in. The \
     account of a shared mailbox is disabled by design: sign in as a user who has rights on that mailbox.";
const RIGHT_ACCOUNT: &str = "Sign in with an account of the organisation that the tenant ID names, best in a private \
     browser window.";
const WORK_ACCOUNT: &str = "Sign in with the work or school account of the mailbox, best in a private browser window.";
const RESTRICTION: &str = "Ask the network administrator about tenant restrictions on the proxy, and check Entra admin \
     center > Entra ID > External Identities > Cross-tenant access settings.";
const POLICY: &str = "The sign-in's entry in Entra admin center > Entra ID > Monitoring & health > Sign-in logs names the \
     policy. Exclude the mailbox account or this app from it under Entra ID > Conditional Access > Policies; often it is \
     \"Block device code flow\".";
const DEVICE: &str = "Exclude the mailbox account or this app from the policy that asks for a compliant or joined device \
     (Entra admin center > Entra ID > Conditional Access > Policies): a sign-in by code can never meet it.";
const DEFAULTS: &str = "Entra admin center > Entra ID > Overview > Properties > Manage security defaults: turn them off, \
     and put Conditional Access policies that allow this app in their place.";
const SUPPORT: &str =
    "If it lasts, open a case in Microsoft 365 admin center > Support with the trace ID and the time.";
const SUPPORT_FEDERATION: &str = "Check the federation server or the provider of the second factor; if they work, open a \
     case with Microsoft, with the trace ID and the time.";

const fn row(code: u32, name: &'static str, class: Class, message: &'static str, remedy: &'static str) -> Entry {
    let remedy = if remedy.is_empty() { None } else { Some(remedy) };
    Entry { code, name, class, message, remedy }
}

/// In the order of the numbers.
#[rustfmt::skip]
static ENTRIES: &[Entry] = &[
    row(16000, "InteractionRequired", Class::Account, NOT_OF_TENANT, RIGHT_ACCOUNT),
    row(16003, "SsoUserAccountNotFoundInResourceTenant", Class::Account, NOT_OF_TENANT, RIGHT_ACCOUNT),
    row(28000, "ScopeOfSeveralResources", Class::Bug, "The request asked for permissions of more than one service.", REPORT_IT),
    row(28002, "ScopeNotValid", Class::Bug, "The request asked for a permission that does not exist.", REPORT_IT),
    row(28003, "ScopeEmpty", Class::Bug, "The request asked for no permission.", REPORT_IT),
    row(40008, "OAuth2IdPUnretryableServerError", Class::Fault, BROKEN_FEDERATION, SUPPORT_FEDERATION),
    row(40010, "OAuth2IdPRetryableServerError", Class::Wait, "The organisation's federation server is briefly unavailable.", ""),
    row(50000, "TokenIssuanceError", Class::Wait, UNAVAILABLE, ""),
    row(50001, "InvalidResource", Class::TenantSetup, NO_EXCHANGE, EXCHANGE),
    row(50002, "NotAllowedTenant", Class::Policy, TENANT_FORBIDDEN, RESTRICTION),
    row(50005, "DevicePolicyError", Class::Policy, "A policy does not let this kind of device sign in.", DEVICE),
    row(50014, "GuestUserInPendingState", Class::Account, "The account is a guest who has not accepted the invitation.", RIGHT_ACCOUNT),
    row(50020, "UserUnauthorized", Class::Account, NOT_OF_TENANT, RIGHT_ACCOUNT),
    row(50029, "InvalidUri", Class::TenantNotFound, "The tenant's domain name holds characters that no domain name has.", TENANT_ID),
    row(50033, "RetryableError", Class::Wait, UNAVAILABLE, ""),
    row(50034, "UserAccountNotFound", Class::Account, "The account does not exist in this organisation.", RIGHT_ACCOUNT),
    row(50053, "IdsLocked", Class::Account, "The account is locked, or the sign-in came from a network address with a bad reputation.", UNLOCK),
    row(50055, "InvalidPasswordExpiredPassword", Class::Person, PASSWORD_EXPIRED, PASSWORD),
    row(50056, "InvalidPassword", Class::Person, "The account has no such password.", CONNECT_AGAIN),
    row(50057, "UserDisabled", Class::Account, "The account is disabled.", ENABLE_ACCOUNT),
    row(50059, "MissingTenantRealmAndNoUserInformationProvided", Class::TenantNotFound, "The request does not tell the tenant.", OWN_TENANT),
    row(50072, "UserStrongAuthEnrollmentRequiredInterrupt", Class::Person, "The account must register for multifactor authentication.", MFA),
    row(50074, "UserStrongAuthClientAuthNRequiredInterrupt", Class::Person, "Multifactor authentication was not passed.", MFA),
    row(50076, "UserStrongAuthClientAuthNRequired", Class::Person, "Multifactor authentication is needed.", MFA),
    row(50078, "UserStrongAuthExpired", Class::Person, "The multifactor authentication has expired.", MFA),
    row(50079, "UserStrongAuthEnrollmentRequired", Class::Person, "The account must register for multifactor authentication.", MFA),
    row(50085, "SocialIdpLoginNeeded", Class::Account, "The account signs in through a social network.", WORK_ACCOUNT),
    row(50086, "SasNonRetryableError", Class::Fault, BROKEN_FEDERATION, SUPPORT_FEDERATION),
    row(50087, "SasRetryableError", Class::Wait, "Microsoft's second factor is briefly unavailable.", ""),
    row(50088, "TelecomMfaLimitReached", Class::Wait, "Too many telephone calls for the second factor.", ""),
    row(50089, "FlowTokenExpired", Class::Person, "The sign-in took too long or was revoked.", CONNECT_AGAIN),
    row(50097, "DeviceAuthenticationRequired", Class::Policy, DEVICE_DEMANDED, DEVICE),
    row(50105, "EntitlementGrantsNotFound", Class::TenantSetup, "The account is not assigned to the app.", ASSIGN),
    row(50125, "PasswordResetRegistrationRequiredInterrupt", Class::Person, "The account must set up its password reset.", PASSWORD),
    row(50126, "InvalidUserNameOrPassword", Class::Person, "User name or password was wrong.", CONNECT_AGAIN),
    row(50128, "InvalidDomainName", Class::TenantNotFound, "The tenant was not found.", TENANT_ID),
    row(50129, "DeviceIsNotWorkplaceJoined", Class::Policy, DEVICE_DEMANDED, DEVICE),
    row(50131, "ConditionalAccessFailed", Class::Policy, POLICY_BLOCKS, POLICY),
    row(50132, "SsoArtifactInvalidOrExpired", Class::Person, "The account's password was changed or has expired.", CONNECT_AGAIN),
    row(50133, "SsoArtifactRevoked", Class::Person, "The account's password was changed or has expired.", CONNECT_AGAIN),
    row(50134, "DeviceFlowAuthorizeWrongDatacenter", Class::Code, "The code was entered at another data center than it came from.", FRESH_CODE),
    row(50135, "PasswordChangeCompromisedPassword", Class::Person, "The account is at risk, so its password must be changed.", PASSWORD),
    row(50144, "InvalidPasswordExpiredOnPremPassword", Class::Person, "The account's Active Directory password has expired.", PASSWORD),
    row(50155, "DeviceAuthenticationFailed", Class::Policy, DEVICE_DEMANDED, DEVICE),
    row(50158, "ExternalSecurityChallenge", Class::Person, "The second factor of another provider is needed.", MFA),
    row(50166, "ExternalClaimsProviderThrottled", Class::Wait, "The provider of the second factor is throttling.", ""),
    row(50173, "FreshTokenNeeded", Class::Person, "The password was changed or the sign-in was revoked.", CONNECT_AGAIN),
    row(50194, "NotMultitenantApplication", Class::AppSetup, NOT_ON_ALIAS, OWN_TENANT),
    row(LOOP_DETECTED, "LoopDetected", Class::Wait, "Microsoft saw too many token requests; pausing for a while.", ""),
    row(50199, "CmsiInterrupt", Class::Code, "The confirmation page was not answered.", CONTINUE),
    row(51004, "UserAccountNotInDirectory", Class::Account, "The account does not exist in this organisation.", RIGHT_ACCOUNT),
    row(53000, "DeviceNotCompliant", Class::Policy, DEVICE_DEMANDED, DEVICE),
    row(53001, "DeviceNotDomainJoined", Class::Policy, DEVICE_DEMANDED, DEVICE),
    row(53002, "ApplicationUsedIsNotAnApprovedApp", Class::Policy, "A policy lets only approved apps sign in.", POLICY),
    row(53003, "BlockedByConditionalAccess", Class::Policy, "A Conditional Access policy blocks this sign-in.", POLICY),
    row(53004, "ProofUpBlockedDueToRisk", Class::Policy, "The account must register for multifactor authentication, and a policy forbids that here.", POLICY),
    row(53010, "ProofUpBlockedDueToSecurityInfoAcr", Class::Policy, "Multifactor authentication may be registered only from certain places or devices.", POLICY),
    row(53011, "BlockedDueToRiskOnHomeTenant", Class::Policy, "The account's own organisation holds it to be at risk.", POLICY),
    row(54005, "CodeAlreadyRedeemed", Class::Code, "The code was used already.", FRESH_CODE),
    row(65001, "DelegationDoesNotExist", Class::Consent, NO_CONSENT, CONSENT),
    row(65004, "UserDeclinedConsent", Class::Declined, "The person did not consent to the app's permissions.", ACCEPT),
    row(65005, "MisconfiguredApplication", Class::AppSetup, "The app registration lacks permissions.", PERMISSIONS),
    row(INVALID_GRANT, "InvalidGrant", Class::Person, "Microsoft does not accept the stored sign-in any more.", CONNECT_AGAIN),
    row(70001, "UnauthorizedClient", Class::AppNotFound, "The app was not found in the tenant, or is disabled.", APP_IDS),
    row(70002, "InvalidClient", Class::AppSetup, "Microsoft wants credentials of the app, which sign-in by code does not have.", PUBLIC_CLIENT),
    row(70003, "UnsupportedGrantType", Class::Bug, BAD_REQUEST, REPORT_IT),
    row(70008, "ExpiredOrRevokedGrant", Class::Person, "The sign-in has expired or was revoked.", CONNECT_AGAIN),
    row(70011, "InvalidScope", Class::Bug, "The request asked for a permission that does not exist.", REPORT_IT),
    row(70012, "MsaServerError", Class::Account, "A personal Microsoft account could not be signed in.", WORK_ACCOUNT),
    row(70016, "AuthorizationPending", Class::Pending, "Waiting for the code to be entered.", ""),
    row(70018, "BadVerificationCode", Class::Code, "The code was mistyped, or Microsoft does not know it any more.", FRESH_CODE),
    row(70019, "CodeExpired", Class::Expired, CODE_EXPIRED, IN_TIME),
    row(70020, "DeviceCodeExpired", Class::Expired, CODE_EXPIRED, IN_TIME),
    row(70043, "BadTokenDueToSignInFrequency", Class::Person, "A policy of the tenant demands a new sign-in every so many hours.", FREQUENCY),
    row(90002, "InvalidTenantName", Class::TenantNotFound, "The tenant was not found in this cloud.", TENANT_ID),
    row(90006, "ExternalServerRetryableError", Class::Wait, UNAVAILABLE, ""),
    row(90008, "TokenForItselfRequiresGraphPermission", Class::Consent, NO_CONSENT, ADMIN_CONSENT),
    row(90012, "RequestTimeout", Class::Wait, UNAVAILABLE, ""),
    row(90014, "MissingRequiredField", Class::Bug, BAD_REQUEST, REPORT_IT),
    row(90019, "MissingTenantRealm", Class::TenantNotFound, "The request does not tell the tenant.", TENANT_ID),
    row(90023, "InvalidRequest", Class::Bug, BAD_REQUEST, REPORT_IT),
    row(90024, "RequestBudgetExceededError", Class::Wait, UNAVAILABLE, ""),
    row(90033, "MsodsServiceUnavailable", Class::Wait, UNAVAILABLE, ""),
    row(90036, "MsodsServiceUnretryableFailure", Class::Fault, BROKEN, SUPPORT),
    row(90038, "NationalCloudTenantRedirection", Class::TenantNotFound, OTHER_CLOUD, CLOUD),
    row(90043, "NationalCloudAuthCodeRedirection", Class::TenantNotFound, OTHER_CLOUD, CLOUD),
    row(90051, "InvalidNationalCloudId", Class::TenantNotFound, OTHER_CLOUD, CLOUD),
    row(90055, "TenantThrottlingError", Class::Wait, THROTTLED, ""),
    row(90072, "PassThroughUserMfaError", Class::Account, NOT_OF_TENANT, RIGHT_ACCOUNT),
    row(90090, "GraphRetryableError", Class::Wait, UNAVAILABLE, ""),
    row(90092, "GraphNonRetryableError", Class::Fault, BROKEN, SUPPORT),
    row(90094, "AdminConsentRequired", Class::Consent, "An administrator must consent to the app's permissions.", ADMIN_CONSENT),
    row(90095, "AdminConsentRequiredRequestAccess", Class::Consent, "An administrator must consent to the app's permissions.", ADMIN_CONSENT),
    row(90100, "InvalidRequestParameter", Class::Bug, BAD_REQUEST, REPORT_IT),
    row(90119, "InvalidUserCode", Class::Code, "No code was entered.", FRESH_CODE),
    row(90120, "InvalidDeviceFlowRequest", Class::Code, "The code was confirmed or declined already.", FRESH_CODE),
    row(90124, "V1ResourceV2GlobalEndpointNotSupported", Class::AppSetup, NOT_ON_ALIAS, OWN_TENANT),
    row(90130, "NonConvergedAppV2GlobalEndpointNotSupported", Class::AppSetup, NOT_ON_ALIAS, OWN_TENANT),
    row(500011, "InvalidResourceServicePrincipalNotFound", Class::TenantSetup, NO_EXCHANGE, EXCHANGE),
    row(500021, "TenantRestricted", Class::Policy, TENANT_FORBIDDEN, RESTRICTION),
    row(500022, "TenantRestrictedByPolicy", Class::Policy, TENANT_FORBIDDEN, RESTRICTION),
    row(500208, "DomainNotValidForAccountType", Class::Account, "The account is of a kind that this organisation does not let in.", WORK_ACCOUNT),
    row(500212, "NotAllowedByOutboundPolicyTenant", Class::Policy, "The account's own organisation forbids this tenant.", RESTRICTION),
    row(500213, "NotAllowedByInboundPolicyTenant", Class::Policy, "This tenant does not let in accounts of that organisation.", RESTRICTION),
    row(530003, "DeviceRequired", Class::Policy, DEVICE_DEMANDED, DEVICE),
    row(530032, "BlockedByConditionalAccessOnSecurityPolicy", Class::Policy, POLICY_BLOCKS, POLICY),
    row(530034, "DelegatedAdminBlockedDueToSuspiciousActivity", Class::Policy, "A partner's administrator is blocked because of a risk.", POLICY),
    row(530035, "BlockedBySecurityDefaults", Class::Policy, "The tenant's security defaults block this sign-in.", DEFAULTS),
    row(650052, "ServiceNotSubscribed", Class::TenantSetup, "The organisation has not subscribed to Exchange Online, or has disabled it.", EXCHANGE),
    row(650054, "ResourceRemoved", Class::TenantSetup, "The service that the app asks for is not in the tenant any more.", EXCHANGE),
    row(650056, "MisconfiguredApplicationPermissions", Class::AppSetup, "The app registration lacks permissions, or nobody has consented to them.", PERMISSIONS),
    row(650057, "ResourceNotInRegistration", Class::AppSetup, "The app registration lacks permissions for this service.", PERMISSIONS),
    row(700011, "UnauthorizedClientAppNotFoundInOrgIdTenant", Class::AppNotFound, "The app was not found in the tenant.", APP_IDS),
    row(700016, "UnauthorizedClient_DoesNotMatchRequest", Class::AppNotFound, "The app was not found in the tenant.", APP_IDS),
    row(700022, "InvalidMultipleResourcesScope", Class::Bug, "The request asked for permissions of more than one service.", REPORT_IT),
    row(700025, "InvalidClientPublicClientWithCredential", Class::Bug, "A secret was sent for an app that has none.", REPORT_IT),
    row(700082, "ExpiredOrRevokedGrantInactiveToken", Class::Person, "The sign-in has expired, because it was not used for too long (90 days).", CONNECT_AGAIN),
    row(700084, "SpaTokenExpired", Class::Person, "The sign-in was made for a single-page app and has expired.", CONNECT_AGAIN),
    row(900023, "TenantNotGuidNorDomain", Class::TenantNotFound, "The tenant ID is neither a GUID nor a domain name.", TENANT_ID),
    row(900144, "MissingBodyParameter", Class::Bug, BAD_REQUEST, REPORT_IT),
    row(900382, "ConfidentialClientCrossCloud", Class::TenantNotFound, OTHER_CLOUD, CLOUD),
    row(900432, "ConfidentialClientCrossCloudRequest", Class::TenantNotFound, OTHER_CLOUD, CLOUD),
    row(1000031, "ApplicationNotAccessible", Class::TenantSetup, "The app cannot be used at this time.", ENABLE_APP),
    row(1000104, "XCB2BResourceCloudNotAllowedOnIdentityTenant", Class::TenantNotFound, OTHER_CLOUD, CLOUD),
    row(7000112, "UnauthorizedClientApplicationDisabled", Class::TenantSetup, "The app is disabled in the tenant.", ENABLE_APP),
    row(7000215, "InvalidClientSecret", Class::AppSetup, "Microsoft wants a secret of the app, which sign-in by code does not have.", PUBLIC_CLIENT),
    row(7000218, "ClientAssertionOrSecretMissing", Class::PublicClient, "The app registration does not allow public client flows.", PUBLIC_CLIENT),
    row(7000222, "InvalidClientSecretExpiredKeysProvided", Class::AppSetup, "Microsoft wants a secret of the app, which sign-in by code does not have.", PUBLIC_CLIENT),
    row(9001023, "GrantTypeNotSupportedOverGlobalEndpoint", Class::AppSetup, NOT_ON_ALIAS, OWN_TENANT),
    row(9002313, "InvalidRequestMalformed", Class::Bug, BAD_REQUEST, REPORT_IT),
    row(9002332, "EntraUsersOnlyApplication", Class::AppSetup, NOT_ON_ALIAS, OWN_TENANT),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole path of one number: judged with an error, and told to a host.
    fn told(error: &str, codes: &[u32], http_status: u16) -> (Action, Report) {
        let verdict = judge(error, None, codes, http_status);
        (verdict.action, verdict.report(ServiceWords { aadsts: codes.first().copied(), ..ServiceWords::default() }))
    }

    #[test]
    fn the_table_is_in_order_and_every_row_is_found() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.code < b.code));
        for entry in ENTRIES {
            assert_eq!(find(entry.code), Some(entry));
            assert_eq!(explain(&format!("AADSTS{}: whatever", entry.code)), Some(entry));
        }
    }

    #[test]
    fn every_row_has_words_for_an_administrator() {
        for entry in ENTRIES {
            let code = entry.code;
            assert!(entry.message.ends_with('.') && entry.message.len() < 120, "{code}");
            assert!(entry.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{code}");
            let nothing_to_do = matches!(entry.class, Class::Wait | Class::Pending);
            assert_eq!(entry.remedy.is_none(), nothing_to_do, "{code}");
            assert!(entry.remedy.is_none_or(|remedy| remedy.ends_with('.') && !remedy.contains("  ")), "{code}");
            assert_eq!(entry.report().transient, entry.class.passes() || entry.class == Class::Pending, "{code}");
        }
    }

    #[test]
    fn only_the_error_ends_a_connection_and_never_with_a_passing_number() {
        for entry in ENTRIES {
            let (action, report) = told("invalid_grant", &[entry.code], 400);
            if entry.class.passes() {
                assert_eq!((action, report.status), (Action::Wait, Status::IdentityBusy), "{}", entry.code);
            } else {
                assert_eq!((action, report.status), (Action::SignInAgain, entry.class.status()), "{}", entry.code);
            }
            assert_eq!(report.sign_in_required, !entry.class.passes(), "{}", entry.code);
            for error in ["invalid_request", "unauthorized_client", "invalid_client", "something_new"] {
                let (action, report) = told(error, &[entry.code], 400);
                assert_eq!(action, if entry.class.passes() { Action::Wait } else { Action::Refused });
                assert!(!report.sign_in_required && report.status != Status::SignInRequired, "{}", entry.code);
            }
            for busy in [429, 500, 502, 503, 504] {
                let (action, report) = told("invalid_grant", &[entry.code], busy);
                assert_eq!(action, Action::Wait);
                assert!(report.transient && !report.sign_in_required);
            }
        }
    }

    #[test]
    fn the_loop_breaker_is_not_a_reason_to_sign_in() {
        let (action, report) = told("invalid_grant", &[50196], 400);
        assert_eq!(action, Action::Wait);
        assert_eq!(report.retry_after, Some(LOOP_PAUSE));
        // Nor beside the number of a dead token, in whatever order.
        assert_eq!(told("invalid_grant", &[70000, 50196], 400).0, Action::Wait);
        assert_eq!(told("invalid_grant", &[70000, 50196], 400).1.service.aadsts, Some(50196));
    }

    #[test]
    fn errors_decide_what_to_do() {
        for (error, action, status) in [
            ("authorization_pending", Action::KeepPolling, Status::Pending),
            ("slow_down", Action::SlowDown, Status::Pending),
            ("authorization_declined", Action::Declined, Status::SignInDeclined),
            ("access_denied", Action::Declined, Status::SignInDeclined),
            ("expired_token", Action::Expired, Status::SignInExpired),
            ("code_expired", Action::Expired, Status::SignInExpired),
            ("bad_verification_code", Action::CodeUnknown, Status::SignInRequired),
            ("invalid_grant", Action::SignInAgain, Status::SignInRequired),
            ("interaction_required", Action::SignInAgain, Status::SignInRequired),
            ("consent_required", Action::SignInAgain, Status::Consent),
            ("invalid_client", Action::Refused, Status::AppSetup),
            ("unauthorized_client", Action::Refused, Status::AppSetup),
            ("invalid_scope", Action::Refused, Status::AppSetup),
            ("invalid_resource", Action::Refused, Status::TenantSetup),
            ("invalid_request", Action::Refused, Status::IdentityRefused),
            ("temporarily_unavailable", Action::Wait, Status::IdentityBusy),
            ("", Action::Refused, Status::IdentityRefused),
        ] {
            let (done, report) = told(error, &[], 400);
            assert_eq!((done, report.status), (action, status), "{error}");
        }
    }

    #[test]
    fn numbers_choose_the_words() {
        for (error, code, status) in [
            ("unauthorized_client", 700016, Status::AppNotFound),
            ("unauthorized_client", 700011, Status::AppNotFound),
            ("unauthorized_client", 70001, Status::AppNotFound),
            ("invalid_request", 90002, Status::TenantNotFound),
            ("invalid_client", 7000218, Status::PublicClientOff),
            ("invalid_grant", 53003, Status::Policy),
            ("access_denied", 530035, Status::Policy),
            ("access_denied", 65004, Status::SignInDeclined),
            ("invalid_grant", 65001, Status::Consent),
            ("invalid_grant", 50057, Status::Account),
            ("expired_token", 70020, Status::SignInExpired),
            ("invalid_scope", 70011, Status::IdentityRefused),
        ] {
            assert_eq!(told(error, &[code], 400).1.status, status, "{code}");
        }
    }

    #[test]
    fn of_several_numbers_the_first_known_one_speaks() {
        assert_eq!(judge("invalid_grant", None, &[70008, 70002], 400).entry.map(|entry| entry.code), Some(70008));
        assert_eq!(judge("invalid_grant", None, &[1_234_567, 70008], 400).entry.map(|entry| entry.code), Some(70008));
    }

    #[test]
    fn an_unknown_number_is_told_with_what_support_needs() {
        let words = ServiceWords {
            aadsts: Some(1_234_567),
            trace_id: Some("61a5".into()),
            text: Some("AADSTS1234567: new".into()),
            ..ServiceWords::default()
        };
        let report = judge("invalid_grant", None, &[1_234_567], 400).report(words.clone());
        assert_eq!((report.status, report.sign_in_required), (Status::SignInRequired, true));
        assert!(report.message.contains("AADSTS1234567"));
        let remedy = report.remedy.unwrap();
        assert!(remedy.contains("code=1234567") && remedy.contains("61a5"), "{remedy}");
        assert_eq!(report.service, words);
    }

    #[test]
    fn suberrors_refine_a_void_grant_only() {
        let judged = |error, suberror| {
            let verdict = judge(error, Some(suberror), &[], 400);
            (verdict.action, verdict.report(ServiceWords::default()).status)
        };
        assert_eq!(judged("invalid_grant", "consent_required"), (Action::SignInAgain, Status::Consent));
        assert_eq!(judged("invalid_grant", "client_mismatch"), (Action::SignInAgain, Status::SignInRequired));
        assert_eq!(judged("interaction_required", "message_only"), (Action::Refused, Status::Policy));
        assert_eq!(judged("invalid_grant", "new_in_2030"), (Action::SignInAgain, Status::SignInRequired));
        assert_eq!(judged("invalid_client", "consent_required"), (Action::Refused, Status::AppSetup));
    }

    #[test]
    fn only_70000_is_tried_once_more() {
        for entry in ENTRIES {
            let verdict = judge("invalid_grant", None, &[entry.code], 400);
            assert_eq!(verdict.retry_once, entry.code == INVALID_GRANT, "{}", entry.code);
        }
        assert!(!judge("invalid_grant", None, &[70000], 503).retry_once);
    }

    #[test]
    fn numbers_are_found_in_what_people_paste() {
        let found = |text: &str| numbers_in(text).collect::<Vec<_>>();
        assert_eq!(found("AADSTS50076: Due to a change…\r\nTrace ID: 61a5"), [50076]);
        assert_eq!(found("invalid_grant (aadsts 70008) then AADSTS70002, AADSTS70008"), [70008, 70002]);
        assert_eq!(found("  53003 \n"), [53003]);
        assert_eq!(found("Error Code: 53003\nRequest Id: 123456\nTimestamp: 2026-01-01"), [53003]);
        assert_eq!(found("https://login.microsoftonline.com/error?code=50058"), [50058]);
        for nothing in ["", "AADSTS", "AADSTSx50076", "error code: 5", "AADSTS99999999999999999999", "12 monkeys"] {
            assert!(found(nothing).is_empty(), "{nothing}");
        }
        assert!(explain("AADSTS99999").is_none());
    }
}
