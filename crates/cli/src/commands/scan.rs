//! `prograde scan`: known vulnerabilities, secrets, misconfiguration and licences.

mod collect;
mod output;
mod policy;
pub(crate) mod tell;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use prograde_scan::severity::Severity;
use prograde_scan::walk::Ignored;

use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// Find known vulnerabilities, secrets, misconfiguration and licences that are not allowed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde scan
  prograde scan image.tar --vulnerabilities --fail-on high
  prograde scan --secrets --history
  prograde scan bom.json --db vulnerabilities.db --format sarif > found.sarif
  prograde scan --report trivy.json --fail-on critical

Without a choice it looks for vulnerabilities, secrets and misconfiguration in a directory, and for vulnerabilities
elsewhere. The database of vulnerabilities is local: `prograde db update` makes it. Exceptions stand in
`.prograde/exceptions.yaml` below the target, each with id, reason, owner and the last day on which it holds. The exit
code is 1 if something is found that --fail-on names or an exception has expired, and 2 if something could not be read.")]
pub(crate) struct ScanArgs {
    /// A directory, lock file, program, image or bill of materials
    #[arg(default_value = ".", value_name = "PATH|IMAGE|SBOM")]
    target: PathBuf,
    /// Look for packages with known vulnerabilities
    #[arg(long)]
    vulnerabilities: bool,
    /// Look for secrets in files
    #[arg(long)]
    secrets: bool,
    /// Look for secrets in all of the Git history as well
    #[arg(long)]
    history: bool,
    /// Check Dockerfiles, workflows, Terraform and Kubernetes manifests
    #[arg(long)]
    misconfiguration: bool,
    /// Check packages' licences against `.prograde/licences.yaml` or --allow-licence
    #[arg(long, visible_alias = "licenses")]
    licences: bool,
    /// A licence that is allowed, as an SPDX id
    #[arg(long, value_name = "ID", visible_alias = "allow-license")]
    allow_licence: Vec<String>,
    /// Where Cargo keeps the sources of crates, whose manifests say licences that `Cargo.lock` does not [default: ~/.cargo]
    #[arg(long, env = "CARGO_HOME", value_name = "DIR")]
    cargo_home: Option<PathBuf>,
    /// A report of Trivy, Grype or osv-scanner, or SARIF of another tool, whose findings count as well
    #[arg(long, value_name = "FILE")]
    report: Vec<PathBuf>,
    /// The database of vulnerabilities: what `prograde db update` made, or an OSV dump or the RustSec database as it is
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Rules for secrets of one's own
    #[arg(long, value_name = "FILE")]
    secret_rules: Vec<PathBuf>,
    /// Exceptions; by default `.prograde/exceptions.yaml` below the target
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
    /// Look at files that Git ignores as well
    #[arg(long)]
    no_ignore: bool,
    /// How bad a finding must be to end with exit code 1
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    fail_on: Option<Severity>,
    /// The form of the output; --json is short for `--format json`
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// A file to write, in place of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// When a CycloneDX document is said to be made, RFC 3339
    #[arg(long, value_name = "TIME")]
    created: Option<Timestamp>,
}

/// What commits may bring: the same for the server and for whoever checks before the push.
#[derive(Debug, Args)]
pub(crate) struct Looking {
    /// How bad a secret, a package's vulnerability or a licence must be to stop a commit; `none` where nothing does
    #[arg(long, default_value = "high", value_name = "SEVERITY", value_parser = limit)]
    pub(crate) scan_fail_on: Limit,
    /// The database of vulnerabilities [default: what `prograde db update` made]
    #[arg(long, value_name = "FILE")]
    pub(crate) vulnerability_db: Option<PathBuf>,
}

/// A severity, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<Severity>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" { Ok(Limit(None)) } else { severity(text).map(|severity| Limit(Some(severity))) }
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// All that is known of each finding
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Vulnerabilities as CycloneDX 1.6 VEX
    CyclonedxVex,
}

impl ScanArgs {
    /// What becomes of files that Git ignores.
    fn ignored(&self) -> Ignored {
        if self.no_ignore { Ignored::LookedAt } else { Ignored::LeftOut }
    }
}

fn severity(text: &str) -> Result<Severity, String> {
    text.parse().map_err(str::to_owned)
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &ScanArgs) -> Result<Exit, Report> {
    let collected = collect::collect(app, args)?;
    output::write(app, args, &collected)?;
    collected.exit(app, args)
}
