//! `prograde check`: all that the server would refuse in a repository, found before the push.

pub(super) mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use prograde_control::{config, flags};
use prograde_gitops::deploy::manifests::FOLDER;
use prograde_gitops::deploy::{DeployError, Manifests, Rendered};
use prograde_gitops::git::RemoteBases;
use prograde_gitops::helm::Helm;
use prograde_gitops::workload;
use prograde_model::group::Member;
use prograde_model::ids::Target;
use prograde_model::service::Service;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_pipeline::Workflows;
use prograde_scan::commit::{Limits, look};
use prograde_scan::walk::Ignored;
use prograde_server::policies::{Judged, Policies, Vouched};
use serde_json::json;

use crate::app::App;
use crate::commands::asking::Asking;
use crate::commands::db;
use crate::commands::policy::InForce;
use crate::commands::scan::Looking;
use crate::exit::Exit;
use crate::printer::{Tone, cleaned};
use crate::report::{self, Report};
use crate::text::counted;

/// Where workflows are.
const WORKFLOWS: &str = ".github/workflows";

/// A manifest's field that is accepted and has no effect here.
const NO_EFFECT: &str = "PG0490";

/// Check prograde.yaml, the workflows and the manifests of a working tree
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde check
  prograde check services/pad --json

The exit code is 2 if anything would be refused. Nothing is run and no server is asked, but for bases of other repositories:
`git` fetches them with your own access, and they are kept.")]
pub(crate) struct CheckArgs {
    /// The service's repository
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    in_force: InForce,
    #[command(flatten)]
    looking: Looking,
}

/// Who is asked for what manifests name and the repository does not hold.
struct Beside {
    bases: Option<RemoteBases>,
    helm: Option<Helm>,
}

/// What was found in a repository.
#[derive(Debug, Default)]
struct Findings {
    /// What would be refused.
    errors: Vec<Diagnostic>,
    /// What would be accepted and have no effect.
    notices: Vec<Diagnostic>,
}

impl Findings {
    fn refuse(&mut self, found: impl Into<Diagnostics>) {
        self.errors.extend(found.into().0);
    }
}

/// Checks a working tree.
pub(crate) fn run(app: &App, args: &CheckArgs) -> Result<Exit, Report> {
    if !args.dir.is_dir() {
        return Err(Report::new(report::FILE, format!("{} is not a folder", args.dir.display()))
            .hint("name the folder with prograde.yaml in it"));
    }
    let beside = Beside { bases: args.asking.bases(app), helm: args.asking.helm(app) };
    let mut found = checked(&args.dir, &args.in_force, (&beside, app.printer.now()));
    let limits = Limits {
        fail_on: args.looking.scan_fail_on.0,
        database: db::path(&app.global, args.looking.vulnerability_db.as_ref())?,
    };
    let looked = look(&args.dir, Ignored::LeftOut, None, &limits, app.printer.now());
    found.errors.extend(looked.refused);
    found.notices.extend(looked.told);
    if app.printer.style().json {
        app.printer.json(&json!({"errors": found.errors, "notices": found.notices}))?;
    } else {
        let colour = app.printer.style().colour;
        for (word, tone, list) in [("error", Tone::Bad, &found.errors), ("notice", Tone::Warning, &found.notices)] {
            for diagnostic in list {
                app.printer.line(format_args!("{}: {}", tone.paint(word, colour), cleaned(&diagnostic.to_string())))?;
            }
        }
    }
    if found.errors.is_empty() {
        app.printer.note("Good", format_args!("with {}", counted(found.notices.len() as u64, "notice")));
        return Ok(Exit::Done);
    }
    let what = format!("{} in {}", counted(found.errors.len() as u64, "error"), args.dir.display());
    Err(Report::new(report::CHECK, what).hint("`prograde explain CODE` says more about each"))
}

/// Everything in the order in which a flight meets it. A part that can't be read hides none of the others.
fn checked(dir: &Path, in_force: &InForce, (beside, now): (&Beside, Timestamp)) -> Findings {
    let mut found = Findings::default();
    let service = match tree::text(dir, config::FILE).and_then(|text| config::read(&text)) {
        Ok(service) => Some(service),
        Err(diagnostics) => {
            found.refuse(diagnostics);
            None
        }
    };
    workflows(dir, &mut found);
    if let Some(service) = service {
        flag_files(dir, &service, &mut found);
        let policies = Policies::read(&in_force.policy_set, &in_force.policies);
        let policies = policies.unwrap_or_else(|diagnostics| {
            found.refuse(diagnostics);
            Policies::default()
        });
        manifests(dir, &service, (&policies, now), beside, &mut found);
    }
    found
}

fn workflows(dir: &Path, found: &mut Findings) {
    let mut files = Vec::new();
    for name in tree::names(&dir.join(WORKFLOWS)) {
        let path = format!("{WORKFLOWS}/{name}");
        if !Workflows::is_workflow_path(&path) {
            continue;
        }
        match tree::text(dir, &path) {
            Ok(text) => files.push((path, text)),
            Err(diagnostics) => found.refuse(diagnostics),
        }
    }
    if files.is_empty() && found.errors.iter().all(|error| !error.file.starts_with(WORKFLOWS)) {
        let hint = "add a workflow with `on: push` that uploads the built program with actions/upload-artifact";
        found.refuse(Diagnostic::file("PG0105", WORKFLOWS, "the repository has no workflow", hint));
    }
    match Workflows::load(&files) {
        Ok(workflows) => found.notices.extend_from_slice(workflows.notes()),
        Err(diagnostics) => found.refuse(diagnostics),
    }
}

fn flag_files(dir: &Path, service: &Service, found: &mut Findings) {
    let files: BTreeSet<&str> = service.environments.iter().filter_map(|e| service.flags_file(e)).collect();
    for file in files {
        if let Err(diagnostics) = tree::text(dir, file).and_then(|text| flags::read(file, &text)) {
            found.refuse(diagnostics);
        }
    }
}

fn manifests(dir: &Path, service: &Service, policies: (&Policies, Timestamp), beside: &Beside, found: &mut Findings) {
    for member in service.members() {
        rendered(dir, (service, &member), policies, beside, found);
    }
    found.errors.dedup();
    found.notices.dedup();
}

fn rendered(
    dir: &Path,
    (service, member): (&Service, &Member),
    (policies, now): (&Policies, Timestamp),
    beside: &Beside,
    found: &mut Findings,
) {
    let folder = member.manifests_path();
    let tree = match tree::below(&dir.join(&folder), &folder) {
        Ok(tree) => tree,
        Err(diagnostics) => return found.refuse(diagnostics),
    };
    for environment in &service.environments {
        let target = Target { environment: environment.name.clone(), service: member.name.clone() };
        let manifests = Manifests {
            files: &tree,
            overlay: &environment.overlay_path(),
            bases: beside.bases.as_ref().map(|bases| bases as _),
            charts: beside.helm.as_ref().map(|helm| helm as _),
        };
        let decoded = match manifests.render(&target, None) {
            Ok(Rendered { resources, .. }) => {
                let Judged { refused, told, .. } =
                    policies.judge(&resources, (&Vouched::to_be(), &Vouched::to_be_signed), now);
                found.refuse(as_written(Diagnostics(refused), &folder));
                found.notices.extend(as_written(Diagnostics(told), &folder).0);
                workload::decode(&target, &resources)
            }
            Err(DeployError::Manifests(diagnostics)) => Err(diagnostics),
            Err(error) => {
                let hint = "`manifests` and `overlay` in prograde.yaml name the folders";
                Err(Diagnostic::file("PG0103", &folder, error.to_string(), hint).into())
            }
        };
        match decoded {
            Ok((_, notices)) => found.notices.extend(notices.iter().map(|notice| as_diagnostic(notice, &folder))),
            Err(diagnostics) => found.refuse(as_written(diagnostics, &folder)),
        }
    }
}

fn as_diagnostic(notice: &workload::Notice, folder: &str) -> Diagnostic {
    let mut diagnostic = notice.place.diagnostic(NO_EFFECT, format!("`{}` has no effect", notice.field), notice.why);
    diagnostic.file = in_repository(&diagnostic.file, folder);
    diagnostic
}

fn as_written(mut diagnostics: Diagnostics, folder: &str) -> Diagnostics {
    for diagnostic in &mut diagnostics.0 {
        diagnostic.file = in_repository(&diagnostic.file, folder);
    }
    diagnostics
}

/// Manifests are rendered in a folder of their own; in the repository they are where `manifests` says.
fn in_repository(file: &str, folder: &str) -> String {
    file.strip_prefix(FOLDER).map_or_else(|| file.to_owned(), |path| format!("{folder}/{path}"))
}
