//! Running another program in a container that is there, such as a probe's command: in its namespaces and control
//! groups, as its user, under its filter.
//!
//! Invariant: nothing is left of it in the container's memory, however often it is done.

use std::fs::{self, File};
use std::io;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{FlockOperation, flock};

use crate::config::Config;
use crate::end::End;
use crate::executor::Run;
use crate::helper::{Place, causes, reason};
use crate::spec::process;
use crate::watch::Signals;

/// What `libcontainer` calls the sockets that it makes for this and leaves.
const SOCKETS: &str = "tenant-notify-";

/// Runs the program of `config` to its end in the container that the process `helper` made.
pub(crate) fn run(config: &Config, helper: i32) -> Result<End, String> {
    let signals = Signals::block()?;
    let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    let executor = Run::new(config, writer).map_err(|error| error.to_string())?;
    let gone = |error: io::Error| format!("its container is gone: {error}");
    // What the container was made from is in memory that only its helper sees.
    let namespace = File::open(format!("/proc/{helper}/ns/mnt")).map_err(gone)?;
    setns(namespace, CloneFlags::CLONE_NEWNS).map_err(|error| gone(error.into()))?;
    let place = Place::of(config);
    // One after the other, so that what one leaves is not what the next needs.
    let lock = File::open(place.bundle.join("config.json")).map_err(gone)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| gone(error.into()))?;
    let written = place.bundle.join("process.json");
    fs::write(&written, process(config).to_string()).map_err(gone)?;
    let built = ContainerBuilder::new(config.id.clone(), SyscallType::default())
        .with_root_path(&place.state)
        .map(|builder| builder.with_executor(executor))
        .and_then(ContainerBuilder::validate_id)
        .and_then(|builder| builder.as_tenant().with_detach(true).with_process(Some(&written)).build());
    forget_sockets(&place, config);
    drop(lock);
    let pid = built.map_err(|error| format!("it can't be entered: {}", causes(&error)))?.as_raw();
    match reason(reader) {
        Some(why) => Signals::reap(pid).and(Err(why)),
        None => signals.watch(pid),
    }
}

fn forget_sockets(place: &Place, config: &Config) {
    let entries = fs::read_dir(place.state.join(&config.id)).into_iter().flatten().flatten();
    for socket in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(SOCKETS)) {
        // What stays is removed by the next.
        fs::remove_file(socket.path()).ok();
    }
}
