//! Results: a table for people and a file for programs.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// The median.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// Who was measured beside us in the same run.
    pub(crate) peer: Option<&'static str>,
    /// The peer's median.
    pub(crate) peer_value: Option<f64>,
    /// Ours over the peer's.
    pub(crate) ratio: Option<f64>,
    /// What it should be, in words.
    pub(crate) goal: Option<&'static str>,
    /// Whether it is.
    pub(crate) met: Option<bool>,
}

impl Row {
    /// A figure without a peer that should be below `limit`.
    pub(crate) fn below(name: &str, value: f64, unit: &'static str, limit: f64, goal: &'static str) -> Self {
        Self { goal: Some(goal), met: Some(value < limit), ..Self::plain(name, value, unit) }
    }

    /// The same beside a peer's.
    pub(crate) fn beside(self, peer: &'static str, peer_value: f64) -> Self {
        Self { peer: Some(peer), peer_value: Some(peer_value), ratio: Some(self.value / peer_value), ..self }
    }

    /// The same with a goal.
    pub(crate) fn judged(self, goal: &'static str, met: bool) -> Self {
        Self { goal: Some(goal), met: Some(met), ..self }
    }

    /// A figure without a peer or goal.
    pub(crate) fn plain(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit, peer: None, peer_value: None, ratio: None, goal: None, met: None }
    }
}

/// The middle of what was measured.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints something for another program.
pub(crate) fn print(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(value)?)?)
}

/// Prints the rows and writes them to `<out>/<name>.json`.
pub(crate) fn publish(name: &str, out: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{:<58} {:>12} {:<12} {:<18} met", "figure", "median", "unit", "goal")?;
    for row in rows {
        let met = row.met.map_or("-", |met| if met { "yes" } else { "NO" });
        let beside = match (row.peer, row.peer_value) {
            (Some(peer), Some(value)) => format!("  {peer}: {value:.1}, {:.2} of it", row.value / value),
            (None | Some(_), _) => String::new(),
        };
        writeln!(
            stdout,
            "{:<58} {:>12.1} {:<12} {:<18} {met}{beside}",
            row.name,
            row.value,
            row.unit,
            row.goal.unwrap_or("-")
        )?;
    }
    fs::create_dir_all(out)?;
    fs::write(out.join(format!("{name}.json")), serde_json::to_string_pretty(rows)?)?;
    Ok(())
}
