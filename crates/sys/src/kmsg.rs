//! The kernel's log as PID 1's log: /dev/kmsg (`Documentation/ABI/testing/dev-kmsg`).

use std::fs::OpenOptions;
use std::io::Write;

/// Severity, numbered as in syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The machine cannot go on.
    Emergency = 0,
    /// Somebody must act now.
    Alert = 1,
    /// Critical.
    Critical = 2,
    /// Something failed.
    Error = 3,
    /// Something is odd.
    Warning = 4,
    /// Normal, and worth a look.
    Notice = 5,
    /// Normal.
    Info = 6,
    /// For developers.
    Debug = 7,
}

/// Facility `daemon` of syslog(3), in the place it has in a priority number.
const FACILITY_DAEMON: u8 = 3 << 3;

/// Longest record: the kernel refuses more than 1024 bytes less its own prefix.
const LONGEST_RECORD: usize = 976;

/// Writes one line. Without /dev/kmsg (not yet mounted, or no right) it goes to standard error; a log line is never
/// a reason to fail.
pub fn log(priority: Priority, line: &str) {
    let record = record(priority, line);
    let written = OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut file| file.write_all(record.as_bytes()));
    if written.is_err() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Says as a warning what `who` (such as `engine`) can tell nobody else.
pub fn warn(who: &str, message: &str) {
    log(Priority::Warning, &format!("{who}: {message}"));
}

/// The record with its priority prefix, on one line and not too long. Without the newline at its end the kernel would
/// hold it back, since more of the line might follow (LOG_NEWLINE in kernel/printk/printk.c).
fn record(priority: Priority, line: &str) -> String {
    let mut end = line.len().min(LONGEST_RECORD);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let line = line[..end].replace('\n', " ");
    format!("<{}>{line}\n", FACILITY_DAEMON | priority as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_one_short_line_with_its_priority() {
        assert_eq!(record(Priority::Info, "a\nb"), "<30>a b\n");
        let long = record(Priority::Error, &"ä".repeat(1000));
        assert!(long.len() <= LONGEST_RECORD + 5 && long.starts_with("<27>ä"));
    }
}
