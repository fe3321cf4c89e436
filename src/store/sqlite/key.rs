//! The key of the store: proven when it is opened, renewed when another process has changed it, and changed.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Error, write};
use crate::store::DataKey;
use crate::store::directory::Directory;
use crate::store::seal::{Place, Seal};

/// The row of `meta` that only the right key opens.
const KEY_CHECK: &str = "key_check";

const PLACE: Place<'static> = Place { table: "meta", row: KEY_CHECK, column: "value" };

/// What is sealed, as table, column that names the row, sealed column.
const SEALED: [(&str, &str, &str); 3] = [
    ("grants", "system_id", "refresh_token"),
    ("grants", "system_id", "access_token"),
    ("sign_ins", "id", "device_code"),
];

/// A key that opens the store.
pub(super) struct Key {
    pub(super) seal: Seal,
    /// The row that it was proven with: another one means another key.
    check: Vec<u8>,
    /// Where the key file is, or would be. None for a store in memory.
    home: Option<Directory>,
}

impl Key {
    /// Proves the key, or gives a new store its key. Nobody else is opening the store meanwhile.
    pub(super) fn unlock(
        connection: &mut Connection,
        directory: &Directory,
        given: Option<&DataKey>,
    ) -> Result<Self, Error> {
        let Some(check) = stored_check(connection)? else {
            let key = match given {
                Some(key) => key.clone(),
                None => match directory.key()? {
                    Some(key) => key,
                    None => directory.create_key()?,
                },
            };
            return Self::begin(connection, key);
        };
        if let Some(key) = given {
            return Self::prove(key, check);
        }
        Self::prove_file(directory, check)
    }

    /// The key of a store that has none yet.
    pub(super) fn begin(connection: &mut Connection, key: DataKey) -> Result<Self, Error> {
        let seal = Seal::new(&key)?;
        let check = seal.seal(PLACE, &KEY_CHECK.into())?;
        write(connection, |transaction| put_check(transaction, &check))?;
        Ok(Self { seal, check, home: None })
    }

    pub(super) fn at_home(self, directory: Directory) -> Self {
        Self { home: Some(directory), ..self }
    }

    fn prove(key: &DataKey, check: Vec<u8>) -> Result<Self, Error> {
        let seal = Seal::new(key)?;
        seal.open(PLACE, &check).map_err(|_| Error::KeyWrong)?;
        Ok(Self { seal, check, home: None })
    }

    /// With the key file, or the new one of a change that ended before it was put in its place.
    fn prove_file(directory: &Directory, check: Vec<u8>) -> Result<Self, Error> {
        let proven = match directory.key()? {
            Some(key) => Self::prove(&key, check.clone()),
            // A new key would hide what happened, and open nothing.
            None => Err(Error::KeyMissing { path: directory.key_file() }),
        };
        match proven {
            Err(error) => {
                let new = directory.new_key()?.and_then(|key| Self::prove(&key, check).ok()).ok_or(error)?;
                directory.put_new_key_in_place()?;
                Ok(new)
            }
            proven => proven,
        }
    }

    /// Takes the key that another process has put in place of this one.
    pub(super) fn renew(&mut self, connection: &Connection) -> Result<(), Error> {
        let check = stored_check(connection)?.ok_or(Error::KeyWrong)?;
        if check != self.check {
            let home = self.home.as_ref().ok_or(Error::KeyWrong)?;
            let Self { seal, check, home: _ } = Self::prove_file(home, check).map_err(|_| Error::KeyWrong)?;
            (self.seal, self.check) = (seal, check);
        }
        Ok(())
    }

    /// Seals everything anew. A new key file is on disk before the records need it, and in its place after.
    pub(super) fn change(&mut self, connection: &mut Connection, given: Option<DataKey>) -> Result<(), Error> {
        let in_file = given.is_none();
        let alone = self.home.as_ref().map(Directory::lock).transpose()?;
        let key = match (given, &self.home) {
            (Some(key), _) => key,
            (None, Some(home)) => home.write_new_key()?,
            (None, None) => DataKey::random()?,
        };
        let seal = Seal::new(&key)?;
        let check = seal.seal(PLACE, &KEY_CHECK.into())?;
        write(connection, |transaction| {
            self.renew(transaction)?;
            for (table, name, column) in SEALED {
                self.reseal(transaction, &seal, Place { table, row: name, column })?;
            }
            put_check(transaction, &check)
        })?;
        (self.seal, self.check) = (seal, check);
        if let Some(home) = &self.home {
            if in_file { home.put_new_key_in_place()? } else { home.remove_key()? }
        }
        drop(alone);
        Ok(())
    }

    /// One column; `row` in the place is the column that names the rows.
    fn reseal(&self, transaction: &Transaction<'_>, seal: &Seal, column: Place<'_>) -> Result<(), Error> {
        let Place { table, row: name, column } = column;
        let mut found =
            transaction.prepare(&format!("SELECT {name}, {column} FROM {table} WHERE {column} IS NOT NULL"))?;
        let mut update = transaction.prepare(&format!("UPDATE {table} SET {column} = ?2 WHERE {name} = ?1"))?;
        let rows = found.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        for sealed in rows.collect::<Result<Vec<_>, _>>()? {
            let (row, sealed) = sealed;
            let place = Place { table, row: &row, column };
            let secret = self.seal.open(place, &sealed)?;
            update.execute(params![row, seal.seal(place, &secret)?])?;
        }
        Ok(())
    }
}

fn stored_check(connection: &Connection) -> Result<Option<Vec<u8>>, Error> {
    let mut select = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
    Ok(select.query_row([KEY_CHECK], |row| row.get(0)).optional()?)
}

fn put_check(transaction: &Transaction<'_>, check: &[u8]) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![KEY_CHECK, check],
    )?;
    Ok(())
}
