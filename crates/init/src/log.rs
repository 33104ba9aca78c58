//! PID 1's log lines: to the kernel log, where the console, `dmesg` and syslog read them.

use sys::kmsg::{self, Priority};

/// Something went as it should.
pub(crate) fn info(message: &str) {
    write(Priority::Info, message);
}

/// Something is odd, and the machine goes on.
pub(crate) fn warning(message: &str) {
    write(Priority::Warning, message);
}

/// Something failed.
pub(crate) fn error(message: &str) {
    write(Priority::Error, message);
}

fn write(priority: Priority, message: &str) {
    for line in message.lines() {
        kmsg::log(priority, &format!("init: {line}"));
    }
}
