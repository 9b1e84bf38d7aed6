//! From what a workload asks to be held to, to the container that its process becomes, or to a plain process.
//!
//! Invariant: a workload that asks for something gets all of it, or is not started, save for what its environment allows
//! to be missing.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prograde_confine::image::{ImageUser, check_program, database, user};
use prograde_confine::seccomp::{PROFILE_BYTES_MAX, from_file};
use prograde_confine::{Config, Limits, Machine, Missing, Mount, Profile, REFUSED, Refusal, capability, refusals};
use prograde_model::confinement::{Asked, Confinement, Part, RunAs, Seccomp, VolumeMount};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::files::{private_dir, read_bounded};
use crate::image::{self, ImageRoot};
use crate::launch::{Launch, StartError};
use crate::process::Process;
use crate::spec::Spec;

/// Where profiles of `type: Localhost` are, in the data directory.
const PROFILES: &str = "seccomp";
/// Above the groups of all nodes of this machine.
const GROUPS: &str = "/prograde";

/// How a program is started.
#[derive(Debug)]
pub(crate) enum Way {
    /// As a process like any other.
    Plain,
    /// In a container.
    Confined(Box<Config>),
}

/// A container that is there, for programs that are to run in it.
#[derive(Debug)]
pub(crate) struct Entered {
    /// What it was made from.
    pub(crate) config: Config,
    /// The process that made it.
    pub(crate) helper: i32,
    /// The binary that enters it.
    pub(crate) program: PathBuf,
}

impl Entered {
    /// The container that a process stands for, where it was started in that way.
    pub(crate) fn new(way: Way, process: &Process, context: &Context) -> Option<Arc<Self>> {
        let Way::Confined(config) = way else { return None };
        let program = context.options.container_program.clone();
        Some(Arc::new(Self { config: *config, helper: process.identity().pid, program }))
    }

    /// What is needed to run `launch` in it.
    pub(crate) fn command(&self, launch: &Launch) -> io::Result<std::process::Command> {
        let config = Config {
            program: launch.inside.clone(),
            arguments: launch.arguments.clone(),
            directory: launch.inside_directory.clone(),
            ..self.config.clone()
        };
        prograde_confine::enter_command(&self.program, &config, self.helper)
    }
}

/// The control group of the containers of a node, from the folder that its replicas' folders are in.
pub(crate) fn node_group(replicas: &Path) -> String {
    let hash = Sha256::digest(replicas.as_os_str().as_encoded_bytes());
    format!("{GROUPS}/{}", hex::encode(hash.iter().copied().take(8).collect::<Vec<u8>>()))
}

/// The control group of one container, from its folder.
pub(crate) fn group(dir: &Path) -> String {
    let id = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/{id}", node_group(dir.parent().unwrap_or(Path::new("/"))))
}

/// The name of the control group that the container of a replica has, in a node with this data directory.
pub fn container_group(data_dir: &Path, replica: &str) -> String {
    group(&data_dir.join("replicas").join(replica))
}

/// How `launch`, a program of `spec`, is to be started with its files in `dir`. Makes its volumes.
pub(crate) fn way(context: &Context, spec: &Spec, launch: &Launch, dir: &Path) -> Result<Way, StartError> {
    let Some(given) = &spec.workload.confinement else { return Ok(Way::Plain) };
    let allowed = spec.workload.unconfined.as_slice();
    let mut given = given.clone();
    // Every container has this limit: what it may use is the machine's.
    let (field, file) = ("pids_max of the node".to_owned(), String::new());
    given.asked.push(Asked { part: Part::PidsLimit, field, file, line: 0, column: 0 });
    let machine = for_image(&context.machine, &spec.image, launch);
    if let Some(refusal) = refusals(&given, allowed, &machine).into_iter().next() {
        return Err(StartError::Confinement(refusal));
    }
    if machine.missing(Part::Container).is_some() {
        tracing::warn!(
            program = %launch.program.display(),
            "a program runs as a plain process, as its environment allows"
        );
        return Ok(Way::Plain);
    }
    config(context, spec, &given, launch, dir, &machine).map(|config| Way::Confined(Box::new(config)))
}

/// The machine, less what can't be given because of the image.
fn for_image(machine: &Machine, image: &ImageRoot, launch: &Launch) -> Machine {
    let mut machine = machine.clone();
    let checked = check_program(&launch.inside, launch.program.clone(), |path| image::resolve(&image.path, path));
    if let Err(lacking) = checked
        && machine.missing(Part::Container).is_none()
    {
        let way_out = "link the program statically, or build the image on one that has it";
        machine.missing.push(Missing { part: Part::Container, why: lacking.to_string(), way_out: way_out.to_owned() });
    }
    machine
}

fn config(
    context: &Context,
    spec: &Spec,
    given: &Confinement,
    launch: &Launch,
    dir: &Path,
    machine: &Machine,
) -> Result<Config, StartError> {
    let who = identity(&spec.image, &given.user)?;
    let mut environment = launch.environment.clone();
    environment.entry("HOME".to_owned()).or_insert(who.home);
    let (add, drop) = (&given.capabilities_add, &given.capabilities_drop);
    let (capabilities, _allowed) = capability::given(add, drop, given.privileged, &machine.capabilities);
    // What the environment allows to be missing is missing, where it is.
    let has = |part| machine.missing(part).is_none();
    let seccomp = if has(Part::Seccomp) { profile(context, &given.seccomp)? } else { Profile::None };
    let limits = Limits {
        memory_bytes_max: given.memory_bytes_max.filter(|_| has(Part::MemoryLimit)),
        cpu_milli_max: given.cpu_milli_max.filter(|_| has(Part::CpuLimit)),
        cpu_milli_share: given.cpu_milli_share.filter(|_| has(Part::CpuLimit)),
        pids_max: Some(context.options.pids_max).filter(|_| has(Part::PidsLimit)),
    };
    let mount = |mount: &VolumeMount| volume(dir, mount, given.user.fs_group);
    let mounts = given.mounts.iter().map(mount).collect::<io::Result<_>>().map_err(StartError::Files)?;
    Ok(Config {
        id: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        dir: dir.to_owned(),
        image: spec.image.path.clone(),
        program: launch.inside.clone(),
        arguments: launch.arguments.clone(),
        environment,
        directory: launch.inside_directory.clone(),
        uid: who.uid,
        gid: who.gid,
        groups: who.groups,
        capabilities,
        no_new_privileges: !given.may_escalate || !matches!(seccomp, Profile::None),
        seccomp,
        read_only_root: given.read_only_root,
        privileged: given.privileged,
        limits,
        mounts,
        cgroup: group(dir),
    })
}

/// Who the process is: as the manifest says, and where that is silent as the image says.
fn identity(image: &ImageRoot, asked: &RunAs) -> Result<ImageUser, StartError> {
    let read = |name: &str| database(image::resolve(&image.path, Path::new(name)));
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let name = match asked.user {
        Some(uid) => uid.to_string(),
        None => image.user.clone().unwrap_or_default(),
    };
    let mut who = user(&name, &passwd, &group).map_err(StartError::User)?;
    if asked.non_root && who.uid == 0 {
        let why = "`runAsNonRoot` is set and the image's user is 0: set `runAsUser`, or `USER` of the image";
        return Err(StartError::User(why.to_owned()));
    }
    who.gid = asked.group.unwrap_or(who.gid);
    let more = asked.supplementary.iter().copied().chain(asked.fs_group);
    let groups: BTreeSet<u32> = who.groups.iter().copied().chain(more).collect();
    Ok(ImageUser { groups: groups.into_iter().collect(), ..who })
}

fn profile(context: &Context, asked: &Seccomp) -> Result<Profile, StartError> {
    let file = match asked {
        Seccomp::Unconfined => return Ok(Profile::None),
        Seccomp::RuntimeDefault => return Ok(Profile::RuntimeDefault),
        Seccomp::Localhost(file) => file,
    };
    let folder = context.options.data_dir.join(PROFILES);
    let path = image::resolve(&folder, Path::new(file));
    let text = path.and_then(|path| read_bounded(&path, PROFILE_BYTES_MAX));
    let refuse = |why: String| StartError::Profile(folder.join(file), why);
    let text =
        String::from_utf8(text.map_err(|error| refuse(error.to_string()))?).map_err(|e| refuse(e.to_string()))?;
    from_file(&text).map_err(|error| refuse(error.to_string()))?;
    Ok(Profile::Text(text))
}

/// A volume on the disk is kept as long as its replica, over restarts of its process; anybody may write to it, as to an
/// `emptyDir` of Kubernetes.
fn volume(dir: &Path, mount: &VolumeMount, group: Option<u32>) -> io::Result<Mount> {
    let (path, read_only) = (PathBuf::from(&mount.path), mount.read_only);
    if mount.in_memory {
        return Ok(Mount { path, source: None, bytes_max: mount.bytes_max, group, read_only });
    }
    let volumes = dir.join("volumes");
    private_dir(&volumes)?;
    let source = volumes.join(&mount.volume);
    if !source.is_dir() {
        DirBuilder::new().mode(0o700).create(&source)?;
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        chown(&source, None, group)?;
        fs::set_permissions(&source, Permissions::from_mode(mode))?;
    }
    Ok(Mount { path, source: Some(source), bytes_max: None, group: None, read_only })
}

/// Ends the containers of a node that no replica stands for: what a crash in the middle of a start or an end left.
pub(crate) fn end_strays(replicas: &Path, known: &BTreeSet<String>) {
    let node = node_group(replicas);
    for stray in prograde_confine::cgroup::below(&node) {
        let id = stray.rsplit('/').next().unwrap_or_default();
        if known.contains(id) {
            continue;
        }
        tracing::warn!(container = id, "a container that no record tells of is ended");
        if let Err(error) = prograde_confine::cgroup::remove(&stray) {
            tracing::warn!(container = id, %error, "a control group can't be removed");
        }
    }
}

/// Removes the group that all of a node's containers were in, once they are gone.
pub(crate) fn forget_node(data_dir: &Path) {
    prograde_confine::cgroup::remove_empty(&node_group(&data_dir.join("replicas")));
}

/// The message of a refusal, with the way out.
pub(crate) fn refused(refusal: &Refusal) -> String {
    format!("{refusal}; {} [{REFUSED}]", refusal.way_out())
}
