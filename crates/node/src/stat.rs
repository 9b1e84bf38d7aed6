//! What the system says of a process: `/proc/<pid>/stat` (`proc_pid_stat(5)`).

use std::fs;
use std::io;

/// The system's word for a process that is gone.
pub(crate) const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// A line of `/proc/<pid>/stat`, as far as it is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// Its own time on processors, and that of its children that are gone, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// Since boot.
    pub(crate) start_ticks: u64,
    pub(crate) resident_pages: u64,
}

impl Stat {
    /// A zombie's pidfd is readable already, and nobody may ever reap it.
    pub(crate) fn has_ended(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Fields after the command's name, which is in parentheses and may itself hold any character.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // Fields 14 to 17: in user mode and in the kernel, its own and its children's.
        let times = [fields.nth(8), fields.next(), fields.next(), fields.next()];
        let times = times.into_iter().map(|time| time?.parse::<u64>().ok());
        let cpu_ticks = times.sum::<Option<u64>>()?;
        let start_ticks = fields.nth(4)?.parse().ok()?;
        let resident_pages = fields.nth(1)?.parse().ok()?;
        Some(Self { state, parent, group, cpu_ticks, start_ticks, resident_pages })
    }
}

/// `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(line) => Stat::parse(&String::from_utf8_lossy(&line))
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable process status")),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_past_any_command_name() {
        let fields = "S 1 4242 4 0 -1 0 0 0 0 0 10 20 300 4000 20 0 1 0 987654 1048576 77 0";
        for name in ["sh", "a) S 1 2", "tab\tand)( "] {
            let stat = Stat::parse(&format!("7 ({name}) {fields}\n")).unwrap();
            assert_eq!((stat.state, stat.parent, stat.group, stat.start_ticks), ('S', 1, 4242, 987_654));
            assert_eq!((stat.cpu_ticks, stat.resident_pages), (4330, 77));
        }
        for bad in ["", "7 (sh) S 1", "7 (sh) S 1 2 3 4 5", &format!("7 (sh) {}", fields.replace("10 20", "10 x"))] {
            assert_eq!(Stat::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn this_process_is_there_and_one_that_can_not_be_is_not() {
        let this = rustix::process::getpid().as_raw_pid();
        let seen = stat(this).unwrap().unwrap();
        assert!(!seen.has_ended() && seen.resident_pages > 0);
        assert_eq!(stat(i32::MAX).unwrap(), None);
    }
}
