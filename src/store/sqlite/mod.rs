//! An engine that keeps systems and grants in one SQLite file, `store.sqlite3` in the data directory, which many
//! processes open at once. All SQL of the library is here, in statements that PostgreSQL would take too; only how a
//! file is opened (`schema.rs`) is SQLite's own.
//!
//! Tokens are sealed; the rest is in clear. A process holds one connection. Sign-ins in progress stay in the memory of
//! the process that runs them.

mod schema;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, named_params, params};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::directory::Directory;
use super::seal::{Place, Seal};
use super::sign_ins::SignIns;
use super::{DataKey, Error, Grant, SignIn, Store, System};
use crate::base::limits;

/// The row of `meta` that only the right key opens.
const KEY_CHECK: &str = "key_check";

/// An SQLite file.
pub struct SqliteStore {
    /// `None` once it is closed.
    connection: Mutex<Option<Connection>>,
    seal: Seal,
    sign_ins: SignIns,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Busy
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { set_aside: None },
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::Denied { reason: error.to_string() }
            }
            _ => Self::Failed { reason: error.to_string() },
        }
    }
}

impl SqliteStore {
    /// Opens the store of a data directory, or begins it. Without `key` the key file is used, or made.
    pub fn open(path: &Path, key: Option<&DataKey>, share_with_group: bool) -> Result<Self, Error> {
        let directory = Directory::prepare(path, share_with_group)?;
        // One opens at a time: there is one key, one migration, and one that sets a damaged file aside.
        let _alone = directory.lock()?;
        directory.create_database()?;
        let opened = schema::open(&directory.database()).and_then(|mut connection| {
            let seal = unlock(&mut connection, &directory, key)?;
            Ok(Self { connection: Mutex::new(Some(connection)), seal, sign_ins: SignIns::default() })
        });
        match opened {
            Err(Error::Damaged { set_aside: None }) => Err(Error::Damaged { set_aside: Some(directory.set_aside()?) }),
            opened => opened,
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, act: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        act(self.connection().as_ref().ok_or(Error::Closed)?)
    }

    fn write<T>(&self, act: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        write(self.connection().as_mut().ok_or(Error::Closed)?, act)
    }

    /// Cuts the log off, in which what was just deleted still stands. When others are reading it is cut off later, by
    /// the next call of this or by the last one that closes the file.
    fn cut_log(&self) {
        let cut = self.read(|connection| {
            connection.busy_timeout(limits::STORE_CUT_WAIT)?;
            let cut = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            connection.busy_timeout(limits::STORE_WAIT)?;
            Ok(cut?)
        });
        // What was asked for is done and durable.
        drop(cut);
    }

    fn seal(&self, system_id: &str, column: &str, token: &SecretString) -> Result<Vec<u8>, Error> {
        self.seal.seal(Place { table: "grants", row: system_id, column }, token)
    }

    fn unseal(&self, system_id: &str, column: &str, sealed: &[u8]) -> Result<SecretString, Error> {
        self.seal.open(Place { table: "grants", row: system_id, column }, sealed)
    }

    fn grant_from(&self, system_id: &str, row: &Row<'_>) -> Result<Grant, Error> {
        Ok(Grant {
            account: from_json(&text(row, "account")?)?,
            login_name: text(row, "login_name")?,
            scopes: from_json(&text(row, "scopes")?)?,
            refresh_token: self.unseal(system_id, "refresh_token", &row.get::<_, Vec<u8>>("refresh_token")?)?,
            access_token: self.unseal(system_id, "access_token", &row.get::<_, Vec<u8>>("access_token")?)?,
            expires_at_unix_ms: row.get("expires_at_unix_ms")?,
            connected_at_unix_s: row.get("connected_at_unix_s")?,
            dead: from_json(&text(row, "dead")?)?,
            warnings: from_json(&text(row, "warnings")?)?,
        })
    }

    fn replace_grant(&self, transaction: &Transaction<'_>, system_id: &str, grant: &Grant) -> Result<(), Error> {
        transaction.execute(
            "INSERT INTO grants (system_id, account, login_name, scopes, warnings, dead, refresh_token, access_token,
                                 expires_at_unix_ms, connected_at_unix_s)
             VALUES (:system_id, :account, :login_name, :scopes, :warnings, :dead, :refresh_token, :access_token,
                     :expires_at_unix_ms, :connected_at_unix_s)
             ON CONFLICT (system_id) DO UPDATE SET
                 account = excluded.account, login_name = excluded.login_name, scopes = excluded.scopes,
                 warnings = excluded.warnings, dead = excluded.dead, refresh_token = excluded.refresh_token,
                 access_token = excluded.access_token, expires_at_unix_ms = excluded.expires_at_unix_ms,
                 connected_at_unix_s = excluded.connected_at_unix_s",
            named_params! {
                ":system_id": system_id,
                ":account": to_json(&grant.account)?,
                ":login_name": grant.login_name,
                ":scopes": to_json(&grant.scopes)?,
                ":warnings": to_json(&grant.warnings)?,
                ":dead": to_json(&grant.dead)?,
                ":refresh_token": self.seal(system_id, "refresh_token", &grant.refresh_token)?,
                ":access_token": self.seal(system_id, "access_token", &grant.access_token)?,
                ":expires_at_unix_ms": grant.expires_at_unix_ms,
                ":connected_at_unix_s": grant.connected_at_unix_s,
            },
        )?;
        Ok(())
    }
}

fn write<T>(connection: &mut Connection, act: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
    // Immediate: one that began to read and then wants to write would be refused without a wait.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = act(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// The seal of the store: proves the key, or gives a new store its key.
fn unlock(connection: &mut Connection, directory: &Directory, given: Option<&DataKey>) -> Result<Seal, Error> {
    let place = Place { table: "meta", row: KEY_CHECK, column: "value" };
    let select = "SELECT value FROM meta WHERE name = ?1";
    let check = connection.query_row(select, [KEY_CHECK], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    let key = match given {
        Some(key) => key.clone(),
        None => match directory.key()? {
            Some(key) => key,
            // A new key would hide what happened, and open nothing.
            None if check.is_some() => return Err(Error::KeyMissing { path: directory.key_file() }),
            None => directory.create_key()?,
        },
    };
    let seal = Seal::new(&key)?;
    if let Some(check) = check {
        seal.open(place, &check).map_err(|_| Error::KeyWrong)?;
    } else {
        let check = seal.seal(place, &KEY_CHECK.into())?;
        write(connection, |transaction| {
            transaction.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![KEY_CHECK, check])?;
            Ok(())
        })?;
    }
    Ok(seal)
}

fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Failed { reason: format!("a record: {error}") })
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| Error::Failed { reason: format!("a record cannot be read: {error}") })
}

fn text(row: &Row<'_>, column: &str) -> Result<String, Error> {
    Ok(row.get(column)?)
}

fn has_system(connection: &Connection, system_id: &str) -> Result<bool, Error> {
    let found = connection.query_row("SELECT 1 FROM systems WHERE id = ?1", [system_id], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

fn system_from(row: &Row<'_>) -> Result<System, Error> {
    Ok(System {
        id: text(row, "id")?,
        title: text(row, "title")?,
        client_id: text(row, "client_id")?,
        tenant_id: text(row, "tenant_id")?,
        settings: from_json(&text(row, "settings")?)?,
        revision: revision_from(row.get("revision")?),
    })
}

fn revision_from(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

fn revision_to(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

impl Store for SqliteStore {
    fn add_system(&self, system: System) -> Result<(), Error> {
        self.write(|transaction| {
            let count: i64 = transaction.query_row("SELECT COUNT(*) FROM systems", [], |row| row.get(0))?;
            if usize::try_from(count).is_ok_and(|count| count >= limits::SYSTEMS) {
                return Err(Error::TooManySystems);
            }
            transaction.execute(
                "INSERT INTO systems (id, position, title, client_id, tenant_id, settings, revision)
                 VALUES (?1, (SELECT COALESCE(MAX(position), 0) + 1 FROM systems), ?2, ?3, ?4, ?5, ?6)",
                params![
                    system.id,
                    system.title,
                    system.client_id,
                    system.tenant_id,
                    to_json(&system.settings)?,
                    revision_to(system.revision),
                ],
            )?;
            Ok(())
        })
    }

    fn system(&self, system_id: &str) -> Result<Option<System>, Error> {
        self.read(|connection| {
            let mut found = connection.prepare("SELECT * FROM systems WHERE id = ?1")?;
            let mut rows = found.query([system_id])?;
            rows.next()?.map(system_from).transpose()
        })
    }

    fn systems(&self) -> Result<Vec<System>, Error> {
        self.read(|connection| {
            let mut found = connection.prepare("SELECT * FROM systems ORDER BY position")?;
            let mut rows = found.query([])?;
            let mut systems = Vec::new();
            while let Some(row) = rows.next()? {
                systems.push(system_from(row)?);
            }
            Ok(systems)
        })
    }

    fn update_system(&self, system: System) -> Result<bool, Error> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE systems SET title = ?2, client_id = ?3, tenant_id = ?4, settings = ?5, revision = ?6
                 WHERE id = ?1 AND revision + 1 = ?6",
                params![
                    system.id,
                    system.title,
                    system.client_id,
                    system.tenant_id,
                    to_json(&system.settings)?,
                    revision_to(system.revision),
                ],
            )?;
            Ok(changed > 0)
        })
    }

    fn remove_system(&self, system_id: &str) -> Result<bool, Error> {
        let removed = self.write(|transaction| {
            // Its grant goes along.
            Ok(transaction.execute("DELETE FROM systems WHERE id = ?1", [system_id])? > 0)
        })?;
        self.sign_ins.forget(system_id);
        if removed {
            self.cut_log();
        }
        Ok(removed)
    }

    fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error> {
        self.read(|connection| {
            let mut found = connection.prepare("SELECT * FROM grants WHERE system_id = ?1")?;
            let mut rows = found.query([system_id])?;
            rows.next()?.map(|row| self.grant_from(system_id, row)).transpose()
        })
    }

    fn put_grant(&self, system_id: &str, grant: Option<Grant>) -> Result<bool, Error> {
        let forget = grant.is_none();
        let is_there = self.write(|transaction| {
            if !has_system(transaction, system_id)? {
                return Ok(false);
            }
            match &grant {
                Some(grant) => self.replace_grant(transaction, system_id, grant)?,
                None => {
                    transaction.execute("DELETE FROM grants WHERE system_id = ?1", [system_id])?;
                }
            }
            Ok(true)
        })?;
        if forget {
            self.cut_log();
        }
        Ok(is_there)
    }

    fn renew_grant(&self, system_id: &str, before: &SecretString, grant: Grant) -> Result<bool, Error> {
        self.write(|transaction| {
            let select = "SELECT refresh_token FROM grants WHERE system_id = ?1";
            let stored = transaction.query_row(select, [system_id], |row| row.get::<_, Vec<u8>>(0)).optional()?;
            let Some(stored) = stored else { return Ok(false) };
            let stored = self.unseal(system_id, "refresh_token", &stored)?;
            if stored.expose_secret() != before.expose_secret() {
                return Ok(false);
            }
            self.replace_grant(transaction, system_id, &grant)?;
            Ok(true)
        })
    }

    fn put_sign_in(&self, sign_in: SignIn) -> Result<bool, Error> {
        self.read(|connection| {
            let is_there = has_system(connection, &sign_in.system_id)?;
            if is_there {
                self.sign_ins.put(sign_in);
            }
            Ok(is_there)
        })
    }

    fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Option<SignIn>, Error> {
        Ok(self.sign_ins.get(system_id, sign_in_id))
    }

    fn close(&self) {
        // Whoever is at work in it ends that first, and the file is closed with the last who knows the store.
        if let Ok(mut connection) = self.connection.try_lock() {
            drop(connection.take());
        }
    }
}

#[cfg(test)]
impl SqliteStore {
    pub(super) fn pragma(&self, name: &str, value: i64) {
        self.read(|connection| Ok(connection.pragma_update_and_check(None, name, value, |_| Ok(())).optional()?))
            .unwrap();
    }

    /// While somebody else writes.
    pub(super) fn while_writing(&self, act: impl FnOnce()) {
        self.write(|_| {
            act();
            Ok(())
        })
        .unwrap();
    }

    /// Adds so many systems at once.
    pub(super) fn fill(&self, count: usize) {
        self.write(|transaction| {
            for id in 0..count {
                transaction.execute(
                    "INSERT INTO systems (id, position, title, client_id, tenant_id, settings, revision)
                     VALUES (?1, ?2, '', '', '', '{}', 1)",
                    params![id.to_string(), i64::try_from(id).unwrap()],
                )?;
            }
            Ok(())
        })
        .unwrap();
    }
}
