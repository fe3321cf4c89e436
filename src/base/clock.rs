//! Time inside the process: monotonic, and after a suspend the later of monotonic and wall clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on a [`Clock`], in milliseconds since its origin. Never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis(wait)))
    }

    /// How long from now (`self`) until `later`; zero when that is past.
    #[must_use]
    pub fn until(self, later: Moment) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// A duration in whole milliseconds, saturating.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The same to add to epoch milliseconds.
#[must_use]
pub fn signed_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long from now until `later`, both in epoch milliseconds; zero when that is past.
#[must_use]
pub fn time_until(now_unix_ms: i64, later_unix_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(later_unix_ms.saturating_sub(now_unix_ms)).unwrap_or(0))
}

/// The clock of one core.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_wall: SystemTime,
    /// Both by the quick clocks.
    started_coarse: (Duration, Duration),
    latest: AtomicU64,
    /// How far the service's clock is ahead of this computer's, in seconds, as last heard.
    service_ahead_s: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            started_wall: SystemTime::now(),
            started_coarse: coarse::now().unwrap_or_default(),
            latest: AtomicU64::new(0),
            service_ahead_s: AtomicI64::new(0),
        }
    }
}

impl Clock {
    /// Now. While a computer is suspended the monotonic clock may stand still, so the wall clock counts when it is
    /// ahead; a wall clock that was set back changes nothing.
    #[must_use]
    pub fn now(&self) -> Moment {
        let monotonic = self.started.elapsed();
        let wall = self.started_wall.elapsed().unwrap_or_default();
        let now = millis(monotonic.max(wall));
        Moment(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Not before now and some milliseconds after it at most, in a fraction of the time: for what is asked very often. A
    /// clock that were behind would take a token that has just ended for one that lives.
    #[must_use]
    pub fn about_now(&self) -> Moment {
        let Some((monotonic, wall)) = coarse::now() else { return self.now() };
        let (started, started_wall) = self.started_coarse;
        let since = monotonic.saturating_sub(started).max(wall.saturating_sub(started_wall));
        Moment(millis(since.saturating_add(coarse::LAG)))
    }

    /// Seconds since 1970 by the wall clock, for what is shown to people.
    #[must_use]
    pub fn unix_s(&self) -> i64 {
        self.unix_ms() / 1000
    }

    /// The same in milliseconds, for what other processes read.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        signed_millis(since)
    }

    /// Hears what time it is at the service (`Date`, RFC 9110 section 6.6.1).
    pub fn compare(&self, service_unix_s: Option<i64>) {
        if let Some(service) = service_unix_s {
            self.service_ahead_s.store(service.saturating_sub(self.unix_s()), Ordering::Relaxed);
        }
    }

    /// Seconds since 1970 by the service's clock, as far as it was heard.
    #[must_use]
    pub fn service_unix_s(&self) -> i64 {
        self.unix_s().saturating_add(self.service_ahead_s.load(Ordering::Relaxed))
    }

    /// A moment of this clock in epoch milliseconds.
    #[must_use]
    pub fn unix_ms_at(&self, moment: Moment) -> i64 {
        let distance = i64::try_from(moment.0).unwrap_or(i64::MAX).saturating_sub_unsigned(self.now().0);
        self.unix_ms().saturating_add(distance)
    }

    /// Epoch milliseconds as a moment of this clock; what lies before its origin counts as that.
    #[must_use]
    pub fn moment_at(&self, unix_ms: i64) -> Moment {
        let distance = unix_ms.saturating_sub(self.unix_ms());
        Moment(self.now().0.saturating_add_signed(distance))
    }
}

/// The system's quick clocks, which are some milliseconds behind: monotonic and wall.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the quick clocks are read by a platform call; this is the one place for it")]
mod coarse {
    use std::time::Duration;

    /// Two ticks of the slowest kernel (100 Hz): one now, one when the clock was started.
    pub(super) const LAG: Duration = Duration::from_millis(20);

    fn read(clock: libc::clockid_t) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a clock of Linux, and a structure that is valid for the write.
        let done = unsafe { libc::clock_gettime(clock, &raw mut time) };
        let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        (done == 0).then(|| Duration::new(seconds, nanos))
    }

    pub(super) fn now() -> Option<(Duration, Duration)> {
        Some((read(libc::CLOCK_MONOTONIC_COARSE)?, read(libc::CLOCK_REALTIME_COARSE)?))
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use std::time::Duration;

    pub(super) const LAG: Duration = Duration::ZERO;

    pub(super) fn now() -> Option<(Duration, Duration)> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let clock = Clock::default();
        let first = clock.now();
        assert!(clock.now() >= first);
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(1));
            let (before, about, after) = (clock.now(), clock.about_now(), clock.now());
            assert!(
                before <= about && about <= after.after(Duration::from_millis(41)),
                "{before:?} {about:?} {after:?}"
            );
        }
        assert_eq!(first.after(Duration::from_secs(2)).0, first.0 + 2000);
        assert_eq!(first.after(Duration::from_secs(2)).until(first), Duration::ZERO);
    }
}
