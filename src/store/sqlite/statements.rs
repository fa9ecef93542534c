//! Statements on a connection, each prepared once.

use super::super::StoreError;
use super::super::sql::{Cell, Row, Val};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, PrepFlags, Statement, StatementStatus, ToSql};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Runs the statements of units.
pub(in super::super) trait Runs {
    /// Runs a statement and says how many rows it changed.
    fn exec(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<u64, StoreError>;

    /// Inserts a row and says under which number.
    fn insert(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<i64, StoreError>;

    /// Runs a query and reads all of its rows.
    fn rows(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<Vec<Row>, StoreError>;

    /// What they run on.
    #[cfg(test)]
    fn connection(&self) -> &Connection;
}

/// A reader's statements are found by their text in the connection's own cache.
impl Runs for Connection {
    fn exec(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<u64, StoreError> {
        if sql.is_empty() {
            return Ok(0);
        }
        exec(&mut *self.prepare_cached(sql)?, vals)
    }

    fn insert(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<i64, StoreError> {
        self.exec(sql, vals)?;
        Ok(self.last_insert_rowid())
    }

    fn rows(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<Vec<Row>, StoreError> {
        if sql.is_empty() {
            return Ok(Vec::new());
        }
        rows(&mut *self.prepare_cached(sql)?, vals)
    }

    #[cfg(test)]
    fn connection(&self) -> &Connection {
        self
    }
}

/// The writer's statements, kept for its life and found by where their text stands: to hash and compare
/// some hundred bytes of text for each costs as much as a small statement does. There are as many as the
/// program has texts.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    kept: RefCell<HashMap<(*const u8, usize), Statement<'c>>>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            kept: RefCell::default(),
        }
    }

    fn with<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&mut Statement<'c>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut kept = self.kept.borrow_mut();
        run(match kept.entry((sql.as_ptr(), sql.len())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let persistent = PrepFlags::SQLITE_PREPARE_PERSISTENT;
                place.insert(self.connection.prepare_with_flags(sql, persistent)?)
            }
        })
    }
}

impl Runs for Statements<'_> {
    fn exec(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<u64, StoreError> {
        if sql.is_empty() {
            return Ok(0);
        }
        self.with(sql, |statement| exec(statement, vals))
    }

    fn insert(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<i64, StoreError> {
        self.exec(sql, vals)?;
        Ok(self.connection.last_insert_rowid())
    }

    fn rows(&self, sql: &'static str, vals: &[Val<'_>]) -> Result<Vec<Row>, StoreError> {
        if sql.is_empty() {
            return Ok(Vec::new());
        }
        self.with(sql, |statement| rows(statement, vals))
    }

    #[cfg(test)]
    fn connection(&self) -> &Connection {
        self.connection
    }
}

fn exec(statement: &mut Statement<'_>, vals: &[Val<'_>]) -> Result<u64, StoreError> {
    check_placeholders(statement);
    let changed = statement.execute(rusqlite::params_from_iter(vals))?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

fn rows(statement: &mut Statement<'_>, vals: &[Val<'_>]) -> Result<Vec<Row>, StoreError> {
    check_placeholders(statement);
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(vals))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(columns);
        for i in 0..columns {
            cells.push(match row.get_ref(i)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(v) => Cell::Int(v),
                ValueRef::Text(v) => Cell::Text(String::from_utf8_lossy(v).into_owned()),
                ValueRef::Real(_) | ValueRef::Blob(_) => {
                    return Err(StoreError::Corrupt("a column of no known type".to_owned()));
                }
            });
        }
        out.push(Row::new(cells));
    }
    Ok(out)
}

impl ToSql for Val<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Val::Null => ToSqlOutput::Owned(Value::Null),
            Val::Int(v) => ToSqlOutput::Owned(Value::Integer(v)),
            Val::Bool(v) => ToSqlOutput::Owned(Value::Integer(i64::from(v))),
            Val::Text(v) => ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes())),
            Val::Ints(_) | Val::Texts(_) => {
                let no_sets = "SQLite is given no sets";
                return Err(rusqlite::Error::ToSqlConversionFailure(no_sets.into()));
            }
        })
    }
}

/// `$n` are names to SQLite, numbered by their first appearance; a statement that mentions `$2`
/// before `$1` would bind them the other way round. Found by every test that runs the statement.
fn check_placeholders(statement: &Statement<'_>) {
    if cfg!(debug_assertions) {
        for i in 1..=statement.parameter_count() {
            debug_assert_eq!(statement.parameter_name(i), Some(format!("${i}").as_str()));
        }
        let again = statement.get_status(StatementStatus::RePrepare);
        debug_assert_eq!(again, 0, "{statement:?} is planned again and again");
    }
}
