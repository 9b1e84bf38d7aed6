//! Starting the process that makes a container.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::config::{CONFIG_BYTES_MAX, Config, Order};
use crate::helper::ARGUMENT;

/// The command that makes a container by `program`, which calls [`crate::helper::main`] when it gets [`ARGUMENT`] alone.
pub fn command(program: &Path, config: &Config) -> io::Result<Command> {
    ordered(program, &Order::Make(config.clone()))
}

/// The command that runs another program, as `config` says, in the container that the process `helper` made.
pub fn enter_command(program: &Path, config: &Config, helper: i32) -> io::Result<Command> {
    ordered(program, &Order::Enter(config.clone(), helper))
}

/// The order is in memory that has no name, so that neither the process list nor the disk shows it.
fn ordered(program: &Path, order: &Order) -> io::Result<Command> {
    let text = serde_json::to_vec(order)?;
    if text.len() as u64 >= CONFIG_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the container's configuration is too long"));
    }
    let mut file = File::from(memfd_create("prograde-container", MemfdFlags::CLOEXEC)?);
    file.write_all(&text)?;
    file.rewind()?;
    let mut command = Command::new(program);
    command.arg(ARGUMENT).env_clear().current_dir("/").stdin(Stdio::from(file));
    Ok(command)
}
