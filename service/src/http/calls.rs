//! Changes of jobs outlive the request that asked for them.
//!
//! A request ends when its client goes away or its time is over, and a change must not be left half done by
//! that. So each runs as a task of its own; a change that takes long by its nature (a checkpoint may wait for
//! a transaction of an hour) is answered with what is known so far, and goes on.

use std::time::Duration;

use crate::daemon::model::{JobId, JobInfo, Refusal};
use crate::http::App;
use crate::http::failure::Failure;

/// What came of a change while somebody waited for it.
pub(crate) enum Called {
    /// It is done.
    Done(JobInfo),
    /// It goes on; this is how the job is now.
    GoesOn(JobInfo),
}

/// Runs a change to its end, whoever goes away.
pub(crate) async fn to_the_end<T: Send + 'static>(
    call: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(call).await {
        Ok(done) => done.map_err(Failure::from),
        Err(error) => Err(super::broken(error).into()),
    }
}

/// Runs a change of a job, and waits for it as long as asked, within the time of a request.
pub(crate) async fn waiting(
    app: &App,
    id: JobId,
    wait_ms: Option<u64>,
    call: impl Future<Output = Result<JobInfo, Refusal>> + Send + 'static,
) -> Result<Called, Failure> {
    // The answer needs some of the time itself.
    let longest = app.config.request_timeout.mul_f64(0.8);
    let wait = wait_ms.map_or(longest, |wait| Duration::from_millis(wait).min(longest));
    let (tell, mut told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        if let Err(Err(refusal)) = tell.send(call.await) {
            tracing::warn!(job = %id, "what was asked for did not come about: {refusal}");
        }
    });
    match tokio::time::timeout(wait, &mut told).await {
        Ok(Ok(done)) => Ok(Called::Done(done?)),
        Ok(Err(gone)) => Err(super::broken(gone).into()),
        Err(_) => match app.jobs.get(id) {
            Some(job) => Ok(Called::GoesOn(job)),
            None => Err(Refusal::Unknown(id).into()),
        },
    }
}
