//! Leases: one process at a time does a thing, and one that died does not keep it from the others for long.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Error, Lease};
use crate::base::clock::signed_millis;

struct Found {
    holder: String,
    boot: String,
    taken_at: i64,
    ends_at: i64,
}

pub(super) fn take(
    transaction: &Transaction<'_>,
    name: &str,
    holder: &str,
    now: i64,
    length: Duration,
) -> Result<Lease, Error> {
    let boot = boot();
    let select = "SELECT holder, boot, taken_at_unix_ms, ends_at_unix_ms FROM leases WHERE name = ?1";
    let found = transaction.query_row(select, [name], |row| {
        Ok(Found { holder: row.get(0)?, boot: row.get(1)?, taken_at: row.get(2)?, ends_at: row.get(3)? })
    });
    let found = found.optional()?.filter(|found| found.holder != holder);
    let length = signed_millis(length);
    // Not one of an earlier boot, and none that lasts too long: a clock may have been set back. One that was taken a
    // little later than now is a good one: who asks may have waited for its turn to write since it looked at the clock.
    let holds =
        |found: &Found| found.boot == boot && found.taken_at <= now.saturating_add(length) && now < found.ends_at;
    if found.as_ref().is_some_and(holds) {
        return Ok(Lease::Held);
    }
    transaction.execute(
        "INSERT INTO leases (name, holder, boot, taken_at_unix_ms, ends_at_unix_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, boot = excluded.boot,
             taken_at_unix_ms = excluded.taken_at_unix_ms, ends_at_unix_ms = excluded.ends_at_unix_ms",
        params![name, holder, boot, now, now.saturating_add(length)],
    )?;
    Ok(if found.is_some() { Lease::TakenOver } else { Lease::Taken })
}

pub(super) fn give_back(transaction: &Transaction<'_>, name: &str, holder: &str) -> Result<(), Error> {
    transaction.execute("DELETE FROM leases WHERE name = ?1 AND holder = ?2", [name, holder])?;
    Ok(())
}

/// Names the time since the computer was started, where the system tells it.
fn boot() -> String {
    #[cfg(target_os = "linux")]
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    let boot = String::new();
    boot.trim().to_owned()
}
