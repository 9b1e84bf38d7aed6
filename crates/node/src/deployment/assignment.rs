//! A replica that is to get a supervisor.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::process::Process;
use crate::record::Record;
use crate::spec::Spec;

/// One replica and what is to be done with it.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) record: Record,
    pub(crate) role: Role,
    /// Cancelled when it is to be stopped.
    pub(crate) stop: CancellationToken,
}

/// What a supervisor begins with.
#[derive(Debug)]
pub(crate) enum Role {
    /// Start it.
    Run(Arc<Spec>),
    /// Go on with a process that an earlier server started.
    Resume(Arc<Spec>, Process),
    /// Stop a process that nobody wants any more.
    Retire(Process),
}
