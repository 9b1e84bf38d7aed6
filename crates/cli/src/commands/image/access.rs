//! Who we are to registries, and how they are spoken to.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use prograde_supply::client::{Client, ClientOptions, Credential, Credentials, Reference, Secret};

use crate::app::App;
use crate::report::{self, Report};

/// The longest password that is read.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

/// Flags of every command that asks a registry.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct Access {
    /// Speak to the named registries without TLS; to this machine that is always done
    #[arg(long)]
    insecure: bool,
    /// The user's name at the named registries, with --password-stdin; by default what `docker login` or `podman login` left
    #[arg(long, requires = "password_stdin", value_name = "NAME")]
    username: Option<String>,
    /// Read the password or token from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// A file with credentials, in the format of Docker's config.json
    #[arg(long, env = "REGISTRY_AUTH_FILE", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// The directory of Docker's config.json
    #[arg(long, env = "DOCKER_CONFIG", hide = true, value_name = "DIR")]
    docker_config: Option<PathBuf>,
    /// Where podman keeps its auth.json (XDG Base Directory Specification)
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true, value_name = "DIR")]
    xdg_runtime_dir: Option<PathBuf>,
}

impl Access {
    /// A client for these images.
    pub(crate) fn client(&self, app: &App, references: &[&Reference]) -> Result<Client, Report> {
        let registries: BTreeSet<String> =
            references.iter().map(|reference| reference.repository().registry().to_owned()).collect();
        let mut credentials = Credentials::from_files(self.files(app));
        if let Some(username) = &self.username {
            let password = Secret::new(password()?);
            for registry in &registries {
                let given = Credential::Basic { username: username.clone(), password: password.clone() };
                credentials = credentials.with(registry, given);
            }
        }
        let insecure = if self.insecure { registries } else { BTreeSet::new() };
        Ok(Client::new(ClientOptions { credentials, insecure, ..ClientOptions::default() }))
    }

    /// Where credentials may be, the most specific first (containers-auth.json(5), docker-login(1)).
    fn files(&self, app: &App) -> Vec<PathBuf> {
        if let Some(file) = &self.auth_file {
            return vec![file.clone()];
        }
        let (home, mut files) = (app.global.home(), Vec::new());
        files.extend(self.xdg_runtime_dir.as_ref().map(|dir| dir.join("containers/auth.json")));
        files.extend(home.as_ref().map(|home| home.join(".config/containers/auth.json")));
        let docker = self.docker_config.clone().or_else(|| home.map(|home| home.join(".docker")));
        files.extend(docker.map(|dir| dir.join("config.json")));
        files
    }
}

fn password() -> Result<String, Report> {
    let mut text = String::new();
    let read = std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Report::new(report::ARGUMENT, "the password can't be read from stdin").because(&error))?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Report::new(report::ARGUMENT, "there is no password on stdin")
            .hint("write `--password-stdin < FILE`, or pipe it in"));
    }
    Ok(password.to_owned())
}
