//! The `linux.seccomp` part of `config.json`. Names of actions, architectures and operators are libseccomp's.

use serde::{Deserialize, Serialize};

/// A system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens to calls that no rule matches: `SCMP_ACT_ERRNO`, ...
    pub default_action: String,
    /// The errno of a default `SCMP_ACT_ERRNO`; EPERM if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// Architectures in addition to the native one (`SCMP_ARCH_X86`); their calls kill the process if not named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// `SECCOMP_FILTER_FLAG_LOG` and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// The rules.
    pub syscalls: Vec<SeccompSyscall>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SeccompSyscall {
    /// Names of calls; unknown ones are skipped.
    pub names: Vec<String>,
    /// What happens: `SCMP_ACT_ALLOW`, ...
    pub action: String,
    /// The errno of `SCMP_ACT_ERRNO`; EPERM if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// All of these must hold (those of one argument: any).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SeccompArg>,
}

/// A condition on an argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SeccompArg {
    /// Which argument, 0 to 5.
    pub index: u32,
    /// Value to compare with; the mask of `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
    /// Value of `SCMP_CMP_MASKED_EQ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_two: Option<u64>,
    /// `SCMP_CMP_EQ`, ...
    pub op: String,
}
