//! From the scrape that shows a symptom to the webhook: the server beside Prometheus with Alertmanager, both with the same files,
//! in which rules are evaluated each 15 s.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::peer::Peer;
use super::serve;
use super::site::Site;
use crate::harness::{Server, pause};
use crate::table::{Row, median};

/// Where in their seconds scrapes and evaluations are is drawn anew at each start.
const STARTS: usize = 5;
const SYMPTOMS: usize = 8;
/// `for` and `group_wait`, in seconds.
const MEANT_S: f64 = 2.0 + 1.0;

const RULES: &str = "groups: [{name: pages, rules: [{alert: Symptom, expr: symptom > 0, for: 2s}]}]\n";

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let site = Site::start(SYMPTOMS)?;
        let server = start(prograde, &site)?;
        let alertmanager = Peer::alertmanager(&alertmanager_config(&site, "theirs"))?;
        let told = alertmanager.api.url().trim_start_matches("http://");
        let alerting = format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{told}']}}]}}]}}\n");
        let prometheus = Peer::prometheus(&(prometheus_config(&site, "theirs") + &alerting), RULES)?;
        // Whoever has just started is not measured.
        pause(Duration::from_secs(3));
        for _ in 0..SYMPTOMS {
            site.worsen();
            pause(Duration::from_millis(430));
        }
        let [of_ours, of_theirs] = wait(&site)?;
        let beyond = |delays: Vec<f64>| delays.into_iter().map(|delay| (delay - MEANT_S) * 1000.0);
        ours.extend(beyond(of_ours));
        theirs.extend(beyond(of_theirs));
        drop((server, alertmanager, prometheus));
    }
    Ok(vec![
        row("median", median(ours.clone()), median(theirs.clone())),
        row("slowest", largest(&ours), largest(&theirs)),
    ])
}

fn row(name: &str, ours: f64, theirs: f64) -> Row {
    let name = format!("scraped symptom to webhook beyond for and group_wait, {name}");
    Row::below(&name, ours, "ms", 1000.0, "under 1000").beside("prometheus and alertmanager", theirs)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

fn start(prograde: &Path, site: &Site) -> anyhow::Result<Server> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("rules.yml"), RULES)?;
    fs::write(folder.path().join("prometheus.yml"), prometheus_config(site, "ours"))?;
    fs::write(folder.path().join("alertmanager.yml"), alertmanager_config(site, "ours"))?;
    let mut command = serve(prograde);
    command.args(["--prometheus-config", "prometheus.yml", "--alertmanager-config", "alertmanager.yml"]);
    Server::start_in(folder, command)
}

fn prometheus_config(site: &Site, whose: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 15s}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n\
         - {{job_name: site, metrics_path: /{whose}/metrics, static_configs: [{{targets: ['{}']}}]}}\n",
        site.address
    )
}

fn alertmanager_config(site: &Site, whose: &str) -> String {
    format!(
        "route: {{receiver: site, group_by: [number], group_wait: 1s}}\n\
         receivers: [{{name: site, webhook_configs: [{{url: 'http://{}/{whose}/told'}}]}}]\n",
        site.address
    )
}

/// Waits until both have told of all.
fn wait(site: &Site) -> anyhow::Result<[Vec<f64>; 2]> {
    for _ in 0..1_800 {
        if let Some(both) = site.delays("ours").zip(site.delays("theirs")) {
            return Ok(both.into());
        }
        pause(Duration::from_millis(50));
    }
    let whose = if site.delays("ours").is_none() { "prograde" } else { "alertmanager" };
    bail!("90 s after the last symptom {whose} has not told of all")
}
