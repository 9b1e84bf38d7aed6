//! The processes that a server leaves running when it ends, as it should: a service outlives the server that started it.
//! The demo has to take them along.
//!
//! Invariant: only this process's own children are signalled, whose numbers can't have changed hands, and of these only
//! the ones that work in the demo's directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use tokio::time::{Instant, sleep};

/// How long they have to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
/// How long killed ones may take to be gone.
const KILLED: Duration = Duration::from_secs(5);
/// How often it is looked.
const PERIOD: Duration = Duration::from_millis(20);

/// From now on, a process below this one whose parent ends becomes this one's child (`prctl(2)`,
/// `PR_SET_CHILD_SUBREAPER`).
pub(crate) fn adopt_from_now_on() -> std::io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends all children that work below `dir`: asks first, then kills, and at last collects them. Their own children
/// become this process's when they end, and are ended in turn. Returns how many could not be ended.
pub(crate) async fn end(dir: &Path) -> usize {
    let deadline = Instant::now() + GRACE;
    let mut asked: Vec<Pid> = Vec::new();
    loop {
        let left = children(dir);
        if left.is_empty() {
            return 0;
        }
        if Instant::now() >= deadline {
            break;
        }
        for pid in left {
            if !asked.contains(&pid) {
                signal(pid, Signal::TERM);
                asked.push(pid);
            }
        }
        sleep(PERIOD).await;
        asked.retain(|pid| !collected(*pid));
    }
    kill(dir, asked).await
}

async fn kill(dir: &Path, mut known: Vec<Pid>) -> usize {
    let deadline = Instant::now() + KILLED;
    loop {
        let left = children(dir);
        if left.is_empty() || Instant::now() >= deadline {
            return left.len();
        }
        for pid in left {
            signal(pid, Signal::KILL);
            if !known.contains(&pid) {
                known.push(pid);
            }
        }
        sleep(PERIOD).await;
        known.retain(|pid| !collected(*pid));
    }
}

/// A child that ended by itself is still a child until it is collected: its number is nobody else's.
fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal) {
        tracing::debug!(pid = pid.as_raw_pid(), %error, "process could not be signalled");
    }
}

fn collected(pid: Pid) -> bool {
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(None) => false,
        Ok(Some(_)) | Err(_) => true,
    }
}

fn children(dir: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| is_child(*pid) && works_in(*pid, dir)).filter_map(Pid::from_raw).collect()
}

/// The parent's number is the second field after the name, which is in parentheses and may hold any character.
fn is_child(pid: i32) -> bool {
    let status = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let parent = status.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
    parent == Some(getpid().as_raw_pid())
}

/// One that has ended already works nowhere.
fn works_in(pid: i32, dir: &Path) -> bool {
    ["cwd", "exe"]
        .iter()
        .any(|link| fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|path| path.starts_with(dir)))
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::process::Command;

    use super::*;

    /// A process that outlives the one which started it; `body` is what it runs.
    async fn leave_behind(dir: &Path, body: &str) -> i32 {
        let script = format!("{body} >/dev/null 2>&1 & echo $!");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(dir).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    fn exists(pid: i32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn what_was_left_behind_is_ended_and_nothing_else() {
        adopt_from_now_on().unwrap();
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, there) = (dir.path().canonicalize().unwrap(), elsewhere.path().canonicalize().unwrap());
        let simple = leave_behind(&here, "sleep 600").await;
        let stubborn = leave_behind(&here, "sh -c 'trap \"\" TERM; sleep 600; sleep 600'").await;
        let other = leave_behind(&there, "sleep 600").await;
        assert!(exists(simple) && exists(stubborn) && exists(other));
        assert_eq!(end(&here).await, 0);
        assert!(!exists(simple) && !exists(stubborn), "{simple} {stubborn}");
        assert!(exists(other));
        assert_eq!(end(&there).await, 0);
        assert!(!exists(other));
    }
}
