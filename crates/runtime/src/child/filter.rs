//! From the specification's names to a system call filter.

use sys::seccomp::{Action, Arch, Compare, Condition, Program, Rule, assemble};

use crate::error::{Error, Result};
use crate::oci::{Seccomp, SeccompArg};

/// EPERM: the errno of a refusal that names none.
const EPERM: u32 = 1;

/// Assembles the filter. `None` if it allows everything.
pub(super) fn build(seccomp: &Seccomp) -> Result<Option<Program>> {
    let default = action(&seccomp.default_action, seccomp.default_errno_ret)?;
    if seccomp.syscalls.is_empty() && default == Action::Allow {
        return Ok(None);
    }
    let mut arches = vec![Arch::native()];
    for name in &seccomp.architectures {
        let arch = match name.as_str() {
            "SCMP_ARCH_X86_64" => Arch::X86_64,
            "SCMP_ARCH_X86" => Arch::X86,
            "SCMP_ARCH_AARCH64" => Arch::Aarch64,
            // Programs of an architecture that is not known here are killed.
            _ => continue,
        };
        if !arches.contains(&arch) {
            arches.push(arch);
        }
    }
    let rules = seccomp.syscalls.iter().map(|syscall| {
        Ok(Rule {
            names: syscall.names.clone(),
            action: action(&syscall.action, syscall.errno_ret)?,
            conditions: syscall.args.iter().map(condition).collect::<Result<_>>()?,
        })
    });
    Ok(Some(assemble(
        &arches,
        default,
        &rules.collect::<Result<Vec<_>>>()?,
    )?))
}

fn action(name: &str, errno: Option<u32>) -> Result<Action> {
    let errno = u16::try_from(errno.unwrap_or(EPERM));
    let errno = errno
        .map_err(|_| Error::other(format!("seccomp action {name:?}: errno is out of range")))?;
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(errno),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_TRACE" => Action::Trace(errno),
        "SCMP_ACT_LOG" => Action::Log,
        other => return Err(Error::other(format!("seccomp action {other:?} is unknown"))),
    })
}

fn condition(arg: &SeccompArg) -> Result<Condition> {
    let (compare, value) = match arg.op.as_str() {
        "SCMP_CMP_EQ" => (Compare::Eq, arg.value),
        "SCMP_CMP_NE" => (Compare::Ne, arg.value),
        "SCMP_CMP_LT" => (Compare::Lt, arg.value),
        "SCMP_CMP_LE" => (Compare::Le, arg.value),
        "SCMP_CMP_GE" => (Compare::Ge, arg.value),
        "SCMP_CMP_GT" => (Compare::Gt, arg.value),
        "SCMP_CMP_MASKED_EQ" => (Compare::MaskedEq(arg.value), arg.value_two.unwrap_or(0)),
        other => {
            return Err(Error::other(format!(
                "seccomp operator {other:?} is unknown"
            )));
        }
    };
    Ok(Condition {
        arg: arg.index,
        compare,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp_default;

    #[test]
    fn dockers_profile_assembles_and_is_short() {
        let program = build(&seccomp_default(&["CAP_CHOWN"])).unwrap().unwrap();
        assert!(program.len() < 1000, "{} instructions", program.len());
        let open = Seccomp {
            default_action: "SCMP_ACT_ALLOW".into(),
            ..Seccomp::default()
        };
        assert!(build(&open).unwrap().is_none());
        let bad = Seccomp {
            default_action: "SCMP_ACT_NOPE".into(),
            ..Seccomp::default()
        };
        assert!(build(&bad).is_err());
    }
}
