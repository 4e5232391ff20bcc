//! Sets or takes away a mark.

use bytes::Bytes;
use gateway_store::Conflict;
use gateway_store::mark::Mark;
use rusqlite::{Connection, params};

use super::{Batch, Done};
use crate::evidence::ABOUT_NO_ENVELOPE;
use crate::failure::Failure;
use crate::sum::Sum;

impl Batch<'_> {
    pub(super) fn mark(&mut self, mark: &Mark) -> Result<Done, Failure> {
        if !mark.is_bounded() {
            return Err(Conflict::TooLarge.into());
        }
        match &mark.value {
            Some(value) => {
                set_mark(self.connection, &mark.name, value)?;
            }
            None => {
                self.connection.prepare_cached("DELETE FROM mark WHERE name = ?1")?.execute([&mark.name])?;
            }
        }
        let leaf = mark.leaf.as_ref().map(|leaf| self.leaf(ABOUT_NO_ENVELOPE, leaf));
        Ok(Done::Marked { leaf })
    }
}

/// The marks whose names begin with `prefix`, by name.
pub(crate) fn marks(connection: &Connection, prefix: &str, limit: usize) -> Result<Vec<(String, Bytes)>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT name, value, sum FROM mark WHERE name >= ?1 ORDER BY name")?;
    let mut rows = statement.query([prefix])?;
    let mut marks = Vec::new();
    while marks.len() < limit
        && let Some(row) = rows.next()?
    {
        let (name, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if !name.starts_with(prefix) {
            break;
        }
        sum(&name, &value).check(row.get(2)?, || format!("mark {name}"))?;
        marks.push((name, value.into()));
    }
    Ok(marks)
}

/// Sets one.
pub(crate) fn set_mark(connection: &Connection, name: &str, value: &[u8]) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO mark (name, value, sum) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![name, value, sum(name, value).finish()])?;
    Ok(())
}

/// Hands every mark over, by name; a damaged one as what is wrong with it.
pub(crate) fn each_mark(
    connection: &Connection,
    mut take: impl FnMut(Result<(String, Bytes), Failure>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare("SELECT name, value, sum FROM mark ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let checked = sum(&name, &value).check(row.get(2)?, || format!("mark {name}"));
        take(checked.map(|()| (name, value.into())))?;
    }
    Ok(())
}

fn sum(name: &str, value: &[u8]) -> Sum {
    Sum::new("mark").text(name).bytes(value)
}
