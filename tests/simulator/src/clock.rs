//! Time as the service sees it, which tests can push forward, and stamps as the wire shows them.
//!
//! Only what *expires* follows the pushed clock. Stamps (`iat`, `timestamp`, `Date`) stay with the
//! real one, since the client reads them against its own clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use time::{Month, OffsetDateTime, Weekday};

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    pushed_ms: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), pushed_ms: AtomicU64::new(0) }
    }

    /// Milliseconds since the start, with everything that was pushed.
    pub(crate) fn now_ms(&self) -> u64 {
        self.real_ms().saturating_add(self.pushed_ms.load(Ordering::SeqCst))
    }

    /// Milliseconds since the start as a stop-watch has them: for logs.
    pub(crate) fn real_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn push(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.pushed_ms.update(Ordering::SeqCst, Ordering::SeqCst, |pushed| pushed.saturating_add(by_ms));
    }
}

pub(crate) fn unix_s() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// `2023-03-23 06:30:00Z`, the stamp of the identity platform.
pub(crate) fn stamp() -> String {
    let now = OffsetDateTime::now_utc();
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// `2024-03-14T00:58:28.419Z`, the stamp in the tail of Exchange's replies.
pub(crate) fn stamp_ms() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{}.{:03}Z", stamp().trim_end_matches('Z').replace(' ', "T"), now.millisecond())
}

/// `Wed, 28 Sep 2022 16:23:28 +0000`, the stamp of the SMTP greeting.
pub(crate) fn stamp_mail() -> String {
    format!("{} +0000", day_and_time(OffsetDateTime::now_utc()))
}

/// `Wed, 28 Sep 2022 16:23:28 GMT`, the stamp of HTTP, from a clock that is wrong by so much.
pub(crate) fn stamp_http(skew_s: i64) -> String {
    let now = OffsetDateTime::now_utc();
    let skewed = now.checked_add(time::Duration::seconds(skew_s)).unwrap_or(now);
    format!("{} GMT", day_and_time(skewed))
}

fn day_and_time(now: OffsetDateTime) -> String {
    let day = match now.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    };
    let month = match now.month() {
        Month::January => "Jan",
        Month::February => "Feb",
        Month::March => "Mar",
        Month::April => "Apr",
        Month::May => "May",
        Month::June => "Jun",
        Month::July => "Jul",
        Month::August => "Aug",
        Month::September => "Sep",
        Month::October => "Oct",
        Month::November => "Nov",
        Month::December => "Dec",
    };
    format!("{day}, {:02} {month} {} {:02}:{:02}:{:02}", now.day(), now.year(), now.hour(), now.minute(), now.second())
}
