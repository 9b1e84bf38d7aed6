//! Policies at the admission of a Kubernetes cluster: its API server asks over HTTPS about every object before it is kept, and
//! the policies that releases have to meet are asked, as they are in force then.
//!
//! Invariant: nothing is let in because somebody did not understand it, or could not find something out.

mod answers;
pub mod configuration;
mod images;
mod judge;
mod listener;
mod namespaces;
mod review;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prograde_model::{Diagnostic, Diagnostics};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::error::ServerError;
use crate::evidence::Vouching;
use crate::options::ServerOptions;
use crate::policies::InForce;
use answers::Answers;
use images::Lookup;
use namespaces::Namespaces;
use tls::{Files, Identity};

pub(crate) use tls::CODE;

/// How often it is looked whether certificates have changed.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// How Kubernetes asks.
#[derive(Debug, Clone)]
pub struct AdmissionOptions {
    /// Where it is listened for its API server.
    pub listen: SocketAddr,
    /// The server's certificates in PEM, its own first.
    pub certificate: PathBuf,
    /// The key of the first, in PEM.
    pub key: PathBuf,
    /// Certificates in PEM: who asks needs one that they vouch for. Everybody may ask by default.
    pub client_ca: Option<PathBuf>,
    /// The kubeconfig with which the cluster is asked for namespaces. Without it, policies that need them are refused.
    pub kubeconfig: Option<PathBuf>,
}

/// What answers Kubernetes.
pub(crate) struct Admission {
    identity: Arc<Identity>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    looking: JoinHandle<()>,
}

impl Admission {
    /// Begins to answer, where that is asked for.
    pub(crate) async fn start(
        options: &ServerOptions,
        policies: InForce,
        vouching: Vouching,
    ) -> Result<Option<Self>, ServerError> {
        let Some(of) = &options.admission else { return Ok(None) };
        let files = Files { certificate: of.certificate.clone(), key: of.key.clone(), client_ca: of.client_ca.clone() };
        let identity = Arc::new(Identity::read(files).map_err(ServerError::Admission)?);
        let namespaces = match &of.kubeconfig {
            None => None,
            Some(path) => Some(Namespaces::open(path).await.map_err(|error| {
                let hint = "name a kubeconfig whose user may get namespaces";
                let found = Diagnostic::file(CODE, path.display().to_string(), error.to_string(), hint);
                ServerError::Admission(Diagnostics::from(found))
            })?),
        };
        let answers = Arc::new(Answers::new(policies, Lookup::new(vouching), namespaces));
        let (listener, address) = crate::server::listen(of.listen).await?;
        tracing::info!("answering Kubernetes at https://{address}/validate and /mutate");
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
        let serving = tokio::spawn(listener::run(listener, Arc::clone(&identity), answers, stop.clone()));
        #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
        let looking = tokio::spawn(look(Arc::clone(&identity), stop.clone()));
        Ok(Some(Self { identity, stop, serving, looking }))
    }

    /// Reads certificates again.
    pub(crate) fn reload(&self) -> Result<(), ServerError> {
        self.identity.read_again().map(|_| ()).map_err(ServerError::Admission)
    }

    /// Ends when what is under way has been answered.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        for task in [self.serving, self.looking] {
            if let Err(error) = task.await {
                tracing::error!("what answers Kubernetes ended badly: {error}");
            }
        }
    }
}

/// Looks for new certificates until it is told to stop. What is wrong with them is said once.
async fn look(identity: Arc<Identity>, stop: CancellationToken) {
    let mut period = tokio::time::interval(LOOK_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    while stop.run_until_cancelled(period.tick()).await.is_some() {
        let at = Arc::clone(&identity);
        let Ok(read) = tokio::task::spawn_blocking(move || at.read_again()).await else { continue };
        match read {
            Ok(changed) => {
                if changed {
                    tracing::info!("the certificates for Kubernetes were read again");
                }
                told = None;
            }
            Err(found) => {
                let why = found.to_string();
                if told.as_ref() != Some(&why) {
                    tracing::warn!("the certificates for Kubernetes can't be used, and those before are: {why}");
                }
                told = Some(why);
            }
        }
    }
}
