//! Journal appends per second, each acknowledged after its fsync.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use prograde_journal::{Journal, NewEvent};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::table::{Row, median};

/// How long one measurement appends.
const SPAN: Duration = Duration::from_secs(2);
const RUNS: usize = 5;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows = Vec::new();
    for writers in [1u32, 8, 64] {
        let runs =
            (0..RUNS).map(|_| runtime.block_on(appends_per_second(writers))).collect::<anyhow::Result<Vec<_>>>()?;
        rows.push(Row::plain(&format!("journal appends, {writers} at once"), median(runs), "appends/s"));
    }
    Ok(rows)
}

async fn appends_per_second(writers: u32) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(&folder.path().join("journal.db"))?;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let journal = journal.clone();
        tasks.spawn(async move {
            let mut version = 0u64;
            while begin.elapsed() < SPAN {
                let payload =
                    json!({"environment": "production", "step": 1, "weight": 10, "candidate": {"requests": version}});
                let event = NewEvent { event_type: "rollout.step_entered".into(), version: 1, payload };
                journal.append(&format!("flight/{writer}"), version, Timestamp::UNIX_EPOCH, vec![event]).await?;
                version += 1;
            }
            Ok::<_, anyhow::Error>(version)
        });
    }
    let mut appended = 0;
    while let Some(done) = tasks.join_next().await {
        appended += done??;
    }
    let elapsed = begin.elapsed().as_secs_f64();
    journal.close().await.context("closing")?;
    Ok(f64::from(u32::try_from(appended)?) / elapsed)
}
