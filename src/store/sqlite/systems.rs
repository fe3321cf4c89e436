//! Systems, and what lists show of them.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Error, Overview, System, from_json, grants, sign_ins, text, to_json};
use crate::base::limits;

pub(super) fn add(transaction: &Transaction<'_>, system: &System) -> Result<(), Error> {
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
}

pub(super) fn has(connection: &Connection, system_id: &str) -> Result<bool, Error> {
    let mut found = connection.prepare("SELECT 1 FROM systems WHERE id = ?1")?;
    Ok(found.query_row([system_id], |_| Ok(())).optional()?.is_some())
}

pub(super) fn one(connection: &Connection, system_id: &str) -> Result<Option<System>, Error> {
    let mut found = connection.prepare("SELECT * FROM systems WHERE id = ?1")?;
    let mut rows = found.query([system_id])?;
    rows.next()?.map(from_row).transpose()
}

/// All in one query, or one.
pub(super) fn overviews(connection: &Connection, system_id: Option<&str>) -> Result<Vec<Overview>, Error> {
    let mut found = connection.prepare(
        "SELECT systems.id AS id, title, client_id, tenant_id, settings, revision,
                grants.system_id AS connected, account, login_name, scopes, warnings, dead, connected_at_unix_s,
                sign_ins.id AS sign_in_id, sign_ins.system_id AS system_id, started_at_unix_ms, state, code, error
         FROM systems
         LEFT JOIN grants ON grants.system_id = systems.id
         LEFT JOIN sign_ins ON sign_ins.id = (SELECT MAX(id) FROM sign_ins AS all_of WHERE all_of.system_id = systems.id)
         WHERE ?1 IS NULL OR systems.id = ?1
         ORDER BY position",
    )?;
    let mut rows = found.query([system_id])?;
    let mut overviews = Vec::new();
    while let Some(row) = rows.next()? {
        let is_connected = row.get::<_, Option<String>>("connected")?.is_some();
        let sign_in_id: Option<String> = row.get("sign_in_id")?;
        overviews.push(Overview {
            system: from_row(row)?,
            connected: is_connected.then(|| grants::connected_from(row)).transpose()?,
            sign_in: sign_in_id.map(|id| sign_ins::from_row(row, id)).transpose()?,
        });
    }
    Ok(overviews)
}

pub(super) fn update(transaction: &Transaction<'_>, system: &System) -> Result<bool, Error> {
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
}

/// Its grant and sign-ins go along.
pub(super) fn remove(transaction: &Transaction<'_>, system_id: &str) -> Result<bool, Error> {
    Ok(transaction.execute("DELETE FROM systems WHERE id = ?1", [system_id])? > 0)
}

fn from_row(row: &Row<'_>) -> Result<System, Error> {
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
