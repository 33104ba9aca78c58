//! Since when somebody is logged in: a connection that outlived a change proves nothing about it.

use std::fs;
use std::time::Duration;

/// Programs of which one serves one login: sshd's child for a connection, getty and login for a terminal.
const OF_A_LOGIN: &[&str] = &[
    "sshd-session",
    "sshd",
    "dropbear",
    "login",
    "agetty",
    "getty",
];
/// Deepest chain of parents that is followed.
const MAX_PARENTS: usize = 64;
/// Ticks of a second in /proc/PID/stat (proc_pid_stat(5), USER_HZ).
const TICKS: u64 = 100;

struct Process {
    name: String,
    parent: i32,
    /// Since boot.
    start: Duration,
}

/// When the login began that the process belongs to, since boot; that of the oldest ancestor where it is of none
/// (`system-docker exec`).
pub(super) fn connection_began(pid: i32) -> Option<Duration> {
    began(pid, &|pid| {
        parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    })
}

fn began(pid: i32, process: &dyn Fn(i32) -> Option<Process>) -> Option<Duration> {
    let mut pid = pid;
    let mut oldest = None;
    for _ in 0..MAX_PARENTS {
        if pid <= 1 {
            break;
        }
        let Some(found) = process(pid) else { break };
        if OF_A_LOGIN.contains(&found.name.as_str()) {
            return Some(found.start);
        }
        oldest = Some(found.start);
        pid = found.parent;
    }
    oldest
}

/// The name may have any characters; it ends with the last bracket.
fn parse(stat: &str) -> Option<Process> {
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    // Field 22, and the parent was field 4.
    let ticks: u64 = fields.nth(17)?.parse().ok()?;
    Some(Process {
        name,
        parent,
        start: Duration::from_millis(ticks * (1000 / TICKS)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_counts_and_not_its_shell() {
        let table = |pid: i32| -> Option<Process> {
            let (name, parent, start) = match pid {
                9 => ("ros", 8, 900),
                8 => ("sudo", 7, 890),
                7 => ("bash", 6, 100),
                6 => ("sshd-session", 5, 90),
                5 => ("sshd", 4, 5),
                4 => ("ros", 1, 4),
                20 => ("ros", 1, 950),
                _ => return None,
            };
            Some(Process {
                name: name.to_owned(),
                parent,
                start: Duration::from_secs(start),
            })
        };
        assert_eq!(began(9, &table), Some(Duration::from_secs(90)));
        assert_eq!(began(20, &table), Some(Duration::from_secs(950)));
        assert_eq!(began(99, &table), None);
    }

    #[test]
    fn this_process_is_read() {
        let own = parse(&fs::read_to_string("/proc/self/stat").expect("proc")).expect("parsed");
        assert!(own.parent > 0 && own.start <= sys::clock::boottime());
        let odd = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 1234 99 1";
        let odd = parse(odd).expect("parsed");
        assert_eq!(
            (odd.name.as_str(), odd.parent, odd.start.as_millis()),
            ("a) b", 3, 12340)
        );
    }
}
