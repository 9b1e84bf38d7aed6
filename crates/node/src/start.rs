//! Starting one process of a replica: ports, files, record, execution. Touches the disk; runs beside the event loop.

use std::sync::Arc;

use crate::confine::{self, Entered};
use crate::context::Context;
use crate::files::private_dir;
use crate::launch::{Facts, StartError, Surroundings};
use crate::logs::{LogStream, writer};
use crate::ports::{PortLease, PortMap, needed};
use crate::process::Process;
use crate::record::{Record, Running};
use crate::spec::Spec;

/// What is needed to start a replica.
pub(crate) struct Start {
    pub(crate) context: Arc<Context>,
    pub(crate) spec: Arc<Spec>,
    pub(crate) record: Record,
}

/// A replica whose process runs.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) record: Record,
    pub(crate) lease: PortLease,
    pub(crate) surroundings: Surroundings,
}

impl Start {
    /// Writes the record both before and after: one without a process says that there may be one all the same.
    pub(crate) fn run(self) -> Result<Started, StartError> {
        let Self { context, spec, mut record } = self;
        let dir = context.replica_dir(&record.id);
        private_dir(&dir).map_err(StartError::Files)?;
        record.running = None;
        record.write(&dir).map_err(StartError::Files)?;
        let stdout = writer(&dir, LogStream::Stdout.as_str()).map_err(StartError::Files)?;
        let stderr = writer(&dir, LogStream::Stderr.as_str()).map_err(StartError::Files)?;
        context.logs.register(&record.id, &record.target, &record.revision, &dir).map_err(StartError::Files)?;

        let lease = context.pool.lease(needed(&spec.workload).len()).map_err(StartError::Ports)?;
        let ports = PortMap::new(&spec.workload, &lease.ports);
        let mut surroundings = Self::surroundings(&context, &spec, &record, &ports)?;
        let launch = surroundings.main(&spec.image, &spec.workload.container)?;
        let program = launch.arguments.first().cloned().unwrap_or_default();
        let way = confine::way(&context, &spec, &launch, &dir)?;
        let process = Process::start(&way, &launch, &context.options.container_program, (stdout, stderr))
            .map_err(|error| StartError::Execute(program, error))?;
        surroundings.container = Entered::new(way, &process, &context);
        record.running = Some(Running::new(&process, ports));
        if let Err(error) = record.write(&dir) {
            // It runs, and would be found by its files if this server died.
            tracing::warn!(replica = record.id, %error, "replica's record can't be written");
        }
        Ok(Started { process, record, lease, surroundings })
    }

    /// Where the probes of a replica run whose process an earlier server started.
    pub(crate) fn resumed(
        context: &Context,
        spec: &Spec,
        record: &Record,
        ports: &PortMap,
        process: &Process,
    ) -> Result<Surroundings, StartError> {
        let mut surroundings = Self::surroundings(context, spec, record, ports)?;
        if process.is_confined() {
            let launch = surroundings.main(&spec.image, &spec.workload.container)?;
            let way = confine::way(context, spec, &launch, &context.replica_dir(&record.id))?;
            surroundings.container = Entered::new(way, process, context);
        }
        Ok(surroundings)
    }

    /// Where a replica's process and its probes run.
    pub(crate) fn surroundings(
        context: &Context,
        spec: &Spec,
        record: &Record,
        ports: &PortMap,
    ) -> Result<Surroundings, StartError> {
        let facts = Facts {
            name: &record.id,
            namespace: record.target.environment.as_str(),
            ports,
            path: &context.options.path,
        };
        Surroundings::new(&spec.image, &spec.workload.container, &facts)
    }
}
