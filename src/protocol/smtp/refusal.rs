//! What a server's refusal means to an administrator.
//!
//! A refusal is known by its enhanced code (RFC 3463) and by a phrase of its text, without regard to case. The codes
//! are looked for in the whole text, since Exchange Online puts the cause inside another reply (`530 5.7.57 … Error:
//! 535 5.7.139 …`); the tail in brackets, which names the server and the time, is left out of account.

use std::time::Duration;

use super::Reply;
use super::reply::{cut, is_enhanced_code};
use crate::base::{Report, ServiceWords, Status};

/// Where in the conversation something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The server's first word.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS and the handshake.
    Starttls,
    /// AUTH.
    Login,
    /// MAIL.
    Sender,
    /// RCPT.
    Recipient,
    /// DATA, the body, the final dot.
    Message,
    /// Between two mails.
    Idle,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Greeting => "the greeting",
            Stage::Ehlo => "EHLO",
            Stage::Starttls => "STARTTLS",
            Stage::Login => "AUTH",
            Stage::Sender => "MAIL",
            Stage::Recipient => "RCPT",
            Stage::Message => "DATA",
            Stage::Idle => "rest",
        })
    }
}

/// A server said no.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// To what.
    pub stage: Stage,
    /// What it means, what to do about it, and the server's own words.
    pub report: Report,
}

impl Refusal {
    /// Reads a reply of class 4 or 5.
    #[must_use]
    pub fn of(stage: Stage, reply: &Reply) -> Self {
        let cause = Cause::find(&Words::of(reply.code(), &reply.text()));
        let (report, _) = cause.map_or_else(|| unknown(stage, reply.code()), |cause| (cause.report(), stage));
        Self { stage, report: Report { service: reply.service_words(), ..report } }
    }

    /// The same for a login, with the challenge that came before the reply.
    pub(super) fn of_login(reply: &Reply, challenge: Option<String>) -> Self {
        let mut refusal = Self::of(Stage::Login, reply);
        if let Some(challenge) = challenge.filter(|challenge| !challenge.is_empty()) {
            refusal.report.service.text = Some(cut(format!("{} (challenge: {challenge})", reply.text())));
        }
        refusal
    }
}

/// Reads a reply that a person pasted: from a log, a bounce, another program. `None` when nothing in it looks like a
/// refusal.
#[must_use]
pub fn explain(text: &str) -> Option<Refusal> {
    let text = cut(text.to_owned());
    let code = reply_code(&text);
    let words = Words::of(code.unwrap_or_default(), &text);
    let enhanced = words.enhanced.iter().find(|code| !code.starts_with('2')).cloned();
    let class = if enhanced.as_ref().is_some_and(|code| code.starts_with('4')) { 400 } else { 500 };
    let (report, stage) = match Cause::find(&words) {
        Some(cause) => (cause.report(), cause.stage),
        None if code.is_none() && enhanced.is_none() => return None,
        None => unknown(words.likely_stage(), code.unwrap_or(class)),
    };
    let service =
        ServiceWords { smtp_code: code, enhanced_code: enhanced, text: Some(text), ..ServiceWords::default() };
    Some(Refusal { stage, report: Report { service, ..report } })
}

/// Any number of three digits can stand in a sentence; it is a reply code at the beginning, or beside an enhanced code.
fn reply_code(text: &str) -> Option<u16> {
    let code = |word: &str| match word.as_bytes() {
        [b'4' | b'5', b'0'..=b'5', b'0'..=b'9'] => word.parse().ok(),
        _ => None,
    };
    let mut words = codelike_words(text);
    match words.next().and_then(code) {
        None if codelike_words(text).any(is_enhanced_code) => words.find_map(code),
        first => first,
    }
}

/// The refusals of a mail's recipients, in one.
#[derive(Default)]
pub(super) struct Refusals {
    first: Option<Refusal>,
    count: usize,
    lasting: usize,
    of_several_kinds: bool,
    retry_after: Option<Duration>,
}

impl Refusals {
    pub(super) fn add(&mut self, refusal: &Refusal) {
        self.count += 1;
        self.lasting += usize::from(!refusal.report.transient);
        self.retry_after = self.retry_after.max(refusal.report.retry_after);
        match &self.first {
            Some(first) => self.of_several_kinds |= first.report.status != refusal.report.status,
            None => self.first = Some(refusal.clone()),
        }
    }

    /// What the mail's sender is told when nobody is left.
    pub(super) fn summary(&self) -> Option<Refusal> {
        let mut refusal = self.first.clone()?;
        let report = &mut refusal.report;
        if self.of_several_kinds {
            report.status = Status::RecipientsRefused;
        }
        if self.count > 1 {
            report.message = format!("All {} recipients were refused; of the first: {}", self.count, report.message);
        }
        // One recipient that will do later is reason enough to try again.
        report.transient = self.lasting < self.count;
        report.retry_after = self.retry_after;
        Some(refusal)
    }
}

/// A text as the table looks at it.
struct Words {
    code: u16,
    enhanced: Vec<String>,
    /// In small letters and without the tail.
    text: String,
}

impl Words {
    fn of(code: u16, text: &str) -> Self {
        let text = without_tail(text).to_lowercase();
        let enhanced = codelike_words(&text).filter(|word| is_enhanced_code(word)).map(str::to_owned).collect();
        Self { code, enhanced, text }
    }

    /// Whether one of `codes` is here: `432`, `5.7.139`, `4.7.500-699`.
    fn have_code(&self, codes: &str) -> bool {
        codes.split_whitespace().any(|wanted| match wanted.rsplit_once('.') {
            None => wanted.parse() == Ok(self.code),
            Some((head, details)) => {
                let (from, to) = details.split_once('-').unwrap_or((details, details));
                let range = number(from)..=number(to);
                self.enhanced.iter().any(|code| {
                    code.rsplit_once('.').is_some_and(|(left, detail)| left == head && range.contains(&number(detail)))
                })
            }
        })
    }

    /// Where a reply that was not seen in its place belongs.
    fn likely_stage(&self) -> Stage {
        if self.have_code("530 534 535 538") || self.enhanced.iter().any(|code| code.starts_with("5.7.")) {
            Stage::Login
        } else if self.have_code("5.1.7-9") {
            Stage::Sender
        } else if self.have_code("5.1.0-6 5.1.10 5.2.1 5.4.1") {
            Stage::Recipient
        } else {
            Stage::Message
        }
    }
}

fn number(digits: &str) -> u16 {
    digits.parse().unwrap_or(u16::MAX)
}

fn codelike_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty())
}

/// ` [MN2PR05CA0004.namprd05.prod.outlook.com 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]`
fn without_tail(text: &str) -> &str {
    let text = text.trim_end();
    text.strip_suffix(']').and_then(|text| text.rsplit_once('[')).map_or(text, |(head, _)| head)
}

/// A refusal that nothing more is known of than its place.
fn unknown(stage: Stage, code: u16) -> (Report, Stage) {
    if code < 500 {
        return (BUSY.report(), stage);
    }
    let report = match stage {
        Stage::Greeting | Stage::Ehlo | Stage::Idle => {
            Report::new(Status::Network, "The mail server does not talk to this computer.").remedy(
                "Check the SMTP host and port, and whether the public address of this network is blocked; the \
                 server's words say more.",
            )
        }
        Stage::Starttls => Report::new(Status::Tls, "The mail server refused to begin encryption.")
            .remedy("Check the SMTP host and port."),
        Stage::Login => LOGIN.report(),
        Stage::Sender => Report::new(Status::SenderRefused, "The mail server refused the sender's address.").remedy(
            "Send with the address of the mailbox that signed in, or give that mailbox the right `Send as` \
             (Exchange admin center > Recipients > Mailboxes > the sender > Delegation).",
        ),
        Stage::Recipient => Report::new(Status::RecipientsRefused, "The mail server refused the recipient.")
            .remedy("Check the recipient's address, and whether the mailbox may send to it."),
        Stage::Message => Report::new(Status::MessageRefused, "The mail server refused the message.")
            .remedy("The server's words name the reason; mail flow rules of the organisation can refuse mails too."),
    };
    (report, stage)
}

/// When the same may be tried again.
#[derive(Clone, Copy)]
enum Retry {
    Never,
    Later,
    AfterSeconds(u64),
}

/// A row of the table.
struct Cause {
    /// Alternatives of codes, one of which must be there, and a phrase that must be there; either may be empty.
    when: &'static [(&'static str, &'static str)],
    stage: Stage,
    status: Status,
    message: &'static str,
    remedy: &'static str,
    retry: Retry,
}

impl Cause {
    fn find(words: &Words) -> Option<&'static Self> {
        CAUSES.iter().chain([&LOGIN, &BUSY]).find(|cause| {
            cause
                .when
                .iter()
                .any(|(codes, phrase)| (codes.is_empty() || words.have_code(codes)) && words.text.contains(phrase))
        })
    }

    fn report(&self) -> Report {
        let mut report = Report::new(self.status, self.message);
        report.remedy = Some(self.remedy.to_owned()).filter(|remedy| !remedy.is_empty());
        report.transient = !matches!(self.retry, Retry::Never);
        report.retry_after = match self.retry {
            Retry::Never | Retry::Later => None,
            Retry::AfterSeconds(seconds) => Some(Duration::from_secs(seconds)),
        };
        report
    }
}

/// What a refused login means when its reply does not say, as most do not.
static LOGIN: Cause = Cause {
    when: &[("535 534 5.7.3 5.7.8", "")],
    stage: Stage::Login,
    status: Status::LoginRefused,
    message: "The mail server refused the login.",
    remedy: "Check in this order: 1. the token: sign in again if a fresh one is refused too; 2. the permission: the \
                 app registration needs the delegated permission SMTP.Send (Office 365 Exchange Online or Microsoft \
                 Graph), granted at the sign-in; 3. the user: it must be the user principal name of the account that \
                 signed in, which can differ from its e-mail address; 4. the mailbox: the account needs an Exchange \
                 Online licence and a mailbox; 5. SMTP AUTH: Microsoft 365 admin center > Users > Active users > the \
                 user > Mail > Manage email apps > Authenticated SMTP must be on.",
    retry: Retry::Never,
};

/// Whatever the server itself calls temporary.
static BUSY: Cause = Cause {
    when: &[("4.3.111 4.4.0-99 454", ""), ("", "temporary server error")],
    stage: Stage::Message,
    status: Status::MailBusy,
    message: "The mail server cannot do it now.",
    remedy: "Try again later. If it lasts for hours, look at Service health in the Microsoft 365 admin \
                 center.",
    retry: Retry::Later,
};

/// First match wins: what is said by a phrase stands before what is said by a code alone.
static CAUSES: &[Cause] = &[
    // Login.
    Cause {
        when: &[("5.7.139", "disabled for the tenant"), ("", "smtpclientauthentication is disabled for the tenant")],
        stage: Stage::Login,
        status: Status::SmtpAuthOff,
        message: "SMTP AUTH is turned off for the whole organisation.",
        remedy: "Turn it on for the mailbox, which beats the organisation's setting: Microsoft 365 admin center > \
                 Users > Active users > the user > Mail > Manage email apps > Authenticated SMTP, or `Set-CASMailbox \
                 -Identity <mailbox> -SmtpClientAuthenticationDisabled $false`. For the whole organisation: \
                 `Set-TransportConfig -SmtpClientAuthenticationDisabled $false`. It can take an hour to work.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.7.139", "disabled for the mailbox"), ("", "smtpclientauthentication is disabled")],
        stage: Stage::Login,
        status: Status::SmtpAuthOff,
        message: "SMTP AUTH is turned off for the mailbox.",
        remedy: "Turn it on: Microsoft 365 admin center > Users > Active users > the user > Mail > Manage email apps \
                 > Authenticated SMTP, or `Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled \
                 $false`. For the whole organisation: `Set-TransportConfig -SmtpClientAuthenticationDisabled $false`. \
                 It can take an hour to work.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("", "security defaults policy")],
        stage: Stage::Login,
        status: Status::LoginBlocked,
        message: "The organisation's security defaults block the login to the mail server.",
        remedy: "Microsoft Entra admin center > Identity > Overview > Properties > Manage security defaults: turn \
                 them off and put Conditional Access policies in their place; then turn on Authenticated SMTP for the \
                 mailbox.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("", "did not meet the criteria")],
        stage: Stage::Login,
        status: Status::LoginBlocked,
        message: "A policy of the organisation blocks the login to the mail server.",
        remedy: "Look at the account's sign-in log (Microsoft Entra admin center > Monitoring > Sign-in logs) for the \
                 Conditional Access policy that applied, and exclude the account or this network from it; check the \
                 authentication policy (`Get-User -Identity <mailbox> | Format-List AuthenticationPolicy`) and that \
                 Authenticated SMTP is on for the mailbox.",
        retry: Retry::Never,
    },
    Cause {
        when: &[
            ("5.7.139", "basic authentication is disabled"),
            ("5.7.30", ""),
            ("", "basic authentication is not supported"),
            ("", "basic authentication is disabled"),
        ],
        stage: Stage::Login,
        status: Status::LoginRefused,
        message: "The mail server got a password where it wants OAuth.",
        remedy: "This product logs in by OAuth only. If the text comes from another program or device, change that \
                 one to OAuth; otherwise report it to the vendor together with the server's words.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("", "federated sts")],
        stage: Stage::Login,
        status: Status::LoginBlocked,
        message: "The organisation's own federation server could not confirm the account.",
        remedy: "Check that the federation server (AD FS) can be reached from the internet by HTTPS, or use an \
                 account of the onmicrosoft.com domain, which is not federated.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.7.139", "")],
        stage: Stage::Login,
        status: Status::LoginBlocked,
        message: "The organisation's settings block the login to the mail server.",
        remedy: "The server's words name the cause. Check that Authenticated SMTP is on for the mailbox (Microsoft \
                 365 admin center > Users > Active users > the user > Mail > Manage email apps), security defaults, \
                 and Conditional Access policies.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.5.124", ""), ("", "invalid xoauth2 auth data")],
        stage: Stage::Login,
        status: Status::LoginRefused,
        message: "The mail server could not read the OAuth login.",
        remedy: "Check the SMTP host: it must be smtp.office365.com, not a host of High Volume Email \
                 (smtp-hve.office365.com). If it is, report it to the vendor together with the server's words.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.7.4", ""), ("504", "authentication"), ("", "unrecognized authentication type")],
        stage: Stage::Login,
        status: Status::LoginRefused,
        message: "The mail server does not know the OAuth login (AUTH XOAUTH2).",
        remedy: "Check the SMTP host and port: Exchange Online is smtp.office365.com port 587.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("4.7.66", ""), ("", "tls 1.0 and 1.1 are not supported")],
        stage: Stage::Starttls,
        status: Status::Tls,
        message: "The mail server refused the version of TLS.",
        remedy: "This product offers TLS 1.2 and 1.3: a device between this computer and the mail server opens the \
                 encryption and uses an older version. Exempt smtp.office365.com from TLS inspection.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.7.506", ""), ("", "bad helo")],
        stage: Stage::Ehlo,
        status: Status::Argument,
        message: "The mail server does not accept the name by which this computer introduces itself.",
        remedy: "Set `client_name` to this computer's full name, such as print01.contoso.com, or to its address in \
                 brackets; never to the server's own name.",
        retry: Retry::Never,
    },
    // Busy, throttled, used up.
    Cause {
        when: &[("432", ""), ("", "sender thread limit exceeded"), ("", "concurrent connection limit exceeded")],
        stage: Stage::Message,
        status: Status::MailBusy,
        message: "The mailbox sends over too many connections at once; Exchange Online allows three.",
        remedy: "Try again later. If it comes often, find out what else sends with this mailbox, and give the \
                 print server a mailbox of its own.",
        retry: Retry::AfterSeconds(60),
    },
    Cause {
        when: &[("4.7.500-699 4.7.850-899", "")],
        stage: Stage::Message,
        status: Status::MailBusy,
        message: "Exchange Online holds back mail from this mailbox or this network.",
        remedy: "Try again in a quarter of an hour. If it lasts for a day, have Microsoft's support look at \
                 the server's words.",
        retry: Retry::AfterSeconds(15 * 60),
    },
    Cause {
        when: &[("4.5.3", ""), ("452", "too many recipients")],
        stage: Stage::Recipient,
        status: Status::RecipientsRefused,
        message: "The mail has more recipients than the server takes at once.",
        remedy: "Split the mail or send it to a distribution group; the limit of the mailbox is set with `Set-Mailbox \
                 -Identity <mailbox> -RecipientLimits <1-1000>`.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("554", "mailbox full"), ("", "mapiexceptionshutoffquotaexceeded")],
        stage: Stage::Message,
        status: Status::Quota,
        message: "The mailbox is full: what it sends fills its own Sent Items.",
        remedy: "Empty Sent Items and Deleted Items of the sending mailbox, or give it a retention policy that does \
                 so (Microsoft Purview portal > Data lifecycle management).",
        retry: Retry::Never,
    },
    Cause {
        when: &[
            ("5.1.90", ""),
            ("", "submissionquotaexceeded"),
            ("", "submission quota exceeded"),
            ("", "daily limit for message recipients"),
        ],
        stage: Stage::Message,
        status: Status::Quota,
        message: "The mailbox has reached its limit of 10,000 recipients in 24 hours.",
        remedy: "The limit slides: sending works again after some hours. For more, use several mailboxes, High Volume \
                 Email (internal recipients) or Azure Communication Services Email (external recipients).",
        retry: Retry::AfterSeconds(60 * 60),
    },
    Cause {
        when: &[("5.7.232 5.7.233 5.7.236", ""), ("", "tenant external recipient rate limit")],
        stage: Stage::Message,
        status: Status::Quota,
        message: "The organisation has reached its daily limit of external recipients.",
        remedy: "Exchange admin center > Reports > Mail flow > Tenant outbound external recipients shows the limit, \
                 which grows with the licences. A sender at onmicrosoft.com may write to 100 external recipients a \
                 day: send with a domain of your own.",
        retry: Retry::AfterSeconds(60 * 60),
    },
    // The sender.
    Cause {
        when: &[
            ("5.7.60 5.2.252", ""),
            ("", "sendasdenied"),
            ("", "not allowed to send as"),
            ("", "does not have permissions to send as this sender"),
        ],
        stage: Stage::Message,
        status: Status::SenderRefused,
        message: "The mailbox that signed in may not send with this From address.",
        remedy: "Send with the mailbox's own address, or give it the right `Send as`: Exchange admin center > \
                 Recipients > Mailboxes > the From mailbox > Delegation > Send as, or `Add-RecipientPermission \
                 -Identity <from> -Trustee <mailbox> -AccessRights SendAs`. It can take an hour to work.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.1.8 5.7.501-503 5.7.705 5.7.708 5.7.750", ""), ("", "bad outbound sender")],
        stage: Stage::Message,
        status: Status::SenderBlocked,
        message: "Exchange Online has blocked the sender because its mail looked like spam.",
        remedy: "Microsoft Defender portal > Email & collaboration > Review > Restricted entities: secure the \
                 account, then unblock it. For 5.7.705, 5.7.708 and 5.7.750 the whole organisation is blocked (new or \
                 trial tenant, unregistered domain): open a case with Microsoft's support.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.7.57", ""), ("", "client not authenticated to send mail"), ("530", "")],
        stage: Stage::Sender,
        status: Status::LoginRefused,
        message: "The mail server wants a login before it takes mail.",
        remedy: "Check the SMTP host and port: Exchange Online is smtp.office365.com port 587. Check that \
                 Authenticated SMTP is on for the mailbox.",
        retry: Retry::Never,
    },
    // Recipients.
    Cause {
        when: &[("5.7.54", ""), ("", "unable to relay"), ("", "relay access denied")],
        stage: Stage::Recipient,
        status: Status::RecipientsRefused,
        message: "This mail server delivers to its own mailboxes only.",
        remedy: "Check the SMTP host and port: Exchange Online is smtp.office365.com port 587.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.1.1 5.1.2 5.1.3 5.1.10 5.4.1", "")],
        stage: Stage::Recipient,
        status: Status::RecipientsRefused,
        message: "The recipient's address does not exist or is not valid.",
        remedy: "Correct the recipient's address.",
        retry: Retry::Never,
    },
    // The message.
    Cause {
        when: &[("5.3.4 5.2.3", ""), ("552", "size"), ("", "exceeds fixed maximum message size")],
        stage: Stage::Message,
        status: Status::MessageTooBig,
        message: "The mail is bigger than the mailbox may send.",
        remedy: "Send less: a lower resolution, fewer pages, or a link; encoding makes a file bigger by 37 %. The \
                 limit is 35 MB by default and 150 MB at most: Exchange admin center > Recipients > Mailboxes > the \
                 mailbox > Message size restriction, or `Set-Mailbox -Identity <mailbox> -MaxSendSize 150MB`.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.7.512 5.6.11", ""), ("", "must be rfc 5322"), ("", "bare lf")],
        stage: Stage::Message,
        status: Status::MessageRefused,
        message: "The mail server says that the mail is not well formed.",
        remedy: "This is a fault of the product: report it to its vendor together with the server's words.",
        retry: Retry::Never,
    },
    Cause {
        when: &[("5.3.3", ""), ("", "unrecognized command"), ("500 502 503", "")],
        stage: Stage::Idle,
        status: Status::Protocol,
        message: "The mail server did not understand a command.",
        remedy: "Check the SMTP host and port, and whether a device on the way changes SMTP traffic. If both are \
                 right, report it to the vendor together with the server's words.",
        retry: Retry::Never,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits;

    /// What Exchange Online says (as in `design/exchange.md` 6.3 and 6.4), and what others say.
    #[rustfmt::skip]
    const TABLE: &[(Stage, &str, Status, Option<u64>)] = &[
        (Stage::Login, "535 5.7.3 Authentication unsuccessful [ROAP284CA0191.BRAP284.PROD.OUTLOOK.COM]", Status::LoginRefused, None),
        (Stage::Login, "535 5.7.3 Authentication unsuccessful [NT0PR01CA0010.CHNPR01.prod.partner.outlook.cn 2024-03-14T00:58:28.419Z 08DC432AD9175861]", Status::LoginRefused, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [MN2PR05CA0004.namprd05.prod.outlook.com 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]", Status::SmtpAuthOff, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.", Status::SmtpAuthOff, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", Status::LoginBlocked, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", Status::LoginBlocked, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Status::LoginRefused, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, federated STS service was unreachable.", Status::LoginBlocked, None),
        (Stage::Login, "535 5.7.139 Authentication unsuccessful, the federated STS URL does not support HTTPS.", Status::LoginBlocked, None),
        (Stage::Login, "535 5.7.139 Something new", Status::LoginBlocked, None),
        (Stage::Login, "550 5.7.30 Basic authentication is not supported for Client Submission.", Status::LoginRefused, None),
        (Stage::Login, "451 4.7.0 Temporary server error. Please try again later. PRX4 [Hostname=x]", Status::MailBusy, Some(0)),
        (Stage::Login, "454 4.7.0 Temporary authentication failure", Status::MailBusy, Some(0)),
        (Stage::Login, "501 5.5.124 Invalid XOAUTH2 auth data", Status::LoginRefused, None),
        (Stage::Login, "504 5.7.4 Unrecognized authentication type", Status::LoginRefused, None),
        (Stage::Login, "500 5.5.2 Line too long", Status::Protocol, None),
        (Stage::Login, "550 no", Status::LoginRefused, None),
        (Stage::Greeting, "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client", Status::Tls, None),
        (Stage::Sender, "530 5.7.57 Client not authenticated to send mail. [x]", Status::LoginRefused, None),
        (Stage::Sender, "530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled [x]", Status::SmtpAuthOff, None),
        (Stage::Message, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=x]", Status::MailBusy, Some(60)),
        (Stage::Message, "432 4.3.2 concurrent connection limit exceeded", Status::MailBusy, Some(60)),
        (Stage::Sender, "451 4.7.500 Server busy. Please try again later from [203.0.113.7].", Status::MailBusy, Some(900)),
        (Stage::Sender, "451 4.7.699 Access denied, please try again later", Status::MailBusy, Some(900)),
        (Stage::Sender, "451 4.7.700 Something else", Status::MailBusy, Some(0)),
        (Stage::Sender, "451 4.7.850 Access denied, please try again later", Status::MailBusy, Some(900)),
        (Stage::Message, "451 4.3.111 Temporary server error. Please try again later MRH1 [Hostname=x]", Status::MailBusy, Some(0)),
        (Stage::Message, "451 4.4.22 Something", Status::MailBusy, Some(0)),
        (Stage::Message, "554 5.2.252 SendAsDenied; a@x not allowed to send as b@y; STOREDRV.Submission.Exception:SendAsDeniedException", Status::SenderRefused, None),
        (Stage::Message, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", Status::SenderRefused, None),
        (Stage::Sender, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", Status::SenderRefused, None),
        (Stage::Message, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", Status::Quota, Some(3600)),
        (Stage::Message, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", Status::Quota, Some(3600)),
        (Stage::Message, "554 5.2.2 Submission quota exceeded", Status::Quota, Some(3600)),
        (Stage::Message, "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded", Status::Quota, None),
        (Stage::Recipient, "552 5.2.2 The recipient's mailbox is full", Status::RecipientsRefused, None),
        (Stage::Message, "550 5.7.232 Your message can't be sent because your trial tenant exceeded its daily limit", Status::Quota, Some(3600)),
        (Stage::Message, "550 5.7.233 - Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit)", Status::Quota, Some(3600)),
        (Stage::Message, "550 5.7.236 x", Status::Quota, Some(3600)),
        (Stage::Message, "550 5.1.8 Access denied, bad outbound sender AS(42004)", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.501 Access denied, spam abuse detected", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.502 Access denied, banned sender", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.503 x", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.705 Access denied, tenant has exceeded threshold", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.708 Access denied, traffic not accepted from this IP", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domain", Status::SenderBlocked, None),
        (Stage::Message, "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant", Status::MessageRefused, None),
        (Stage::Message, "554 5.6.11 Invalid characters", Status::MessageRefused, None),
        (Stage::Sender, "552 5.3.4 Message size exceeds fixed maximum message size", Status::MessageTooBig, None),
        (Stage::Message, "554 5.2.3 x", Status::MessageTooBig, None),
        (Stage::Recipient, "452 4.5.3 Too many recipients", Status::RecipientsRefused, None),
        (Stage::Recipient, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", Status::RecipientsRefused, None),
        (Stage::Recipient, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", Status::RecipientsRefused, None),
        (Stage::Idle, "421 4.4.1 Connection timed out. Total session duration: 00:20:55.28", Status::MailBusy, Some(0)),
        (Stage::Sender, "500 5.3.3 Unrecognized command 'unknown' [x]", Status::Protocol, None),
        (Stage::Ehlo, "550 5.7.506 Access Denied, Bad HELO", Status::Argument, None),
        (Stage::Greeting, "554 no", Status::Network, None),
        (Stage::Starttls, "502 x", Status::Protocol, None),
        (Stage::Starttls, "550 x", Status::Tls, None),
        (Stage::Sender, "550 x", Status::SenderRefused, None),
        (Stage::Sender, "501 5.1.7 Invalid address", Status::SenderRefused, None),
        (Stage::Recipient, "550 x", Status::RecipientsRefused, None),
        (Stage::Message, "550 x", Status::MessageRefused, None),
        (Stage::Message, "471 x", Status::MailBusy, Some(0)),
        (Stage::Message, "571 x", Status::MessageRefused, None),
    ];

    fn reply(text: &str) -> Option<Reply> {
        super::super::reply::ReplyReader::default().read(format!("{text}\r\n").as_bytes()).ok()?.0
    }

    #[test]
    fn each_refusal_has_its_meaning() {
        for (stage, text, status, retry) in TABLE {
            let reply = reply(text).unwrap();
            let refusal = Refusal::of(*stage, &reply);
            let report = &refusal.report;
            assert_eq!((report.status, refusal.stage), (*status, *stage), "{text}");
            assert_eq!(report.transient, retry.is_some(), "{text}");
            let wait = retry.filter(|seconds| *seconds > 0).map(Duration::from_secs);
            assert_eq!(report.retry_after, wait, "{text}");
            assert!(report.message.ends_with('.') && report.remedy.as_ref().is_some_and(|text| text.ends_with('.')));
            assert_eq!(report.service.smtp_code, text.get(..3).and_then(|code| code.parse().ok()));
            assert_eq!(report.service.text.as_deref(), text.get(4..), "the service's words as they came");
        }
    }

    #[test]
    fn a_pasted_refusal_means_the_same_whatever_is_around_it() {
        for (_, text, status, retry) in TABLE.iter().filter(|(_, text, ..)| text.contains("5.") && text.len() > 20) {
            if *status == Status::RecipientsRefused && text.contains("5.2.2") {
                continue; // Only its place tells whose mailbox is full.
            }
            for pasted in [(*text).to_owned(), format!("  Remote server returned '{text}'\n"), text.to_uppercase()] {
                let refusal = explain(&pasted).unwrap();
                assert_eq!((refusal.report.status, refusal.report.transient), (*status, retry.is_some()), "{pasted}");
            }
        }
        let refusal =
            explain("scan failed: SmtpClientAuthentication is disabled for the Tenant. Visit aka.ms").unwrap();
        assert_eq!(refusal.report.status, Status::SmtpAuthOff);
        let refusal = explain("#5.7.60 smtp;550 5.7.60 SMTP; Client does not have permissions").unwrap();
        assert_eq!(refusal.report.status, Status::SenderRefused);
        assert_eq!(refusal.report.service.smtp_code, Some(550));
        assert_eq!(explain("5.7.999 x").unwrap().report.status, Status::LoginRefused);
        assert_eq!(explain("4.9.9 x").unwrap().report.status, Status::MailBusy);
        for nothing in ["", "hello", "I have 500 users and 503 printers", "192.0.2.1", "version 5.7", "250 2.0.0 OK"] {
            assert!(explain(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn the_remedy_for_smtp_auth_names_every_way() {
        let refusal = explain("535 5.7.139 SmtpClientAuthentication is disabled for the Tenant").unwrap();
        let remedy = refusal.report.remedy.unwrap();
        for way in ["Manage email apps > Authenticated SMTP", "Set-CASMailbox", "Set-TransportConfig"] {
            assert!(remedy.contains(way), "{way}");
        }
    }

    #[test]
    fn words_of_kilobytes_are_cut_between_characters() {
        let text = format!("554 5.2.252 SendAsDenied; {}", "ö".repeat(3_900));
        let words = reply(&text).unwrap().service_words();
        assert_eq!(words.text.unwrap().len(), text.len() - 4);
        let long = "550-5.7.1 ".to_owned() + &"ö".repeat(4_000) + "\r\n";
        let whole = reply(&(long.repeat(3) + "550 5.7.1 end")).unwrap();
        let words = whole.service_words();
        assert!(words.text.is_some_and(|text| (limits::SERVICE_TEXT - 1..=limits::SERVICE_TEXT).contains(&text.len())));
        assert_eq!(words.enhanced_code.as_deref(), Some("5.7.1"));
        assert!(explain(&"550 5.7.1 ".repeat(100_000)).is_some());
    }

    #[test]
    fn recipients_that_fail_alike_keep_their_status() {
        let of = |text: &str| Refusal::of(Stage::Recipient, &reply(text).unwrap());
        let mut refusals = Refusals::default();
        assert!(refusals.summary().is_none());
        refusals.add(&of("451 4.7.500 busy"));
        refusals.add(&of("451 4.3.2 busy"));
        let report = refusals.summary().unwrap().report;
        assert_eq!((report.status, report.transient), (Status::MailBusy, true));
        assert_eq!(report.retry_after, Some(Duration::from_secs(900)));
        assert!(report.message.starts_with("All 2 recipients"));
        refusals.add(&of("550 5.1.1 unknown"));
        let report = refusals.summary().unwrap().report;
        assert_eq!((report.status, report.transient), (Status::RecipientsRefused, true));
    }
}
