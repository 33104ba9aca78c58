//! When a process was started, from /proc.

use std::fs;

/// When a process was started, in clock ticks since the boot (proc_pid_stat(5), `starttime`); none for one that is gone. Together with
/// the number it names one process for good.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn ticks(stat: &str) -> Option<u64> {
    /// Fields between the name and the time.
    const BETWEEN: usize = 19;
    // The name, in parentheses, can have anything in it.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(BETWEEN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_move_the_fields() {
        let fields = (3..=52).map(|field| field.to_string());
        let fields = fields.collect::<Vec<_>>().join(" ");
        for name in ["sh", "a b", ") 1 2 (", "()"] {
            assert_eq!(ticks(&format!("1 ({name}) {fields}")), Some(22), "{name}");
        }
        assert_eq!(ticks(""), None);
        assert_eq!(ticks("1 (sh) S 1"), None);
    }

    #[test]
    fn only_a_process_that_is_there_has_a_time() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(own) >= start_time(1) && start_time(own).is_some());
        assert_eq!(start_time(i32::MAX), None);
    }
}
