//! `poweroff`, `reboot`, `halt`, `shutdown`: ask PID 1 to end the machine in order, or end it at once.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use sys::process::Signal;
use sys::reboot::Action;

use crate::machine_config::MachineConfig;

/// inode of the first pid namespace (PROC_PID_INIT_INO, linux/proc_ns.h): there, process 1 is the machine's.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Ends the machine.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Arguments {
    /// At once: sync and tell the kernel, without stopping anything
    #[arg(short, long)]
    force: bool,
    /// Stop the processors, keep the power
    #[arg(short = 'H', long, group = "action")]
    halt: bool,
    /// Switch the power off
    #[arg(short = 'P', long, group = "action")]
    poweroff: bool,
    /// Start again
    #[arg(short, long, group = "action")]
    reboot: bool,
    /// Start again without the firmware (reboot only): the kernel of this version by kexec
    #[arg(short, long)]
    kexec: bool,
    /// The same with the version before this one, which has to pass its checks (reboot only)
    #[arg(long, conflicts_with_all = ["kexec", "force"])]
    kexec_previous: bool,
    /// More kernel parameters for this one start (with --kexec)
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        requires = "kexec"
    )]
    kexec_append: Option<String>,
    /// Power off (shutdown only)
    #[arg(short = 'h', group = "action")]
    h: bool,
    /// Seconds a container gets; taken for compatibility, rancher.shutdown_timeout decides
    #[arg(short, long)]
    timeout: Option<u32>,
    /// Print this help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// When (shutdown only): now or +0
    time: Option<String>,
}

/// Runs the command called `name`.
pub(crate) fn main(name: &str, arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let arguments = Arguments::try_parse_from(arguments)?;
    let action = action(name, &arguments)?;
    if arguments.timeout.is_some() {
        eprintln!("{name}: -t has no effect: rancher.shutdown_timeout decides");
    }
    let append = arguments.kexec_append.as_deref().unwrap_or_default();
    if arguments.force {
        if action == Action::Kexec {
            crate::os::load_running_kernel(append, true)?;
        }
        sys::fs::sync();
        return Err(sys::reboot::reboot(action).into());
    }
    if matches!(action, Action::Reboot | Action::Kexec) {
        refuse_bad_configuration()?;
    }
    check_namespace()?;
    if arguments.kexec_previous {
        crate::os::previous_by_kexec()?;
        return Ok(ExitCode::SUCCESS);
    }
    if action == Action::Kexec {
        crate::os::load_running_kernel(append, false)?;
    }
    ask_pid_1(action)?;
    Ok(ExitCode::SUCCESS)
}

/// Has PID 1 end the machine in order and start it again, whatever its configuration says.
pub(crate) fn reboot() -> anyhow::Result<()> {
    ask_pid_1(Action::Reboot)
}

/// Has PID 1 end the machine in order and start the kernel that was loaded.
pub(crate) fn kexec() -> anyhow::Result<()> {
    ask_pid_1(Action::Kexec)
}

fn ask_pid_1(action: Action) -> anyhow::Result<()> {
    check_namespace()?;
    sys::process::kill(1, signal(action)).context("cannot ask PID 1")
}

/// # Errors
/// Where process 1 is not the machine's.
fn check_namespace() -> anyhow::Result<()> {
    let namespace = fs::read_link("/proc/self/ns/pid").context("cannot read /proc/self/ns/pid")?;
    if namespace != Path::new(FIRST_PID_NAMESPACE) {
        bail!("this container has its own processes: it cannot reach PID 1");
    }
    Ok(())
}

fn action(name: &str, arguments: &Arguments) -> anyhow::Result<Action> {
    if (arguments.h || arguments.time.is_some()) && name != "shutdown" {
        bail!("-h and a time belong to shutdown");
    }
    if let Some(time) = arguments.time.as_deref()
        && !matches!(time, "now" | "+0")
    {
        bail!("time {time:?}: only now and +0 are possible");
    }
    let kexec = arguments.kexec || arguments.kexec_previous;
    if kexec && (name != "reboot" || arguments.halt || arguments.poweroff) {
        bail!("--kexec and --kexec-previous belong to reboot");
    }
    Ok(if kexec {
        Action::Kexec
    } else if arguments.halt {
        Action::Halt
    } else if arguments.reboot {
        Action::Reboot
    } else if arguments.poweroff || arguments.h {
        Action::PowerOff
    } else {
        match name {
            "reboot" => Action::Reboot,
            "halt" => Action::Halt,
            _ => Action::PowerOff,
        }
    })
}

/// SIGRTMIN+6 of glibc: systemd's kexec.target.
const KEXEC: Signal = Signal::realtime(6);

/// PID 1's signals (ARCHITECTURE.md; busybox init and sysvinit have the same for power off, halt and reboot).
fn signal(action: Action) -> Signal {
    match action {
        Action::PowerOff => Signal::USR2,
        Action::Halt => Signal::USR1,
        Action::Reboot => Signal::TERM,
        Action::Kexec => KEXEC,
    }
}

/// A reboot into a configuration that does not read would be a machine that comes back as another one.
fn refuse_bad_configuration() -> anyhow::Result<()> {
    let machine = MachineConfig::load();
    let errors: Vec<String> = machine.errors().map(ToString::to_string).collect();
    if errors.is_empty() {
        return Ok(());
    }
    bail!(
        "the configuration has errors, reboot -f ignores them:\n{}",
        errors.join("\n")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Action> {
        let words: Vec<&str> = line.split(' ').collect();
        let arguments = Arguments::try_parse_from(&words)?;
        action(words[0], &arguments)
    }

    #[test]
    fn names_and_flags_choose_the_action() {
        for (line, want) in [
            ("poweroff", Action::PowerOff),
            ("reboot", Action::Reboot),
            ("halt", Action::Halt),
            ("shutdown", Action::PowerOff),
            ("shutdown now", Action::PowerOff),
            ("shutdown -h +0", Action::PowerOff),
            ("shutdown -r now", Action::Reboot),
            ("reboot -P", Action::PowerOff),
            ("poweroff -H -t 5", Action::Halt),
            ("poweroff --reboot", Action::Reboot),
            ("reboot -k", Action::Kexec),
            ("reboot -k --kexec-append quiet", Action::Kexec),
            ("reboot --kexec-previous", Action::Kexec),
        ] {
            assert_eq!(parsed(line).unwrap(), want, "{line}");
        }
        for line in [
            "shutdown +5",
            "reboot now",
            "poweroff -h",
            "reboot -H -P",
            "halt --bogus",
            "poweroff -k",
            "reboot -k -H",
            "reboot --kexec-append quiet",
            "reboot --kexec-previous -k",
            "reboot --kexec-previous -f",
            "halt --kexec-previous",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
