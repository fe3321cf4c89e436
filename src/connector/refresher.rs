//! Refreshes tokens before anybody asks: ahead of their expiry where a connector was opened with `run_refresh`, and
//! weekly in any case, for a grant that nobody uses dies on day 90.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::tokens::Need;
use super::{Core, Level};
use crate::base::clock::{signed_millis, time_until};
use crate::base::limits;
use crate::store::Living;

/// Longest and shortest time between two looks.
const LOOK: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1));
/// A token is refreshed after so many percent of its life, and a few more by chance, so that systems which were
/// connected at the same time do not ask at the same time for ever.
const AHEAD: i64 = 66;
const JITTER: i64 = 10;

/// How long a system is left alone whose refresh failed, in milliseconds. Who needs a token still asks.
const AFTER_FAILURE_MS: i64 = 300_000;

/// Looks for as long as the core lives.
pub(super) async fn refresh_ahead(core: Weak<Core>) {
    let mut later = HashMap::new();
    // Not at once: a host that opens, asks one thing and closes has no use for it.
    let mut pause = LOOK.1;
    loop {
        tokio::time::sleep(pause).await;
        pause = {
            let Some(core) = core.upgrade() else { return };
            if core.stop.is_cancelled() {
                return;
            }
            core.refresh_what_is_due(&mut later).await
        };
    }
}

impl Core {
    /// Refreshes what is due; tells when to look again. `later`: what failed, and until when it is left alone.
    async fn refresh_what_is_due(self: &Arc<Self>, later: &mut HashMap<String, i64>) -> Duration {
        let ahead = self.any_connector(|options| options.run_refresh);
        let Ok(living) = self.in_store(|store| store.living_grants()).await else { return LOOK.0 };
        let now = self.clock.unix_ms();
        later.retain(|_, until| *until > now);
        let mut next = LOOK.0;
        for grant in living {
            let due = due_at(&grant, ahead).max(grant.paused_until_unix_ms);
            let due = due.max(later.get(&grant.system_id).copied().unwrap_or_default());
            if due <= now {
                let need = Need { newer_than: Some(grant.obtained_at_unix_ms), ..Need::default() };
                if let Err(error) = self.access_token(&grant.system_id, need).await {
                    self.log(Level::Debug, "tokens", &format!("refresh ahead of need: {}", error.report().message));
                    later.insert(grant.system_id, now.saturating_add(AFTER_FAILURE_MS));
                }
            } else {
                next = next.min(time_until(now, due));
            }
        }
        next.max(LOOK.1)
    }
}

fn due_at(grant: &Living, ahead: bool) -> i64 {
    let weekly = signed_millis(limits::IDLE_REFRESH);
    let weekly = grant.obtained_at_unix_ms.saturating_add(weekly);
    if !ahead {
        return weekly;
    }
    let life = grant.expires_at_unix_ms.saturating_sub(grant.obtained_at_unix_ms).max(0);
    // By chance, and for one token always the same.
    let percent = AHEAD.saturating_add(grant.expires_at_unix_ms.rem_euclid(JITTER));
    grant.obtained_at_unix_ms.saturating_add(life.saturating_mul(percent) / 100).min(weekly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_refreshed_after_two_thirds_of_its_life_and_an_idle_one_weekly() {
        let hour = 3_600_000;
        let grant = |obtained, life| Living {
            system_id: String::new(),
            obtained_at_unix_ms: obtained,
            expires_at_unix_ms: obtained + life,
            paused_until_unix_ms: 0,
        };
        let due = due_at(&grant(1_000_007, hour), true) - 1_000_007;
        assert!((hour * 66 / 100..=hour * 76 / 100).contains(&due), "{due}");
        assert_eq!(due_at(&grant(5, hour), false), 5 + 7 * 24 * hour);
    }
}
