//! The replies of Exchange Online by name: exchange.md sections 6.3 and 6.4.
//!
//! In a text `[]` stands for the tail with server, time and session id, and `<host>` for the server.

use crate::misbehave::Moment;

pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) moment: Moment,
    pub(crate) text: &'static str,
}

const fn named(name: &'static str, moment: Moment, text: &'static str) -> Named {
    Named { name, moment, text }
}

pub(crate) const UNSUCCESSFUL: &str = "535 5.7.3 Authentication unsuccessful []";
pub(crate) const MAILBOX_DISABLED: &str = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. []";
pub(crate) const BASIC_DISABLED: &str = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. []";
pub(crate) const NOT_AUTHENTICATED: &str = "530 5.7.57 Client not authenticated to send mail. []";
pub(crate) const INVALID_XOAUTH2: &str = "501 5.5.124 Invalid XOAUTH2 auth data";
pub(crate) const UNRECOGNIZED_AUTH: &str = "504 5.7.4 Unrecognized authentication type []";
pub(crate) const CONCURRENT_LIMIT: &str = "432 4.3.2 concurrent connection limit exceeded [Hostname=<host>]";
pub(crate) const THREAD_LIMIT: &str = "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=<host>]";
pub(crate) const NO_PERMISSION: &str =
    "550 5.7.60 SMTP; Client does not have permissions to send as this sender [Hostname=<host>]";
pub(crate) const TOO_BIG: &str = "552 5.3.4 Message size exceeds fixed maximum message size";
pub(crate) const TOO_MANY_RECIPIENTS: &str = "452 4.5.3 Too many recipients";
pub(crate) const TIMED_OUT: &str = "421 4.4.1 Connection timed out. Total session duration: 00:05:00.28";
pub(crate) const LINE_TOO_LONG: &str = "500 5.3.3 Unrecognized command, line too long []";
pub(crate) const BARE_LINE_FEEDS: &str = "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA and receiving system does not support BDAT [Hostname=<host>]";
pub(crate) const NOT_COMPLIANT: &str =
    "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant [Hostname=<host>]";
pub(crate) const BAD_HELO: &str = "550 5.7.506 Access Denied, Bad HELO";
pub(crate) const RECIPIENT_UNKNOWN: &str =
    "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup";
pub(crate) const GOODBYE: &str = "421 4.3.2 Service not available, closing transmission channel";

/// Every reply that a rule can ask for, each at its true moment.
pub(crate) const NAMED: &[Named] = &[
    named("busy-greeting", Moment::Greeting, "421 4.3.2 Service not available []"),
    named("bad-helo", Moment::Ehlo, BAD_HELO),
    named(
        "tls-too-old",
        Moment::Ehlo,
        "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls. []",
    ),
    named("tls-unavailable", Moment::StartTls, "454 4.7.0 TLS not available due to temporary reason"),
    named("auth-unsuccessful", Moment::Auth, UNSUCCESSFUL),
    named(
        "tenant-disabled",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. []",
    ),
    named("mailbox-disabled", Moment::Auth, MAILBOX_DISABLED),
    named(
        "security-defaults",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator. []",
    ),
    named(
        "conditional-access",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator. []",
    ),
    named("basic-disabled", Moment::Auth, BASIC_DISABLED),
    named(
        "sts-unreachable",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, federated STS service was unreachable. []",
    ),
    named(
        "sts-no-https",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, the federated STS URL does not support HTTPS. []",
    ),
    named(
        "basic-unsupported",
        Moment::Auth,
        "550 5.7.30 Basic authentication is not supported for Client Submission. []",
    ),
    named("auth-temporary", Moment::Auth, "451 4.7.0 Temporary server error. Please try again later. PRX4 []"),
    named("invalid-xoauth2", Moment::Auth, INVALID_XOAUTH2),
    named("unrecognized-auth", Moment::Auth, UNRECOGNIZED_AUTH),
    named(
        "not-authenticated",
        Moment::Mail,
        "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator. []",
    ),
    named("server-busy", Moment::Mail, "451 4.7.500 Server busy. Please try again later from [127.0.0.1]. []"),
    named("access-denied-later", Moment::Mail, "451 4.7.651 Access denied, please try again later []"),
    named("sender-blocked", Moment::Mail, "550 5.1.8 Access denied, bad outbound sender AS(42004) []"),
    named("spam-abuse", Moment::Mail, "550 5.7.501 Access denied, spam abuse detected []"),
    named("tenant-blocked", Moment::Mail, "550 5.7.705 Access denied, tenant has exceeded threshold []"),
    named("ip-blocked", Moment::Mail, "550 5.7.708 Access denied, traffic not accepted from this IP []"),
    named(
        "domain-unregistered",
        Moment::Mail,
        "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains []",
    ),
    named("too-big", Moment::Mail, TOO_BIG),
    named("too-many-recipients", Moment::Rcpt, TOO_MANY_RECIPIENTS),
    named("recipient-unknown", Moment::Rcpt, RECIPIENT_UNKNOWN),
    named("thread-limit", Moment::Body, THREAD_LIMIT),
    named("concurrent-limit", Moment::Body, CONCURRENT_LIMIT),
    named(
        "store-temporary",
        Moment::Body,
        "451 4.3.111 Temporary server error. Please try again later MRH1 [Hostname=<host>]",
    ),
    named(
        "store-connection",
        Moment::Body,
        "451 4.4.3 Temporary server error. Please try again later ATTR1 [Hostname=<host>]",
    ),
    named(
        "store-routing",
        Moment::Body,
        "451 4.4.22 Temporary server error. Please try again later DSQ1 [Hostname=<host>]",
    ),
    named("send-as-denied", Moment::Body, SEND_AS_DENIED),
    named(
        "send-as-denied-old",
        Moment::Body,
        "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message. [Hostname=<host>]",
    ),
    named("no-permission", Moment::Body, NO_PERMISSION),
    named(
        "submission-quota",
        Moment::Body,
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded. [Hostname=<host>]",
    ),
    named(
        "daily-limit",
        Moment::Body,
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients [Hostname=<host>]",
    ),
    named(
        "mailbox-full",
        Moment::Body,
        "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; Failed to process message due to a permanent exception [Hostname=<host>]",
    ),
    named(
        "tenant-external-limit",
        Moment::Body,
        "550 5.7.233 - Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit) [Hostname=<host>]",
    ),
    named(
        "trial-external-limit",
        Moment::Body,
        "550 5.7.232 - Your message can't be sent because your trial tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit) [Hostname=<host>]",
    ),
    named(
        "onmicrosoft-limit",
        Moment::Body,
        "550 5.7.236 - Messages from *.onmicrosoft.com domains to external recipients are limited; add a custom domain [Hostname=<host>]",
    ),
    named("not-compliant", Moment::Body, NOT_COMPLIANT),
    named("bare-line-feeds", Moment::Body, BARE_LINE_FEEDS),
    named(
        "too-big-after-body",
        Moment::Body,
        "554 5.2.3 STOREDRV.Submission.Exception:MessageTooLargeException; message exceeds the maximum size for the mailbox [Hostname=<host>]",
    ),
    named("timed-out", Moment::Rset, TIMED_OUT),
    named("unrecognized-command", Moment::Noop, "500 5.3.3 Unrecognized command 'unknown' []"),
];

/// Microsoft's text is kilobytes long, and a client has to cope with that.
pub(crate) const SEND_AS_DENIED: &str = "554 5.2.252 SendAsDenied; <user> not allowed to send as <from>; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message [BeginDiagnosticData]Cannot submit message. <diagnostics>[EndDiagnosticData] [Hostname=<host>]";

pub(crate) fn by_name(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|reply| reply.name == name)
}

/// The end of a long `SendAsDenied`: about 2.5 kB of numbers.
pub(crate) fn diagnostics() -> String {
    (0..160u32).map(|n| format!("{}.{}:{:08X}, ", n % 7, 35250 + n * 256, n.wrapping_mul(0x9E37_79B9))).collect()
}
