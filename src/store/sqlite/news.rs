//! News for the other processes that have the store open: what changed, in order.

use rusqlite::{Connection, Transaction, params};

use super::{Error, News};

/// How many are kept. Who was away for longer reads the state anew.
const KEPT: i64 = 1_000;

pub(super) fn add(
    transaction: &Transaction<'_>,
    teller: &str,
    system_id: &str,
    sign_in_id: Option<&str>,
    change: &str,
) -> Result<(), Error> {
    let number = latest(transaction)?.saturating_add(1);
    let mut insert = transaction
        .prepare("INSERT INTO news (number, teller, system_id, sign_in_id, change) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![number, teller, system_id, sign_in_id, change])?;
    transaction.execute("DELETE FROM news WHERE number <= ?1", [number.saturating_sub(KEPT)])?;
    Ok(())
}

pub(super) fn latest(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("SELECT COALESCE(MAX(number), 0) FROM news", [], |row| row.get(0))?)
}

/// Those of others.
pub(super) fn since(connection: &Connection, number: i64, own: &str) -> Result<Vec<News>, Error> {
    let mut found = connection.prepare(
        "SELECT number, system_id, sign_in_id, change FROM news WHERE number > ?1 AND teller <> ?2 ORDER BY number",
    )?;
    let rows = found.query_map(params![number, own], |row| {
        Ok(News { number: row.get(0)?, system_id: row.get(1)?, sign_in_id: row.get(2)?, change: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
