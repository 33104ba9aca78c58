//! Docker's default system call filter, from `seccomp_default.json` and a container's capabilities.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use serde::Deserialize;

use super::oci::{Seccomp, SeccompArg, SeccompSyscall};

/// The profile of Docker 26 as data; how it is read is said in its fields' names.
const PROFILE: &str = include_str!("seccomp_default.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    /// Names of calls, blank separated, that everyone may use.
    always: Vec<String>,
    /// Calls that exist on one architecture only.
    by_architecture: BTreeMap<String, String>,
    /// Calls that a process may make only when it has the capability.
    by_capability: BTreeMap<String, String>,
    /// Calls that fail with this errno unless the process has the capability; libc then tries an older call.
    refused_without: BTreeMap<String, BTreeMap<String, u32>>,
    /// Calls that are allowed only with certain values of an argument.
    conditions: Vec<Condition>,
    /// Architectures whose programs may run next to the native one's.
    compatible: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    call: String,
    #[serde(default)]
    unless_capability: Option<String>,
    arg: u32,
    op: String,
    /// One rule for each.
    values: Vec<u64>,
}

impl Condition {
    /// One rule for each value.
    fn rules(&self) -> impl Iterator<Item = SeccompSyscall> {
        self.values.iter().map(|value| SeccompSyscall {
            names: vec![self.call.clone()],
            action: "SCMP_ACT_ALLOW".into(),
            errno_ret: None,
            args: vec![SeccompArg {
                index: self.arg,
                value: *value,
                value_two: (self.op == "SCMP_CMP_MASKED_EQ").then_some(0),
                op: self.op.clone(),
            }],
        })
    }
}

/// The default filter for a container with these capabilities (names with `CAP_`).
///
/// # Panics
/// Never: the profile is part of the program and a test reads it.
#[must_use]
pub fn seccomp_default<S: AsRef<str>>(capabilities: &[S]) -> Seccomp {
    let profile = match json_reader::from_str::<Profile>(PROFILE) {
        Ok(profile) => profile,
        // A filter that allows nothing is the safe answer to the impossible.
        Err(_) => {
            return Seccomp {
                default_action: "SCMP_ACT_ERRNO".into(),
                ..Seccomp::default()
            };
        }
    };
    let has = |name: &str| {
        capabilities
            .iter()
            .any(|capability| capability.as_ref() == name)
    };
    let names = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut allowed: Vec<String> = profile.always.iter().flat_map(|line| names(line)).collect();
    allowed.extend(
        profile
            .by_architecture
            .get(ARCH)
            .iter()
            .flat_map(|text| names(text)),
    );
    for (_, text) in profile
        .by_capability
        .iter()
        .filter(|(capability, _)| has(capability))
    {
        allowed.extend(names(text));
    }
    let mut syscalls = vec![SeccompSyscall {
        names: allowed,
        action: "SCMP_ACT_ALLOW".into(),
        ..Default::default()
    }];
    for (_, calls) in profile
        .refused_without
        .iter()
        .filter(|(capability, _)| !has(capability))
    {
        syscalls.extend(calls.iter().map(|(call, errno)| SeccompSyscall {
            names: vec![call.clone()],
            action: "SCMP_ACT_ERRNO".into(),
            errno_ret: Some(*errno),
            args: Vec::new(),
        }));
    }
    let conditions = profile.conditions.iter();
    let held =
        conditions.filter(|condition| !condition.unless_capability.as_deref().is_some_and(has));
    syscalls.extend(held.flat_map(Condition::rules));
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        default_errno_ret: Some(1),
        architectures: profile.compatible.get(ARCH).cloned().unwrap_or_default(),
        flags: Vec::new(),
        syscalls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(profile: &Seccomp, call: &str) -> bool {
        profile
            .syscalls
            .iter()
            .any(|rule| rule.action == "SCMP_ACT_ALLOW" && rule.names.iter().any(|n| n == call))
    }

    #[test]
    fn capabilities_open_their_calls_and_no_others() {
        let plain = seccomp_default(&["CAP_CHOWN"]);
        assert!(allows(&plain, "openat") && allows(&plain, "socket") && allows(&plain, "ptrace"));
        assert!(
            !allows(&plain, "mount") && !allows(&plain, "bpf") && !allows(&plain, "io_uring_setup")
        );
        assert!(
            plain
                .syscalls
                .iter()
                .any(|rule| rule.names == ["clone3"] && rule.errno_ret == Some(38))
        );
        let admin = seccomp_default(&["CAP_SYS_ADMIN"]);
        assert!(allows(&admin, "mount") && !allows(&admin, "reboot"));
        assert!(!admin.syscalls.iter().any(|rule| rule.errno_ret == Some(38)));
    }
}
