//! News that nothing waits for: a slow channel must not hold up a decision. What is told here is in the journal or in the
//! log as well, so a crash loses the telling and not the fact.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::ports::{Notice, Notifier};

/// How long telling people may take.
const TELL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long that is waited for when everything ends.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is being told.
#[derive(Default)]
pub(crate) struct Tellings(TaskTracker);

impl Tellings {
    /// Tells over every channel, beside what else is done.
    pub(crate) fn tell(&self, notifier: Arc<dyn Notifier>, notice: Notice) {
        self.0.spawn(async move {
            let Ok(told) = timeout(TELL_TIMEOUT, notifier.notify(&notice)).await else {
                tracing::error!(flight = %notice.flight, "nobody could be told in time: {}", notice.text);
                return;
            };
            for (channel, result) in told {
                if let Err(error) = result {
                    tracing::error!(flight = %notice.flight, channel, "could not be told: {error}");
                }
            }
        });
    }

    /// Lets what is being told be told.
    pub(crate) async fn stop(&self) {
        self.0.close();
        if timeout(STOP_TIMEOUT, self.0.wait()).await.is_err() {
            tracing::error!(left = self.0.len(), "not everything could be told before the end");
        }
    }
}
