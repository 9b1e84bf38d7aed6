//! What the server holds in memory while it looks after ten services and nothing happens.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use crate::Binaries;
use crate::harness::{Repository, Server, pause};
use crate::table::Row;

const SERVICES: u32 = 10;

pub(crate) fn measure(binaries: &Binaries) -> anyhow::Result<Row> {
    let server = Server::start(binaries)?;
    let mut pushed = Vec::new();
    for number in 0..SERVICES {
        let service = format!("service-{number}");
        let repository = Repository::create(&server, &binaries.example, &service, "1s")?;
        pushed.push((service, repository.push("first")?));
    }
    for (service, commit) in &pushed {
        server.ended(service, commit)?;
    }
    pause(Duration::from_secs(10));
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(Row::below("server at rest with 10 services, resident", kib / 1024.0, "MiB", 100.0, "under 100"))
}
