//! What replicas use of the machine: the time and memory of their processes.
//!
//! A replica is its process, the process's group, and all descendants of these, also those that have left the group.
//! One look at the machine's processes serves all targets for a moment, so that asking for each costs no more.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prograde_model::FlightId;
use tokio::time::Instant;

use crate::process::Identity;
use crate::stat::{Stat, stat};
use crate::sync::lock;

/// For so long the machine is not looked at again.
const FRESH: Duration = Duration::from_secs(1);
/// Generations between a replica's process and the last of its descendants that is counted.
const DEPTH_MAX: usize = 100;

/// What one replica has used, and uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaUsage {
    /// The replica's name.
    pub replica: String,
    /// Its version.
    pub revision: FlightId,
    /// Seconds of processor time since the replica's process was started, to the clock tick, which is a hundredth on
    /// Linux. Starts again from zero when the replica is restarted; may fall a little when a descendant ends that nobody
    /// waited for.
    pub cpu_seconds_total: f64,
    /// Bytes of memory in use now; memory that several of its processes share is counted for each.
    pub resident_bytes: u64,
}

/// A replica that is to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSeen {
    /// The replica's name.
    pub replica: String,
    /// Its version.
    pub revision: FlightId,
    /// Whether it gets requests now.
    pub ready: bool,
}

/// A replica with a process.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) replica: String,
    pub(crate) revision: FlightId,
    pub(crate) process: Identity,
}

/// The machine's processes, as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    last: Mutex<Option<Look>>,
}

/// One look at them.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    seen: Arc<BTreeMap<i32, Stat>>,
}

impl Processes {
    /// What each of `running` uses; one whose process has ended is left out.
    pub(crate) fn usage(&self, running: Vec<Running>) -> Vec<ReplicaUsage> {
        if running.is_empty() {
            return Vec::new();
        }
        let processes = self.seen(Instant::now());
        let is_there = |running: &Running| {
            let leader = processes.get(&running.process.pid);
            leader.is_some_and(|leader| leader.start_ticks == running.process.start_ticks)
        };
        let mut used: BTreeMap<i32, (u64, u64)> = BTreeMap::new();
        used.extend(running.iter().filter(|running| is_there(running)).map(|running| (running.process.pid, (0, 0))));
        for process in processes.values() {
            let Some(group) = group(process, &processes, &used) else { continue };
            if let Some((ticks, pages)) = used.get_mut(&group) {
                *ticks = ticks.saturating_add(process.cpu_ticks);
                *pages = pages.saturating_add(process.resident_pages);
            }
        }
        let usage = running.into_iter().filter_map(|Running { replica, revision, process }| {
            let (ticks, pages) = used.get(&process.pid)?;
            Some(ReplicaUsage { replica, revision, cpu_seconds_total: seconds(*ticks), resident_bytes: bytes(*pages) })
        });
        usage.collect()
    }

    fn seen(&self, now: Instant) -> Arc<BTreeMap<i32, Stat>> {
        let mut last = lock(&self.last);
        match last.as_ref().filter(|look| now.duration_since(look.at) < FRESH) {
            Some(look) => Arc::clone(&look.seen),
            None => Arc::clone(&last.insert(Look { at: now, seen: Arc::new(look()) }).seen),
        }
    }
}

/// All processes that can be seen. One that ends meanwhile is not there.
fn look() -> BTreeMap<i32, Stat> {
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, "processes can't be listed, replicas' usage is not known");
            return BTreeMap::new();
        }
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(|pid| Some((pid, stat(pid).ok().flatten()?))).collect()
}

/// The one of the groups `of` that a process is in, or comes from.
fn group(process: &Stat, processes: &BTreeMap<i32, Stat>, of: &BTreeMap<i32, (u64, u64)>) -> Option<i32> {
    let ancestors = std::iter::successors(Some(process), |child| processes.get(&child.parent));
    ancestors.take(DEPTH_MAX).map(|ancestor| ancestor.group).find(|group| of.contains_key(group))
}

fn seconds(ticks: u64) -> f64 {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let (whole, rest) = (ticks / per_second, ticks % per_second);
    let nanoseconds = u32::try_from(rest * 1_000_000_000 / per_second).unwrap_or(0);
    Duration::new(whole, nanoseconds).as_secs_f64()
}

fn bytes(pages: u64) -> u64 {
    pages.saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::{Path, PathBuf};

    use rustix::process::Signal;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::launch::Launch;
    use crate::process::Process;

    /// Ends by itself after a while, should the test fail.
    const BURN: &str = "ulimit -t 20; while :; do :; done";

    fn shell(script: &str, dir: &Path) -> Process {
        let launch = Launch {
            program: PathBuf::from("/bin/sh"),
            inside: PathBuf::new(),
            inside_directory: PathBuf::new(),
            arguments: ["sh", "-c", script].map(str::to_owned).to_vec(),
            directory: dir.to_owned(),
            environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        };
        let file = |name| File::options().create(true).append(true).open(dir.join(name)).unwrap();
        Process::spawn(&launch, file("stdout"), file("stderr")).unwrap()
    }

    fn running(process: &Process) -> Running {
        let revision = FlightId::from_random([1; 16]).unwrap();
        Running { replica: "pad-1".to_owned(), revision, process: process.identity().clone() }
    }

    /// Looks anew.
    fn usage(process: &Process) -> Option<ReplicaUsage> {
        Processes::default().usage(vec![running(process)]).pop()
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_mins(1), wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
    }

    async fn end(mut process: Process) {
        process.signal(Signal::KILL);
        timeout(Duration::from_secs(20), process.ended()).await.unwrap();
        assert_eq!(usage(&process), None, "what has ended uses nothing");
    }

    #[tokio::test]
    async fn the_time_of_a_process_and_of_its_descendants_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let idle = shell("exec sleep 60", dir.path());
        // Itself, a child in its group, and one in a session of its own that the shell's end does not reach.
        for script in [BURN.to_owned(), format!("({BURN}) & sleep 60"), format!("setsid sh -c '{BURN}' & sleep 60")] {
            let busy = shell(&script, dir.path());
            until("it has burnt a third of a second", || usage(&busy).unwrap().cpu_seconds_total > 0.33).await;
            assert!(usage(&busy).unwrap().resident_bytes > 10_000);
            let descendants: Vec<i32> =
                look().into_iter().filter(|(_, s)| s.parent == busy.identity().pid).map(|(pid, _)| pid).collect();
            end(busy).await;
            for pid in descendants.into_iter().filter_map(rustix::process::Pid::from_raw) {
                rustix::process::kill_process(pid, Signal::KILL).ok();
            }
        }
        assert!(usage(&idle).unwrap().cpu_seconds_total < 0.33, "and nobody else's");
        end(idle).await;
    }

    #[tokio::test]
    async fn the_time_of_a_child_that_was_waited_for_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("sh -c '{BURN}' & echo $! > child; wait; touch waited; exec sleep 60");
        let process = shell(&script, dir.path());
        until("the child has burnt some", || usage(&process).unwrap().cpu_seconds_total > 0.2).await;
        let before = usage(&process).unwrap().cpu_seconds_total;
        let child: i32 = fs::read_to_string(dir.path().join("child")).unwrap().trim().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
        until("the child is gone", || dir.path().join("waited").exists()).await;
        assert!(usage(&process).unwrap().cpu_seconds_total >= before);
        end(process).await;
    }

    #[tokio::test]
    async fn a_number_that_changed_hands_is_nobodys_usage() {
        let dir = tempfile::tempdir().unwrap();
        let process = shell("exec sleep 60", dir.path());
        let mut other = running(&process);
        other.process.start_ticks += 1;
        assert_eq!(Processes::default().usage(vec![other]), []);
        end(process).await;
    }

    #[test]
    fn one_look_serves_all_for_a_moment() {
        let (processes, now) = (Processes::default(), Instant::now());
        let first = processes.seen(now);
        assert!(Arc::ptr_eq(&first, &processes.seen(now + FRESH / 2)));
        assert!(!Arc::ptr_eq(&first, &processes.seen(now + FRESH)));
    }

    #[test]
    fn a_family_that_goes_round_in_circles_ends_the_search() {
        let line = stat(rustix::process::getpid().as_raw_pid()).unwrap().unwrap();
        let circle =
            BTreeMap::from([(7, Stat { parent: 8, group: 7, ..line }), (8, Stat { parent: 7, group: 8, ..line })]);
        assert_eq!(group(&circle[&7], &circle, &BTreeMap::from([(9, (0, 0))])), None);
        assert_eq!(group(&circle[&7], &circle, &BTreeMap::from([(8, (0, 0))])), Some(8));
    }
}
