//! Only in tests: each statement that a test has the store run is explained the first time it is run,
//! and refused when it reads all of a table that grows with the traffic. So whatever a test covers has
//! an index to go by, on both databases, and what is judged is what runs.
//!
//! On PostgreSQL the plan is the generic one, which is what a prepared statement ends up with, and
//! `enable_seqscan` is off as in every session of the service: a sequential scan then says that there
//! is no index to go by at all. What the planner would do of its own accord with five million messages
//! is looked at apart: `tests/plans`.

use super::StoreError;
use super::postgres::Session;
use super::sql::Val;
use rusqlite::Connection;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

mod tests;

/// Tables that grow with users and messages. Not here: those of the configuration (`meta`, `tokens`,
/// `mailboxes`, `paused_lanes`), with a row per channel at most.
const GROWING: &[&str] = &[
    "attempts",
    "conversations",
    "dedup_keys",
    "deliveries",
    "early_statuses",
    "effects",
    "erased_ids",
    "events",
    "held_echoes",
    "idempotency_keys",
    "identities",
    "kept_mails",
    "media",
    "messages",
    "mirror_jobs",
    "mirrors",
    "participants",
    "parts",
    "platform_messages",
    "raw_events",
    "reactions",
    "user_details",
    "users",
];

/// Statements that may read all of a table: how one begins, the table, and why that is no harm.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "DELETE FROM effects WHERE expires_at",
        "effects",
        "an effect lives for a minute, and so many of them the table holds",
    ),
    (
        "SELECT channel_id, id FROM effects WHERE expires_at",
        "effects",
        "the same",
    ),
    (
        "DELETE FROM held_echoes WHERE conversation_id IN",
        "held_echoes",
        "an echo is held for half a minute",
    ),
    (
        "SELECT j.id, j.conversation_id, j.message_id, j.what, j.created_at FROM mirror_jobs j",
        "mirror_jobs",
        "holds only what waits, and a page of it is read in the order of its key",
    ),
    (
        "DELETE FROM raw_events WHERE LOWER(body) LIKE",
        "raw_events",
        "when a person is erased: what could not be understood may name them anywhere",
    ),
    (
        "SELECT u.id, u.first_name",
        "users",
        "an operator's search in the middle of names; no index can serve it",
    ),
    ("SELECT u.id, u.first_name", "user_details", "the same"),
    ("SELECT u.id, u.first_name", "identities", "the same"),
];

/// The same of statements for which that looks cheap to PostgreSQL while the tables are all but empty,
/// and which go by an index as soon as it matters.
const YOUNG: &[(&str, &str, &str)] = &[(
    "UPDATE parts SET heartbeat_at = 0",
    "parts",
    "at the start of the only process; by what is open in messages",
)];

/// The file to which every statement of the service is written, a JSON string a line, for `tests/plans`.
const WRITTEN_TO: &str = "SWITCHBOARD_STATEMENTS";

static SEEN: Mutex<BTreeSet<(Database, &'static str)>> = Mutex::new(BTreeSet::new());

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Database {
    Sqlite,
    Postgres,
}

fn note(database: Database, sql: &'static str) -> bool {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.insert((database, sql))
}

fn is_known(database: Database, sql: &'static str) -> bool {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.contains(&(database, sql))
}

/// Says that a statement is a test's own, which may read whatever it likes.
pub(crate) fn of_a_test(sql: &'static str) {
    note(Database::Sqlite, sql);
    note(Database::Postgres, sql);
}

/// Whether a text is one that has a plan.
fn has_plan(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first)
}

/// The tables that a plan reads all of, unless that is allowed.
fn forbidden<'t>(
    sql: &str,
    read: impl IntoIterator<Item = &'t str>,
    lists: &[&[(&str, &str, &str)]],
) -> Vec<&'t str> {
    let flat = flat(sql);
    let allowed = |table: &str| {
        lists
            .iter()
            .flat_map(|list| list.iter())
            .any(|(begin, of, _)| *of == table && flat.starts_with(begin))
    };
    let grows = |table: &&str| GROWING.contains(table);
    read.into_iter()
        .filter(grows)
        .filter(|table| !allowed(table))
        .collect()
}

/// A statement on one line.
fn flat(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn judged(sql: &str, tables: &[&str], plan: &str) -> Result<(), StoreError> {
    if tables.is_empty() {
        return Ok(());
    }
    let tables = tables.join(", ");
    Err(StoreError::Corrupt(format!(
        "a statement reads all of {tables}: {}\n{plan}",
        flat(sql)
    )))
}

/// Explains a statement that SQLite is about to run.
pub(super) fn look_on_sqlite(
    connection: &Connection,
    sql: &'static str,
    vals: &[Val<'_>],
) -> Result<(), StoreError> {
    if !has_plan(sql) || is_known(Database::Sqlite, sql) {
        return Ok(());
    }
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let steps = explain.query_map(rusqlite::params_from_iter(vals), |row| row.get(3))?;
    let steps = steps.collect::<Result<Vec<String>, _>>()?;
    let mut partial = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")?;
    let partial = partial.query_map([], |row| row.get(0))?;
    let partial = partial.collect::<Result<BTreeSet<String>, _>>()?;
    let names = names(sql);
    let bounded = sql.contains("LIMIT");
    let read = steps.iter().filter_map(|step| {
        let mut words = step.strip_prefix("SCAN ")?.split(' ');
        let name = words.next()?;
        let index = step.rsplit_once("INDEX ").map(|(_, index)| index);
        // An index that holds only what waits is what such statements are for; along another one only
        // as far as the statement is bounded.
        let fine = index.is_some_and(|index| partial.contains(index) || bounded);
        (!fine).then(|| names.get(name).map_or(name, String::as_str))
    });
    judged(sql, &forbidden(sql, read, &[ALLOWED]), &steps.join("\n"))?;
    note(Database::Sqlite, sql);
    Ok(())
}

/// What a statement calls its tables, by the name that it gives them.
fn names(sql: &str) -> BTreeMap<String, String> {
    let words: Vec<&str> = sql
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !["", "AS"].contains(word))
        .collect();
    let mut names = BTreeMap::new();
    for pair in words.windows(2) {
        if let [table, alias] = pair
            && GROWING.contains(table)
            && alias.chars().all(char::is_lowercase)
        {
            names.insert((*alias).to_owned(), (*table).to_owned());
        }
    }
    names
}

/// Explains a statement that PostgreSQL is about to run.
pub(super) fn look_on_postgres(session: &mut Session, sql: &'static str) -> Result<(), StoreError> {
    if !has_plan(sql) || is_known(Database::Postgres, sql) {
        return Ok(());
    }
    // While tables are as small as a test's, joining by reading both sides looks cheap.
    session.texts(
        "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off",
    )?;
    let plan = Plan::of(session, sql)?;
    session
        .texts("SET enable_hashjoin = on; SET enable_mergejoin = on; SET enable_material = on")?;
    judged(
        sql,
        &forbidden(sql, plan.reads_all(0.0), &[ALLOWED, YOUNG]),
        &plan.text(),
    )?;
    if note(Database::Postgres, sql) {
        write_down(sql);
    }
    Ok(())
}

fn write_down(sql: &str) {
    let Some(path) = std::env::var_os(WRITTEN_TO) else {
        return;
    };
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path);
    let line = format!("{}\n", Value::from(sql));
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the file of statements is written");
}

/// The statements that an earlier run wrote down.
fn written_down() -> Vec<&'static str> {
    let path = std::env::var_os(WRITTEN_TO).expect("SWITCHBOARD_STATEMENTS names the file");
    let text = std::fs::read_to_string(path).expect("the file of statements is there");
    let statements: BTreeSet<String> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON string a line"))
        .collect();
    let leak = |sql: String| -> &'static str { Box::leak(sql.into_boxed_str()) };
    statements.into_iter().map(leak).collect()
}

/// What the planner thinks that a step costs, and everything below it.
fn cost(node: &Value) -> f64 {
    node["Total Cost"].as_f64().unwrap_or(f64::INFINITY)
}

/// How PostgreSQL goes about a statement whose values it does not know.
struct Plan {
    root: Value,
    /// Table, and whether it holds only some of its rows, by index.
    indexes: BTreeMap<String, (String, bool)>,
}

impl Plan {
    /// Under the settings of the session.
    fn of(session: &mut Session, sql: &str) -> Result<Self, StoreError> {
        let count = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
        let nulls = if count == 0 {
            String::new()
        } else {
            format!("({})", vec!["NULL"; count].join(", "))
        };
        let explained = session.texts(&format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE looked_at AS {sql};
             EXPLAIN (FORMAT JSON) EXECUTE looked_at{nulls};
             DEALLOCATE looked_at; SET plan_cache_mode = auto"
        ))?;
        let parsed: Value = serde_json::from_str(&explained.concat())
            .map_err(|e| StoreError::Corrupt(format!("a plan: {e}")))?;
        let indexes = session.texts(
            "SELECT i.relname || ' ' || t.relname || ' ' || (x.indpred IS NOT NULL)
             FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
             JOIN pg_class t ON t.oid = x.indrelid",
        )?;
        let indexes = indexes.iter().filter_map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let (index, table) = (words.next()?, words.next()?);
            Some((index, (table, words.next()? == "true")))
        });
        Ok(Self {
            root: parsed[0]["Plan"].clone(),
            indexes: indexes.collect(),
        })
    }

    /// What the planner thinks that it costs, in pages read one after the other.
    fn cost(&self) -> f64 {
        cost(&self.root)
    }

    /// The tables that it reads all of, or all of an index of, unless that costs less than so much.
    fn reads_all(&self, cheap: f64) -> Vec<&str> {
        let mut found = Vec::new();
        self.walk(&self.root, false, cheap, &mut found);
        found
    }

    /// `bounded`: a `LIMIT` above stops the step as soon as it has given enough rows.
    fn walk<'p>(&'p self, node: &'p Value, bounded: bool, cheap: f64, found: &mut Vec<&'p str>) {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let counts = cost(node) >= cheap;
        if kind == "Seq Scan" && counts {
            found.extend(node["Relation Name"].as_str());
        }
        if let Some(index) = node["Index Name"].as_str()
            && node["Index Cond"].is_null()
            && let Some((table, partial)) = self.indexes.get(index)
            && !partial
            && counts
            && !(bounded && node["Filter"].is_null())
        {
            found.push(table);
        }
        // What sorts or counts reads everything below it first.
        let bounded = match kind {
            "Limit" => true,
            "Sort" | "Incremental Sort" | "Aggregate" | "Hash" | "Bitmap Heap Scan" => false,
            _ => bounded,
        };
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.walk(child, bounded, cheap, found);
        }
    }

    /// For a person.
    fn text(&self) -> String {
        let mut lines = Vec::new();
        Self::lines(&self.root, 0, &mut lines);
        lines.join("\n")
    }

    fn lines(node: &Value, depth: usize, lines: &mut Vec<String>) {
        let said = |name: &str| node[name].as_str().unwrap_or_default();
        let conditions = [
            "Index Cond",
            "Recheck Cond",
            "Filter",
            "Join Filter",
            "Hash Cond",
            "Merge Cond",
        ]
        .iter()
        .filter(|name| node[**name].is_string())
        .map(|name| format!(" {name}: {}", said(name)));
        lines.push(format!(
            "{:width$}{} {} {}{} cost={}",
            "",
            said("Node Type"),
            said("Relation Name"),
            said("Index Name"),
            conditions.collect::<String>(),
            node["Total Cost"],
            width = depth * 2,
        ));
        for child in node["Plans"].as_array().into_iter().flatten() {
            Self::lines(child, depth + 1, lines);
        }
    }
}
