//! The local node runs jobs.

use async_trait::async_trait;
use prograde_control::ports::{JobEnd, JobRun, Jobs};
use prograde_node::{JobOrder, Node};

pub(crate) struct NodeJobs(pub(crate) Node);

#[async_trait]
impl Jobs for NodeJobs {
    async fn run(&self, job: JobRun) -> Result<JobEnd, String> {
        let JobRun { target, flight, args, env, timeout } = job;
        let order = JobOrder { target, revision: flight, args, env, timeout };
        match self.0.run_job(order).await? {
            prograde_node::JobEnd::Passed => Ok(JobEnd::Passed),
            prograde_node::JobEnd::Failed(reason) => Ok(JobEnd::Failed { reason }),
        }
    }
}
