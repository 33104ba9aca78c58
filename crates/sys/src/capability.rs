//! Capabilities: capabilities(7), capset(2), prctl(2).

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::error::{Context, Result};

/// All capabilities in the order of their numbers (linux/capability.h), without `CAP_`.
#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSet(pub u64);

impl CapSet {
    /// CAP_SYS_ADMIN alone.
    pub const SYS_ADMIN: CapSet = CapSet(1 << 21);
    /// CAP_SYS_RESOURCE alone.
    pub const SYS_RESOURCE: CapSet = CapSet(1 << 24);

    /// The set of these names, with or without `CAP_`, in any case; and the names that nobody knows.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> (CapSet, Vec<String>) {
        let mut set = CapSet::default();
        let mut unknown = Vec::new();
        for name in names {
            match number(name.as_ref()) {
                Some(number) => set.0 |= 1 << number,
                None => unknown.push(name.as_ref().to_owned()),
            }
        }
        (set, unknown)
    }

    /// The names of its members, with `CAP_`.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        all_names()
            .into_iter()
            .enumerate()
            .filter(|(n, _)| self.0 & (1 << n) != 0)
            .map(|(_, name)| name)
            .collect()
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: CapSet) -> CapSet {
        CapSet(self.0 & other.0)
    }

    /// What is in one of them.
    #[must_use]
    pub fn or(self, other: CapSet) -> CapSet {
        CapSet(self.0 | other.0)
    }
}

/// Number of a capability by its name, with or without `CAP_`, in any case.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES
        .iter()
        .position(|known| *known == name)
        .and_then(|at| u32::try_from(at).ok())
}

/// Names of all capabilities, with `CAP_`, in the order of their numbers.
#[must_use]
pub fn all_names() -> Vec<String> {
    NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

/// Effective, permitted and inheritable capabilities of the calling thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What counts now.
    pub effective: CapSet,
    /// What may become effective.
    pub permitted: CapSet,
    /// What is kept for programs with inheritable file capabilities.
    pub inheritable: CapSet,
}

/// The calling thread's sets.
///
/// # Errors
/// Never, on Linux.
pub fn get() -> Result<Sets> {
    let sets = thread::capabilities(None).what(|| "read capabilities".into())?;
    Ok(Sets {
        effective: CapSet(sets.effective.bits()),
        permitted: CapSet(sets.permitted.bits()),
        inheritable: CapSet(sets.inheritable.bits()),
    })
}

/// Sets the calling thread's sets.
///
/// # Errors
/// What capset(2) refuses: more than is permitted now.
pub fn set(sets: Sets) -> Result<()> {
    let of = |set: CapSet| CapabilitySet::from_bits_retain(set.0);
    let sets = CapabilitySets {
        effective: of(sets.effective),
        permitted: of(sets.permitted),
        inheritable: of(sets.inheritable),
    };
    thread::set_capabilities(None, sets).what(|| "set capabilities".into())
}

/// Takes everything but `keep` out of the bounding set for good. What the kernel does not know is skipped.
///
/// # Errors
/// Without CAP_SETPCAP.
pub fn limit_bounding(keep: CapSet) -> Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // EINVAL: beyond the kernel's last one.
        let Ok(present) = thread::capability_is_in_bounding_set(capability) else {
            break;
        };
        if present && keep.0 & (1 << number) == 0 {
            thread::remove_capability_from_bounding_set(capability)
                .what(|| format!("drop capability {number} from the bounding set"))?;
        }
    }
    Ok(())
}

/// Makes the ambient set this; each member must be permitted and inheritable.
///
/// # Errors
/// What prctl(2) refuses.
pub fn set_ambient(set: CapSet) -> Result<()> {
    let what = || "set ambient capabilities".to_owned();
    thread::clear_ambient_capability_set().what(what)?;
    for number in (0..u64::BITS).filter(|number| set.0 & (1 << number) != 0) {
        thread::configure_capability_in_ambient_set(
            CapabilitySet::from_bits_retain(1 << number),
            true,
        )
        .what(what)?;
    }
    Ok(())
}

/// Whether the permitted capabilities outlive the change to another user (PR_SET_KEEPCAPS).
///
/// # Errors
/// Never, unless the securebits are locked.
pub fn keep_over_setuid(keep: bool) -> Result<()> {
    thread::set_keep_capabilities(keep).what(|| "keep capabilities".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree_with_the_kernel_header() {
        assert_eq!(number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(number("net_raw"), Some(13));
        assert_eq!(number("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("CAP_NOPE"), None);
        let (set, unknown) = CapSet::from_names(&["CAP_KILL", "mknod", "x"]);
        assert_eq!(set.names(), ["CAP_KILL", "CAP_MKNOD"]);
        assert_eq!(unknown, ["x"]);
    }
}
