//! A User Docker that does not come up must be heard of: its service starts it again and again, and says so nowhere.

use std::fs;

use sys::kmsg::{self, Priority};

use super::last_good;
use crate::problems;

/// How often it was started since it last answered.
const STARTS: &str = "/run/rancher/user-docker.starts";
/// The first start and one more are the machine's usual way; after that something is wrong.
const USUAL: u32 = 2;
/// The subject of what is said.
const SUBJECT: &str = "user-docker";

/// Says a problem of User Docker.
pub(super) fn warn(message: &str) {
    eprintln!("user-docker: {message}");
    problems::warn(SUBJECT, message);
}

/// Counts a start; many without success are said.
pub(super) fn count() {
    let starts = fs::read_to_string(STARTS)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
        .unwrap_or(0)
        .saturating_add(1);
    if let Err(error) = fs::write(STARTS, starts.to_string()) {
        eprintln!("user-docker: {STARTS}: {error}");
    }
    if starts > USUAL {
        warn(
            "User Docker ends again and again without having answered: see `system-docker logs docker`",
        );
    }
}

/// It answers: what kept it from that is over, unless it answers with other settings than it should.
pub(super) fn succeeded() {
    // What `cargo xtask bench` and people who read `dmesg` measure a start by.
    kmsg::log(Priority::Info, "user-docker: user docker answers");
    // Absent when somebody has tidied up.
    let _ = fs::remove_file(STARTS);
    if last_good::answered() {
        problems::clear(SUBJECT);
    }
}
