//! The device flow (RFC 8628) as a state machine: it says when to poll, takes the answers, and ends in tokens or an
//! error. Time comes in from outside, so a test ages it by days.

use std::time::Duration;

use secrecy::SecretString;

use super::aadsts::Action;
use super::answer::{Answer, DeviceCodeAnswer, cut};
use super::{App, Error, Request, Tokens, token};
use crate::base::clock::millis;
use crate::base::{Moment, limits};

/// RFC 8628 section 3.2: when the answer names no interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// RFC 8628 section 3.5.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// Microsoft's 15 minutes, when the answer does not say.
const DEFAULT_LIFE: Duration = Duration::from_secs(900);
/// Longest pause after a fault of the network: a person is waiting.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Pause when Microsoft takes the polling for a loop (AADSTS50196) or throttles without saying for how long.
const THROTTLE_PAUSE: Duration = Duration::from_secs(60);
/// How long before the code's end it is asked once more: the service's clock for the code started before ours.
const BEFORE_THE_END: Duration = Duration::from_secs(1);
/// Longest texts that are shown to a person.
const USER_CODE: usize = 64;
const MESSAGE: usize = 2_048;

/// What a person needs to sign in.
#[derive(Debug, Clone)]
pub struct UserCode {
    /// What to type.
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// Microsoft's sentence that says both.
    pub message: String,
    /// When the code's time is over.
    pub expires_at: Moment,
    /// The pause between two polls, as the service asked.
    pub interval: Duration,
}

/// How far the asking for a code has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The pause between two polls by now.
    pub interval: Duration,
    /// When the next one is due.
    pub next_poll: Moment,
    /// Polls in a row that were not answered.
    pub faults: u32,
    /// A poll went out and no answer came.
    pub answer_lost: bool,
}

/// A running device flow.
pub struct DeviceFlow {
    device_code: SecretString,
    code: UserCode,
    interval: Duration,
    next_poll: Moment,
    faults: u32,
    /// A poll went out and no answer came: the grant may be used up without our knowing.
    answer_lost: bool,
}

impl DeviceFlow {
    /// Begins with the answer of the device authorization endpoint.
    pub fn begin(answer: &Answer, now: Moment) -> Result<Self, Error> {
        if let Some(error) = answer.error() {
            return Err(token::refused(&error, answer));
        }
        let not_understood =
            || Error::NotUnderstood { status: answer.status, busy: answer.is_busy(), retry_after: answer.retry_after };
        if answer.status != 200 {
            return Err(not_understood());
        }
        let code: DeviceCodeAnswer = answer.json().map_err(|_| not_understood())?;
        let shown = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        // Letters, digits and what groups them: nothing that a page would take for markup or turn around.
        let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        let acceptable = shown(&code.user_code)
            && code.user_code.len() <= USER_CODE
            && code.user_code.chars().all(is_code)
            && code.verification_uri.len() <= MESSAGE
            && is_page(&code.verification_uri);
        if !acceptable {
            return Err(not_understood());
        }
        let interval = code.interval.map_or(DEFAULT_INTERVAL, Duration::from_secs).min(limits::POLL_INTERVAL);
        let interval = interval.max(Duration::from_secs(1));
        let life = code.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).min(limits::DEVICE_CODE_LIFE);
        let message = if shown(&code.message) {
            cut(&code.message, MESSAGE).to_owned()
        } else {
            format!(
                "To sign in, open {} in a web browser and enter the code {}.",
                code.verification_uri, code.user_code
            )
        };
        Ok(Self {
            device_code: code.device_code,
            code: UserCode {
                user_code: code.user_code,
                verification_uri: code.verification_uri,
                message,
                expires_at: now.after(life),
                interval,
            },
            interval,
            next_poll: now,
            faults: 0,
            answer_lost: false,
        })
    }

    /// What to show to the person.
    #[must_use]
    pub fn code(&self) -> &UserCode {
        &self.code
    }

    /// What the token endpoint is shown.
    #[must_use]
    pub fn device_code(&self) -> &SecretString {
        &self.device_code
    }

    /// How far the asking has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            interval: self.interval,
            next_poll: self.next_poll,
            faults: self.faults,
            answer_lost: self.answer_lost,
        }
    }

    /// Goes on with a flow that another process began.
    #[must_use]
    pub fn resume(device_code: SecretString, code: UserCode, progress: Progress) -> Self {
        let Progress { interval, next_poll, faults, answer_lost } = progress;
        Self { device_code, code, interval, next_poll, faults, answer_lost }
    }

    /// When the next poll is due. The first is due at once, before the code is shown: it catches a registration
    /// without public client flows. The last are due right before the code's end and at it, so that an approval in the
    /// last seconds counts.
    #[must_use]
    pub fn next_poll(&self) -> Moment {
        self.next_poll
    }

    /// The poll. Exactly one [`DeviceFlow::answered`] or [`DeviceFlow::failed`] must follow.
    pub fn poll(&self, app: &App) -> Result<Request, Error> {
        app.poll_request(&self.device_code)
    }

    /// The poll was answered: tokens, or `None` for "not yet".
    pub fn answered(&mut self, answer: &Answer, app: &App, now: Moment) -> Result<Option<Tokens>, Error> {
        match Tokens::from_answer(answer, app) {
            Ok(tokens) => Ok(Some(tokens)),
            Err(Error::Refused(refused)) => match refused.verdict.action {
                Action::KeepPolling => {
                    self.faults = 0;
                    self.wait(self.interval, now)
                }
                Action::SlowDown => {
                    self.faults = 0;
                    self.interval = (self.interval + SLOW_DOWN).min(limits::POLL_INTERVAL);
                    self.wait(self.interval, now)
                }
                Action::Wait => self.wait(refused.retry_after.unwrap_or(THROTTLE_PAUSE).max(self.interval), now),
                Action::CodeUnknown | Action::SignInAgain if self.answer_lost => Err(Error::AnswerLost),
                Action::Expired => Err(Error::Expired),
                Action::CodeUnknown | Action::SignInAgain | Action::Declined | Action::Refused => {
                    Err(Error::Refused(refused).hiding(&self.device_code))
                }
            },
            // Whatever stands between us and the service (a proxy's page, a 503 in HTML): the person is still typing.
            Err(Error::NotUnderstood { retry_after, .. }) => {
                let pause = self.backoff().max(retry_after.unwrap_or_default());
                self.wait(pause, now)
            }
            Err(other) => Err(other),
        }
    }

    /// The poll was not answered. `sent` tells whether it may have reached the service.
    pub fn failed(&mut self, sent: bool, now: Moment) -> Result<(), Error> {
        self.answer_lost |= sent;
        let pause = self.backoff();
        self.wait(pause, now).map(|_| ())
    }

    fn backoff(&mut self) -> Duration {
        self.faults = self.faults.saturating_add(1);
        let factor = 1_u32.checked_shl(self.faults.min(6)).unwrap_or(64);
        self.interval.saturating_mul(factor).min(LONGEST_BACKOFF).max(self.interval)
    }

    fn wait(&mut self, pause: Duration, now: Moment) -> Result<Option<Tokens>, Error> {
        if now >= self.code.expires_at {
            return Err(Error::Expired);
        }
        let end = self.code.expires_at;
        let last = Moment(end.0.saturating_sub(millis(BEFORE_THE_END)));
        let due = now.after(pause.min(limits::POLL_INTERVAL));
        self.next_poll = match due {
            due if due <= last => due,
            _ if now < last => last,
            _ => end,
        };
        Ok(None)
    }
}

/// Whether a person can be sent there: https, a host, no user name that looks like one.
fn is_page(address: &str) -> bool {
    let page = oauth2::url::Url::parse(address).ok().filter(|_| !address.chars().any(char::is_control));
    page.is_some_and(|page| {
        page.scheme() == "https" && page.host_str().is_some() && page.username().is_empty() && page.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::base::Status;
    use crate::identity::Cloud;
    use crate::identity::request::Protocol;

    const CODE: &str = r#"{"user_code":"BPPVYQZMA","device_code":"secret","verification_uri":"https://microsoft.com/devicelogin","expires_in":900,"interval":5,"message":"m"}"#;
    const PENDING: &str = r#"{"error":"authorization_pending","error_codes":[70016]}"#;
    const TOKENS: &str = r#"{"token_type":"Bearer","scope":"https://outlook.office.com/smtp.send","expires_in":4213,"access_token":"at","refresh_token":"rt"}"#;

    fn app() -> App {
        App {
            cloud: Cloud::named("worldwide").unwrap(),
            client_id: "app".into(),
            tenant_id: "contoso.com".into(),
            serves: vec![Protocol::Smtp],
            openid: false,
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()), retry_after: None }
    }

    fn at(s: u64) -> Moment {
        Moment(s * 1000)
    }

    fn begun() -> DeviceFlow {
        DeviceFlow::begin(&answer(200, CODE), at(0)).unwrap()
    }

    fn status(result: Result<Option<Tokens>, Error>) -> Status {
        result.map(|_| ()).unwrap_err().report().status
    }

    #[test]
    fn the_first_poll_is_at_once_and_then_each_interval() {
        let mut flow = begun();
        assert_eq!(flow.next_poll(), at(0));
        assert!(flow.answered(&answer(400, PENDING), &app(), at(0)).unwrap().is_none());
        assert_eq!(flow.next_poll(), at(5));
        let tokens = flow.answered(&answer(200, TOKENS), &app(), at(5)).unwrap().unwrap();
        assert_eq!(tokens.expires_in, Duration::from_secs(4213));
        assert!(tokens.missing_scopes(&app()).is_empty());
    }

    #[test]
    fn slow_down_adds_five_seconds_for_good() {
        let mut flow = begun();
        flow.answered(&answer(400, r#"{"error":"slow_down"}"#), &app(), at(5)).unwrap();
        assert_eq!(flow.next_poll(), at(15));
        flow.answered(&answer(400, PENDING), &app(), at(15)).unwrap();
        assert_eq!(flow.next_poll(), at(25));
    }

    #[test]
    fn faults_back_off_and_never_end_the_flow() {
        let mut flow = begun();
        let mut now = 0;
        for (status, body) in [(503, "<html>busy</html>"), (429, ""), (200, "<html>proxy</html>"), (500, "{}")] {
            assert!(flow.answered(&answer(status, body), &app(), at(now)).unwrap().is_none());
            let pause = at(now).until(flow.next_poll()).as_secs();
            assert!((5..=30).contains(&pause), "{pause}");
            now += pause;
        }
        flow.failed(true, at(now)).unwrap();
        assert!(at(now).until(flow.next_poll()).as_secs() <= 30);
        flow.answered(&answer(400, PENDING), &app(), at(now)).unwrap();
        assert_eq!(flow.next_poll(), at(now + 5));
    }

    #[test]
    fn the_loop_breaker_pauses_a_minute_though_it_says_invalid_grant() {
        let mut flow = begun();
        let body = r#"{"error":"invalid_grant","error_description":"AADSTS50196: loop","error_codes":[50196]}"#;
        assert!(flow.answered(&answer(400, body), &app(), at(5)).unwrap().is_none());
        assert_eq!(flow.next_poll(), at(65));
    }

    #[test]
    fn the_last_polls_are_made_around_the_end_and_then_it_is_expired() {
        let mut flow = begun();
        flow.answered(&answer(400, PENDING), &app(), at(897)).unwrap();
        assert_eq!(flow.next_poll(), at(899));
        flow.answered(&answer(400, PENDING), &app(), at(899)).unwrap();
        assert_eq!(flow.next_poll(), at(900));
        assert_eq!(status(flow.answered(&answer(400, PENDING), &app(), at(900))), Status::SignInExpired);
    }

    #[test]
    fn the_ends_are_told_apart() {
        let app = app();
        let end = |status_code, body: &str| status(begun().answered(&answer(status_code, body), &app, at(5)));
        assert_eq!(end(400, r#"{"error":"authorization_declined"}"#), Status::SignInDeclined);
        assert_eq!(end(400, r#"{"error":"access_denied"}"#), Status::SignInDeclined);
        assert_eq!(end(400, r#"{"error":"expired_token","error_codes":[70020]}"#), Status::SignInExpired);
        assert_eq!(end(400, r#"{"error":"code_expired"}"#), Status::SignInExpired);
        assert_eq!(end(401, r#"{"error":"invalid_client","error_codes":[7000218]}"#), Status::PublicClientOff);
        assert_eq!(end(400, r#"{"error":"unauthorized_client","error_codes":[700016]}"#), Status::AppNotFound);
    }

    #[test]
    fn a_lost_answer_is_not_called_declined() {
        let mut flow = begun();
        flow.failed(true, at(5)).unwrap();
        let used_up = r#"{"error":"bad_verification_code","error_codes":[70018]}"#;
        assert!(matches!(flow.answered(&answer(400, used_up), &app(), at(20)), Err(Error::AnswerLost)));
    }

    #[test]
    fn a_code_that_nobody_should_type_is_refused() {
        for (from, to) in [
            ("https://m", "http://m"),
            ("https://microsoft.com/devicelogin", "https://"),
            ("https://microsoft.com", "https://microsoft.com@evil.example"),
            ("https://microsoft.com", "javascript:alert(1)//"),
            ("BPPVYQZMA", ""),
            ("BPPVYQZMA", "A\\u0007B"),
            ("BPPVYQZMA", "A\u{202e}B"),
            ("BPPVYQZMA", "<script>"),
        ] {
            assert!(DeviceFlow::begin(&answer(200, &CODE.replace(from, to)), at(0)).is_err());
        }
        let error = r#"{"error":"invalid_request","error_description":"AADSTS90002: Tenant 'x' not found."}"#;
        let refused = DeviceFlow::begin(&answer(200, error), at(0)).map(|_| ()).unwrap_err();
        assert_eq!(refused.report().status, Status::TenantNotFound);
    }

    #[test]
    fn a_secret_that_the_service_repeats_is_cut_out() {
        let body = r#"{"error":"invalid_grant","error_description":"AADSTS70000: no good: a secret device code"}"#;
        let code = CODE.replace(r#""device_code":"secret""#, r#""device_code":"a secret device code""#);
        let mut flow = DeviceFlow::begin(&answer(200, &code), at(0)).unwrap();
        let refused = flow.answered(&answer(400, body), &app(), at(0)).map(|_| ()).unwrap_err().report();
        assert_eq!(refused.service.text.as_deref(), Some("AADSTS70000: no good: (secret)"));
    }

    #[test]
    fn a_poll_without_an_answer_days_later_is_expired() {
        let mut flow = begun();
        assert!(matches!(flow.failed(false, at(3 * 86_400)), Err(Error::Expired)));
    }
}
