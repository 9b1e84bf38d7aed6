//! Builds Dockerfiles with the builder that is installed: Docker's buildx, `BuildKit`'s buildctl, buildah, or docker.
//!
//! Invariant: arguments go to the program as they are, never through a shell, and what it makes is read as one that
//! could be anything.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::cut;

/// The builders that are known, in the order in which they are looked for.
pub const BUILDERS: [&str; 4] = ["buildx", "buildctl", "buildah", "docker"];

/// Why a Dockerfile was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    /// No builder is installed, or none that works.
    #[error("no builder of Dockerfiles works here: {tried}")]
    None {
        /// Each that was tried, and why it is out.
        tried: String,
    },
    /// The builder can't do it.
    #[error("{builder} can't {what}")]
    Unable {
        /// Which.
        builder: String,
        /// What is missing.
        what: &'static str,
    },
    /// The builder could not be started.
    #[error("{program} can't be started")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It ended badly; what it said went to stderr.
    #[error("{program} ended with {status}")]
    Failed {
        /// Which.
        program: String,
        /// Its status.
        status: String,
    },
}

/// A Dockerfile to build.
#[derive(Debug, Clone)]
pub struct DockerfileBuild {
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// What it can copy from.
    pub context: PathBuf,
    /// `os/architecture`; the builder's own where there is none.
    pub platforms: Vec<String>,
    /// `NAME=value` of its arguments.
    pub build_args: Vec<String>,
    /// The stage to stop at.
    pub target: Option<String>,
    /// The builder; the first that works where none is named.
    pub builder: Option<String>,
}

impl DockerfileBuild {
    /// Builds it and writes an OCI archive. Gives the builder's name. What the builder says goes to stderr.
    pub fn run(&self, archive: &Path) -> Result<&'static str, BuilderError> {
        let builder = self.choose()?;
        match builder {
            "buildx" => self.buildx(archive)?,
            "buildctl" => self.buildctl(archive)?,
            "buildah" => self.buildah(archive)?,
            _ => self.docker(archive)?,
        }
        Ok(builder)
    }

    fn choose(&self) -> Result<&'static str, BuilderError> {
        let mut tried = String::new();
        for builder in BUILDERS.into_iter().filter(|name| self.builder.as_ref().is_none_or(|wanted| wanted == name)) {
            match probe(builder) {
                Ok(()) => return Ok(builder),
                Err(why) => {
                    let separator = if tried.is_empty() { "" } else { "; " };
                    // A String takes everything.
                    let _written = write!(tried, "{separator}{builder}: {why}");
                }
            }
        }
        if tried.is_empty() {
            tried = format!("there is no builder {:?}; known are {}", self.builder, BUILDERS.join(", "));
        }
        Err(BuilderError::None { tried })
    }

    fn common(&self, command: &mut Command) {
        if let Some(target) = &self.target {
            command.args(["--target", target]);
        }
        for argument in &self.build_args {
            command.args(["--build-arg", argument]);
        }
    }

    fn buildx(&self, archive: &Path) -> Result<(), BuilderError> {
        let mut command = Command::new("docker");
        command.args(["buildx", "build", "--file"]).arg(&self.dockerfile);
        command.arg("--output").arg(output("type=oci,dest=", archive));
        // It would add its own, which is not reproducible; ours comes when the image is pushed.
        command.args(["--provenance=false", "--sbom=false"]);
        if !self.platforms.is_empty() {
            command.args(["--platform", &self.platforms.join(",")]);
        }
        self.common(&mut command);
        run(command.arg(&self.context))
    }

    fn buildctl(&self, archive: &Path) -> Result<(), BuilderError> {
        let folder = self.dockerfile.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut command = Command::new("buildctl");
        command.args(["build", "--frontend", "dockerfile.v0"]);
        command.arg("--local").arg(output("context=", &self.context));
        command.arg("--local").arg(output("dockerfile=", folder));
        let name = self.dockerfile.file_name().map_or(Path::new("Dockerfile"), Path::new);
        command.arg("--opt").arg(output("filename=", name));
        if !self.platforms.is_empty() {
            command.args(["--opt", &format!("platform={}", self.platforms.join(","))]);
        }
        if let Some(target) = &self.target {
            command.args(["--opt", &format!("target={target}")]);
        }
        for argument in &self.build_args {
            command.args(["--opt", &format!("build-arg:{argument}")]);
        }
        run(command.arg("--output").arg(output("type=oci,dest=", archive)))
    }

    fn buildah(&self, archive: &Path) -> Result<(), BuilderError> {
        let name = format!("localhost/prograde-build-{}", std::process::id());
        let mut command = Command::new("buildah");
        command.args(["build", "--format", "oci", "--file"]).arg(&self.dockerfile);
        if self.platforms.len() > 1 {
            command.args(["--manifest", &name]);
        } else {
            command.args(["--tag", &name]);
        }
        if !self.platforms.is_empty() {
            command.args(["--platform", &self.platforms.join(",")]);
        }
        self.common(&mut command);
        let built = run(command.arg(&self.context)).and_then(|()| {
            let mut command = Command::new("buildah");
            let target = output("oci-archive:", archive);
            if self.platforms.len() > 1 {
                run(command.args(["manifest", "push", "--all", &name]).arg(target))
            } else {
                run(command.args(["push", "--format", "oci", &name]).arg(target))
            }
        });
        let kind: &[&str] = if self.platforms.len() > 1 { &["manifest", "rm"] } else { &["rmi"] };
        let mut remove = Command::new("buildah");
        remove.args(kind).arg(&name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It only lies in the builder's own store.
        let _left = remove.status();
        built
    }

    fn docker(&self, archive: &Path) -> Result<(), BuilderError> {
        if self.platforms.len() > 1 {
            let what = "build for several platforms: install buildx, or build one at a time";
            return Err(BuilderError::Unable { builder: "docker".to_owned(), what });
        }
        let name = format!("prograde-build-{}:latest", std::process::id());
        let mut command = Command::new("docker");
        command.args(["build", "--tag", &name, "--file"]).arg(&self.dockerfile);
        if let Some(platform) = self.platforms.first() {
            command.args(["--platform", platform]);
        }
        self.common(&mut command);
        let built = run(command.arg(&self.context))
            .and_then(|()| run(Command::new("docker").args(["save", &name, "--output"]).arg(archive)));
        let mut remove = Command::new("docker");
        remove.args(["rmi", &name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It only lies in the builder's own store.
        let _left = remove.status();
        built
    }
}

/// Whether a builder is installed and answers.
fn probe(builder: &str) -> Result<(), String> {
    let (program, arguments): (_, &[&str]) = match builder {
        "buildx" => ("docker", &["buildx", "inspect"]),
        "buildctl" => ("buildctl", &["debug", "workers"]),
        "buildah" => ("buildah", &["version"]),
        _ => ("docker", &["version"]),
    };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!("`{program}` is not installed")),
        Err(error) => Err(error.to_string()),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(cut(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it fails").trim(), 200))
        }
    }
}

fn output(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

/// Runs it; its stdout is not ours.
fn run(command: &mut Command) -> Result<(), BuilderError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).status();
    let status = started.map_err(|source| BuilderError::Start { program: program.clone(), source })?;
    if status.success() { Ok(()) } else { Err(BuilderError::Failed { program, status: status.to_string() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_there_is_told_by_name() {
        let build = DockerfileBuild {
            dockerfile: "Dockerfile".into(),
            context: ".".into(),
            platforms: Vec::new(),
            build_args: Vec::new(),
            target: None,
            builder: Some("kaniko".to_owned()),
        };
        let error = build.run(Path::new("x.tar")).unwrap_err().to_string();
        assert!(error.contains("kaniko") && error.contains("buildx, buildctl, buildah, docker"), "{error}");
    }
}
