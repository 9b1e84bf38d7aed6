//! How long it takes to evaluate a feature flag for one user, without the request around it.

use jiff::Timestamp;
use prograde_model::flag::Flags;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::table::{Row, median};

/// Evaluations that are timed together.
const BATCH: u32 = 10_000;
const RUNS: usize = 9;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let regions: Vec<String> = (0..50).map(|n| format!("region-{n}")).collect();
    let rules = [
        ("a default", json!({})),
        ("a share of users", json!({"fractional": [["on", 10], ["off", 90]]})),
        (
            "users, regions and a share",
            json!({"if": [
                {"ends_with": [{"var": "email"}, "@example.org"]}, "on",
                {"in": [{"var": "region"}, regions]}, {"fractional": [{"var": "email"}, ["on", 10], ["off", 90]]},
                {"sem_ver": [{"var": "version"}, ">=", "2.1.0"]}, "on",
                "off",
            ]}),
        ),
    ];
    let context =
        json!({"targetingKey": "user-4711", "email": "ada@example.net", "region": "region-49", "version": "1.9"});
    let Value::Object(context) = context else { anyhow::bail!("a context is an object") };
    let mut rows = Vec::new();
    for (name, rule) in rules {
        let flag = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": rule});
        let flags = Flags::read(&json!({"flags": {"banner": flag}})).map_err(|found| anyhow::anyhow!("{found:?}"))?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let begin = Instant::now();
            for _ in 0..BATCH {
                std::hint::black_box(flags.evaluate("banner", None, &context, Timestamp::UNIX_EPOCH)?);
            }
            runs.push(begin.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH));
        }
        rows.push(Row::below(&format!("flag evaluation: {name}"), median(runs), "us", 100.0, "below 100 us"));
    }
    Ok(rows)
}
