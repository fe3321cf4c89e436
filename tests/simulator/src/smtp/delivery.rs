//! A message on its way in: DATA, BDAT, the verdict, the keeping.

use std::time::Duration;

use super::envelope::Envelope;
use super::link::End;
use super::session::{BACK_END, BAD_SEQUENCE, INVALID, LINE_OCTETS_MAX, Session, Step};
use super::{message, replies};
use crate::ids;
use crate::knobs::RateMode;
use crate::misbehave::{Fault, Moment};
use crate::state::Mail;

impl Session {
    pub(super) async fn data(&mut self) -> Step {
        let turn = self.turn(Moment::Data, None).await;
        let refusal = match &self.envelope {
            None => Some("503 5.5.2 Need mail command []"),
            Some(envelope) if envelope.recipients.is_empty() => Some("503 5.5.2 Need rcpt command []"),
            Some(envelope) if envelope.chunks.is_some() => Some(BAD_SEQUENCE),
            Some(envelope)
                if envelope.parameter("BODY").is_some_and(|body| body.eq_ignore_ascii_case("BINARYMIME")) =>
            {
                Some(BAD_SEQUENCE)
            }
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            return self.finish(turn, refusal.into()).await;
        }
        let works = turn.works();
        self.finish(turn, "354 Start mail input; end with <CRLF>.<CRLF>".into()).await?;
        if !works {
            return Ok(());
        }
        self.receiving().await?;

        let limit = self.state.knobs().size_limit;
        let (mut data, mut octets, mut bare_line_feed) = (Vec::new(), 0usize, false);
        // A line begins only behind CRLF: a dot behind a bare line feed is text (smuggling).
        let (mut line_begins, mut return_before) = (true, false);
        loop {
            let piece = self.link.piece(LINE_OCTETS_MAX).await?;
            if line_begins && piece.as_ref() == b".\r\n" {
                break;
            }
            let text = if line_begins { piece.strip_prefix(b".").unwrap_or(&piece) } else { &piece };
            let crlf = piece.ends_with(b"\r\n") || (return_before && piece.as_ref() == b"\n");
            bare_line_feed |= piece.ends_with(b"\n") && !crlf;
            return_before = piece.ends_with(b"\r");
            line_begins = crlf;
            octets += text.len();
            if octets <= limit {
                data.extend_from_slice(text);
            }
        }
        self.deliver(data, octets, bare_line_feed, "DATA").await
    }

    pub(super) async fn bdat(&mut self, arguments: &str) -> Step {
        let mut words = arguments.split_ascii_whitespace();
        let size: Option<usize> = words.next().and_then(|size| size.parse().ok());
        let last = words.next().map(|word| word.eq_ignore_ascii_case("LAST"));
        let (Some(size), None | Some(true)) = (size, last) else {
            // How much follows is unknown, so nothing that follows can be read.
            self.send(INVALID).await?;
            return Err(End);
        };
        if self.hides("CHUNKING") {
            self.send("500 5.3.3 Unrecognized command 'BDAT' []").await?;
            return Err(End);
        }
        let last = last.is_some();
        self.receiving().await?;
        let limit = self.state.knobs().size_limit;
        let mut envelope = self.envelope.take().unwrap_or_default();
        let usable = !envelope.recipients.is_empty();
        let mut chunks = envelope.chunks.take().unwrap_or_default();
        let room = if usable { limit.saturating_sub(chunks.len()) } else { 0 };
        self.link.octets(size, room, &mut chunks).await?;
        if !usable {
            return self.send("503 5.5.2 Need rcpt command []").await;
        }
        envelope.octets += size;
        let octets = envelope.octets;
        if last {
            self.envelope = Some(envelope);
            return self.deliver(chunks, octets, false, "BDAT").await;
        }
        let turn = self.turn(Moment::Bdat, None).await;
        if turn.works() {
            envelope.chunks = Some(chunks);
            self.envelope = Some(envelope);
        }
        self.finish(turn, format!("250 2.6.0 CHUNK received OK, {size} octets")).await
    }

    /// The connection can go while a message arrives.
    async fn receiving(&mut self) -> Step {
        for fault in self.due(Moment::Receiving, None) {
            match fault {
                Fault::Reset { .. } => {
                    self.link.reset();
                    return Err(End);
                }
                Fault::Drop { .. } => return Err(End),
                _ => {}
            }
        }
        Ok(())
    }

    /// The verdict on a whole message.
    async fn deliver(&mut self, data: Vec<u8>, octets: usize, bare_line_feed: bool, by: &'static str) -> Step {
        let envelope = self.envelope.take().unwrap_or_default();
        let turn = self.turn(Moment::Body, None).await;
        let mut from = envelope.from.clone();
        if let Ok(addresses) = message::from_addresses(&data)
            && let Some(first) = addresses.first()
        {
            from.clone_from(first);
        }
        let reply = if turn.works() {
            self.keep_to_rate().await;
            match self.judge(&envelope, &data, octets, bare_line_feed) {
                Ok(()) => self.keep(envelope, data, by),
                Err(refusal) => refusal.to_owned(),
            }
        } else {
            String::new()
        };
        self.finish_for(turn, reply, &from).await
    }

    fn judge(&self, envelope: &Envelope, data: &[u8], octets: usize, bare_line_feed: bool) -> Result<(), &'static str> {
        let knobs = self.state.knobs();
        if octets > knobs.size_limit {
            return Err(replies::TOO_BIG);
        }
        if bare_line_feed {
            return Err(replies::BARE_LINE_FEEDS);
        }
        let user = self.user.as_deref().unwrap_or_default();
        if let Some(most) = knobs.connections_per_account {
            let inner = self.state.inner();
            let open =
                inner.sessions.iter().filter(|log| log.closed_at_ms.is_none() && log.user.as_deref() == Some(user));
            if open.count() > most {
                return Err(replies::CONCURRENT_LIMIT);
            }
        }
        if knobs.rate_mode == RateMode::Reject && self.is_over_rate() {
            return Err(replies::THREAD_LIMIT);
        }
        let account = self.state.account(user).ok_or(replies::NOT_AUTHENTICATED)?;
        let from = message::from_addresses(data).map_err(|_| replies::NOT_COMPLIANT)?;
        if !from.iter().all(|address| account.may_send_as(address)) {
            return Err(replies::SEND_AS_DENIED);
        }
        if !account.may_send_as(&envelope.from) {
            return Err(replies::NO_PERMISSION);
        }
        Ok(())
    }

    /// Whether one more mail by this account is more than a minute may have.
    fn is_over_rate(&self) -> bool {
        let Some(most) = self.state.knobs().mails_per_minute else { return false };
        let now = self.state.clock.now_ms();
        let inner = self.state.inner();
        let recent = inner
            .mails
            .iter()
            .filter(|mail| Some(&mail.user) == self.user.as_ref() && mail.accepted_ms.saturating_add(60_000) > now);
        recent.count() >= most
    }

    async fn keep_to_rate(&self) {
        while self.state.knobs().rate_mode == RateMode::Delay && self.is_over_rate() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn keep(&mut self, envelope: Envelope, data: Vec<u8>, by: &'static str) -> String {
        let own = if self.state.knobs().rewrite_message_id { None } else { message::message_id(&data) };
        let message_id = own.unwrap_or_else(|| format!("{}@{BACK_END}", ids::guid()));
        self.mails += 1;
        self.log(|log, _| log.mails += 1);
        self.state.keep(Mail {
            at_ms: self.state.clock.real_ms(),
            accepted_ms: self.state.clock.now_ms(),
            user: self.user.clone().unwrap_or_default(),
            from: envelope.from,
            from_parameters: envelope.from_parameters,
            recipients: envelope.recipients,
            recipient_parameters: envelope.recipient_parameters,
            by,
            message_id: message_id.clone(),
            session: self.number,
            data,
        });
        format!("250 2.0.0 OK <{message_id}> [Hostname=<host>]")
    }
}
