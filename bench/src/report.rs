//! What was measured: a table while it goes on, and one line of JSON.

use anyhow::Result;
use serde_json::{Map, Value, json};
use std::io::Write;

/// What is asked of a scenario.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    /// The ratio to the baseline is at least this.
    RatioAtLeast(f64),
    /// The ratio to the baseline is at most this.
    RatioAtMost(f64),
    /// The value is below this.
    Below(f64),
}

impl Bar {
    fn words(self) -> String {
        match self {
            Self::RatioAtLeast(bar) => format!("ratio >= {bar}"),
            Self::RatioAtMost(bar) => format!("ratio <= {bar}"),
            Self::Below(bar) => format!("< {bar}"),
        }
    }

    fn holds(self, value: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtLeast(bar) => ratio.map(|r| r >= bar),
            Self::RatioAtMost(bar) => ratio.map(|r| r <= bar),
            Self::Below(bar) => Some(value < bar),
        }
    }
}

/// A measured scenario.
#[derive(Debug)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// `sqlite` or `postgres`; `none` where no store is in it.
    pub store: &'static str,
    /// `memory` or `redis`.
    pub queue: &'static str,
    /// What was measured.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The limit of the same work.
    pub baseline: Option<f64>,
    /// How the two compare.
    pub ratio: Option<f64>,
    /// What is asked.
    pub bar: Option<Bar>,
    /// What else was seen.
    pub more: Vec<(&'static str, f64)>,
}

/// What was measured, and what could not be.
#[derive(Default)]
pub struct Report {
    scenarios: Vec<Value>,
    left_out: Vec<Value>,
}

/// A number as short as it stays useful.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// To be read by people: no more digits than mean something.
fn rounded(value: f64) -> Value {
    json!((value * 10_000.0).round() / 10_000.0)
}

impl Report {
    /// The head of the table.
    pub fn heading(&self) -> Result<()> {
        let mut out = std::io::stdout();
        writeln!(
            out,
            "{:<20} {:<8} {:<6} {:>10} {:<11} {:>10} {:>7}  {:<14}",
            "scenario", "store", "queue", "value", "unit", "baseline", "ratio", "bar"
        )?;
        Ok(())
    }

    /// Adds a figure and prints its row.
    pub fn add(&mut self, figure: &Figure) -> Result<()> {
        let mut out = std::io::stdout();
        let shown = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), short);
        let holds = figure.bar.and_then(|b| b.holds(figure.value, figure.ratio));
        let word = match holds {
            None => "",
            Some(true) => "ok",
            Some(false) => "MISSED",
        };
        writeln!(
            out,
            "{:<20} {:<8} {:<6} {:>10} {:<11} {:>10} {:>7}  {:<14} {word}",
            figure.name,
            figure.store,
            figure.queue,
            short(figure.value),
            figure.unit,
            shown(figure.baseline),
            shown(figure.ratio),
            figure.bar.map(Bar::words).unwrap_or_default(),
        )?;
        let mut more = Map::new();
        for (name, value) in &figure.more {
            writeln!(out, "    {name:<34} {:>10}", short(*value))?;
            more.insert((*name).to_owned(), rounded(*value));
        }
        self.scenarios.push(json!({
            "name": figure.name,
            "store": figure.store,
            "queue": figure.queue,
            "value": rounded(figure.value),
            "unit": figure.unit,
            "baseline": figure.baseline.map(rounded),
            "ratio": figure.ratio.map(rounded),
            "bar": figure.bar.map(Bar::words),
            "holds": holds,
            "more": more,
        }));
        Ok(())
    }

    /// Says why something was not measured.
    pub fn leave_out(&mut self, name: &'static str, with: &str, why: &str) -> Result<()> {
        writeln!(std::io::stdout(), "{name:<20} {with}: not measured: {why}")?;
        self.left_out
            .push(json!({"name": name, "with": with, "why": why}));
        Ok(())
    }

    /// The last line.
    pub fn finish(self, as_json: bool) -> Result<()> {
        if as_json {
            let all = json!({"scenarios": self.scenarios, "left_out": self.left_out});
            writeln!(std::io::stdout(), "{all}")?;
        }
        Ok(())
    }
}

/// The middle of some numbers; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Divides; 0 where there is nothing to divide by.
pub fn ratio(value: f64, by: f64) -> f64 {
    if by > 0.0 { value / by } else { 0.0 }
}
