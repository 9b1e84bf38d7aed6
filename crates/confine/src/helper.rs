//! The process that makes one container, watches it, and ends as its program ends. It is our own binary, executed anew
//! with one word as argument, because `libcontainer` forks, which a process with threads must not.
//!
//! Invariants: it has one thread. Its configuration comes on standard input. Mounts are made in a namespace of its own,
//! so none is left when it is gone; the container ends with it, whatever ends it. Its process id and group stand for the
//! container's: a signal to it is handed on, and its end is the program's.

use std::error::Error;
use std::fs::{self, DirBuilder, File};
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::cgroup;
use crate::config::{CONFIG_BYTES_MAX, Config, Order};
use crate::end::End;
use crate::enter;
use crate::executor::Run;
use crate::spec::spec;
use crate::watch::{self, Signals};

/// The one argument with which our binary is this.
pub const ARGUMENT: &str = "__container";
/// The exit status when there was no container: what shells and engines have for "could not be executed".
const FAILED: u8 = 126;
/// The folder in a container's folder that is in memory.
const BOX: &str = "box";
/// How much of a reason is kept.
const REASON_BYTES_MAX: u64 = 4096;

/// Runs when the binary was started with [`ARGUMENT`] as its only argument, before anything else may start a thread.
pub fn main() -> ExitCode {
    let end = match order() {
        Ok(Order::Make(config)) => make(&config),
        Ok(Order::Enter(config, helper)) => enter::run(&config, helper).unwrap_or_else(End::Failed),
        Err(error) => End::Failed(format!("no container can be made of standard input: {error}")),
    };
    if let End::Failed(why) = &end {
        tell(why);
    }
    match end {
        End::Status(status) => ExitCode::from(u8::try_from(status & 0xff).unwrap_or(FAILED)),
        End::OutOfMemory => watch::end_by_signal(9),
        End::Signal(signal) => watch::end_by_signal(signal),
        End::Failed(_) => ExitCode::from(FAILED),
    }
}

/// Makes a container, waits for its end, tells it, and leaves nothing.
fn make(config: &Config) -> End {
    let end = run(config).unwrap_or_else(End::Failed);
    if let Err(error) = cgroup::remove(&config.cgroup) {
        tell(&format!("control groups are left: {error}"));
    }
    if let Err(error) = end.write(&config.dir) {
        tell(&format!("the end of the container can't be told: {error}"));
    }
    end
}

/// This is what would be a program's standard error: there is no other place for it.
#[expect(clippy::print_stderr, reason = "the helper stands for the program, whose output is kept")]
fn tell(why: &str) {
    eprintln!("prograde: {why}");
}

fn order() -> io::Result<Order> {
    let mut text = Vec::new();
    io::stdin().take(CONFIG_BYTES_MAX).read_to_end(&mut text)?;
    // What comes after reads nothing.
    nix::unistd::dup2(File::open("/dev/null")?.as_raw_fd(), io::stdin().as_raw_fd())?;
    Ok(serde_json::from_slice(&text)?)
}

fn run(config: &Config) -> Result<End, String> {
    let signals = Signals::block()?;
    let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    let executor = Run::new(config, writer).map_err(|error| error.to_string())?;
    let place = Place::prepare(config).map_err(|error| format!("its file system can't be prepared: {error}"))?;
    // What a helper that was killed left.
    cgroup::remove(&config.cgroup).map_err(|error| format!("the control group of the one before is left: {error}"))?;
    let spec = spec(config, &place.root, has_swap())?;
    spec.save(place.bundle.join("config.json")).map_err(|error| causes(&error))?;
    let built = ContainerBuilder::new(config.id.clone(), SyscallType::default())
        .with_root_path(&place.state)
        .map(|builder| builder.with_executor(executor))
        .and_then(ContainerBuilder::validate_id)
        .and_then(|builder| builder.as_init(&place.bundle).with_systemd(false).with_detach(true).build());
    let mut container = built.map_err(|error| format!("it can't be made: {}", causes(&error)))?;
    let pid = container.pid().ok_or("it has no process")?.as_raw();
    container.start().map_err(|error| format!("it can't be started: {}", causes(&error)))?;
    if let Some(why) = reason(reader) {
        Signals::reap(pid)?;
        return Err(why);
    }
    let end = signals.watch(pid)?;
    Ok(if cgroup::ran_out_of_memory(&config.cgroup) { End::OutOfMemory } else { end })
}

/// Why the program was not executed; nothing once it is, which closes the pipe.
pub(crate) fn reason(reader: PipeReader) -> Option<String> {
    let mut why = String::new();
    reader.take(REASON_BYTES_MAX).read_to_string(&mut why).ok()?;
    (!why.is_empty()).then_some(why)
}

/// An error and all of its causes in one line.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some repeat what they are caused by.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Without swap nothing can be swapped out, and some kernels do not count it then.
fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}

/// Folders in memory that only this process and the container see.
pub(crate) struct Place {
    root: PathBuf,
    /// Where the specification is.
    pub(crate) bundle: PathBuf,
    /// What `libcontainer` keeps of the container.
    pub(crate) state: PathBuf,
}

impl Place {
    /// Where they are.
    pub(crate) fn of(config: &Config) -> Self {
        let folder = config.dir.join(BOX);
        Self { root: folder.join("root"), bundle: folder.join("bundle"), state: folder.join("state") }
    }

    /// The root file system is a layer over the image's: in memory where nobody may write, else on the disk, empty again.
    fn prepare(config: &Config) -> io::Result<Self> {
        own_mounts()?;
        let folder = config.dir.join(BOX);
        folder_at(&folder, 0o700)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), &folder, Some("tmpfs"), flags, Some("mode=0700,size=16m"))?;
        let layer = if config.read_only_root { folder.join("layer") } else { config.dir.join("layer") };
        match fs::remove_dir_all(&layer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let place = Self::of(config);
        for path in [&place.root, &place.bundle, &place.state, &layer, &layer.join("upper"), &layer.join("work")] {
            folder_at(path, 0o755)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            escaped(&config.image)?,
            escaped(&layer.join("upper"))?,
            escaped(&layer.join("work"))?
        );
        mount(Some("overlay"), &place.root, Some("overlay"), MsFlags::MS_NODEV, Some(options.as_str()))?;
        Ok(place)
    }
}

/// From here on, mounts are this process's and its container's alone.
fn own_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_PRIVATE | MsFlags::MS_REC, nothing)?;
    Ok(())
}

fn folder_at(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// A path as an option of an overlay: the kernel splits at `:` and `,` (Documentation/filesystems/overlayfs.rst).
fn escaped(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))?;
    Ok(text.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,"))
}
