//! One task per replica: it starts the process, watches its probes and its end, starts it again after a while, and at
//! last drains and stops it.
//!
//! Invariant: the replica leaves the routes before anything is done to its process, and its directory is removed only
//! when its process is known to be gone.

use std::sync::Arc;
use std::time::Duration;

use prograde_model::workload::Workload;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::BackOff;
use crate::clock::{age, now};
use crate::deployment::{Assignment, Deployment, Replica, Role};
use crate::files::remove_dir;
use crate::launch::causes;
use crate::ports::{PortLease, PortMap};
use crate::probe::{Kind, Prober, Verdict, watch};
use crate::process::Process;
use crate::record::Record;
use crate::spec::Spec;
use crate::start::{Start, Started};

/// How often it is looked whether a replica that left the routes has answered its last request.
const DRAIN_PERIOD: Duration = Duration::from_millis(10);
/// How long a killed process may take to be gone; beyond it the kernel itself is stuck.
const KILL_MAX: Duration = Duration::from_secs(30);

/// What came of attending a process.
enum Attended {
    /// It ended, or was ended because of its probes, and is to be started again.
    Ended { reason: String },
    /// It was stopped for good.
    Stopped,
    /// It was to be stopped and could not even be killed.
    Stuck,
}

/// Takes care of one replica.
pub(crate) struct Supervisor {
    deployment: Arc<Deployment>,
    record: Record,
    stop: CancellationToken,
    backoff: BackOff,
    /// Held as long as the process may listen on them.
    lease: Option<PortLease>,
    shown: Shown,
}

/// What the deployment was told last of a process's readiness: probes repeat themselves.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Ready,
    Unready(String),
}

/// A live process with what is needed to probe it.
struct Live {
    process: Process,
    prober: Prober,
    since: Instant,
}

impl Supervisor {
    /// Carries out `assignment` until the replica is gone.
    pub(crate) async fn run(deployment: Arc<Deployment>, assignment: Assignment) {
        let Assignment { record, role, stop } = assignment;
        let options = &deployment.context.options;
        let backoff = BackOff::new(options.restart_backoff, options.restart_backoff_max, options.restart_backoff_reset);
        let mut this = Self { deployment, record, stop, backoff, lease: None, shown: Shown::Nothing };
        let is_gone = match role {
            Role::Run(spec) => this.keep_running(spec, None).await,
            Role::Resume(spec, process) => {
                let live = this.resume(&spec, process);
                this.keep_running(spec, Some(live)).await
            }
            Role::Retire(mut process) => this.terminate(&mut process, true).await,
        };
        this.leave(is_gone).await;
    }

    /// Starts the replica again and again. Returns whether its process is gone.
    async fn keep_running(&mut self, mut spec: Arc<Spec>, mut live: Option<Live>) -> bool {
        while !self.stop.is_cancelled() || live.is_some() {
            let begun = Instant::now();
            let ended = match live.take() {
                Some(live) => self.attend(&spec.workload, live).await,
                None => match self.start(&spec).await {
                    Ok(live) => self.attend(&spec.workload, live).await,
                    Err(reason) => Attended::Ended { reason },
                },
            };
            match ended {
                Attended::Stopped => return true,
                Attended::Stuck => return false,
                Attended::Ended { reason } => self.wait_after(&reason, begun.elapsed()).await,
            }
            // What differs without making it another replica, such as where the image is, is taken over.
            spec =
                self.deployment.spec(&spec.revision).filter(|new| new.fingerprint == spec.fingerprint).unwrap_or(spec);
        }
        true
    }

    /// A process of it ended: says so and waits as long as the back-off asks.
    async fn wait_after(&mut self, reason: &str, ran: Duration) {
        self.lease = None;
        if self.stop.is_cancelled() {
            return;
        }
        tracing::info!(replica = self.record.id, target = %self.record.target, reason, "replica ended, it is restarted");
        self.record.restarts = self.record.restarts.saturating_add(1);
        self.record.running = None;
        let restarts = self.record.restarts;
        self.deployment.update(&self.record.id, |replica| replica.failed(reason, restarts));
        self.write_record().await;
        let pause = self.backoff.after(ran);
        self.stop.run_until_cancelled(sleep(pause)).await;
    }

    async fn start(&mut self, spec: &Arc<Spec>) -> Result<Live, String> {
        self.record.fingerprint.clone_from(&spec.fingerprint);
        let start = Start {
            context: Arc::clone(&self.deployment.context),
            spec: Arc::clone(spec),
            record: self.record.clone(),
        };
        let started = tokio::task::spawn_blocking(move || start.run()).await;
        let Started { process, record, lease, surroundings } =
            started.map_err(|error| error.to_string())?.map_err(|error| causes(&error))?;
        self.record = record;
        self.lease = Some(lease);
        let mut ports = PortMap::default();
        if let Some(running) = &self.record.running {
            ports.clone_from(&running.ports);
            let (fingerprint, restarts) = (&self.record.fingerprint, self.record.restarts);
            self.deployment.update(&self.record.id, |replica| replica.running(running, fingerprint, restarts));
        }
        Ok(Live { process, prober: Prober::new(ports, Some(surroundings)), since: Instant::now() })
    }

    /// Goes on with a process that an earlier server started.
    fn resume(&mut self, spec: &Spec, process: Process) -> Live {
        let context = &self.deployment.context;
        let running = self.record.running.clone();
        let ports = running.as_ref().map(|running| running.ports.clone()).unwrap_or_default();
        self.lease = Some(context.pool.adopt(ports.hosts()));
        let age = running.map_or(Duration::ZERO, |running| age(running.since));
        tracing::info!(replica = self.record.id, target = %self.record.target, "replica survived, it is taken over");
        let surroundings = Start::resumed(context, spec, &self.record, &ports, &process).ok();
        let now = Instant::now();
        Live { process, prober: Prober::new(ports, surroundings), since: now.checked_sub(age).unwrap_or(now) }
    }

    /// Watches a process until its end, or brings it about.
    async fn attend(&mut self, workload: &Workload, live: Live) -> Attended {
        let Live { mut process, prober, since } = live;
        self.shown = Shown::Nothing;
        let (sender, mut verdicts) = mpsc::channel(16);
        let mut watches = JoinSet::new();
        let begin = |kind, probe: &Option<_>, watches: &mut JoinSet<()>| {
            let probe = probe.clone();
            probe.is_some_and(|probe| {
                watches.spawn(watch(kind, probe, prober.clone(), since, sender.clone()));
                true
            })
        };
        let container = &workload.container;
        if self.has_started() || !begin(Kind::Startup, &container.startup, &mut watches) {
            begin(Kind::Liveness, &container.liveness, &mut watches);
            let is_probed = begin(Kind::Readiness, &container.readiness, &mut watches);
            self.started(is_probed).await;
        } else {
            self.waits("waiting for the startup probe");
        }
        let ended = loop {
            let available = self.available_at(workload);
            tokio::select! {
                biased;
                exit = process.ended() => break Attended::Ended { reason: exit.to_string() },
                () = self.stop.cancelled() => break self.stop_process(&mut process).await,
                Some(verdict) = verdicts.recv() => match verdict {
                    Verdict::Started => {
                        begin(Kind::Liveness, &container.liveness, &mut watches);
                        let is_probed = begin(Kind::Readiness, &container.readiness, &mut watches);
                        self.started(is_probed).await;
                    }
                    Verdict::Ready => self.ready().await,
                    Verdict::Unready(reason) => self.unready(reason).await,
                    Verdict::Unhealthy(reason) => {
                        watches.shutdown().await;
                        let is_gone = self.terminate(&mut process, false).await;
                        break if is_gone { Attended::Ended { reason } } else { Attended::Stuck };
                    }
                },
                () = sleep_until(available.unwrap_or(since)), if available.is_some() => {
                    self.deployment.update(&self.record.id, |_| {});
                }
            }
        };
        self.deployment.update(&self.record.id, |replica| replica.unready(None));
        watches.shutdown().await;
        self.flush(false).await;
        ended
    }

    /// When it becomes available, if it is ready and that is still to come.
    fn available_at(&self, workload: &Workload) -> Option<Instant> {
        let ready_since = self.record.running.as_ref()?.ready_since?;
        let min_ready = Duration::from_secs(workload.min_ready_s.into());
        let left = min_ready.checked_sub(age(ready_since)).filter(|left| !left.is_zero())?;
        Some(Instant::now() + left)
    }

    fn has_started(&self) -> bool {
        self.record.running.as_ref().is_some_and(|running| running.started)
    }

    fn waits(&self, reason: &str) {
        self.deployment.update(&self.record.id, |replica| replica.waits(reason));
    }

    /// The startup probe succeeded or there is none.
    async fn started(&mut self, has_readiness_probe: bool) {
        let was_ready = self.record.running.as_ref().is_some_and(|running| running.ready_since.is_some());
        if let Some(running) = &mut self.record.running {
            running.started = true;
        }
        if was_ready || !has_readiness_probe {
            // One that survived the server stays ready until its probe says otherwise: it served until now.
            self.ready().await;
        } else {
            self.waits("waiting for the readiness probe");
            self.write_record().await;
        }
    }

    async fn ready(&mut self) {
        let Some(running) = &mut self.record.running else { return };
        let since = *running.ready_since.get_or_insert_with(now);
        if self.shown == Shown::Ready {
            return;
        }
        self.shown = Shown::Ready;
        self.deployment.update(&self.record.id, |replica| replica.ready(age(since)));
        self.write_record().await;
    }

    async fn unready(&mut self, reason: String) {
        let shown = Shown::Unready(reason.clone());
        if self.shown == shown {
            return;
        }
        self.shown = shown;
        self.deployment.update(&self.record.id, |replica| replica.unready(Some(reason)));
        if let Some(running) = &mut self.record.running {
            running.ready_since = None;
        }
        self.write_record().await;
    }

    async fn stop_process(&mut self, process: &mut Process) -> Attended {
        if self.terminate(process, true).await { Attended::Stopped } else { Attended::Stuck }
    }

    /// Takes the replica out of the routes, lets it answer what it has begun, tells it to end and, after its grace, ends
    /// it. Returns whether it is gone.
    async fn terminate(&mut self, process: &mut Process, drain: bool) -> bool {
        let grace = Duration::from_secs(self.record.grace_s.into());
        let kill = self.deployment.context.kill.clone();
        let id = self.record.id.clone();
        if drain {
            self.deployment.update(&id, Replica::stopping);
            self.record.stopping = true;
            self.write_record().await;
            tokio::select! {
                _exit = process.ended() => return true,
                () = kill.cancelled() => {}
                _drained = timeout(grace, self.drained()) => {}
            }
        } else {
            self.deployment.update(&id, |replica| replica.unready(None));
        }
        self.deployment.close_idle(&id);
        process.signal(Signal::TERM);
        tokio::select! {
            _exit = process.ended() => return true,
            () = kill.cancelled() => {}
            () = sleep(grace) => {}
        }
        process.signal(Signal::KILL);
        let is_gone = timeout(KILL_MAX, process.ended()).await.is_ok();
        if !is_gone {
            tracing::error!(replica = id, pid = process.identity().pid, "process can't be killed, it is left alone");
        }
        is_gone
    }

    /// Nothing is sent to it any more; waits until it has answered the rest.
    async fn drained(&self) {
        while self.deployment.in_flight(&self.record.id) > 0 {
            sleep(DRAIN_PERIOD).await;
        }
    }

    async fn write_record(&self) {
        let (record, dir) = (self.record.clone(), self.deployment.context.replica_dir(&self.record.id));
        let written = tokio::task::spawn_blocking(move || record.write(&dir)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(replica = self.record.id, %error, "replica's record can't be written");
        }
    }

    /// Keeps what the process wrote last.
    async fn flush(&self, forget: bool) {
        let (logs, id) = (Arc::clone(&self.deployment.context.logs), self.record.id.clone());
        if tokio::task::spawn_blocking(move || logs.flush(&id, forget)).await.is_err() {
            tracing::error!(replica = self.record.id, "last output could not be kept");
        }
    }

    /// Forgets the replica. What could not be killed keeps its record, for the next server to find.
    async fn leave(self, is_gone: bool) {
        self.flush(true).await;
        if is_gone {
            let dir = self.deployment.context.replica_dir(&self.record.id);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || remove_dir(&dir)).await {
                tracing::warn!(replica = self.record.id, %error, "replica's directory can't be removed");
            }
        }
        drop(self.lease);
        self.deployment.remove(&self.record.id);
    }
}
