//! Statements inside an open transaction, of whichever database.

use super::StoreError;
use super::postgres::Session;
use super::sql::{Answer, Asked, Row, Sql, Text, Val};
use super::sqlite::Runs;
use futures_util::FutureExt;
use std::future::{Future, ready};

/// What a unit runs its statements on. Which database it is, no unit can ask.
pub struct Tx<'c>(On<'c>);

enum On<'c> {
    Sqlite(&'c (dyn Runs + 'c)),
    Postgres(&'c mut Session),
}

impl<'c> Tx<'c> {
    pub(super) fn sqlite(connection: &'c (dyn Runs + 'c)) -> Self {
        Self(On::Sqlite(connection))
    }

    pub(super) fn postgres(session: &'c mut Session) -> Self {
        Self(On::Postgres(session))
    }

    /// Looks how a statement is about to be run that no test has run yet.
    #[cfg(test)]
    fn look(&mut self, text: Text, vals: &[Val<'_>]) -> Result<(), StoreError> {
        match &mut self.0 {
            On::Sqlite(connection) => {
                super::plans::look_on_sqlite(connection.connection(), text.sqlite, vals)
            }
            On::Postgres(session) => super::plans::look_on_postgres(session, text.postgres),
        }
    }
}

// Every answer is there when the call returns: on SQLite because the statement ran, on PostgreSQL
// because the thread waited for it. That is what `at_once` relies on.
impl Sql for Tx<'_> {
    fn takes_sets(&self) -> bool {
        matches!(self.0, On::Postgres(_))
    }

    fn exec(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> {
        let text = sql.into();
        #[cfg(test)]
        if let Err(error) = self.look(text, vals) {
            return ready(Err(error));
        }
        ready(match &mut self.0 {
            On::Sqlite(connection) => connection.exec(text.sqlite, vals),
            On::Postgres(session) => session.exec(text.postgres, vals),
        })
    }

    fn later(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<(), StoreError>> {
        let text = sql.into();
        #[cfg(test)]
        if let Err(error) = self.look(text, vals) {
            return ready(Err(error));
        }
        ready(match &mut self.0 {
            On::Sqlite(connection) => connection.exec(text.sqlite, vals).map(drop),
            On::Postgres(session) => session.later(text.postgres, vals),
        })
    }

    fn ask(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Asked, StoreError>> {
        let text = sql.into();
        #[cfg(test)]
        if let Err(error) = self.look(text, vals) {
            return ready(Err(error));
        }
        let answer = match &mut self.0 {
            On::Sqlite(connection) => connection.rows(text.sqlite, vals).map(Answer::There),
            On::Postgres(session) => session.ask(text.postgres, vals).map(Answer::ToCome),
        };
        ready(answer.map(Asked))
    }

    fn ask_changed(
        &mut self,
        text: Text,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Asked, StoreError>> {
        #[cfg(test)]
        if let Err(error) = self.look(text, vals) {
            return ready(Err(error));
        }
        let answer = match &mut self.0 {
            On::Sqlite(connection) => connection.exec(text.sqlite, vals).map(|changed| {
                let rows = (0..changed).map(|_| Row::new(Vec::new()));
                Answer::There(rows.collect())
            }),
            On::Postgres(session) => session.ask(text.postgres, vals).map(Answer::ToCome),
        };
        ready(answer.map(Asked))
    }

    fn answer(&mut self, asked: Asked) -> impl Future<Output = Result<Vec<Row>, StoreError>> {
        ready(match (&mut self.0, asked.0) {
            (_, Answer::There(rows)) => Ok(rows),
            (On::Postgres(session), Answer::ToCome(to_come)) => session.answer(to_come),
            (On::Sqlite(_), Answer::ToCome(_)) => Err(StoreError::Corrupt(
                "an answer of another database".to_owned(),
            )),
        })
    }

    fn insert(
        &mut self,
        text: Text,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<i64, StoreError>> {
        #[cfg(test)]
        if let Err(error) = self.look(text, vals) {
            return ready(Err(error));
        }
        ready(match &mut self.0 {
            On::Sqlite(connection) => connection.insert(text.sqlite, vals),
            On::Postgres(session) => session.rows(text.postgres, vals).and_then(|rows| match rows
                .into_iter()
                .next()
            {
                Some(mut row) => row.int(),
                None => Err(StoreError::Corrupt("a row was not inserted".to_owned())),
            }),
        })
    }

    fn rows(
        &mut self,
        sql: impl Into<Text>,
        vals: &[Val<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> {
        let text = sql.into();
        #[cfg(test)]
        if let Err(error) = self.look(text, vals) {
            return ready(Err(error));
        }
        ready(match &mut self.0 {
            On::Sqlite(connection) => connection.rows(text.sqlite, vals),
            On::Postgres(session) => session.rows(text.postgres, vals),
        })
    }
}

/// The result of a unit whose every await is on [`Tx`], which never waits.
///
/// # Errors
/// The unit's own; [`StoreError::Corrupt`] when it waited for something else after all.
pub fn at_once<T>(unit: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    unit.now_or_never().unwrap_or_else(|| {
        Err(StoreError::Corrupt(
            "a unit waited inside a commit".to_owned(),
        ))
    })
}
