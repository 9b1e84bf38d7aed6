//! A job of the candidate's own image.

use prograde_control::ports::{JobEnd, JobImage, JobRun, Jobs, MeasureError, Measurement};
use prograde_model::metric::{Found, Job, Told};

/// Runs it to its end. A job that can't be started says nothing of the candidate.
pub(super) async fn measure(jobs: &dyn Jobs, job: &Job, measurement: &Measurement) -> Result<Found, MeasureError> {
    let address = measurement.addresses.first().ok_or(MeasureError::NoReplica)?;
    let mut env = job.env.clone();
    let told = [
        ("PROGRADE_CANDIDATE", address.to_string()),
        ("PROGRADE_SERVICE", measurement.target.service.to_string()),
        ("PROGRADE_ENVIRONMENT", measurement.target.environment.to_string()),
        ("PROGRADE_FLIGHT", measurement.flight.to_string()),
        ("PROGRADE_COMMIT", measurement.commit.to_string()),
    ];
    env.extend(told.map(|(name, value)| (name.to_owned(), value)));
    let run = JobRun {
        target: measurement.target.clone(),
        flight: measurement.flight.clone(),
        image: JobImage::Running,
        args: job.args.clone(),
        env,
        timeout: measurement.timeout,
        alone: false,
    };
    let (told, reason) = match jobs.run(run).await {
        Ok(JobEnd::Passed) => (Told::Pass, "the job ended well".to_owned()),
        Ok(JobEnd::Failed { reason }) => (Told::Fail, format!("the job failed: {reason}")),
        Err(error) => return Err(MeasureError::Answer(format!("the job did not run: {error}"))),
    };
    Ok(Found::Judged { told, value: None, reason })
}
