//! Very many alerts, posted, inhibited by one rule, and listed: the server beside Alertmanager.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::Api;
use super::peer::{ALERTMANAGER, Peer};
use super::{now, serve};
use crate::harness::Server;
use crate::table::{Row, median};

const ROUNDS: usize = 3;
/// How many are posted together.
const TOGETHER: usize = 1000;
/// One in so many is critical and inhibits the others of its cluster.
const CLUSTER: usize = 100;

/// All go to one group that waits, so that nothing but taking them in and showing them is measured.
const CONFIG: &str = "\
route: {receiver: nobody, group_by: [alertname], group_wait: 10m}
receivers: [{name: nobody}]
inhibit_rules:
- {source_matchers: [severity = critical], target_matchers: [severity = warning], equal: [cluster]}
";

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    let (mut ours, mut theirs, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(of_ours(prograde, 10_000)?);
        many.push(of_ours(prograde, 50_000)?);
        let alertmanager = Peer::alertmanager(CONFIG)?;
        theirs.push(took(&alertmanager.api, 10_000)?);
    }
    let (ours, theirs, many) = (median(ours), median(theirs), median(many));
    let name = |count: &str| format!("{count} alerts posted, inhibited and listed");
    let few = Row::below(&name("10,000"), ours, "ms", 1000.0, "under 1000").beside(ALERTMANAGER, theirs);
    // Five times as many take five times as long, give or take half of that.
    let linear = many <= 7.5 * ours;
    Ok(vec![few, Row::plain(&name("50,000"), many, "ms").judged("at most 7.5 times", linear)])
}

fn of_ours(prograde: &Path, count: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("alertmanager.yml"), CONFIG)?;
    let mut command = serve(prograde);
    command.args(["--alertmanager-config", "alertmanager.yml"]);
    let server = Server::start_in(folder, command)?;
    took(&Api::new(format!("{}/alertmanager", server.url()), Some(server.token().to_owned())), count)
}

/// How many milliseconds it takes to post so many and to list them.
fn took(api: &Api, count: usize) -> anyhow::Result<f64> {
    let now = now();
    let (starts_at, ends_at) = (now.to_string(), now.checked_add(SignedDuration::from_hours(1))?.to_string());
    let alert = |number: usize| {
        let severity = if number.is_multiple_of(CLUSTER) { "critical" } else { "warning" };
        let labels = json!({
            "alertname": "DiskFills", "severity": severity, "instance": format!("host-{number}:9100"),
            "cluster": format!("cluster-{}", number / CLUSTER), "job": "node",
        });
        let annotations = json!({"summary": format!("the disk of host-{number} will be full within 4 hours")});
        json!({"labels": labels, "annotations": annotations, "startsAt": starts_at, "endsAt": ends_at})
    };
    let alerts: Vec<Value> = (0..count).map(alert).collect();
    let bodies: Vec<Vec<u8>> = alerts.chunks(TOGETHER).map(serde_json::to_vec).collect::<Result<_, _>>()?;
    let begun = Instant::now();
    for body in &bodies {
        api.post_json("/api/v2/alerts", body)?;
    }
    let listed = api.get("/api/v2/alerts")?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let listed: Vec<Value> = serde_json::from_slice(&listed)?;
    ensure!(listed.len() == count, "{} alerts of {count} are listed", listed.len());
    let inhibited = |alert: &&Value| {
        alert.pointer("/status/inhibitedBy").and_then(Value::as_array).is_some_and(|by| !by.is_empty())
    };
    let inhibited = listed.iter().filter(inhibited).count();
    ensure!(inhibited == count - count / CLUSTER, "{inhibited} alerts of {count} are inhibited");
    Ok(took)
}
