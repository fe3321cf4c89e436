//! The tokens of connected systems, sealed.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params};
use secrecy::{ExposeSecret, SecretString};

use super::key::Key;
use super::{Error, Grant, from_json, text, to_json};
use crate::store::seal::Place;
use crate::store::{Connected, Living, Pause};

fn place<'a>(system_id: &'a str, column: &'a str) -> Place<'a> {
    Place { table: "grants", row: system_id, column }
}

pub(super) fn one(connection: &Connection, key: &Key, system_id: &str) -> Result<Option<Grant>, Error> {
    let mut found = connection.prepare("SELECT * FROM grants WHERE system_id = ?1")?;
    let mut rows = found.query([system_id])?;
    rows.next()?.map(|row| from_row(key, system_id, row)).transpose()
}

pub(super) fn living(connection: &Connection) -> Result<Vec<Living>, Error> {
    let mut found = connection
        .prepare("SELECT system_id, obtained_at_unix_ms, expires_at_unix_ms, pause FROM grants WHERE dead = 'null'")?;
    let mut rows = found.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let pause: Option<Pause> = from_json(&text(row, "pause")?)?;
        all.push(Living {
            system_id: text(row, "system_id")?,
            obtained_at_unix_ms: row.get("obtained_at_unix_ms")?,
            expires_at_unix_ms: row.get("expires_at_unix_ms")?,
            paused_until_unix_ms: pause.map_or(0, |pause| pause.until_unix_ms),
        });
    }
    Ok(all)
}

pub(super) fn put(transaction: &Transaction<'_>, key: &Key, system_id: &str, grant: &Grant) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO grants (system_id, account, login_name, scopes, warnings, dead, refresh_token, access_token,
                             expires_at_unix_ms, connected_at_unix_s, obtained_at_unix_ms, refreshed, pause)
         VALUES (:system_id, :account, :login_name, :scopes, :warnings, :dead, :refresh_token, :access_token,
                 :expires_at_unix_ms, :connected_at_unix_s, :obtained_at_unix_ms, :refreshed, :pause)
         ON CONFLICT (system_id) DO UPDATE SET
             account = excluded.account, login_name = excluded.login_name, scopes = excluded.scopes,
             warnings = excluded.warnings, dead = excluded.dead, refresh_token = excluded.refresh_token,
             access_token = excluded.access_token, expires_at_unix_ms = excluded.expires_at_unix_ms,
             connected_at_unix_s = excluded.connected_at_unix_s, obtained_at_unix_ms = excluded.obtained_at_unix_ms,
             refreshed = excluded.refreshed, pause = excluded.pause",
        named_params! {
            ":system_id": system_id,
            ":account": to_json(&grant.connected.account)?,
            ":login_name": grant.connected.login_name,
            ":scopes": to_json(&grant.connected.scopes)?,
            ":warnings": to_json(&grant.connected.warnings)?,
            ":dead": to_json(&grant.connected.dead)?,
            ":refresh_token": key.seal.seal(place(system_id, "refresh_token"), &grant.refresh_token)?,
            ":access_token": key.seal.seal(place(system_id, "access_token"), &grant.access_token)?,
            ":expires_at_unix_ms": grant.expires_at_unix_ms,
            ":connected_at_unix_s": grant.connected.connected_at_unix_s,
            ":obtained_at_unix_ms": grant.obtained_at_unix_ms,
            ":refreshed": i64::from(grant.refreshed),
            ":pause": to_json(&grant.pause)?,
        },
    )?;
    Ok(())
}

pub(super) fn renew(
    transaction: &Transaction<'_>,
    key: &Key,
    system_id: &str,
    before: &SecretString,
    grant: &Grant,
) -> Result<bool, Error> {
    let select = "SELECT refresh_token FROM grants WHERE system_id = ?1";
    let stored = transaction.query_row(select, [system_id], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    let Some(stored) = stored else { return Ok(false) };
    let stored = key.seal.open(place(system_id, "refresh_token"), &stored)?;
    let is_same = stored.expose_secret() == before.expose_secret();
    if is_same {
        put(transaction, key, system_id, grant)?;
    }
    Ok(is_same)
}

pub(super) fn delete(transaction: &Transaction<'_>, system_id: &str) -> Result<(), Error> {
    transaction.execute("DELETE FROM grants WHERE system_id = ?1", [system_id])?;
    Ok(())
}

pub(super) fn connected_from(row: &Row<'_>) -> Result<Connected, Error> {
    Ok(Connected {
        account: from_json(&text(row, "account")?)?,
        login_name: text(row, "login_name")?,
        scopes: from_json(&text(row, "scopes")?)?,
        connected_at_unix_s: row.get("connected_at_unix_s")?,
        dead: from_json(&text(row, "dead")?)?,
        warnings: from_json(&text(row, "warnings")?)?,
    })
}

fn from_row(key: &Key, system_id: &str, row: &Row<'_>) -> Result<Grant, Error> {
    let unseal = |column: &str| key.seal.open(place(system_id, column), &row.get::<_, Vec<u8>>(column)?);
    Ok(Grant {
        connected: connected_from(row)?,
        refresh_token: unseal("refresh_token")?,
        access_token: unseal("access_token")?,
        expires_at_unix_ms: row.get("expires_at_unix_ms")?,
        obtained_at_unix_ms: row.get("obtained_at_unix_ms")?,
        refreshed: row.get::<_, i64>("refreshed")? != 0,
        pause: from_json(&text(row, "pause")?)?,
    })
}
