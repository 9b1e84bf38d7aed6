//! The last steps inside of the container: tie it to the process that watches it, install the filter of system calls,
//! execute the program. Everything else was done before by `libcontainer`.
//!
//! Invariant: the program is executed under its whole filter or not at all, and why not is told to who watches.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use oci_spec::runtime::Spec;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::config::{Config, Profile};
use crate::seccomp::{self, Filter, SeccompError};

/// What is executed.
#[derive(Clone)]
pub(crate) struct Run {
    program: PathBuf,
    arguments: Vec<String>,
    filter: Option<Filter>,
    /// Closed by the execution; before, it takes the reason why there was none.
    report: Arc<std::io::PipeWriter>,
}

impl Run {
    /// Compiles the filter, so that a profile that can't be had is told before anything is made.
    pub(crate) fn new(config: &Config, report: std::io::PipeWriter) -> Result<Self, SeccompError> {
        let filter = match &config.seccomp {
            Profile::None => None,
            Profile::RuntimeDefault => Some(seccomp::runtime_default(&config.capabilities)?),
            Profile::Text(text) => Some(seccomp::from_file(text)?),
        };
        let (program, arguments) = (config.program.clone(), config.arguments.clone());
        Ok(Self { program, arguments, filter, report: Arc::new(report) })
    }

    fn execute(&self) -> String {
        let mut command = Command::new(&self.program);
        let mut arguments = self.arguments.iter();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments);
        // Whoever watches has blocked signals, and a program would keep that: not every one unblocks what it handles.
        if let Err(error) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
            return format!("its signals can't be unblocked: {error}");
        }
        for program in self.filter.iter().flat_map(|filter| &filter.0) {
            if let Err(error) = seccompiler::apply_filter(program) {
                return format!("the filter of system calls can't be installed: {error}");
            }
        }
        format!("{} can't be executed: {}", self.program.display(), command.exec())
    }
}

/// Ends the container with the process that watches it. Forgotten when the user changes, so it is asked for afterwards.
fn end_with_parent() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())
}

impl Executor for Run {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        end_with_parent().map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let why = self.execute();
        // Who watches may be gone.
        (&*self.report).write_all(why.as_bytes()).ok();
        Err(ExecutorError::Other(why))
    }
}
