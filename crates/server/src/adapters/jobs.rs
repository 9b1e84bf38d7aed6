//! The local node runs jobs.

use std::sync::Arc;

use async_trait::async_trait;
use prograde_control::ports::{JobEnd, JobImage, JobRun, Jobs};
use prograde_node::{JobOrder, JobVersion};

use super::runtime::LocalRuntime;

pub(crate) struct NodeJobs(pub(crate) Arc<LocalRuntime>);

#[async_trait]
impl Jobs for NodeJobs {
    async fn run(&self, job: JobRun) -> Result<JobEnd, String> {
        let JobRun { target, flight, image, args, env, timeout, alone } = job;
        let version = match image {
            JobImage::Running => JobVersion::Known,
            JobImage::New { digest, workload } => {
                let image = {
                    let _unpacking = self.0.unpacking.read().await;
                    self.0.unpack(&digest).await.map_err(|error| error.to_string())?
                };
                JobVersion::New { digest, workload, image }
            }
        };
        let order = JobOrder { target, revision: flight, version, args, env, timeout, alone };
        match self.0.node.run_job(order).await? {
            prograde_node::JobEnd::Passed => Ok(JobEnd::Passed),
            prograde_node::JobEnd::Failed(reason) => Ok(JobEnd::Failed { reason }),
        }
    }
}
