//! Sign-ins, running and over. Their device codes are sealed, and go when they are of no more use.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use secrecy::SecretString;

use super::key::Key;
use super::{Error, SignIn, SignInState, from_json, text, to_json};
use crate::base::Report;
use crate::store::seal::Place;

/// How many sign-ins of one system are remembered.
const REMEMBERED: i64 = 32;

const FINAL: &str = "('connected', 'failed')";

fn place(sign_in_id: &str) -> Place<'_> {
    Place { table: "sign_ins", row: sign_in_id, column: "device_code" }
}

pub(super) fn begin(transaction: &Transaction<'_>, sign_in: &SignIn) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO sign_ins (id, system_id, started_at_unix_ms, state, code, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            sign_in.id,
            sign_in.system_id,
            sign_in.started_at_unix_ms,
            sign_in.state.name(),
            to_json(&sign_in.code)?,
            to_json(&sign_in.error)?,
        ],
    )?;
    transaction.execute(
        "DELETE FROM sign_ins WHERE system_id = ?1 AND id NOT IN
             (SELECT id FROM sign_ins WHERE system_id = ?1 ORDER BY id DESC LIMIT ?2)",
        params![sign_in.system_id, REMEMBERED],
    )?;
    Ok(())
}

pub(super) fn one(connection: &Connection, system_id: &str, id: &str) -> Result<Option<SignIn>, Error> {
    let mut found = connection.prepare("SELECT * FROM sign_ins WHERE system_id = ?1 AND id = ?2")?;
    let mut rows = found.query([system_id, id])?;
    rows.next()?.map(|row| from_row(row, id.to_owned())).transpose()
}

/// Identifiers are in the order of time.
pub(super) fn latest(connection: &Connection, system_id: &str) -> Result<Option<SignIn>, Error> {
    let select = "SELECT * FROM sign_ins WHERE system_id = ?1 ORDER BY id DESC LIMIT 1";
    let mut found = connection.prepare(select)?;
    let mut rows = found.query([system_id])?;
    rows.next()?.map(|row| from_row(row, text(row, "id")?)).transpose()
}

pub(super) fn unfinished(connection: &Connection) -> Result<Vec<SignIn>, Error> {
    let mut found = connection.prepare(&format!("SELECT * FROM sign_ins WHERE state NOT IN {FINAL}"))?;
    let mut rows = found.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(from_row(row, text(row, "id")?)?);
    }
    Ok(all)
}

/// Ends those of a system that have not ended; gives their identifiers.
pub(super) fn fail_unfinished(
    transaction: &Transaction<'_>,
    system_id: &str,
    why: &Report,
) -> Result<Vec<String>, Error> {
    let mut ended = transaction.prepare(&format!(
        "UPDATE sign_ins SET state = 'failed', error = ?2, device_code = NULL
         WHERE system_id = ?1 AND state NOT IN {FINAL} RETURNING id"
    ))?;
    let rows = ended.query_map(params![system_id, to_json(&why)?], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// False when it has ended.
pub(super) fn advance(transaction: &Transaction<'_>, sign_in: &SignIn) -> Result<bool, Error> {
    let advanced = transaction.execute(
        &format!("UPDATE sign_ins SET state = ?2, code = ?3, error = ?4 WHERE id = ?1 AND state NOT IN {FINAL}"),
        params![sign_in.id, sign_in.state.name(), to_json(&sign_in.code)?, to_json(&sign_in.error)?],
    )?;
    if !matches!(sign_in.state, SignInState::Starting | SignInState::CodeWaiting) {
        transaction.execute("UPDATE sign_ins SET device_code = NULL WHERE id = ?1", [&sign_in.id])?;
    }
    Ok(advanced > 0)
}

pub(super) fn keep_device_code(
    transaction: &Transaction<'_>,
    key: &Key,
    sign_in_id: &str,
    code: &SecretString,
) -> Result<(), Error> {
    let sealed = key.seal.seal(place(sign_in_id), code)?;
    transaction.execute("UPDATE sign_ins SET device_code = ?2 WHERE id = ?1", params![sign_in_id, sealed])?;
    Ok(())
}

pub(super) fn device_code(connection: &Connection, key: &Key, sign_in_id: &str) -> Result<Option<SecretString>, Error> {
    let select = "SELECT device_code FROM sign_ins WHERE id = ?1";
    let sealed: Option<Option<Vec<u8>>> = connection.query_row(select, [sign_in_id], |row| row.get(0)).optional()?;
    sealed.flatten().map(|sealed| key.seal.open(place(sign_in_id), &sealed)).transpose()
}

pub(super) fn from_row(row: &Row<'_>, id: String) -> Result<SignIn, Error> {
    let state = text(row, "state")?;
    let unknown = || Error::Failed { reason: format!("a sign-in has the unknown state \"{state}\"") };
    Ok(SignIn {
        id,
        system_id: text(row, "system_id")?,
        started_at_unix_ms: row.get("started_at_unix_ms")?,
        state: SignInState::from_name(&state).ok_or_else(unknown)?,
        code: from_json(&text(row, "code")?)?,
        error: from_json(&text(row, "error")?)?,
    })
}
