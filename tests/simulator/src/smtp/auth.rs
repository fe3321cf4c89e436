//! AUTH: XOAUTH2 in both forms, and why a login is refused.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::link::End;
use super::replies;
use super::session::{Session, Step};
use crate::knobs::AuthFailure;
use crate::misbehave::Moment;

/// RFC 4954 section 4: a response on a line of its own.
const AUTH_OCTETS_MAX: usize = 12_288;

impl Session {
    pub(super) async fn auth(&mut self, arguments: &str) -> Step {
        let mut words = arguments.split_ascii_whitespace();
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.next().map(ToOwned::to_owned);
        if self.user.is_some() {
            return self.send("503 5.5.2 Already authenticated []").await;
        }
        let offered = self.tls && self.greeted && matches!(mechanism.as_str(), "XOAUTH2" | "LOGIN");
        if !offered || self.envelope.is_some() {
            return self.send(replies::UNRECOGNIZED_AUTH).await;
        }
        let response = match initial {
            Some(response) => response,
            None => {
                let challenge = if mechanism == "LOGIN" { "334 VXNlcm5hbWU6" } else { "334 " };
                let turn = self.turn(Moment::AuthChallenge, None).await;
                let works = turn.works();
                self.finish(turn, challenge.into()).await?;
                if !works {
                    return Ok(());
                }
                match self.secret_line().await? {
                    Some(response) => response,
                    None => return self.send(replies::LINE_TOO_LONG).await,
                }
            }
        };
        if mechanism == "LOGIN" {
            self.send("334 UGFzc3dvcmQ6").await?;
            let _ = self.secret_line().await?;
            return self.verdict(Err((replies::BASIC_DISABLED, "basic authentication".into()))).await;
        }
        // Office 365 answers a cancelled exchange like a wrong one.
        if response == "*" {
            return self.verdict(Err((replies::UNSUCCESSFUL, "the client cancelled".into()))).await;
        }
        let verdict = match credentials(&response) {
            None => Err((replies::INVALID_XOAUTH2, "not an XOAUTH2 string".into())),
            Some((user, token)) => match self.state.smtp_login(&user, &token) {
                Ok(account) if !account.smtp_auth => {
                    Err((replies::MAILBOX_DISABLED, "SMTP AUTH is off for the mailbox".into()))
                }
                Ok(account) => Ok(account.upn.clone()),
                Err(why) => Err((replies::UNSUCCESSFUL, why)),
            },
        };
        self.verdict(verdict).await
    }

    /// Says how the login went: by rule, or by what the credentials are worth.
    async fn verdict(&mut self, verdict: Result<String, (&str, String)>) -> Step {
        let turn = self.turn(Moment::Auth, None).await;
        let reply = match (&verdict, turn.instead()) {
            (_, Some((text, _))) => text.to_owned(),
            (Ok(_), None) => "235 2.7.0 Authentication successful".to_owned(),
            (Err((text, _)), None) => (*text).to_owned(),
        };
        let why = match (&verdict, turn.instead().is_some()) {
            (_, true) => Some("a rule".to_owned()),
            (Err((_, why)), false) => Some(why.clone()),
            (Ok(_), false) => None,
        };
        if let Ok(upn) = verdict
            && turn.works()
        {
            self.log(|log, _| log.user = Some(upn.clone()));
            self.user = Some(upn);
        }
        let knobs = self.state.knobs();
        if why.is_some() {
            self.log(|log, _| log.refused_because = why);
            tokio::time::sleep(Duration::from_millis(knobs.auth_failure_delay_ms)).await;
            if knobs.auth_failure == AuthFailure::Challenge && reply.starts_with("535") {
                let challenge =
                    json!({"status": "401", "schemes": "bearer", "scope": "https://outlook.office.com/SMTP.Send"});
                self.send(&format!("334 {}", STANDARD.encode(challenge.to_string()))).await?;
                let _ = self.secret_line().await?;
            }
        }
        let refused = !reply.starts_with('2');
        self.finish(turn, reply).await?;
        if refused && knobs.close_after_auth_failure { Err(End) } else { Ok(()) }
    }

    /// A line of SASL; `None` if it is longer than RFC 4954 lets it be.
    async fn secret_line(&mut self) -> Step<Option<String>> {
        let wait = Duration::from_millis(self.state.knobs().idle_timeout_ms);
        let Ok(line) = tokio::time::timeout(wait, self.line()).await else { return Err(End) };
        let (line, octets) = line?;
        let shown = if line == "*" || line.is_empty() { line.clone() } else { format!("({} octets)", line.len()) };
        self.log(|log, _| log.commands.push(shown));
        Ok((octets <= AUTH_OCTETS_MAX).then_some(line))
    }
}

/// `user=…^Aauth=Bearer …^A^A` behind base64.
fn credentials(response: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(response).ok()?).ok()?;
    let text = text.strip_suffix("\x01\x01")?;
    let (user, auth) = text.split_once('\x01')?;
    let (scheme, token) = auth.strip_prefix("auth=")?.split_once(' ')?;
    let sound = scheme.eq_ignore_ascii_case("Bearer") && !token.contains('\x01');
    sound.then(|| Some((user.strip_prefix("user=")?.to_owned(), token.to_owned())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_vector_is_read() {
        let vector = "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ==";
        let expected =
            ("test@contoso.onmicrosoft.com".to_owned(), "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA".to_owned());
        assert_eq!(credentials(vector), Some(expected));
        for bad in ["", "%%%", "dXNlcj1h", &STANDARD.encode("user=a\x01auth=Bearer t\x01"), &vector[..vector.len() - 2]]
        {
            assert_eq!(credentials(bad), None, "{bad}");
        }
    }
}
