//! Transcripts, replayed whole, by line and by octet; what a transcript cannot say follows below.
//!
//! A transcript of `tests/fixtures/smtp` has one step a line:
//! `S:` the server says, `C:` the client must say, `>` the caller does, `=` the caller must see. `\r`, `\n` and `\s` (a
//! blank at the end of a line) are escapes; every `S:` and `C:` line ends with CRLF, `S~` without. `@` begins with
//! another file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lettre::Address;
use lettre::address::Envelope;
use secrecy::SecretString;

use super::*;
use crate::base::{Report, limits};

/// How the server's bytes are cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    Lines,
    Octets,
}

struct Replay {
    /// The step, for a failure.
    at: String,
    session: Session,
    cut: Cut,
    /// What the server says next, not yet handed over.
    server: Vec<u8>,
    /// What the client said and what the caller saw, not yet asked for.
    client: Vec<u8>,
    seen: Vec<String>,
}

impl Replay {
    fn new(first: &str, cut: Cut) -> Self {
        let security = match first {
            "> starttls" => Security::Starttls,
            "> implicit" => Security::Implicit,
            other => panic!("a transcript begins with its security, not {other:?}"),
        };
        let session = Session::new(security, "print01.contoso.com").unwrap();
        let mut replay =
            Self { at: String::new(), session, cut, server: Vec::new(), client: Vec::new(), seen: Vec::new() };
        replay.collect();
        replay
    }

    fn step(&mut self, line: &str) {
        let (kind, rest) = line.split_at(2);
        let rest = rest.strip_prefix(' ').unwrap_or(rest).replace("\\r", "\r").replace("\\n", "\n").replace("\\s", " ");
        if kind != "S:" && kind != "S~" {
            self.hand_over();
        }
        match kind {
            "S:" => self.server.extend_from_slice(format!("{rest}\r\n").as_bytes()),
            "S~" => self.server.extend_from_slice(rest.as_bytes()),
            "C:" => {
                let expected = format!("{rest}\r\n");
                let said = self.client.drain(..expected.len().min(self.client.len())).collect::<Vec<_>>();
                assert_eq!(String::from_utf8_lossy(&said), expected, "{}", self.at);
            }
            "> " => {
                self.at_rest();
                self.act(&rest);
                self.collect();
            }
            "= " => {
                let seen = if self.seen.is_empty() { "(nothing)".to_owned() } else { self.seen.remove(0) };
                assert_eq!(seen, rest, "{}", self.at);
            }
            other => panic!("no step begins with {other:?}"),
        }
    }

    /// All that was said and seen has been asked for.
    fn at_rest(&mut self) {
        self.hand_over();
        let left = (String::from_utf8_lossy(&self.client).into_owned(), &self.seen);
        assert_eq!(left, (String::new(), &Vec::new()), "{}", self.at);
    }

    fn hand_over(&mut self) {
        let bytes = std::mem::take(&mut self.server);
        let parts: Vec<&[u8]> = match self.cut {
            Cut::Whole => vec![&bytes],
            Cut::Lines => bytes.split_inclusive(|byte| *byte == b'\n').collect(),
            Cut::Octets => bytes.chunks(1).collect(),
        };
        for part in parts {
            let taken = self.session.receive(part);
            self.collect();
            self.note(taken);
        }
    }

    fn act(&mut self, action: &str) {
        let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
        let done = match verb {
            "tls" => self.session.tls_established(),
            "login" => self.session.authenticate(SecretString::from(rest)),
            "send" => self.send(rest),
            "body" => {
                self.session.body(rest.as_bytes());
                Ok(())
            }
            "end" => {
                self.session.end_of_body();
                Ok(())
            }
            "reset" => self.session.reset(),
            "quit" => {
                self.session.quit();
                Ok(())
            }
            "close" => self.session.closed(),
            "timeout" => Err(self.session.timed_out()),
            "look" => {
                let session = &self.session;
                let state = format!(
                    "{:?} {:?}{}{}",
                    session.waiting_for(),
                    session.delivery(),
                    if session.is_ready() { " ready" } else { "" },
                    if session.is_over() { " over" } else { "" },
                );
                self.seen.push(state);
                Ok(())
            }
            other => panic!("the caller cannot {other:?}"),
        };
        self.note(done);
    }

    fn send(&mut self, words: &str) -> Result<(), Error> {
        let (mut from, mut to, mut size, mut body) = (None, Vec::new(), 0, BodyKind::default());
        for word in words.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("from", address) => from = Some(address.parse::<Address>().unwrap()),
                ("to", address) => to.push(address.parse::<Address>().unwrap()),
                ("size", octets) => size = octets.parse().unwrap(),
                ("8bit", _) => body.needs_8bit = true,
                ("utf8", _) => body.needs_smtputf8 = true,
                (other, _) => panic!("a mail has no {other:?}"),
            }
        }
        self.session.send(&Envelope::new(from, to).unwrap(), size, body)
    }

    fn note(&mut self, done: Result<(), Error>) {
        if let Err(error) = done {
            self.seen.push(format!("error {}: {error}", error.report().status.name()));
        }
    }

    fn collect(&mut self) {
        self.client.extend_from_slice(&self.session.output());
        while let Some(event) = self.session.event() {
            self.seen.push(told(&event));
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::TlsWanted => "tls wanted".to_owned(),
        Event::Ready(offered) => format!("ready, {} offers {}", offered.server, offered.auth.join(" ")),
        Event::Authenticated => "authenticated".to_owned(),
        Event::LoginRefused(refusal) => {
            let challenge = refusal.report.service.text.as_deref().and_then(|text| text.split_once(" (challenge: "));
            let challenge = challenge.map_or(String::new(), |(_, json)| format!(" ({json}"));
            format!("login refused: {}{challenge}", meant(&refusal.report))
        }
        Event::Recipient { index, outcome: Ok(()) } => format!("recipient {index} accepted"),
        Event::Recipient { index, outcome: Err(refusal) } => {
            format!("recipient {index} refused: {}", meant(&refusal.report))
        }
        Event::BodyWanted => "body wanted".to_owned(),
        Event::Sent { reply, message_id } => {
            format!("sent: {} {}", reply.code(), message_id.as_deref().unwrap_or("without a name"))
        }
        Event::MailRefused(refusal) => format!("mail refused at {}: {}", refusal.stage, meant(&refusal.report)),
        Event::ResetDone => "reset done".to_owned(),
        Event::Goodbye(refusal) => format!("goodbye at {}: {}", refusal.stage, meant(&refusal.report)),
        Event::Closed => "closed".to_owned(),
    }
}

fn meant(report: &Report) -> String {
    let mut text = report.status.name().to_owned();
    let service = &report.service;
    service.smtp_code.iter().for_each(|code| write!(text, " {code}").unwrap());
    service.enhanced_code.iter().for_each(|code| write!(text, " {code}").unwrap());
    if report.transient {
        text.push_str(" transient");
    }
    report.retry_after.iter().for_each(|wait| write!(text, " after {} s", wait.as_secs()).unwrap());
    text
}

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/smtp");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

/// The steps of a transcript with those of the files that it begins with, each with its place.
fn steps(file: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let step = |(number, line): (usize, &str)| match line.strip_prefix("@ ") {
        Some(part) => steps(&file.with_file_name(part).with_extension("part")),
        None => vec![(format!("{}:{}: {line}", file.display(), number + 1), line.to_owned())],
    };
    lines.flat_map(step).collect()
}

#[test]
fn transcripts_go_the_same_whole_by_line_and_by_octet() {
    let files = transcripts();
    assert!(files.len() >= 20, "{} transcripts", files.len());
    for file in files {
        let steps = steps(&file);
        for cut in [Cut::Whole, Cut::Lines, Cut::Octets] {
            let (first, rest) = steps.split_first().unwrap();
            let mut replay = Replay::new(&first.1, cut);
            for (place, line) in rest {
                replay.at = format!("{place} ({cut:?})");
                replay.step(line);
            }
            replay.at_rest();
        }
    }
}

/// A session that is logged in at a server which offers these lines.
fn logged_in(offers: &[&str]) -> Session {
    let mut session = Session::new(Security::Implicit, "[192.0.2.1]").unwrap();
    session.tls_established().unwrap();
    session.receive(b"220 server ready\r\n").unwrap();
    let lines: String = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
    session.receive(format!("250-server\r\n{lines}250 AUTH XOAUTH2\r\n").as_bytes()).unwrap();
    session.authenticate(SecretString::from("c2VjcmV0")).unwrap();
    session.receive(b"334 \r\n").unwrap();
    session.receive(b"235 ok\r\n").unwrap();
    assert!(session.is_ready());
    session.output();
    while session.event().is_some() {}
    session
}

fn envelope(from: &str, to: &[&str]) -> Envelope {
    let address = |text: &str| text.parse::<Address>().unwrap();
    Envelope::new(Some(address(from)), to.iter().map(|to| address(to)).collect()).unwrap()
}

#[test]
fn client_names_are_host_names_or_address_literals() {
    for name in ["print01.contoso.com", "a.b", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn--bcher-kva.example"] {
        assert!(Session::new(Security::Starttls, name).is_ok(), "{name:?}");
    }
    for name in
        ["", "PRINT01", "localhost", "a b.c", "a.b\r\nMAIL FROM:<x>", "-a.b", "a..b", "a.b.", "192.0.2.1", "[x]"]
    {
        assert_eq!(Session::new(Security::Starttls, name).unwrap_err(), Error::ClientName(name.to_owned()));
    }
}

#[test]
fn a_reply_line_beyond_the_limit_ends_the_session() {
    let line = |length: usize| [b"220 ".as_slice(), &vec![b'x'; length - 6], b"\r\n"].concat();
    let mut session = Session::new(Security::Starttls, "a.b").unwrap();
    session.receive(&line(limits::SMTP_REPLY_LINE)).unwrap();
    for pieces in [1, 100, limits::SMTP_REPLY_LINE] {
        let mut session = Session::new(Security::Starttls, "a.b").unwrap();
        let line = line(limits::SMTP_REPLY_LINE + 1);
        let taken = line.chunks(pieces).try_for_each(|part| session.receive(part));
        assert_eq!(taken.unwrap_err(), Error::ReplyTooLong);
        assert!(session.is_over());
    }
    // A server that never ends its line.
    let mut session = Session::new(Security::Starttls, "a.b").unwrap();
    assert_eq!(session.receive(&vec![b'2'; 1 << 20]).unwrap_err(), Error::ReplyTooLong);
}

#[test]
fn a_reply_of_too_many_lines_ends_the_session() {
    let line = b"220-0123456789012345678901234567890123456789012345678901234\r\n";
    let mut session = Session::new(Security::Starttls, "a.b").unwrap();
    let lines = limits::SMTP_REPLY / line.len();
    (0..lines - 2).for_each(|_| session.receive(line).unwrap());
    assert_eq!((0..4).try_for_each(|_| session.receive(line)).unwrap_err(), Error::ReplyTooLong);
}

#[test]
fn a_mail_beyond_a_limit_is_refused_before_a_byte_goes_out() {
    let mail = envelope("a@b.c", &["d@e.f"]);
    let plain = BodyKind::default();
    let too_big = |size, limit| Err(Error::TooBig { size, limit });
    let most = limits::MAIL as u64;

    let mut session = logged_in(&["SIZE 1000"]);
    assert_eq!(session.send(&mail, 1001, plain), too_big(1001, 1000));
    assert_eq!(logged_in(&[]).send(&mail, most + 1, plain), too_big(most + 1, most));
    assert_eq!(logged_in(&["SIZE 0"]).send(&mail, most + 1, plain), too_big(most + 1, most));
    assert_eq!(logged_in(&["SIZE 99999999999999"]).send(&mail, most + 1, plain), too_big(most + 1, most));
    assert_eq!(logged_in(&["SIZE"]).send(&mail, most, plain), Ok(()));

    let many = vec!["d@e.f"; limits::RECIPIENTS + 1];
    assert_eq!(session.send(&envelope("a@b.c", &many), 1, plain), Err(Error::TooManyRecipients(many.len())));

    assert!(session.output().is_empty());
    assert!(session.is_ready());
    assert_eq!(session.send(&mail, 1000, plain), Ok(()));
    assert_eq!(&**session.output(), b"MAIL FROM:<a@b.c> SIZE=1000\r\n");
}

#[test]
fn parameters_are_given_when_needed_and_offered() {
    let eight = BodyKind { needs_8bit: true, needs_smtputf8: false };
    let utf8 = BodyKind { needs_8bit: false, needs_smtputf8: true };
    let ascii = envelope("a@b.c", &["d@e.f"]);
    let beyond = envelope("a@b.c", &["d@e.f", "jörg@e.f"]);
    let line = |offers: &[&str], envelope: &Envelope, body| {
        let mut session = logged_in(offers);
        session.send(envelope, 7, body).map(|()| String::from_utf8(session.output().to_vec()).unwrap())
    };

    let all = ["SIZE 100", "8BITMIME", "SMTPUTF8"];
    assert_eq!(line(&all, &ascii, BodyKind::default()).unwrap(), "MAIL FROM:<a@b.c> SIZE=7\r\n");
    assert_eq!(line(&all, &ascii, eight).unwrap(), "MAIL FROM:<a@b.c> SIZE=7 BODY=8BITMIME\r\n");
    assert_eq!(line(&all, &ascii, utf8).unwrap(), "MAIL FROM:<a@b.c> SIZE=7 SMTPUTF8\r\n");
    assert_eq!(line(&all, &beyond, eight).unwrap(), "MAIL FROM:<a@b.c> SIZE=7 BODY=8BITMIME SMTPUTF8\r\n");
    assert_eq!(line(&[], &ascii, BodyKind::default()).unwrap(), "MAIL FROM:<a@b.c>\r\n");
    assert_eq!(line(&[], &ascii, eight).unwrap_err(), Error::EightBitMissing);
    assert_eq!(line(&["8BITMIME"], &ascii, utf8).unwrap_err(), Error::Smtputf8Missing(None));
    let error = line(&["8BITMIME"], &beyond, eight).unwrap_err();
    assert_eq!(error, Error::Smtputf8Missing(Some("jörg@e.f".to_owned())));
    assert!(error.report().message.contains("jörg@e.f"));
}

#[test]
fn an_address_cannot_smuggle_a_command() {
    for (user, domain) in [("a\r\nRCPT TO:<x", "b.c"), ("a> X=<", "b.c"), ("a", "b.c>\r\nDATA"), ("\"a\nb\"", "b.c")] {
        let to = Address::new_dangerous(user, domain);
        let envelope = Envelope::new(None, vec![to.clone()]).unwrap();
        let mut session = logged_in(&["SMTPUTF8"]);
        assert_eq!(session.send(&envelope, 1, BodyKind::default()), Err(Error::Address(to.to_string())));
        assert!(session.output().is_empty());
    }
    let mut session = logged_in(&[]);
    session.send(&envelope("\"a> b\"@b.c", &["d@e.f"]), 1, BodyKind::default()).unwrap();
    assert_eq!(&**session.output(), b"MAIL FROM:<\"a> b\"@b.c>\r\n");
}

#[test]
fn calls_at_the_wrong_time_change_nothing() {
    let mail = envelope("a@b.c", &["d@e.f"]);
    let misuse = |done: Result<(), Error>| assert!(matches!(done, Err(Error::Misuse(_))), "{done:?}");

    let mut session = Session::new(Security::Starttls, "a.b").unwrap();
    misuse(session.tls_established());
    misuse(session.authenticate(SecretString::from("x")));
    misuse(session.send(&mail, 1, BodyKind::default()));
    misuse(session.reset());
    session.body(b"thrown away");
    session.end_of_body();
    assert!(session.output().is_empty());
    assert_eq!(session.waiting_for(), Wait::Greeting);

    let mut session = logged_in(&[]);
    session.send(&mail, 1, BodyKind::default()).unwrap();
    misuse(session.send(&mail, 1, BodyKind::default()));
    misuse(session.authenticate(SecretString::from("x")));
    assert_eq!(&**session.output(), b"MAIL FROM:<a@b.c>\r\n");
}

#[test]
fn a_secret_shows_nowhere_but_in_the_output() {
    let mut session = Session::new(Security::Implicit, "a.b").unwrap();
    session.tls_established().unwrap();
    session.receive(b"220 x\r\n250-x\r\n250 AUTH XOAUTH2\r\n").unwrap();
    session.authenticate(SecretString::from("c2VjcmV0")).unwrap();
    session.receive(b"334 \r\n").unwrap();
    assert!(!format!("{session:?}").contains("c2VjcmV0"));
    assert!(session.output().ends_with(b"AUTH XOAUTH2\r\nc2VjcmV0\r\n"));
    let error = session.receive(b"250 what?\r\n").unwrap_err();
    assert!(!format!("{error} {error:?} {session:?}").contains("c2VjcmV0"));

    let mut session = Session::new(Security::Implicit, "a.b").unwrap();
    session.tls_established().unwrap();
    session.receive(b"220 x\r\n250-x\r\n250 AUTH XOAUTH2\r\n").unwrap();
    let long = "x".repeat(limits::SASL_LINE - 1);
    assert_eq!(session.authenticate(SecretString::from(long)).unwrap_err(), Error::LoginLine);
}

/// In the middle of a mail whose body has been given; the final dot is still in the session.
fn with_a_body() -> Session {
    let mut session = logged_in(&[]);
    session.send(&envelope("a@b.c", &["d@e.f"]), 1, BodyKind::default()).unwrap();
    session.receive(b"250 ok\r\n").unwrap();
    session.receive(b"250 ok\r\n").unwrap();
    session.receive(b"354 go\r\n").unwrap();
    session.body(b"x\r\n");
    session.output();
    session.end_of_body();
    session
}

#[test]
fn a_mail_is_in_doubt_only_between_the_final_dot_and_its_answer() {
    let mut session = with_a_body();
    assert_eq!((session.delivery(), session.waiting_for()), (Delivery::NotSent, Wait::FinalDot));
    assert_eq!(session.closed().unwrap_err(), Error::Closed(Stage::Message));

    let mut session = with_a_body();
    assert_eq!(&**session.output(), b".\r\n");
    assert_eq!(session.delivery(), Delivery::Unknown);
    assert_eq!(session.closed().unwrap_err(), Error::SendUnknown(Box::new(Error::Closed(Stage::Message))));
    assert_eq!(session.closed(), Ok(()), "told once");

    let mut session = with_a_body();
    session.output();
    assert_eq!(session.timed_out(), Error::SendUnknown(Box::new(Error::Timeout(Stage::Message))));

    let mut session = with_a_body();
    session.output();
    assert!(matches!(session.receive(b"garbage\r\n").unwrap_err(), Error::SendUnknown(_)));

    let mut session = with_a_body();
    session.output();
    session.receive(b"250 2.0.0 OK\r\n").unwrap();
    assert_eq!(session.delivery(), Delivery::Accepted);
    assert_eq!(session.closed(), Ok(()));
}

#[test]
fn a_body_goes_out_as_it_comes_in_with_bounded_memory() {
    let mut session = logged_in(&[]);
    session.send(&envelope("a@b.c", &["d@e.f"]), 1, BodyKind::default()).unwrap();
    session.receive(b"250 ok\r\n").unwrap();
    session.receive(b"250 ok\r\n").unwrap();
    session.receive(b"354 go\r\n").unwrap();
    session.output();
    let chunk = b".dotted line\r\nplain line\r\n".repeat(1000);
    for _ in 0..10 {
        session.body(&chunk);
        let written = session.output();
        assert_eq!(written.len(), chunk.len() + 1000);
        assert!(written.capacity() <= 3 * chunk.len());
    }
}

/// A small generator, so that a failure comes back (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn whatever_the_server_says_the_session_stands() {
    const PIECES: &[&[u8]] = &[
        b"220 ready\r\n",
        b"250 ok\r\n",
        b"250-SIZE 5\r\n",
        b"250-STARTTLS\r\n",
        b"250-AUTH XOAUTH2\r\n",
        b"334 \r\n",
        b"334 eyJ9\r\n",
        b"235 ok\r\n",
        b"354 go\r\n",
        b"421 bye\r\n",
        b"550 5.7.1 no\r\n",
        b"452 4.5.3 later\r\n",
        b"535 5.7.139 disabled for the tenant [x]\r\n",
        b"221 bye\r\n",
        b"2",
        b"\r",
        b"\n",
        b"\0",
        b"\xff\xfe",
        b"-",
        b"999 \r\n",
        b"250",
        b"5.7.",
        b"[",
        b"]",
    ];
    let mail = envelope("a@b.c", &["d@e.f", "g@h.i"]);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..20_000 {
        let security = if random.below(2) == 0 { Security::Starttls } else { Security::Implicit };
        let mut session = Session::new(security, "a.b").unwrap();
        let mut ends = 0;
        let mut sent = 0;
        for _ in 0..30 {
            // Half of the time what the server ought to say, so that all states are reached.
            let right: &[u8] = match session.waiting_for() {
                Wait::Greeting => b"220 x\r\n",
                Wait::Auth => [b"334 \r\n".as_slice(), b"235 x\r\n"][random.below(2)],
                Wait::Command => [b"250-STARTTLS\r\n250 AUTH XOAUTH2\r\n".as_slice(), b"354 x\r\n"][random.below(2)],
                Wait::FinalDot => b"250 x\r\n",
                Wait::Nothing | Wait::Tls | Wait::Body => b"",
            };
            let bytes = if random.below(4) > 0 { right } else { PIECES[random.below(PIECES.len())] };
            let mut failed = session.receive(bytes).is_err();
            match random.below(6) {
                0 => drop(session.tls_established()),
                1 => drop(session.authenticate(SecretString::from("eA=="))),
                2 => sent += usize::from(session.send(&mail, 1, BodyKind::default()).is_ok()),
                3 => session.body(b"x\r\n."),
                4 => session.end_of_body(),
                _ => drop(session.output()),
            }
            if random.below(100) == 0 {
                failed |= session.closed().is_err();
            }
            while let Some(event) = session.event() {
                ends += usize::from(matches!(event, Event::Sent { .. } | Event::MailRefused(_)));
            }
            // A mail ends at most once, and exactly once before the next one begins.
            let under_way = sent - ends;
            assert!(under_way <= 1);
            assert!(!session.is_ready() || under_way == 0);
            assert!(!failed || session.is_over());
        }
    }
}
