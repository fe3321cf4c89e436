//! The file's format: its tables, and how an older one becomes the present one. Forward only.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Error;
use crate::base::limits;

/// Step n makes version n + 1 out of version n. A step that was released is never changed. A new setting of a system is
/// a step too, if only an empty one: an older library does not know it.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (
        name TEXT NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    );
    CREATE TABLE systems (
        id TEXT NOT NULL PRIMARY KEY,
        position BIGINT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        client_id TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        settings TEXT NOT NULL,
        revision BIGINT NOT NULL
    );
    CREATE TABLE grants (
        system_id TEXT NOT NULL PRIMARY KEY REFERENCES systems (id) ON DELETE CASCADE,
        account TEXT NOT NULL,
        login_name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        warnings TEXT NOT NULL,
        dead TEXT NOT NULL,
        refresh_token BLOB NOT NULL,
        access_token BLOB NOT NULL,
        expires_at_unix_ms BIGINT NOT NULL,
        connected_at_unix_s BIGINT NOT NULL
    );
",
    "
    ALTER TABLE grants ADD COLUMN obtained_at_unix_ms BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE grants ADD COLUMN refreshed BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE grants ADD COLUMN pause TEXT NOT NULL DEFAULT 'null';
    CREATE TABLE sign_ins (
        id TEXT NOT NULL PRIMARY KEY,
        system_id TEXT NOT NULL REFERENCES systems (id) ON DELETE CASCADE,
        started_at_unix_ms BIGINT NOT NULL,
        state TEXT NOT NULL,
        code TEXT NOT NULL,
        error TEXT NOT NULL,
        device_code BLOB
    );
    CREATE INDEX sign_ins_of_system ON sign_ins (system_id, id);
    CREATE TABLE leases (
        name TEXT NOT NULL PRIMARY KEY,
        holder TEXT NOT NULL,
        boot TEXT NOT NULL,
        taken_at_unix_ms BIGINT NOT NULL,
        ends_at_unix_ms BIGINT NOT NULL
    );
    CREATE TABLE news (
        number BIGINT NOT NULL PRIMARY KEY,
        teller TEXT NOT NULL,
        system_id TEXT NOT NULL,
        sign_in_id TEXT,
        change TEXT NOT NULL
    );
",
];

/// A database in memory.
pub(super) fn in_memory() -> Result<Connection, Error> {
    prepare(Connection::open_in_memory()?)
}

/// Opens the file and brings it to the present version. Nobody else is opening it meanwhile.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    prepare(Connection::open_with_flags(path, flags)?)
}

fn prepare(mut connection: Connection) -> Result<Connection, Error> {
    connection.busy_timeout(limits::STORE_WAIT)?;
    // Before anything is written: a newer file is left as it is.
    let found = version(&connection)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    let done = usize::try_from(found).unwrap_or_default();
    for (version, step) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    check(&connection)?;
    Ok(connection)
}

fn version(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Finds broken pages now, and not in the middle of some later work.
fn check(connection: &Connection) -> Result<(), Error> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Error::Damaged { set_aside: None }) }
}
