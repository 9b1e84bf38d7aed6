//! After a crash of ours: ends the processes, and removes the files, of jobs that were running then.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::contexts::tracking_id;
use super::group::end_survivors;
use crate::action::artifact::{remove_directory, remove_of_unfinished};
use crate::plan::JobId;

/// The file in a job's directory that names the job.
const ID_FILE: &str = "job";

/// Writes down whose directory this is.
pub(super) fn mark(job_directory: &Path, job: &JobId) -> io::Result<()> {
    fs::write(job_directory.join(ID_FILE), job.as_str())
}

/// Removes what jobs left in a run's directory that have not ended: processes first, so that none writes on.
pub(super) fn remove_unfinished(directory: &Path, finished: &BTreeSet<JobId>) -> io::Result<()> {
    let entries = match fs::read_dir(directory.join("jobs")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        // Without its mark a directory was made but nothing was started in it.
        let Ok(id) = fs::read_to_string(path.join(ID_FILE)) else {
            remove_directory(&path)?;
            continue;
        };
        let job = JobId::from(id);
        let ended = end_survivors(&path, &format!("RUNNER_TRACKING_ID={}", tracking_id(directory, &job)))?;
        if ended > 0 {
            tracing::info!(%job, ended, "processes of an interrupted job were ended");
        }
        if !finished.contains(&job) {
            remove_directory(&path)?;
        }
    }
    remove_directory(&directory.join("artifact-staging"))?;
    remove_of_unfinished(directory, &|job| finished.contains(job))
}
