//! One connection, on the thread that owns it.

use super::super::StoreError;
use super::super::sql::{Row, Val};
use super::connect::{Connector, explained};
use super::values::{self, Param};
use futures_util::future::{BoxFuture, join, join_all};
use futures_util::{FutureExt, TryStreamExt};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Statement};

/// A statement of ours takes milliseconds, and waits for a lock ten seconds at most. A connection that
/// gives no answer for so long is cut off or its server stopped.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// A server that refused a connection is not asked again for so long: callers are told at once, and
/// it is not stormed while it starts.
const RECONNECT_AFTER: Duration = Duration::from_millis(300);

/// Plans that were made for empty tables are bad ones for full ones, and the server only makes them
/// anew once it has looked at the tables, minutes later. So a connection lets its plans go after so many
/// transactions, and again whenever their number has doubled: a transaction may be a hundred messages.
const FIRST_PLANS: u64 = 2;

/// What became of a transaction that broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Nothing was done, and nothing is wrong with the unit: somebody else was in the way (a deadlock,
    /// a row that came between). Done again it goes through.
    Again,
    /// The connection is gone.
    Lost,
    /// Anything else.
    Otherwise,
}

/// What was sent and is still to be answered.
enum UnderWay {
    Said(BoxFuture<'static, Result<(), Error>>),
    Asked(u64, BoxFuture<'static, Result<Rows, Error>>),
}

type Rows = Vec<tokio_postgres::Row>;

impl UnderWay {
    /// Its answer: nothing, or the rows of the question of that number.
    async fn end(self) -> Result<Option<(u64, Rows)>, Error> {
        match self {
            Self::Said(call) => call.await.map(|()| None),
            Self::Asked(number, call) => Ok(Some((number, call.await?))),
        }
    }
}

/// A question whose rows are still to be read: its number on this connection.
pub(in super::super) struct ToCome(u64);

struct Link {
    client: Arc<Client>,
    prepared: HashMap<&'static str, Statement>,
    /// In the order of sending.
    under_way: Vec<UnderWay>,
    /// What was answered and is not read yet.
    answers: HashMap<u64, Rows>,
    questions: u64,
    /// Transactions that were begun, and how many there will be when plans are next let go.
    begun: u64,
    renewal: u64,
}

/// A connection, made when it is needed and made again when it was lost.
pub struct Session {
    runtime: Runtime,
    connector: Connector,
    link: Option<Link>,
    refused: Option<Instant>,
    /// That refusal was not for want of a server: it will be the same tomorrow.
    for_good: bool,
    patience: Duration,
    /// How the open transaction broke, since its beginning.
    broken: Option<Broken>,
}

impl Session {
    pub(super) fn new(connector: Connector) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| StoreError::Open(e.to_string()))?;
        Ok(Self {
            runtime,
            connector,
            link: None,
            refused: None,
            for_good: false,
            patience: ANSWER_MAX,
            broken: None,
        })
    }

    /// One of a test's own.
    #[cfg(test)]
    pub(in super::super) fn open(
        url: &switchboard_channels::kit::secret::Secret,
    ) -> Result<Self, StoreError> {
        Self::new(Connector::new(url)?)
    }

    /// For statements that may take long: changes of the schema.
    pub(in super::super) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Waits for something while the connection is looked after: its end is noticed at once.
    pub(super) fn idle<T>(&self, until: impl Future<Output = T>) -> T {
        self.runtime.block_on(until)
    }

    /// Opens a transaction; the text is sent with the first statement.
    ///
    /// # Errors
    /// When there is no connection and none can be made.
    pub(super) fn begin(&mut self, text: &'static str) -> Result<(), StoreError> {
        self.broken = None;
        self.connect()?;
        if let Some(link) = &mut self.link {
            link.begun += 1;
            if link.begun == link.renewal {
                link.renewal = link.renewal.saturating_mul(2);
                self.send_text("DISCARD PLANS")?;
            }
        }
        self.send_text(text)
    }

    /// Makes sure that there is a connection.
    pub(in super::super) fn connect(&mut self) -> Result<(), StoreError> {
        if let Some(link) = &mut self.link {
            // What the last transaction left is of no interest to this one.
            link.answers.clear();
            let under_way = std::mem::take(&mut link.under_way).into_iter();
            let closed = self.runtime.block_on(async {
                tokio::time::timeout(ANSWER_MAX, join_all(under_way.map(UnderWay::end)))
                    .await
                    .is_err()
            });
            if !closed && !link.client.is_closed() {
                return Ok(());
            }
            self.link = None;
        }
        if self
            .refused
            .is_some_and(|at| at.elapsed() < RECONNECT_AFTER)
        {
            return Err(self.unavailable("no connection could be made a moment ago"));
        }
        let connector = &self.connector;
        let connected = self.runtime.block_on(async {
            // The driver's own limit is for each step of each host; a server that was stopped in the
            // middle of the handshake answers none of them.
            tokio::time::timeout(ANSWER_MAX, connector.connect()).await
        });
        match connected {
            Ok(Ok(client)) => {
                self.refused = None;
                self.link = Some(Link {
                    client: Arc::new(client),
                    prepared: HashMap::new(),
                    under_way: Vec::new(),
                    answers: HashMap::new(),
                    questions: 0,
                    begun: 0,
                    renewal: FIRST_PLANS,
                });
                Ok(())
            }
            Ok(Err(error)) => {
                self.refused = Some(Instant::now());
                self.for_good = is_for_good(&error);
                Err(self.unavailable(&explained(&error)))
            }
            Err(_late) => {
                self.refused = Some(Instant::now());
                self.for_good = false;
                Err(self.unavailable("it gives no answer"))
            }
        }
    }

    /// An error as a process that begins is to take it: it need not wait for what will not come.
    pub(super) fn at_the_start(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Unavailable(why) if self.for_good => StoreError::Open(why),
            other => other,
        }
    }

    fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable(format!("PostgreSQL at {}: {what}", self.connector.name))
    }

    /// How the transaction broke, if it did.
    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Sends text that has no parameters and may hold several statements.
    fn send_text(&mut self, text: &'static str) -> Result<(), StoreError> {
        let link = self.link.as_mut().ok_or_else(gone)?;
        let client = Arc::clone(&link.client);
        let call = async move { client.batch_execute(text).await };
        link.under_way.push(UnderWay::Said(sent(Box::pin(call))));
        Ok(())
    }

    /// Ends a transaction that wrote nothing, without waiting.
    pub(super) fn end(&mut self) {
        // Without a connection there is no transaction.
        drop(self.send_text("ROLLBACK"));
    }

    /// Sends text without parameters and waits for it and everything before it.
    pub(in super::super) fn finish(&mut self, text: &'static str) -> Result<(), StoreError> {
        let client = Arc::clone(&self.link.as_ref().ok_or_else(gone)?.client);
        self.wait(async move { client.batch_execute(text).await })
    }

    /// The prepared form of a text.
    fn prepared(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        let link = self.link.as_ref().ok_or_else(gone)?;
        if let Some(statement) = link.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let client = Arc::clone(&link.client);
        let statement = self.wait(async move { client.prepare(sql).await })?;
        if let Some(link) = &mut self.link {
            link.prepared.insert(sql, statement.clone());
        }
        Ok(statement)
    }

    pub(in super::super) fn exec(
        &mut self,
        sql: &'static str,
        vals: &[Val<'_>],
    ) -> Result<u64, StoreError> {
        let statement = self.prepared(sql)?;
        let client = Arc::clone(&self.link.as_ref().ok_or_else(gone)?.client);
        let params = Param::all(vals);
        self.wait(async move { client.execute_raw(&statement, params).await })
    }

    pub(in super::super) fn later(
        &mut self,
        sql: &'static str,
        vals: &[Val<'_>],
    ) -> Result<(), StoreError> {
        let statement = self.prepared(sql)?;
        let link = self.link.as_mut().ok_or_else(gone)?;
        let client = Arc::clone(&link.client);
        let params = Param::all(vals);
        let call = async move { client.execute_raw(&statement, params).await.map(drop) };
        link.under_way.push(UnderWay::Said(sent(Box::pin(call))));
        Ok(())
    }

    pub(in super::super) fn ask(
        &mut self,
        sql: &'static str,
        vals: &[Val<'_>],
    ) -> Result<ToCome, StoreError> {
        let statement = self.prepared(sql)?;
        let link = self.link.as_mut().ok_or_else(gone)?;
        link.questions += 1;
        let call = sent(Box::pin(query(&link.client, statement, vals)));
        link.under_way.push(UnderWay::Asked(link.questions, call));
        Ok(ToCome(link.questions))
    }

    pub(in super::super) fn answer(
        &mut self,
        ToCome(number): ToCome,
    ) -> Result<Vec<Row>, StoreError> {
        let link = self.link.as_mut().ok_or_else(gone)?;
        let mut rows = link.answers.remove(&number);
        if rows.is_none() {
            self.wait(std::future::ready(Ok(())))?;
            rows = self.link.as_mut().and_then(|l| l.answers.remove(&number));
        }
        let lost = || StoreError::Corrupt("a question was answered twice".to_owned());
        rows.ok_or_else(lost)?.iter().map(values::row).collect()
    }

    pub(in super::super) fn rows(
        &mut self,
        sql: &'static str,
        vals: &[Val<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        let call = query(
            &self.link.as_ref().ok_or_else(gone)?.client,
            statement,
            vals,
        );
        self.wait(call)?.iter().map(values::row).collect()
    }

    /// Runs text without parameters, and gives the first column of whatever it answers.
    #[cfg(test)]
    pub(in super::super) fn texts(&mut self, sql: &str) -> Result<Vec<String>, StoreError> {
        use tokio_postgres::SimpleQueryMessage;
        let client = Arc::clone(&self.link.as_ref().ok_or_else(gone)?.client);
        let said = self.wait(async move { client.simple_query(sql).await })?;
        let texts = said.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// Waits for an answer, and for those of everything that was sent before. The first error is the
    /// one that counts: what comes after it says only that the transaction is broken.
    ///
    /// All are taken in at the same time: the driver has room for two pieces of an answer, and while
    /// nobody takes in the third it reads no further on this connection, whoever waits for what follows.
    fn wait<T>(&mut self, call: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let link = self.link.as_mut().ok_or_else(gone)?;
        let under_way = std::mem::take(&mut link.under_way).into_iter();
        let answers = join(call, join_all(under_way.map(UnderWay::end)));
        let patience = self.patience;
        let answers = async { tokio::time::timeout(patience, answers).await };
        match self.runtime.block_on(answers) {
            Ok((own, before)) => {
                for answer in before {
                    match answer {
                        Ok(Some((number, rows))) => {
                            let link = self.link.as_mut().ok_or_else(gone)?;
                            link.answers.insert(number, rows);
                        }
                        Ok(None) => {}
                        Err(error) => return Err(self.broke(&error)),
                    }
                }
                own.map_err(|error| self.broke(&error))
            }
            Err(_late) => {
                self.link = None;
                self.broken = Some(Broken::Lost);
                Err(self.unavailable("it gives no answer"))
            }
        }
    }

    /// What an error means, for the caller and for the transaction.
    fn broke(&mut self, error: &Error) -> StoreError {
        let text = explained(error);
        let Some(code) = error.code() else {
            // Not the server's words: the connection, or a value that does not fit its place.
            if error.is_closed() || self.link.as_ref().is_none_or(|l| l.client.is_closed()) {
                self.link = None;
                self.broken = Some(Broken::Lost);
                return self.unavailable(&text);
            }
            self.broken.get_or_insert(Broken::Otherwise);
            return StoreError::Corrupt(text);
        };
        if code.code().starts_with("57P") || code.code().starts_with("08") {
            // The server ends this connection: whatever was under way on it, nobody will hear of.
            self.link = None;
            self.broken = Some(Broken::Lost);
            return self.unavailable(&text);
        }
        let again = [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::UNIQUE_VIOLATION,
        ];
        let kind = if again.contains(code) {
            Broken::Again
        } else {
            Broken::Otherwise
        };
        self.broken.get_or_insert(kind);
        match code.code().get(..2) {
            // A constraint.
            Some("23") => StoreError::Taken(text),
            // A value or a text that it cannot take.
            Some("22" | "42") => StoreError::Corrupt(text),
            _ => self.unavailable(&text),
        }
    }
}

/// A query and all of its rows.
fn query(
    client: &Arc<Client>,
    statement: Statement,
    vals: &[Val<'_>],
) -> impl Future<Output = Result<Rows, Error>> + Send + 'static {
    let client = Arc::clone(client);
    let params = Param::all(vals);
    async move {
        let rows = client.query_raw(&statement, params).await?;
        pin!(rows).try_collect().await
    }
}

/// The first poll hands the message to the connection; nothing is written before the thread waits, so
/// what is sent in a row goes out together.
fn sent<T: Send + 'static>(
    mut call: BoxFuture<'static, Result<T, Error>>,
) -> BoxFuture<'static, Result<T, Error>> {
    match (&mut call).now_or_never() {
        None => call,
        Some(result) => Box::pin(std::future::ready(result)),
    }
}

/// Whether a connection was refused for what is in the URL: user or password, the database, the
/// certificate.
fn is_for_good(error: &Error) -> bool {
    use std::error::Error as _;
    let codes = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ];
    let mut cause = error.source();
    while let Some(inner) = cause {
        // What TLS makes of a certificate that it does not trust.
        if inner.is::<rustls::Error>() {
            return true;
        }
        let io = inner.downcast_ref::<std::io::Error>();
        let within = io.and_then(std::io::Error::get_ref);
        if within.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
            return true;
        }
        cause = inner.source();
    }
    error.code().is_some_and(|code| codes.contains(code))
}

fn gone() -> StoreError {
    StoreError::Unavailable("the connection to PostgreSQL was lost".to_owned())
}
