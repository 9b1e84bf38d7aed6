//! What a process may see, do and use: a container of its own, made by `libcontainer`, or a reason by name why this
//! machine can't give it.
//!
//! [`Machine`] tells what can be given; [`Config`] says what one container gets; [`command`] starts our own binary
//! anew as the one that makes it ([`helper`]), which hands the rest to `libcontainer` (`spec`) and, last, installs the
//! filter of system calls ([`seccomp`]) and executes the program (`executor`). [`End`] and [`cgroup`] tell how it
//! ended, and end what a crash left.
//!
//! Nothing here is `async`, and nothing of it decides what a workload should get.

pub mod capability;
pub mod cgroup;
mod config;
mod end;
mod enter;
mod executor;
pub mod helper;
pub mod image;
mod machine;
mod refuse;
pub mod seccomp;
mod spec;
mod start;
#[cfg(test)]
mod testing;
mod watch;

pub use config::{CONFIG_BYTES_MAX, Config, Limits, Mount, Profile};
pub use end::End;
pub use machine::{Machine, Missing};
pub use refuse::{REFUSED, Refusal, refusals};
pub use start::{command, enter_command};
