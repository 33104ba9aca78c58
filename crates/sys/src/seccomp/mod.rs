//! System call filters: seccomp(2), written in classic BPF.
//!
//! The rules become a binary search over ranges of call numbers, so that a long list of allowed calls costs some ten
//! instructions a call.

mod assemble;
mod table_aarch64;
mod table_x86;
mod table_x86_64;

use rustix::io::Errno;

use crate::error::{Context, Result, check};

pub use assemble::assemble;

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGSYS kills the process.
    KillProcess,
    /// SIGSYS kills the thread.
    KillThread,
    /// SIGSYS is delivered.
    Trap,
    /// It fails with this errno.
    Errno(u16),
    /// A tracer is told; without one it fails with ENOSYS.
    Trace(u16),
    /// It is done and logged.
    Log,
    /// It is done.
    Allow,
}

impl Action {
    /// The filter's return value (linux/seccomp.h).
    fn value(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Action::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Action::Log => 0x7ffc_0000,
            Action::Allow => 0x7fff_0000,
        }
    }
}

/// How an argument is compared, as unsigned 64-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater or equal.
    Ge,
    /// Greater.
    Gt,
    /// Equal in the bits of this mask.
    MaskedEq(u64),
}

/// A condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which, 0 to 5.
    pub arg: u32,
    /// How.
    pub compare: Compare,
    /// With what.
    pub value: u64,
}

/// What happens to some calls. Rules for one call are tried in order, those with conditions first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names of the calls; those that an architecture does not have are skipped.
    pub names: Vec<String>,
    /// What happens.
    pub action: Action,
    /// All must hold; those on the same argument: one of them.
    pub conditions: Vec<Condition>,
}

/// A set of system calls: processors, and the programs of other word sizes they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
}

impl Arch {
    /// The architecture that this program was built for.
    #[must_use]
    pub const fn native() -> Arch {
        if cfg!(target_arch = "aarch64") {
            Arch::Aarch64
        } else {
            Arch::X86_64
        }
    }

    /// Number of a call by its name.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        table
            .binary_search_by(|(known, _)| (*known).cmp(name))
            .ok()
            .map(|at| table[at].1)
    }

    fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Arch::X86_64 => table_x86_64::X86_64,
            Arch::X86 => table_x86::X86,
            Arch::Aarch64 => table_aarch64::AARCH64,
        }
    }

    /// AUDIT_ARCH_* of linux/audit.h.
    fn audit(self) -> u32 {
        match self {
            Arch::X86_64 => 0xC000_003E,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xC000_00B7,
        }
    }
}

/// An assembled filter.
#[derive(Debug, Clone)]
pub struct Program(Vec<libc::sock_filter>);

impl Program {
    /// Number of instructions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no instructions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the calling thread, and what it will start, under the filter for good. It must have CAP_SYS_ADMIN or
    /// no_new_privs. `log`: actions other than allow are logged.
    ///
    /// # Errors
    /// What seccomp(2) refuses.
    pub fn install(&self, log: bool) -> Result<()> {
        const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
        const SECCOMP_FILTER_FLAG_LOG: libc::c_uint = 2;
        let what = || "install system call filter".to_owned();
        let length = u16::try_from(self.0.len())
            .map_err(|_| Errno::TOOBIG)
            .what(what)?;
        let program = libc::sock_fprog {
            len: length,
            filter: self.0.as_ptr().cast_mut(),
        };
        let flags = if log { SECCOMP_FILTER_FLAG_LOG } else { 0 };
        // SAFETY: the program and its instructions live across the call; the kernel copies and only reads them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        check(result).map(drop).what(what)
    }
}
