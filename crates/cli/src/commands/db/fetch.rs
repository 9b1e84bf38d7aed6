//! Fetches advisories from an address into a file that goes when it is read.

use std::io;
use std::time::Duration;

use prograde_scan::codes;
use prograde_scan::ecosystem::Kind;
use tempfile::NamedTempFile;
use ureq::Agent;

use crate::report::{self, Report};

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// How long all of it may take.
const WHOLE_WAIT: Duration = Duration::from_mins(30);
/// The most bytes that are fetched from one address.
const BYTES_MAX: u64 = 4 << 30;

/// Where OSV keeps its dumps (google.github.io/osv.dev/data, "Data dumps").
const OSV: &str = "https://osv-vulnerabilities.storage.googleapis.com";

/// The addresses of the dumps of these ecosystems, by default of all whose packages can be read.
pub(super) fn dumps(ecosystems: &[String]) -> Result<Vec<String>, Report> {
    let mut names: Vec<&str> = Vec::new();
    for wanted in ecosystems {
        let kind = Kind::named(wanted).ok_or_else(|| {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            Report::new(report::ARGUMENT, format!("`{wanted}` is no ecosystem that is known"))
                .hint(format!("expected one of {}", known.join(", ")))
        })?;
        names.push(kind.name());
    }
    if names.is_empty() {
        names = Kind::ALL.iter().map(|kind| kind.name()).collect();
    }
    Ok(names.iter().map(|name| format!("{OSV}/{name}/all.zip")).collect())
}

/// Fetches an address. The file keeps the name's ending, by which its kind is told.
pub(super) fn get(url: &str) -> Result<NamedTempFile, Report> {
    let agent: Agent =
        Agent::config_builder().timeout_connect(Some(CONNECT_WAIT)).timeout_global(Some(WHOLE_WAIT)).build().into();
    let failed = |why: &dyn std::fmt::Display| {
        let hint = "fetch it by other means and give the file to `prograde db update --from FILE`";
        Report::new(codes::ADVISORY_SOURCE, format!("{url} can't be fetched: {why}")).hint(hint)
    };
    let mut answer = agent.get(url).call().map_err(|error| failed(&error))?;
    let ending = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let mut file = tempfile::Builder::new()
        .suffix(&format!("-{}", ending.replace(['\\', '\0'], "")))
        .tempfile()
        .map_err(|error| failed(&error))?;
    let mut body = answer.body_mut().with_config().limit(BYTES_MAX).reader();
    io::copy(&mut body, file.as_file_mut()).map_err(|error| failed(&error))?;
    Ok(file)
}
