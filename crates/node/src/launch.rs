//! From a workload and an image to what is executed: program, arguments, environment, working directory.
//!
//! Invariant: the program is a file inside of the image, and the process inherits nothing: its environment is `PATH`,
//! the image's, the workload's, and its ports.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prograde_model::workload::{Container, EnvValue, PodField};

use crate::confine::Entered;
use crate::image::{self, ImageRoot};
use crate::ports::PortMap;

/// Why a replica could not be started. The texts are what an observation shows as waiting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Nothing to execute.
    #[error("image has neither entrypoint nor command")]
    NoCommand,
    /// The program is not in the image.
    #[error("image entrypoint not found: {0}")]
    NotFound(String),
    /// The program is a directory or lacks the execute bit.
    #[error("image entrypoint is not executable: {0}")]
    NotExecutable(String),
    /// The image was removed from this machine.
    #[error("image root file system is missing")]
    NoRoot,
    /// `workingDir` names no directory of the image.
    #[error("working directory not found in the image: {0}")]
    WorkingDir(String),
    /// A name that no environment can hold.
    #[error("{0:?} is not a name for an environment variable")]
    Variable(String),
    /// Every port of the range is taken.
    #[error("no port to listen on")]
    Ports(#[source] io::Error),
    /// The node's own files could not be written.
    #[error("node cannot keep its files")]
    Files(#[source] io::Error),
    /// The machine can't give what the manifest asks for, and nobody allowed that to be missing.
    #[error("{}", crate::confine::refused(.0))]
    Confinement(prograde_confine::Refusal),
    /// The user that the manifest or the image names is none, or may not be.
    #[error("{0} [PG1302]")]
    User(String),
    /// A profile of system calls can't be had.
    #[error("the profile {0} can't be had: {1} [PG1303]")]
    Profile(PathBuf, String),
    /// The system refused to execute the program.
    #[error("cannot execute {0}")]
    Execute(String, #[source] io::Error),
}

/// An error and all of its causes in one line.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What one replica is told about itself.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// `metadata.name`.
    pub(crate) name: &'a str,
    /// `metadata.namespace`.
    pub(crate) namespace: &'a str,
    /// Its ports.
    pub(crate) ports: &'a PortMap,
    /// `PATH` where the image sets none.
    pub(crate) path: &'a str,
}

/// The environment of one replica, and the image that it runs from.
#[derive(Clone)]
pub(crate) struct Surroundings {
    root: PathBuf,
    directory: PathBuf,
    environment: BTreeMap<String, String>,
    /// The container that is there, where it has one.
    pub(crate) container: Option<Arc<Entered>>,
}

/// What is executed. Shows no values of environment variables and no arguments: they may hold secrets.
pub(crate) struct Launch {
    /// The program, on this machine.
    pub(crate) program: PathBuf,
    /// The program, as the image sees it.
    pub(crate) inside: PathBuf,
    /// The working directory, as the image sees it.
    pub(crate) inside_directory: PathBuf,
    /// The name by which it was asked for, and the arguments.
    pub(crate) arguments: Vec<String>,
    /// The working directory, on this machine.
    pub(crate) directory: PathBuf,
    /// The whole environment.
    pub(crate) environment: BTreeMap<String, String>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).finish_non_exhaustive()
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Resolves the working directory and the environment of `container`. Touches the disk.
    pub(crate) fn new(image: &ImageRoot, container: &Container, facts: &Facts<'_>) -> Result<Self, StartError> {
        if !image.path.is_dir() {
            return Err(StartError::NoRoot);
        }
        let inside = container.working_dir.as_ref().or(image.working_dir.as_ref());
        let inside = inside.map_or("/", String::as_str);
        let directory = image::resolve(&image.path, Path::new(inside))
            .ok()
            .filter(|path| path.is_dir())
            .ok_or_else(|| StartError::WorkingDir(inside.to_owned()))?;
        let environment = environment(image, container, facts)?;
        Ok(Self { root: image.path.clone(), directory, environment, container: None })
    }

    /// The command of the container itself (Kubernetes core/v1 `Container`: `command` replaces the entrypoint and
    /// with it the image's command; `args` replaces the image's command alone).
    pub(crate) fn main(&self, image: &ImageRoot, container: &Container) -> Result<Launch, StartError> {
        let mut argv: Vec<String> = match (&container.command, &container.args) {
            (Some(command), args) => command.iter().chain(args.iter().flatten()).cloned().collect(),
            (None, Some(args)) => image.entrypoint.iter().chain(args).cloned().collect(),
            (None, None) => return self.command(image.entrypoint.iter().chain(&image.cmd).cloned().collect()),
        };
        for argument in &mut argv {
            *argument = expand(argument, &self.environment);
        }
        self.command(argv)
    }

    /// Any command in the same surroundings, such as that of an `exec` probe.
    pub(crate) fn command(&self, arguments: Vec<String>) -> Result<Launch, StartError> {
        let name = arguments.first().filter(|name| !name.is_empty()).ok_or(StartError::NoCommand)?;
        let program = self.find(name)?;
        let (inside, inside_directory) = (self.inside(&program), self.inside(&self.directory));
        let (directory, environment) = (self.directory.clone(), self.environment.clone());
        Ok(Launch { program, inside, inside_directory, arguments, directory, environment })
    }

    /// Where the program `name` is: as given when it has a `/` in it, else in the first directory of `PATH` that has it.
    fn find(&self, name: &str) -> Result<PathBuf, StartError> {
        let inside = self.inside(&self.directory);
        let candidates: Vec<PathBuf> = if name.contains('/') {
            vec![inside.join(name)]
        } else {
            let path = self.environment.get("PATH").map_or("", String::as_str);
            path.split(':').filter(|dir| !dir.is_empty()).map(|dir| inside.join(dir).join(name)).collect()
        };
        let mut refused = None;
        for candidate in candidates {
            let Ok(path) = image::resolve(&self.root, &candidate) else { continue };
            match path.metadata() {
                Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(path),
                Ok(_) => refused = Some(StartError::NotExecutable(name.to_owned())),
                Err(_) => {}
            }
        }
        Err(refused.unwrap_or_else(|| StartError::NotFound(name.to_owned())))
    }

    /// A path of this machine below the root as the image sees it.
    fn inside(&self, path: &Path) -> PathBuf {
        let root = std::fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        Path::new("/").join(path.strip_prefix(&root).unwrap_or(Path::new("")))
    }
}

/// `PATH`, then the image's variables, then the workload's, then the ports: later ones win. The ports come last because
/// on this node a port that the manifest chose would be the wrong one.
fn environment(
    image: &ImageRoot,
    container: &Container,
    facts: &Facts<'_>,
) -> Result<BTreeMap<String, String>, StartError> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), facts.path.to_owned())]);
    for pair in &image.env {
        let (name, value) = pair.split_once('=').ok_or_else(|| StartError::Variable(pair.clone()))?;
        environment.insert(checked(name)?, value.to_owned());
    }
    // As in Kubernetes, `$(NAME)` refers to what the manifest defined before, never to the image's variables.
    let mut defined: BTreeMap<String, String> = facts.ports.environment().into_iter().collect();
    for (name, value) in &container.env {
        let value = match value {
            EnvValue::Plain(text) => expand(text, &defined),
            EnvValue::Secret(text) => text.clone(),
            EnvValue::Field(PodField::Name) => facts.name.to_owned(),
            EnvValue::Field(PodField::Namespace) => facts.namespace.to_owned(),
            EnvValue::Field(PodField::Ip) => "127.0.0.1".to_owned(),
        };
        defined.insert(checked(name)?, value);
    }
    environment.extend(defined);
    environment.extend(facts.ports.environment());
    Ok(environment)
}

fn checked(name: &str) -> Result<String, StartError> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(StartError::Variable(name.to_owned()));
    }
    Ok(name.to_owned())
}

/// Replaces `$(NAME)` by the variable's value and `$$` by `$`; a name that is not defined stays as it is written
/// (Kubernetes core/v1 `Container`, fields `command`, `args` and `env`).
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match reference {
            Some((name, tail)) if variables.contains_key(name) => {
                expanded.push_str(variables.get(name).map_or("", String::as_str));
                rest = tail;
            }
            Some(_) | None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::workload;

    fn image(dir: &Path) -> ImageRoot {
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::create_dir_all(dir.join("srv")).unwrap();
        fs::write(dir.join("bin/app"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(dir.join("bin/app"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join("bin/data"), "").unwrap();
        ImageRoot {
            path: dir.to_owned(),
            entrypoint: vec!["/bin/app".into()],
            cmd: vec!["serve".into()],
            env: vec!["LANG=C".into(), "PATH=/bin".into(), "PORT=1".into()],
            working_dir: None,
            user: None,
        }
    }

    fn launch(image: &ImageRoot, container: &Container) -> Result<Launch, StartError> {
        let ports = PortMap::new(&workload(), &[20001]);
        let facts = Facts { name: "pad-1", namespace: "staging", ports: &ports, path: "/usr/bin" };
        Surroundings::new(image, container, &facts)?.main(image, container)
    }

    #[test]
    fn command_and_args_replace_what_kubernetes_says_they_replace() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let mut container = workload().container;
        let arguments = |container: &Container| launch(&image, container).unwrap().arguments;
        assert_eq!(arguments(&container), ["/bin/app", "serve"]);
        container.args = Some(vec!["--port=$(PORT)".into(), "$$(PORT) $(NONE) $".into()]);
        assert_eq!(arguments(&container), ["/bin/app", "--port=20001", "$(PORT) $(NONE) $"]);
        container.command = Some(vec!["app".into(), "other".into()]);
        assert_eq!(arguments(&container)[..2], ["app", "other"]);
        container.args = None;
        assert_eq!(arguments(&container), ["app", "other"]);
    }

    #[test]
    fn the_environment_is_the_image_then_the_workload_then_the_ports() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let mut container = workload().container;
        container.env = vec![
            ("A".into(), EnvValue::Plain("1".into())),
            ("B".into(), EnvValue::Plain("$(A)-$(LANG)-$(LATER)".into())),
            ("LATER".into(), EnvValue::Secret("$(A)".into())),
            ("POD".into(), EnvValue::Field(PodField::Name)),
            ("NS".into(), EnvValue::Field(PodField::Namespace)),
            ("IP".into(), EnvValue::Field(PodField::Ip)),
            ("PORT".into(), EnvValue::Plain("8080".into())),
        ];
        let launch = launch(&image, &container).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "1-$(LANG)-$(LATER)"),
            ("IP", "127.0.0.1"),
            ("LANG", "C"),
            ("LATER", "$(A)"),
            ("NS", "staging"),
            ("PATH", "/bin"),
            ("POD", "pad-1"),
            ("PORT", "20001"),
            ("PORT_HTTP", "20001"),
        ];
        let expected: BTreeMap<String, String> = expected.map(|(name, value)| (name.into(), value.into())).into();
        assert_eq!(launch.environment, expected);
        assert!(!format!("{launch:?}").contains("$(A)"), "no values in Debug");
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        symlink("/bin/sh", dir.path().join("escape")).unwrap();
        let with = |command: &str| {
            let container = Container { command: Some(vec![command.into()]), ..workload().container };
            launch(&image, &container).unwrap_err().to_string()
        };
        assert_eq!(with("/bin/absent"), "image entrypoint not found: /bin/absent");
        assert_eq!(with("../../bin/sh"), "image entrypoint not found: ../../bin/sh");
        assert_eq!(with("/escape"), "image entrypoint not found: /escape");
        assert_eq!(with("sh"), "image entrypoint not found: sh");
        assert_eq!(with("/bin/data"), "image entrypoint is not executable: /bin/data");
        assert_eq!(with(""), "image has neither entrypoint nor command");

        let container = Container { working_dir: Some("/nowhere".into()), ..workload().container };
        assert!(launch(&image, &container).unwrap_err().to_string().ends_with("in the image: /nowhere"));
        let container =
            Container { working_dir: Some("/bin".into()), command: Some(vec!["./app".into()]), ..container };
        assert_eq!(launch(&image, &container).unwrap().directory, fs::canonicalize(dir.path()).unwrap().join("bin"));
        let container = Container { env: vec![("A=B".into(), EnvValue::Plain(String::new()))], ..container };
        assert!(matches!(launch(&image, &container), Err(StartError::Variable(_))));
        let gone = ImageRoot { path: dir.path().join("gone"), ..image };
        assert!(matches!(launch(&gone, &workload().container), Err(StartError::NoRoot)));
    }
}
