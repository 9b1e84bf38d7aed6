//! `prograde init`: a first `prograde.yaml`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use prograde_control::config;
use prograde_model::ids::ServiceName;
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Write a first prograde.yaml
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde init
  prograde init services/pad --service pad")]
pub(crate) struct InitArgs {
    /// The service's repository
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// The service's name; by default the folder's
    #[arg(long, short, value_name = "NAME")]
    service: Option<ServiceName>,
    /// Print the file, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Writes the file, never over another.
pub(crate) fn run(app: &App, args: &InitArgs) -> Result<Exit, Report> {
    let service = match &args.service {
        Some(service) => service.clone(),
        None => from_folder(&args.dir)?,
    };
    let (path, text) = (args.dir.join(config::FILE), template(&service));
    if args.dry_run {
        app.printer.text(text)?;
        return Ok(Exit::Done);
    }
    write_new(&path, &text)?;
    if app.printer.style().json {
        app.printer.json(&json!({"written": path, "service": service}))?;
    } else {
        app.printer.note("Wrote", path.display());
        app.printer.next("prograde check, once there are a workflow and manifests");
    }
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str) -> Result<(), Report> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        if error.kind() != ErrorKind::AlreadyExists {
            return Report::file("write", path, &error);
        }
        Report::new(report::EXISTS, format!("{} exists already", path.display()))
            .hint("`prograde check` says whether it is good; `prograde init --dry-run` prints what would be written")
    })
}

/// A service's name from that of its folder: lower case, and `-` for what a name can't have.
fn from_folder(dir: &Path) -> Result<ServiceName, Report> {
    let whole = dir.canonicalize().map_err(|error| Report::file("find", dir, &error))?;
    let name = whole.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    plain.trim_matches('-').parse().map_err(|_| {
        Report::new(report::ARGUMENT, format!("the folder's name {name:?} gives no name for a service"))
            .hint("name it with `--service NAME`")
    })
}

fn template(service: &ServiceName) -> String {
    format!(
        "\
# What this repository deploys, where to, and how carefully. `prograde schema` prints the whole format.
version: 1
service: {service}
image:
  artifact: {service}            # what the workflow uploads with actions/upload-artifact
  binary: {service}              # the file in it that is started, as /app/{service}
manifests: deploy          # the Kustomize tree that goes to the deployment repository with each release
environments:
  - name: test
    checks:
      - get: /healthz
  - name: production
    gate:
      approvals: 1         # how many people must let a release in: `prograde approve`
    strategy: canary
    steps:
      - {{ weight: 1, bake: 5m }}
      - {{ weight: 10, bake: 5m }}
      - {{ weight: 100, bake: 5m }}
    analysis:
      failure_share_max: 1%
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_good() {
        let service = config::read(&template(&"pad".parse().unwrap())).unwrap();
        assert_eq!(service.service.as_str(), "pad");
        assert_eq!(service.environments.len(), 2);
    }

    #[test]
    fn a_folder_names_its_service() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, name) in [("Launch Pad", Some("launch-pad")), ("pad_2", Some("pad-2")), ("___", None)] {
            let path = dir.path().join(folder);
            std::fs::create_dir(&path).unwrap();
            assert_eq!(from_folder(&path).ok().map(String::from).as_deref(), name, "{folder}");
        }
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(config::FILE);
        write_new(&path, "one").unwrap();
        assert_eq!(write_new(&path, "two").unwrap_err().code, report::EXISTS);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one");
    }
}
