//! What the registry gives out: nothing that is in quarantine.

use async_trait::async_trait;
use prograde_control::Control;
use prograde_supply::registry::{Admission, Pulled, Pushed, Refusal};

/// Refuses to give out images that failed where they ran.
pub(crate) struct NotInQuarantine(pub(crate) Control);

#[async_trait]
impl Admission for NotInQuarantine {
    async fn push(&self, _: &Pushed<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn pull(&self, manifest: &Pulled<'_>) -> Result<(), Refusal> {
        let why = self.0.with_fleet(|fleet| {
            let held = fleet.quarantines().find(|q| q.digest.as_str() == manifest.digest.as_str());
            held.map(|q| format!("it is in quarantine in {}: {}", q.target.environment, q.reason))
        });
        why.map_or(Ok(()), |why| Err(Refusal(format!("{why}; `prograde quarantine lift` lets it out with a reason"))))
    }
}
