//! Who we are to registries, and how they are spoken to.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use prograde_supply::client::{AwsRole, Client, ClientOptions, Credential, Credentials, Federation, Reference, Secret};

use crate::app::App;
use crate::args::Global;
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
    #[command(flatten)]
    kept: Kept,
}

/// Where credentials for registries are kept.
#[derive(Debug, Args)]
pub(crate) struct Kept {
    /// A file with credentials, in the format of Docker's config.json
    #[arg(long, env = "REGISTRY_AUTH_FILE", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// The directory of Docker's config.json
    #[arg(long, env = "DOCKER_CONFIG", hide = true, value_name = "DIR")]
    docker_config: Option<PathBuf>,
    /// Where podman keeps its auth.json (XDG Base Directory Specification)
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true, value_name = "DIR")]
    xdg_runtime_dir: Option<PathBuf>,
    #[command(flatten)]
    identity: Box<Identity>,
}

/// Who the surroundings say that we are, under the names that the providers' own programs use.
#[derive(Debug, Args)]
struct Identity {
    /// The role that is taken for Amazon's registries
    #[arg(long, env = "AWS_ROLE_ARN", hide = true, value_name = "ARN")]
    aws_role_arn: Option<String>,
    /// The file with the identity's token that may take it
    #[arg(long, env = "AWS_WEB_IDENTITY_TOKEN_FILE", hide = true, value_name = "FILE")]
    aws_web_identity_token_file: Option<PathBuf>,
    /// What the session is called
    #[arg(long, env = "AWS_ROLE_SESSION_NAME", hide = true, default_value = "prograde", value_name = "NAME")]
    aws_role_session_name: String,
    /// Another address of AWS' token service
    #[arg(long, env = "AWS_ENDPOINT_URL_STS", hide = true, value_name = "URL")]
    aws_endpoint_url_sts: Option<String>,
    /// Another address of the API of Amazon's registries
    #[arg(long, env = "AWS_ENDPOINT_URL_ECR", hide = true, value_name = "URL")]
    aws_endpoint_url_ecr: Option<String>,
    /// A file of credentials of the kind `external_account`, for Google's registries
    #[arg(long, env = "GOOGLE_APPLICATION_CREDENTIALS", hide = true, value_name = "FILE")]
    google_application_credentials: Option<PathBuf>,
    /// The token of a running workflow, for GitHub's registry
    #[arg(long, env = "GITHUB_TOKEN", hide = true, hide_env_values = true, value_name = "TOKEN")]
    github_token: Option<String>,
    /// Who runs the workflow
    #[arg(long, env = "GITHUB_ACTOR", hide = true, default_value = "x-access-token", value_name = "NAME")]
    github_actor: String,
}

impl Identity {
    fn federation(&self) -> Federation {
        let role = self.aws_role_arn.clone().zip(self.aws_web_identity_token_file.clone());
        let token = self.github_token.clone().filter(|token| !token.is_empty());
        Federation {
            aws: role.map(|(role, token_file)| AwsRole {
                role,
                token_file,
                session: self.aws_role_session_name.clone(),
                sts: self.aws_endpoint_url_sts.clone(),
                ecr: self.aws_endpoint_url_ecr.clone(),
            }),
            google: self.google_application_credentials.clone(),
            github: token.map(|token| (self.github_actor.clone(), Secret::new(token))),
        }
    }
}

impl Access {
    /// A client for these images.
    pub(crate) fn client(&self, app: &App, references: &[&Reference]) -> Result<Client, Report> {
        let registries: BTreeSet<String> =
            references.iter().map(|reference| reference.repository().registry().to_owned()).collect();
        let ClientOptions { mut credentials, federation, .. } = self.kept.options(&app.global);
        if let Some(username) = &self.username {
            let password = Secret::new(password()?);
            for registry in &registries {
                let given = Credential::Basic { username: username.clone(), password: password.clone() };
                credentials = credentials.with(registry, given);
            }
        }
        let insecure = if self.insecure { registries } else { BTreeSet::new() };
        Ok(Client::new(ClientOptions { credentials, federation, insecure, ..ClientOptions::default() }))
    }
}

impl Kept {
    /// What a client is told of them.
    pub(crate) fn options(&self, global: &Global) -> ClientOptions {
        let credentials = Credentials::from_files(self.files(global));
        ClientOptions { credentials, federation: self.identity.federation(), ..ClientOptions::default() }
    }

    /// Where credentials may be, the most specific first (containers-auth.json(5), docker-login(1)).
    fn files(&self, global: &Global) -> Vec<PathBuf> {
        if let Some(file) = &self.auth_file {
            return vec![file.clone()];
        }
        let (home, mut files) = (global.home(), Vec::new());
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
