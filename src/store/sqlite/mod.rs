//! An engine that keeps everything in one SQLite file, `store.sqlite3` in the data directory, which many processes open
//! at once; or, without a directory, in the memory of one. All SQL of the library is in this folder, in statements that
//! PostgreSQL would take too; only how a file is opened (`schema.rs`) is SQLite's own.
//!
//! Tokens and device codes are sealed; the rest is in clear. A process holds one connection.

mod grants;
mod key;
mod leases;
mod news;
mod schema;
mod sign_ins;
mod systems;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Row, Transaction, TransactionBehavior};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::directory::Directory;
use super::{
    Brought, DataKey, Error, Forget, Grant, Lease, Living, News, Overview, SignIn, SignInState, Store, System,
};
use crate::base::{Report, limits};
use key::Key;

/// An SQLite database.
pub struct SqliteStore {
    /// `None` once it is closed.
    database: Mutex<Option<Database>>,
    /// By which other processes know whose leases and news are ours.
    id: String,
}

struct Database {
    connection: Connection,
    key: Key,
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
        let alone = directory.lock()?;
        directory.create_database()?;
        let opened = schema::open(&directory.database()).and_then(|mut connection| {
            let key = Key::unlock(&mut connection, &directory, key)?;
            Ok(Database { connection, key })
        });
        drop(alone);
        match opened {
            Ok(database) => Ok(Self::new(Database { key: database.key.at_home(directory), ..database })),
            Err(Error::Damaged { set_aside: None }) => Err(Error::Damaged { set_aside: Some(directory.set_aside()?) }),
            Err(error) => Err(error),
        }
    }

    /// A store in memory, sealed with a key that nobody knows.
    pub fn in_memory() -> Result<Self, Error> {
        let mut connection = schema::in_memory()?;
        let key = Key::begin(&mut connection, DataKey::random()?)?;
        Ok(Self::new(Database { connection, key }))
    }

    fn new(database: Database) -> Self {
        Self { database: Mutex::new(Some(database)), id: Uuid::new_v4().to_string() }
    }

    fn database(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, act: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        act(&self.database().as_ref().ok_or(Error::Closed)?.connection)
    }

    /// The same for what is sealed.
    fn read_sealed<T>(&self, act: impl FnOnce(&Connection, &Key) -> Result<T, Error>) -> Result<T, Error> {
        let mut database = self.database();
        let Database { connection, key } = database.as_mut().ok_or(Error::Closed)?;
        // One view of key and records, whatever others write meanwhile.
        let view = connection.transaction()?;
        key.renew(&view)?;
        act(&view, key)
    }

    fn write<T>(&self, act: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        write(&mut self.database().as_mut().ok_or(Error::Closed)?.connection, act)
    }

    /// The same for what is sealed.
    fn write_sealed<T>(&self, act: impl FnOnce(&Transaction<'_>, &Key) -> Result<T, Error>) -> Result<T, Error> {
        let mut database = self.database();
        let Database { connection, key } = database.as_mut().ok_or(Error::Closed)?;
        write(connection, |transaction| {
            key.renew(transaction)?;
            act(transaction, key)
        })
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

    fn tell(&self, transaction: &Transaction<'_>, system_id: &str, change: &str) -> Result<(), Error> {
        news::add(transaction, &self.id, system_id, None, change)
    }

    /// A sign-in went on, and with its end the system has changed.
    fn tell_of(&self, transaction: &Transaction<'_>, sign_in: &SignIn) -> Result<(), Error> {
        news::add(transaction, &self.id, &sign_in.system_id, Some(&sign_in.id), sign_in.state.name())?;
        match sign_in.state {
            SignInState::Connected => self.tell(transaction, &sign_in.system_id, "connected"),
            SignInState::Failed => self.tell(transaction, &sign_in.system_id, "sign_in_failed"),
            SignInState::Starting | SignInState::CodeWaiting | SignInState::Proving => Ok(()),
        }
    }

    fn end_sign_ins(&self, transaction: &Transaction<'_>, system_id: &str, why: &Report) -> Result<(), Error> {
        for ended in sign_ins::fail_unfinished(transaction, system_id, why)? {
            news::add(transaction, &self.id, system_id, Some(&ended), SignInState::Failed.name())?;
        }
        Ok(())
    }

    /// Ends the sign-ins of a system, and deletes its tokens; tells whether anything was deleted that must not stay.
    fn forget_in(&self, transaction: &Transaction<'_>, system_id: &str, forget: &Forget) -> Result<bool, Error> {
        let (Forget::SignIn(why) | Forget::Everything(why)) = forget else { return Ok(false) };
        self.end_sign_ins(transaction, system_id, why)?;
        if matches!(forget, Forget::Everything(_)) {
            grants::delete(transaction, system_id)?;
        }
        Ok(true)
    }
}

fn write<T>(connection: &mut Connection, act: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
    // Immediate: one that began to read and then wants to write would be refused without a wait.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = act(&transaction)?;
    transaction.commit()?;
    Ok(done)
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

impl Store for SqliteStore {
    fn add_system(&self, system: System) -> Result<(), Error> {
        self.write(|transaction| {
            systems::add(transaction, &system)?;
            self.tell(transaction, &system.id, "added")
        })
    }

    fn system(&self, system_id: &str) -> Result<Option<System>, Error> {
        self.read(|connection| systems::one(connection, system_id))
    }

    fn overviews(&self, system_id: Option<&str>) -> Result<Vec<Overview>, Error> {
        self.read(|connection| systems::overviews(connection, system_id))
    }

    fn update_system(&self, system: System, forget: &Forget) -> Result<bool, Error> {
        let (updated, forgot) = self.write(|transaction| {
            if !systems::update(transaction, &system)? {
                return Ok((false, false));
            }
            let forgot = self.forget_in(transaction, &system.id, forget)?;
            self.tell(transaction, &system.id, "changed")?;
            Ok((true, forgot))
        })?;
        if forgot {
            self.cut_log();
        }
        Ok(updated)
    }

    fn forget(&self, system_id: &str, forget: &Forget) -> Result<bool, Error> {
        let is_there = self.write(|transaction| {
            if !systems::has(transaction, system_id)? {
                return Ok(false);
            }
            self.forget_in(transaction, system_id, forget)?;
            let change = if matches!(forget, Forget::Everything(_)) { "signed_out" } else { "sign_in_failed" };
            self.tell(transaction, system_id, change)?;
            Ok(true)
        })?;
        self.cut_log();
        Ok(is_there)
    }

    fn remove_system(&self, system_id: &str) -> Result<bool, Error> {
        let removed = self.write(|transaction| {
            let removed = systems::remove(transaction, system_id)?;
            if removed {
                self.tell(transaction, system_id, "removed")?;
            }
            Ok(removed)
        })?;
        if removed {
            self.cut_log();
        }
        Ok(removed)
    }

    fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error> {
        self.read_sealed(|connection, key| grants::one(connection, key, system_id))
    }

    fn living_grants(&self) -> Result<Vec<Living>, Error> {
        self.read(grants::living)
    }

    fn renew_grant(&self, system_id: &str, before: &SecretString, grant: &Grant) -> Result<bool, Error> {
        self.write_sealed(|transaction, key| {
            let died = grant.connected.dead.is_some();
            let renewed = grants::renew(transaction, key, system_id, before, grant)?;
            if renewed && died {
                self.tell(transaction, system_id, "sign_in_required")?;
            }
            Ok(renewed)
        })
    }

    fn begin_sign_in(&self, sign_in: SignIn, replace: Option<&Report>) -> Result<Option<SignIn>, Error> {
        self.write(|transaction| {
            if !systems::has(transaction, &sign_in.system_id)? {
                return Ok(None);
            }
            if let Some(running) = sign_ins::latest(transaction, &sign_in.system_id)?
                && running.is_running(sign_in.started_at_unix_ms)
                && replace.is_none()
            {
                return Ok(Some(running));
            }
            let why = replace.cloned().unwrap_or_else(|| crate::identity::Error::Expired.report());
            self.end_sign_ins(transaction, &sign_in.system_id, &why)?;
            sign_ins::begin(transaction, &sign_in)?;
            self.tell_of(transaction, &sign_in)?;
            Ok(Some(sign_in))
        })
    }

    fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Option<SignIn>, Error> {
        self.read(|connection| match sign_in_id {
            Some(id) => sign_ins::one(connection, system_id, id),
            None => sign_ins::latest(connection, system_id),
        })
    }

    fn unfinished_sign_ins(&self) -> Result<Vec<SignIn>, Error> {
        self.read(sign_ins::unfinished)
    }

    fn device_code(&self, sign_in_id: &str) -> Result<Option<SecretString>, Error> {
        self.read_sealed(|connection, key| sign_ins::device_code(connection, key, sign_in_id))
    }

    fn advance_sign_in(&self, sign_in: &SignIn, brought: Brought) -> Result<bool, Error> {
        let advanced = self.write_sealed(|transaction, key| {
            if !sign_ins::advance(transaction, sign_in)? {
                return Ok(false);
            }
            match brought {
                Brought::Nothing => {}
                Brought::DeviceCode(code) => sign_ins::keep_device_code(transaction, key, &sign_in.id, &code)?,
                Brought::Grant(grant) => grants::put(transaction, key, &sign_in.system_id, &grant)?,
            }
            self.tell_of(transaction, sign_in)?;
            Ok(true)
        })?;
        if advanced && sign_in.state.is_final() {
            self.cut_log();
        }
        Ok(advanced)
    }

    fn take_lease(&self, name: &str, now_unix_ms: i64, length: Duration) -> Result<Lease, Error> {
        self.write(|transaction| leases::take(transaction, name, &self.id, now_unix_ms, length))
    }

    fn return_lease(&self, name: &str) -> Result<(), Error> {
        self.write(|transaction| leases::give_back(transaction, name, &self.id))
    }

    fn version(&self) -> Result<i64, Error> {
        self.read(|connection| Ok(connection.pragma_query_value(None, "data_version", |row| row.get(0))?))
    }

    fn latest_news(&self) -> Result<i64, Error> {
        self.read(news::latest)
    }

    fn news_since(&self, number: i64) -> Result<Vec<News>, Error> {
        self.read(|connection| news::since(connection, number, &self.id))
    }

    fn change_key(&self, new: Option<DataKey>) -> Result<(), Error> {
        let mut database = self.database();
        let Database { connection, key } = database.as_mut().ok_or(Error::Closed)?;
        key.change(connection, new)?;
        drop(database);
        self.cut_log();
        Ok(())
    }

    fn close(&self) {
        // Whoever is at work in it ends that first, and the file is closed with the last who knows the store.
        if let Ok(mut database) = self.database.try_lock() {
            drop(database.take());
        }
    }
}

#[cfg(test)]
impl SqliteStore {
    pub(super) fn pragma(&self, name: &str, value: i64) {
        use rusqlite::OptionalExtension;
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
                    rusqlite::params![id.to_string(), i64::try_from(id).unwrap()],
                )?;
            }
            Ok(())
        })
        .unwrap();
    }
}
