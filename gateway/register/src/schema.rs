//! The tables, and opening them: what does not fit, or is damaged, is deleted and made anew.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::RegisterError;

/// "LThr": what SQLite's `application_id` says of the file.
const APPLICATION_ID: i32 = 0x4c54_6872;
/// Format of the tables. There is no way from one to the next: a register of another format is followed anew.
const FORMAT: i32 = 1;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Instants are microseconds since 1970. The index holds all that counts read.
const TABLES: &str = "
CREATE TABLE follows (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL, last BLOB) STRICT;
INSERT INTO follows VALUES (1, 0, NULL);
CREATE TABLE file (
    file_code TEXT NOT NULL, issuer TEXT NOT NULL, procedure TEXT NOT NULL, received_at INTEGER NOT NULL, due_at INTEGER, finished_at INTEGER,
    PRIMARY KEY (file_code, issuer)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_received ON file (received_at, issuer, procedure, due_at, finished_at);
CREATE TABLE told (sender TEXT NOT NULL, envelope TEXT NOT NULL, words BLOB NOT NULL, PRIMARY KEY (sender, envelope)) STRICT, WITHOUT ROWID;
";

/// Opens the register; one that cannot be used is deleted and made anew.
pub(crate) fn open(path: &Path) -> Result<Connection, RegisterError> {
    let database = |source| RegisterError::Database { path: path.to_owned(), source };
    match open_as_it_is(path) {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(why)) => tracing::warn!(path = %path.display(), why, "the register of files is built anew"),
        Err(error) if is_damage(&error) => {
            tracing::warn!(path = %path.display(), why = %error, "the register of files is built anew");
        }
        Err(error) => return Err(database(error)),
    }
    delete(path)?;
    match open_as_it_is(path).map_err(database)? {
        Ok(connection) => Ok(connection),
        Err(why) => Err(RegisterError::Damaged { path: path.to_owned(), what: why }),
    }
}

/// The register as it lies there, made when it is not; or why it cannot be used.
fn open_as_it_is(path: &Path) -> rusqlite::Result<Result<Connection, String>> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // It follows the store, which is synced: what a power loss takes from it is followed again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, format, tables) {
        (0, 0, 0) => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
            transaction.commit()?;
            Ok(Ok(connection))
        }
        (APPLICATION_ID, FORMAT, _) => {
            let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            Ok(if found == "ok" { Ok(connection) } else { Err(found) })
        }
        (APPLICATION_ID, format, _) => Ok(Err(format!("it has format {format}, not {FORMAT}"))),
        _ => Ok(Err("it is not a register".to_owned())),
    }
}

/// Deletes the register with all that belongs to it.
pub(crate) fn delete(path: &Path) -> Result<(), RegisterError> {
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(&name) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(RegisterError::File { path: name.into(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether an error says that the file is not what was written.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let unreadable = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows
    );
    unreadable || matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
