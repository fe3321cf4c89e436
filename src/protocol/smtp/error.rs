//! Why a conversation could not go on, or a mail not be begun.

use super::{Reply, Stage};
use crate::base::{Report, Status, limits};

/// A failure that is not a server's refusal (those are [`super::Refusal`]s).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a name for EHLO.
    #[error("{0:?} is neither a fully qualified host name nor an address literal")]
    ClientName(String),
    /// The server does not offer STARTTLS; nothing is ever said in clear.
    #[error("the mail server {0:?} does not offer STARTTLS")]
    StarttlsMissing(String),
    /// Bytes came before the handshake that TLS would have taken for the server's own (RFC 3207 section 4.2 and 6).
    #[error("data was injected in clear before the TLS handshake")]
    Injected,
    /// The server offers AUTH, but not the mechanism; what it offers is told.
    #[error("the mail server does not offer AUTH XOAUTH2 (offered: {0})")]
    Xoauth2Missing(String),
    /// The initial response is longer than [`limits::SASL_LINE`].
    #[error("the login line is longer than SMTP allows")]
    LoginLine,
    /// A line that is no reply; its beginning is told.
    #[error("the server does not speak SMTP: {0:?}")]
    NotSmtp(String),
    /// A line or a reply beyond [`limits::SMTP_REPLY_LINE`] or [`limits::SMTP_REPLY`].
    #[error("the server's reply is too long")]
    ReplyTooLong,
    /// A reply that cannot follow at this point.
    #[error("unexpected reply {} at {stage}", reply.code())]
    Unexpected {
        /// What was waited for.
        stage: Stage,
        /// What came.
        reply: Box<Reply>,
    },
    /// The server closed the connection; no mail is in doubt.
    #[error("the mail server closed the connection at {0}")]
    Closed(Stage),
    /// The server did not answer in time; no mail is in doubt.
    #[error("the mail server did not answer at {0}")]
    Timeout(Stage),
    /// The conversation ended between the final dot and its answer.
    #[error("the mail may have been sent or not: {0}")]
    SendUnknown(#[source] Box<Error>),
    /// The mail is bigger than the server announced, or than this library takes.
    #[error("the mail has {size} octets, the limit is {limit}")]
    TooBig {
        /// The mail's size in octets.
        size: u64,
        /// The smaller of the two limits.
        limit: u64,
    },
    /// More recipients than [`limits::RECIPIENTS`].
    #[error("the mail has {0} recipients")]
    TooManyRecipients(usize),
    /// An address that cannot stand in a command.
    #[error("the address {0:?} holds a character that SMTP cannot carry")]
    Address(String),
    /// The address, or the mail where `None`, is beyond ASCII, and the server takes no such thing.
    #[error("the mail server does not offer SMTPUTF8")]
    Smtputf8Missing(Option<String>),
    /// The mail has octets above 127, and the server takes none.
    #[error("the mail server does not offer 8BITMIME")]
    EightBitMissing,
    /// A call that the state of the session does not allow.
    #[error("the SMTP session was asked to {0} at the wrong time")]
    Misuse(&'static str),
}

impl Error {
    pub(super) fn not_smtp(line: &str) -> Self {
        Error::NotSmtp(line.chars().take(120).collect())
    }

    /// The same for the host.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Error::ClientName(name) => Report::new(
                Status::Argument,
                format!("The name {name:?} is neither a host name nor an address, and cannot be told to a mail server."),
            )
            .remedy("Set `client_name` to this computer's full name, such as print01.contoso.com, or to [192.0.2.1]."),
            Error::StarttlsMissing(server) => Report::new(
                Status::StarttlsMissing,
                format!("The mail server {server:?} does not offer encryption (STARTTLS), so nothing was sent to it."),
            )
            .remedy(
                "Exchange Online always offers STARTTLS: something on the way removes it. Turn off SMTP inspection \
                 (on Cisco ASA `inspect esmtp`, elsewhere the e-mail protection of the firewall or antivirus) for \
                 smtp.office365.com port 587, and check that host and port are right.",
            ),
            Error::Injected => Report::new(
                Status::Tls,
                "Data came from the mail server before encryption began, as in an attack; the connection was dropped.",
            )
            .remedy("Find out which device between this computer and the mail server changes SMTP traffic."),
            Error::Xoauth2Missing(offered) => Report::new(
                Status::LoginRefused,
                format!("The mail server does not offer the OAuth login (AUTH XOAUTH2); it offers: {offered}."),
            )
            .remedy(
                "Check the SMTP host and port: Exchange Online is smtp.office365.com port 587 (partner.outlook.cn for \
                 21Vianet). A server on port 25 takes mail for its own mailboxes only and offers no login.",
            ),
            Error::LoginLine => {
                Report::new(Status::Limit, "The access token is longer than an SMTP login line may be (12288 octets).")
                    .remedy("Remove optional and group claims from the app registration (Token configuration).")
            }
            Error::NotSmtp(text) => Report::new(
                Status::Protocol,
                format!("What answered is not a mail server for submission: it said {text:?}."),
            )
            .remedy("Check the SMTP host, port and security setting: 587 is STARTTLS, 465 is TLS."),
            Error::ReplyTooLong => {
                Report::new(Status::Protocol, "The mail server's reply is longer than any mail server's should be.")
                    .remedy("Check the SMTP host and port.")
            }
            Error::Unexpected { stage, reply } => {
                let mut report = Report::new(
                    Status::Protocol,
                    format!("The mail server answered {} at {stage}, which the protocol does not allow.", reply.code()),
                )
                .remedy("Check the SMTP host and port, and whether a device on the way changes SMTP traffic.");
                report.service = reply.service_words();
                report
            }
            Error::Closed(stage) => {
                Report::new(Status::Network, format!("The mail server closed the connection at {stage}.")).transient()
            }
            Error::Timeout(stage) => {
                Report::new(Status::Network, format!("The mail server did not answer in time at {stage}.")).transient()
            }
            Error::SendUnknown(cause) => Report {
                service: cause.report().service,
                ..Report::new(
                    Status::SendUnknown,
                    format!("The mail was handed over, but not confirmed: {cause}. It may have been sent, or not."),
                )
                .remedy("Look into Sent Items of the mailbox before the mail is sent again.")
            },
            Error::TooBig { size, limit } => Report::new(
                Status::MessageTooBig,
                format!("The mail has {size} octets after encoding; at most {limit} are allowed."),
            )
            .remedy(
                "Send less: a lower resolution, fewer pages, or a link. Encoding makes a file bigger by 37 %. The limit \
                 of the mailbox is set with `Set-Mailbox -Identity <mailbox> -MaxSendSize 150MB`.",
            ),
            Error::TooManyRecipients(count) => Report::new(
                Status::Limit,
                format!("The mail has {count} recipients; at most {} are allowed.", limits::RECIPIENTS),
            )
            .remedy("Split the mail, or send it to a distribution group."),
            Error::Address(address) => Report::new(
                Status::Argument,
                format!("The address {address:?} holds a character that no mail server takes."),
            )
            .remedy("Correct the address."),
            Error::Smtputf8Missing(Some(address)) => Report::new(
                Status::Argument,
                format!("The address {address:?} has characters beyond ASCII, which this mail server does not take."),
            )
            .remedy("Use an address of ASCII characters (for the domain its xn-- form), or a server with SMTPUTF8."),
            Error::Smtputf8Missing(None) => Report::new(
                Status::Argument,
                "The mail has addresses beyond ASCII in its header, which this mail server does not take.",
            )
            .remedy("Use addresses of ASCII characters, or a server with SMTPUTF8."),
            Error::EightBitMissing => Report::new(
                Status::MessageRefused,
                "The mail has 8-bit content, and the mail server takes 7-bit content only (no 8BITMIME).",
            )
            .remedy("Encode the parts of the mail as base64 or quoted-printable."),
            Error::Misuse(_) => Report::new(Status::Internal, format!("A fault of this library: {self}.")),
        }
    }
}
