//! One session: commands, their order, and what rules make of them.

use std::sync::Arc;
use std::time::Duration;

use super::envelope::{self, Envelope, MAIL_PARAMETERS, RCPT_PARAMETERS};
use super::link::{End, Link};
use super::replies;
use crate::clock;
use crate::http;
use crate::ids;
use crate::misbehave::{Fault, Moment, When};
use crate::state::{SmtpSession, State};
use crate::wire::{self, Handshake, Wire};

/// RFC 5321 section 4.5.3.1.4, CRLF included.
const COMMAND_OCTETS_MAX: usize = 512;
/// MAIL and RCPT are longer by what their parameters may add (RFC 3461, 6531).
const PATH_COMMAND_OCTETS_MAX: usize = 2048;
/// No line at all may be longer, limit or not.
pub(super) const LINE_OCTETS_MAX: usize = 64 * 1024;

const SERVER: &str = "AM0PR01CA0042.outlook.office365.com";
const FRONT_END: &str = "AM0PR01CA0042.eurprd01.prod.exchangelabs.com";
pub(super) const BACK_END: &str = "AM0PR01MB4242.eurprd01.prod.exchangelabs.com";

pub(super) type Step<T = ()> = Result<T, End>;

pub(super) struct Session {
    pub(super) state: Arc<State>,
    pub(super) link: Link,
    /// Index into the log.
    pub(super) number: usize,
    id: String,
    pub(super) tls: bool,
    pub(super) greeted: bool,
    starttls_hidden: bool,
    pub(super) user: Option<String>,
    pub(super) envelope: Option<Envelope>,
    pub(super) mails: usize,
}

/// What rules have for one moment. The delays are over by then.
pub(super) struct Turn(Vec<Fault>);

impl Turn {
    /// Whether the service does the work that the moment is about.
    pub(super) fn works(&self) -> bool {
        !self.0.iter().any(|fault| {
            matches!(
                fault,
                Fault::Reply { .. }
                    | Fault::RecipientRefused { .. }
                    | Fault::Goodbye { .. }
                    | Fault::Drop { when: When::Before }
                    | Fault::Reset { when: When::Before }
                    | Fault::Withhold { when: Some(When::Before) }
            )
        })
    }

    /// The reply that takes the place of the good one.
    pub(super) fn instead(&self) -> Option<(&str, bool)> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Reply { text, close } => Some((text.as_str(), *close)),
            Fault::RecipientRefused { text, .. } => {
                Some((text.as_deref().unwrap_or(replies::RECIPIENT_UNKNOWN), false))
            }
            Fault::Goodbye { text } => Some((text.as_deref().unwrap_or(replies::GOODBYE), true)),
            _ => None,
        })
    }
}

pub(super) async fn run(wire: Wire, state: Arc<State>) {
    let number = {
        let mut inner = state.inner();
        inner.sessions.push(SmtpSession { at_ms: state.clock.real_ms(), ..SmtpSession::default() });
        inner.sessions.len() - 1
    };
    let mut session = Session {
        link: Link::new(wire),
        number,
        id: ids::session(),
        tls: false,
        greeted: false,
        starttls_hidden: false,
        user: None,
        envelope: None,
        mails: 0,
        state,
    };
    // It ends by QUIT, by a rule or by the client's going away: all the same from here.
    let _ = session.talk().await;
    session.log(|log, now| log.closed_at_ms = Some(now));
    session.link.close().await;
}

impl Session {
    async fn talk(&mut self) -> Step {
        for fault in self.state.due(Moment::Connect) {
            if let Fault::Cut { octets } = fault {
                self.link.cut_after(octets.unwrap_or(0));
            }
        }
        let greeting =
            format!("220 {SERVER} Microsoft ESMTP MAIL Service ready at {} [{}]", clock::stamp_mail(), self.id);
        self.reply_at(Moment::Greeting, greeting).await?;
        loop {
            let line = self.command().await?;
            let (verb, arguments) = line.split_once(' ').unwrap_or((&line, ""));
            self.obey(&verb.to_ascii_uppercase(), arguments.trim(), &line).await?;
        }
    }

    /// The next command line, which is neither too long nor too late.
    async fn command(&mut self) -> Step<String> {
        loop {
            let knobs = self.state.knobs();
            let stale = self.due(Moment::Idle, None).into_iter().find_map(|fault| match fault {
                Fault::IdleClose { ms, text, .. } => Some((ms, text)),
                _ => None,
            });
            let (wait_ms, words) = match stale {
                Some((ms, text)) => (ms, text),
                None => (knobs.idle_timeout_ms, Some(replies::TIMED_OUT.to_owned())),
            };
            let Ok(line) = tokio::time::timeout(Duration::from_millis(wait_ms), self.line()).await else {
                if let Some(words) = words {
                    self.send(&words).await?;
                }
                return Err(End);
            };
            let (line, octets) = line?;
            let verb: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
            let limit = match verb.to_ascii_uppercase().as_str() {
                "MAIL" | "RCPT" => PATH_COMMAND_OCTETS_MAX,
                _ => COMMAND_OCTETS_MAX,
            };
            let too_long = octets > LINE_OCTETS_MAX || (knobs.command_line_limit && octets > limit);
            // What follows AUTH's mechanism is a secret, in a line that is refused as well.
            let shown = match line.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
                [auth, mechanism, secret, ..] if auth.eq_ignore_ascii_case("AUTH") => {
                    format!("{auth} {mechanism} ({} octets)", secret.len())
                }
                _ => line.clone(),
            };
            self.log(|log, _| log.commands.push(shown.chars().take(600).collect()));
            if too_long {
                self.send(replies::LINE_TOO_LONG).await?;
                continue;
            }
            return Ok(line);
        }
    }

    /// A line without its end, and how long it was with it.
    pub(super) async fn line(&mut self) -> Step<(String, usize)> {
        let mut line = self.link.piece(LINE_OCTETS_MAX).await?;
        let mut octets = line.len();
        let mut ended = line.ends_with(b"\n");
        while !ended {
            let more = self.link.piece(LINE_OCTETS_MAX).await?;
            octets += more.len();
            ended = more.ends_with(b"\n");
        }
        while line.ends_with(b"\n") || line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        Ok((String::from_utf8_lossy(&line).into_owned(), octets))
    }

    async fn obey(&mut self, verb: &str, arguments: &str, line: &str) -> Step {
        match verb {
            "EHLO" | "HELO" => self.ehlo(verb, arguments).await,
            "STARTTLS" => self.starttls().await,
            "AUTH" => self.auth(arguments).await,
            "MAIL" => self.mail(arguments).await,
            "RCPT" => self.rcpt(arguments).await,
            "DATA" => self.data().await,
            "BDAT" => self.bdat(arguments).await,
            "RSET" => {
                let turn = self.turn(Moment::Rset, None).await;
                if turn.works() {
                    self.envelope = None;
                }
                self.finish(turn, "250 2.0.0 Resetting".into()).await
            }
            "NOOP" => self.reply_at(Moment::Noop, "250 2.0.0 OK".into()).await,
            "QUIT" => {
                self.reply_at(Moment::Quit, "221 2.0.0 Service closing transmission channel".into()).await?;
                Err(End)
            }
            "VRFY" => self.send("252 2.1.5 Cannot VRFY user").await,
            "HELP" => self.send("214-This server supports the following commands:\n214 HELO EHLO STARTTLS RCPT DATA RSET MAIL QUIT HELP AUTH BDAT").await,
            _ => {
                let verb: String = line.chars().take_while(|c| !c.is_whitespace()).take(32).collect();
                self.send(&format!("500 5.3.3 Unrecognized command '{verb}' []")).await
            }
        }
    }

    async fn ehlo(&mut self, verb: &str, name: &str) -> Step {
        let turn = self.turn(Moment::Ehlo, None).await;
        if name.is_empty() {
            return self.finish(turn, "501 5.5.4 Invalid domain name []".into()).await;
        }
        if name.eq_ignore_ascii_case(SERVER) {
            return self.finish(turn, replies::BAD_HELO.into()).await;
        }
        if turn.works() {
            self.greeted = true;
            self.envelope = None;
        }
        let hello = format!("{SERVER} Hello [127.0.0.1]");
        if verb == "HELO" {
            return self.finish(turn, format!("250 {hello}")).await;
        }
        let knobs = self.state.knobs();
        self.starttls_hidden = turn.0.iter().any(|fault| matches!(fault, Fault::NoStarttls {}));
        let xoauth2_hidden = turn.0.iter().any(|fault| matches!(fault, Fault::NoXoauth2 {}));
        let mut lines = vec![
            hello,
            format!("SIZE {}", knobs.size_limit),
            "PIPELINING".into(),
            "DSN".into(),
            "ENHANCEDSTATUSCODES".into(),
        ];
        if self.tls {
            lines.push(if xoauth2_hidden { "AUTH LOGIN" } else { "AUTH LOGIN XOAUTH2" }.into());
        } else if !self.starttls_hidden {
            lines.push("STARTTLS".into());
        }
        lines.extend(["8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"].map(Into::into));
        lines.retain(|line| {
            let keyword = line.split(' ').next().unwrap_or_default();
            !knobs.hide_extensions.iter().any(|hidden| hidden.eq_ignore_ascii_case(keyword))
        });
        let last = lines.len() - 1;
        let reply: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }))
            .collect();
        self.finish(turn, reply.join("\n")).await
    }

    async fn starttls(&mut self) -> Step {
        if self.tls || self.starttls_hidden || self.hides("STARTTLS") {
            return self.send("500 5.3.3 Unrecognized command 'STARTTLS' []").await;
        }
        let turn = self.turn(Moment::StartTls, None).await;
        let works = turn.works();
        let mut reply = "220 2.0.0 SMTP server ready".to_owned();
        for fault in &turn.0 {
            if let Fault::StarttlsInjection { text } = fault {
                let text = text.as_deref().unwrap_or("250-injected.example Hello\n250-AUTH PLAIN LOGIN\n250 SMTPUTF8");
                reply = format!("{reply}\n{text}");
            }
        }
        self.finish(turn, reply).await?;
        if !works {
            return Ok(());
        }
        if self.link.forget_unread() {
            // Somebody wrote into the gap before the handshake: RFC 3207 section 6.
            self.log(|log, _| log.plaintext_behind_starttls = true);
            return Err(End);
        }
        let config = match wire::handshake_plan(&self.state, Moment::SmtpTls).await {
            Handshake::Serve(config) => config,
            Handshake::Garble => return Err(self.link.answer_without_tls().await),
            Handshake::Withhold => return Err(self.link.outlast_client().await),
            Handshake::Drop => return Err(End),
            Handshake::Reset => {
                self.link.reset();
                return Err(End);
            }
        };
        self.link.start_tls(config).await?;
        // RFC 3207 section 4.2: everything said before is forgotten.
        (self.tls, self.greeted, self.envelope) = (true, false, None);
        self.log(|log, _| log.tls = true);
        Ok(())
    }

    async fn mail(&mut self, arguments: &str) -> Step {
        let turn = self.turn(Moment::Mail, None).await;
        if !turn.works() {
            return self.finish(turn, String::new()).await;
        }
        let reply = match self.begin(arguments) {
            Ok(envelope) => {
                self.envelope = Some(envelope);
                "250 2.1.0 Sender OK".to_owned()
            }
            Err(reply) => reply.to_owned(),
        };
        self.finish(turn, reply).await
    }

    fn begin(&self, arguments: &str) -> Result<Envelope, &'static str> {
        if self.user.is_none() {
            return Err(replies::NOT_AUTHENTICATED);
        }
        if self.envelope.is_some() {
            return Err("503 5.5.2 Sender already specified []");
        }
        let (from, parameters) = envelope::path(arguments, "FROM").ok_or(INVALID)?;
        let knobs = self.state.knobs();
        self.check_parameters(&parameters, &MAIL_PARAMETERS)?;
        let envelope = Envelope {
            from: from.to_owned(),
            from_parameters: parameters.into_iter().map(Into::into).collect(),
            ..Envelope::default()
        };
        if !from.is_ascii() && envelope.parameter("SMTPUTF8").is_none() {
            return Err(INVALID);
        }
        if let Some(size) = envelope.parameter("SIZE") {
            let size: usize = size.parse().map_err(|_| INVALID)?;
            if size > knobs.size_limit {
                return Err(replies::TOO_BIG);
            }
        }
        match envelope.parameter("BODY").map(str::to_ascii_uppercase).as_deref() {
            None | Some("7BIT" | "8BITMIME") => Ok(envelope),
            Some("BINARYMIME") if !self.hides("BINARYMIME") => Ok(envelope),
            Some(_) => Err(INVALID),
        }
    }

    fn check_parameters(&self, parameters: &[&str], known: &[(&str, &str)]) -> Result<(), &'static str> {
        let fine = parameters.iter().all(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default();
            known.iter().any(|(known, offer)| known.eq_ignore_ascii_case(name) && !self.hides(offer))
        });
        if fine { Ok(()) } else { Err(INVALID) }
    }

    pub(super) fn hides(&self, keyword: &str) -> bool {
        self.state.knobs().hide_extensions.iter().any(|hidden| hidden.eq_ignore_ascii_case(keyword))
    }

    async fn rcpt(&mut self, arguments: &str) -> Step {
        let path = envelope::path(arguments, "TO");
        let turn = self.turn(Moment::Rcpt, path.as_ref().map(|(path, _)| *path)).await;
        if !turn.works() {
            return self.finish(turn, String::new()).await;
        }
        let most = self.state.knobs().recipients_per_mail;
        let checked = match &path {
            Some((to, parameters)) if !to.is_empty() => {
                self.check_parameters(parameters, &RCPT_PARAMETERS).map(|()| (*to, parameters))
            }
            _ => Err(INVALID),
        };
        let reply = match (&mut self.envelope, checked) {
            (None, _) => "503 5.5.2 Need mail command []",
            (_, Err(reply)) => reply,
            (Some(envelope), Ok(_)) if envelope.recipients.len() >= most => replies::TOO_MANY_RECIPIENTS,
            (Some(envelope), Ok((to, _))) if !to.is_ascii() && envelope.parameter("SMTPUTF8").is_none() => INVALID,
            (Some(envelope), Ok((to, parameters))) => {
                envelope.recipients.push(to.to_owned());
                envelope.recipient_parameters.push(parameters.iter().map(ToString::to_string).collect());
                "250 2.1.5 Recipient OK"
            }
        };
        self.finish(turn, reply.into()).await
    }

    // How every reply leaves.

    async fn reply_at(&mut self, moment: Moment, reply: String) -> Step {
        let turn = self.turn(moment, None).await;
        self.finish(turn, reply).await
    }

    pub(super) async fn turn(&mut self, moment: Moment, recipient: Option<&str>) -> Turn {
        let faults = self.due(moment, recipient);
        http::delay(&faults, When::Before).await;
        Turn(faults)
    }

    pub(super) fn due(&self, moment: Moment, recipient: Option<&str>) -> Vec<Fault> {
        let (tls, mails) = (self.tls, self.mails);
        self.state.due_if(moment, |fault| match fault {
            Fault::RecipientRefused { recipient: refused, .. } => {
                recipient.is_some_and(|recipient| recipient.eq_ignore_ascii_case(refused))
            }
            Fault::NoStarttls {} => !tls,
            Fault::NoXoauth2 {} => tls,
            Fault::Goodbye { .. } => mails > 0,
            Fault::IdleClose { after_mails, .. } => mails >= *after_mails,
            _ => true,
        })
    }

    pub(super) async fn finish(&mut self, turn: Turn, reply: String) -> Step {
        self.finish_for(turn, reply, "").await
    }

    pub(super) async fn finish_for(&mut self, turn: Turn, reply: String, from: &str) -> Step {
        let (reply, mut close) = match turn.instead() {
            Some((text, close)) => (text.to_owned(), close),
            None => (reply, false),
        };
        let reply = reply.replace("<from>", from);
        for fault in &turn.0 {
            match fault {
                Fault::Drop { when: When::After } | Fault::Reset { when: When::After } => {
                    self.send(&reply).await?;
                    if matches!(fault, Fault::Reset { .. }) {
                        self.link.reset();
                    }
                    return Err(End);
                }
                Fault::Drop { .. } => return Err(End),
                Fault::Reset { .. } => {
                    self.link.reset();
                    return Err(End);
                }
                Fault::Withhold { .. } => return Err(self.link.outlast_client().await),
                Fault::Dribble { ms } => self.link.dribble(Some(Duration::from_millis(*ms))),
                Fault::Cut { octets } => {
                    self.link.cut_after(octets.unwrap_or(reply.len() / 2));
                    close = true;
                }
                _ => {}
            }
        }
        self.send(&reply).await?;
        self.link.dribble(None);
        // 421 is a good-bye by its meaning: RFC 5321 section 3.8.
        if close || reply.starts_with("421") { Err(End) } else { Ok(()) }
    }

    pub(super) async fn send(&mut self, reply: &str) -> Step {
        let reply = self.expand(reply);
        self.log(|log, _| log.replies.push(reply.lines().next().unwrap_or_default().into()));
        let wire = format!("{}\r\n", reply.replace('\n', "\r\n"));
        self.link.write(wire.as_bytes()).await
    }

    fn expand(&self, reply: &str) -> String {
        let tail = format!("[{FRONT_END} {} {}]", clock::stamp_ms(), self.id);
        reply
            .replace("\r\n", "\n")
            .replace("[]", &tail)
            .replace("<host>", BACK_END)
            .replace("<user>", self.user.as_deref().unwrap_or_default())
            .replace("<diagnostics>", &replies::diagnostics())
    }

    pub(super) fn log(&self, change: impl FnOnce(&mut SmtpSession, u64)) {
        let now = self.state.clock.real_ms();
        if let Some(log) = self.state.inner().sessions.get_mut(self.number) {
            change(log, now);
        }
    }
}

pub(super) const INVALID: &str = "501 5.5.4 Invalid arguments []";
pub(super) const BAD_SEQUENCE: &str = "503 5.5.2 Bad sequence of commands []";
