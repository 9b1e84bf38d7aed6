//! One try of a probe: an HTTP request, a connection, or a command.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use prograde_model::workload::{PortRef, Probe, ProbeAction};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::http;
use crate::launch::{Surroundings, causes};
use crate::ports::PortMap;
use crate::process::{Exit, Process};

/// How long a killed command may take to be gone.
const REAP_MAX: Duration = Duration::from_secs(5);

/// How often a process that was just started is looked at until it listens.
const LISTEN_PERIOD: Duration = Duration::from_millis(20);

/// How to reach one process: cheap to clone, one per watch.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    ports: Arc<PortMap>,
    /// Where `exec` commands run; absent when the image is gone.
    surroundings: Option<Arc<Surroundings>>,
}

/// A probe's command, killed with its group when the probe is given up.
struct Command(Process);

impl Drop for Command {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
    }
}

impl Prober {
    /// Reaches the process that listens on `ports`.
    pub(crate) fn new(ports: PortMap, surroundings: Option<Surroundings>) -> Self {
        Self { ports: Arc::new(ports), surroundings: surroundings.map(Arc::new) }
    }

    /// Tries once; the error says why it failed.
    pub(crate) async fn attempt(&self, probe: &Probe) -> Result<(), String> {
        let limit = Duration::from_secs(probe.timeout_s.max(1).into());
        match &probe.action {
            ProbeAction::Http { path, port, headers } => {
                in_time(limit, http::get(self.address(port)?, path, headers)).await
            }
            ProbeAction::Tcp { port } => {
                let connect = TcpStream::connect(self.address(port)?);
                in_time(limit, async { connect.await.map(drop).map_err(|error| error.to_string()) }).await
            }
            ProbeAction::Exec { command } => self.execute(command, limit).await,
        }
    }

    /// Waits until the probed port takes connections, `limit` at the most. A process that was just started does not listen
    /// yet: without this its first probe would be lost, and a whole period with it.
    pub(crate) async fn until_listening(&self, probe: &Probe, limit: Duration) {
        let port = match &probe.action {
            ProbeAction::Http { port, .. } | ProbeAction::Tcp { port } => port,
            ProbeAction::Exec { .. } => return,
        };
        let Ok(address) = self.address(port) else { return };
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(LISTEN_PERIOD).await;
            }
        };
        // Whether it listens or not, the probe says so next.
        let _elapsed = timeout(limit, listening).await;
    }

    fn address(&self, port: &PortRef) -> Result<SocketAddr, String> {
        match self.ports.host(port) {
            Some(host) => Ok((Ipv4Addr::LOCALHOST, host).into()),
            None => Err(match port {
                PortRef::Number(number) => format!("port {number} is not a port of the container"),
                PortRef::Name(name) => format!("port `{name}` is not a port of the container"),
            }),
        }
    }

    async fn execute(&self, command: &[String], limit: Duration) -> Result<(), String> {
        let surroundings = self.surroundings.clone().ok_or("image root file system is missing")?;
        let command = command.to_vec();
        let start = move || {
            let launch = surroundings.command(command).map_err(|error| causes(&error))?;
            let null = || File::options().write(true).open("/dev/null");
            let spawn = || Process::beside(surroundings.container.as_deref(), &launch, (null()?, null()?));
            spawn().map(Command).map_err(|error| error.to_string())
        };
        let mut process = tokio::task::spawn_blocking(start).await.map_err(|error| error.to_string())??;
        let ended = in_time(limit, async {
            match process.0.ended().await {
                Exit::Status(0) => Ok(()),
                exit @ (Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory | Exit::Failed(_) | Exit::Unknown) => {
                    Err(exit.to_string())
                }
            }
        });
        let result = ended.await;
        process.0.signal(Signal::KILL);
        // One that is killed is gone at once, and waited for so that no zombie is left.
        let _stuck = timeout(REAP_MAX, process.0.ended()).await;
        result
    }
}

async fn in_time(limit: Duration, attempt: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match timeout(limit, attempt).await {
        Ok(result) => result,
        Err(_elapsed) => Err(format!("timed out after {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tokio::net::TcpListener;

    use super::*;
    use crate::image::ImageRoot;
    use crate::launch::Facts;
    use crate::testing::workload;

    fn probe(action: ProbeAction) -> Probe {
        Probe { action, initial_delay_s: 0, period_s: 1, timeout_s: 1, success_threshold: 1, failure_threshold: 1 }
    }

    fn prober(root: &Path, port: u16) -> Prober {
        let image = ImageRoot {
            path: root.into(),
            entrypoint: vec![],
            cmd: vec![],
            env: vec![],
            working_dir: None,
            user: None,
        };
        let ports = PortMap::new(&workload(), &[port]);
        let facts = Facts { name: "pad-1", namespace: "staging", ports: &ports, path: "/bin" };
        let surroundings = Surroundings::new(&image, &workload().container, &facts).unwrap();
        Prober::new(ports.clone(), Some(surroundings))
    }

    /// An image whose `/bin/sh` is a copy of the machine's: links out of an image are not followed.
    fn root_with_shell() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::copy("/bin/sh", dir.path().join("bin/sh")).unwrap();
        symlink("sh", dir.path().join("bin/ash")).unwrap();
        dir
    }

    #[tokio::test]
    async fn a_command_is_judged_by_its_status_and_killed_with_its_group_when_it_hangs() {
        let dir = root_with_shell();
        let prober = prober(dir.path(), 1);
        let run = async |script: &str| {
            let command = ["ash", "-c", script].map(str::to_owned).to_vec();
            prober.attempt(&probe(ProbeAction::Exec { command })).await
        };
        assert_eq!(run("exit 0").await, Ok(()));
        assert_eq!(run("exit 3").await, Err("exit status 3".into()));
        let script = "echo $$ > pid; while :; do :; done";
        assert_eq!(run(script).await, Err("timed out after 1 s".into()));
        let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists(), "neither the command nor a zombie is left");
    }

    #[tokio::test]
    async fn an_absent_command_and_an_unknown_port_are_failures_that_say_so() {
        let dir = root_with_shell();
        let prober = prober(dir.path(), 1);
        let attempt = async |action| prober.attempt(&probe(action)).await.unwrap_err();
        let command = vec!["/bin/absent".to_owned()];
        assert_eq!(attempt(ProbeAction::Exec { command }).await, "image entrypoint not found: /bin/absent");
        let port = PortRef::Name("none".into());
        assert_eq!(attempt(ProbeAction::Tcp { port }).await, "port `none` is not a port of the container");
    }

    #[tokio::test]
    async fn a_connection_that_opens_is_success() {
        let dir = root_with_shell();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let prober = prober(dir.path(), listener.local_addr().unwrap().port());
        let tcp = probe(ProbeAction::Tcp { port: PortRef::Number(8080) });
        assert_eq!(prober.attempt(&tcp).await, Ok(()));
        drop(listener);
        assert!(prober.attempt(&tcp).await.unwrap_err().contains("refused"));
    }
}
