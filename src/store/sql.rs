//! The seam between the truth and its database: statements with `$n` placeholders, run inside a
//! transaction that somebody else opened.
//!
//! Everything above this file is written once, as `async` functions over [`Sql`]. On SQLite each
//! call completes at once, on the one writer thread; on PostgreSQL each is a round trip. The suite
//! of `store` runs over every implementation.

use super::StoreError;
use std::future::Future;

/// The text of a statement: one that both databases understand, or two side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// What SQLite is given; empty where it has nothing to do.
    pub sqlite: &'static str,
    /// What PostgreSQL is given.
    pub postgres: &'static str,
}

impl Text {
    /// Two texts of one meaning, where no single one will do.
    pub const fn each(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres }
    }

    /// A statement that only PostgreSQL needs: a lock. On SQLite the one writer is the lock, so nothing
    /// is run there, and no row found.
    pub const fn lock(postgres: &'static str) -> Self {
        Self {
            sqlite: "",
            postgres,
        }
    }
}

/// A statement about a set, which only PostgreSQL is given; see [`Sql::takes_sets`].
pub const fn set(postgres: &'static str) -> Text {
    Text::each("", postgres)
}

/// A query whose rows the unit goes on to change by what it reads: on PostgreSQL it holds the rows of
/// the named table until the unit ends. `holding!("u", "SELECT … FROM users u …")`.
#[macro_export]
macro_rules! holding {
    ($table:literal, $($text:expr),+ $(,)?) => {
        $crate::store::sql::Text::each(
            concat!($($text),+),
            concat!($($text),+, " FOR NO KEY UPDATE OF ", $table),
        )
    };
}

/// An insertion of one row whose number is wanted, for [`Sql::insert`]: PostgreSQL returns it, and SQLite
/// knows it without making a table of what it returns, which costs as much as the insertion.
#[macro_export]
macro_rules! inserting {
    ($text:literal) => {
        $crate::store::sql::Text::each($text, concat!($text, " RETURNING id"))
    };
}

/// A change of which only has to be known whether it changed anything, for [`Sql::ask_changed`]: as
/// [`inserting!`], SQLite counts what it changed and makes no table of it.
#[macro_export]
macro_rules! changing {
    ($text:literal) => {
        $crate::store::sql::Text::each($text, concat!($text, " RETURNING 1"))
    };
}

impl From<&'static str> for Text {
    fn from(both: &'static str) -> Self {
        Self {
            sqlite: both,
            postgres: both,
        }
    }
}

/// A parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Val<'a> {
    /// NULL
    Null,
    /// BIGINT
    Int(i64),
    /// BOOLEAN
    Bool(bool),
    /// TEXT
    Text(&'a str),
    /// BIGINT\[\], for statements about a set; see [`Sql::takes_sets`].
    Ints(&'a [Option<i64>]),
    /// TEXT\[\], likewise.
    Texts(&'a [Option<&'a str>]),
}

impl<'a> From<&'a [Option<i64>]> for Val<'a> {
    fn from(v: &'a [Option<i64>]) -> Self {
        Self::Ints(v)
    }
}
impl<'a> From<&'a [Option<&'a str>]> for Val<'a> {
    fn from(v: &'a [Option<&'a str>]) -> Self {
        Self::Texts(v)
    }
}
impl From<i64> for Val<'_> {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<bool> for Val<'_> {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl<'a> From<&'a str> for Val<'a> {
    fn from(v: &'a str) -> Self {
        Self::Text(v)
    }
}
impl<'a> From<&'a String> for Val<'a> {
    fn from(v: &'a String) -> Self {
        Self::Text(v)
    }
}
impl<'a, T: Into<Val<'a>>> From<Option<T>> for Val<'a> {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}

/// The parameters of a statement, each turned into a [`Val`].
#[macro_export]
macro_rules! vals {
    ($($v:expr),* $(,)?) => { &[$($crate::store::sql::Val::from($v)),*] };
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// NULL
    Null,
    /// BIGINT or BOOLEAN
    Int(i64),
    /// TEXT
    Text(String),
}

/// A row, read from the left: `row.int()?`, `row.text()?`.
#[derive(Debug)]
pub struct Row {
    cells: std::vec::IntoIter<Cell>,
}

impl Row {
    /// A row of these cells.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self {
            cells: cells.into_iter(),
        }
    }

    fn wrong(wanted: &'static str, found: Option<Cell>) -> StoreError {
        let found = match found {
            None => "no column",
            Some(Cell::Null) => "NULL",
            Some(Cell::Int(_)) => "an integer",
            Some(Cell::Text(_)) => "text",
        };
        StoreError::Corrupt(format!("a column that should be {wanted} is {found}"))
    }

    /// The next column, an integer.
    ///
    /// # Errors
    /// When it is none.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        match self.cells.next() {
            Some(Cell::Int(v)) => Ok(v),
            other => Err(Self::wrong("an integer", other)),
        }
    }

    /// The next column, an integer or NULL.
    ///
    /// # Errors
    /// When it is text.
    pub fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.cells.next() {
            Some(Cell::Int(v)) => Ok(Some(v)),
            Some(Cell::Null) => Ok(None),
            other => Err(Self::wrong("an integer or NULL", other)),
        }
    }

    /// The next column, a boolean.
    ///
    /// # Errors
    /// When it is none.
    pub fn bool(&mut self) -> Result<bool, StoreError> {
        self.int().map(|v| v != 0)
    }

    /// The next column, text.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&mut self) -> Result<String, StoreError> {
        match self.cells.next() {
            Some(Cell::Text(v)) => Ok(v),
            other => Err(Self::wrong("text", other)),
        }
    }

    /// The next column, text or NULL.
    ///
    /// # Errors
    /// When it is an integer.
    pub fn opt_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.cells.next() {
            Some(Cell::Text(v)) => Ok(Some(v)),
            Some(Cell::Null) => Ok(None),
            other => Err(Self::wrong("text or NULL", other)),
        }
    }
}

/// A query that was sent.
pub struct Asked(pub(super) Answer);

/// What stands behind [`Asked`].
pub(super) enum Answer {
    /// SQLite has answered at once.
    There(Vec<Row>),
    /// PostgreSQL is at it.
    ToCome(super::postgres::ToCome),
}

/// Runs statements inside one transaction.
pub trait Sql {
    /// Whether a statement may be about a whole set, given as arrays. Where each statement is a round
    /// trip, one about many rows is what makes the difference; on SQLite it makes none.
    fn takes_sets(&self) -> bool;

    /// Runs a statement and says how many rows it changed.
    fn exec(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>>;

    /// Runs a statement whose count nobody needs. On PostgreSQL it is sent and not waited for, which
    /// saves a round trip; what goes wrong with it is told by the next statement that is waited for,
    /// or by the commit.
    fn later(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<(), StoreError>>;

    /// Runs a query whose rows are read later, by [`answer`](Self::answer): what is asked in a row costs
    /// one round trip on PostgreSQL. What has been asked is done whether it is read or not.
    fn ask(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Asked, StoreError>>;

    /// The same of a change: it has changed something when the answer is a row, whatever is in that; see
    /// [`changing!`].
    fn ask_changed(
        &mut self,
        text: Text,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Asked, StoreError>>;

    /// The rows of what was asked. Answers are read in the order of the questions.
    fn answer(&mut self, asked: Asked) -> impl Future<Output = Result<Vec<Row>, StoreError>>;

    /// Inserts one row and says under which number; see [`inserting!`].
    fn insert(
        &mut self,
        text: Text,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<i64, StoreError>>;

    /// Runs a query and reads all of its rows. Every query is bounded by its text.
    fn rows(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>>;

    /// Runs a query of which at most the first row matters.
    fn row(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> {
        let rows = self.rows(sql, vals);
        async move { Ok(rows.await?.into_iter().next()) }
    }

    /// Runs a query that must have a row (`RETURNING`).
    fn one(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Row, StoreError>> {
        let row = self.row(sql, vals);
        async move {
            row.await?
                .ok_or_else(|| StoreError::Corrupt("a row is missing".to_owned()))
        }
    }
}
