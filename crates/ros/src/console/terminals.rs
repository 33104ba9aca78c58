//! Logins on terminals: tty1 to tty6 and the serial lines that `console=` names.

use std::path::Path;

use sys::process::Command;

use super::accounts::RANCHER;
use crate::machine_config::MachineConfig;
use crate::supervisor::Program;

/// Virtual terminals with a login, as in RancherOS.
const VIRTUAL: &[&str] = &["tty1", "tty2", "tty3", "tty4", "tty5", "tty6"];

/// Places of agetty.
const AGETTY: &[&str] = &[
    "/sbin/agetty",
    "/usr/sbin/agetty",
    "/bin/agetty",
    "/usr/bin/agetty",
];

/// A terminal and how one logs in there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Terminal {
    name: String,
    is_serial: bool,
    /// User that is logged in without a password.
    autologin: Option<String>,
}

/// A getty for each terminal that exists.
pub(super) fn programs(machine: &MachineConfig) -> Vec<Program> {
    let agetty = AGETTY.iter().map(Path::new).find(|path| path.exists());
    let Some(agetty) = agetty else {
        eprintln!("console: this console has no agetty, there is no login on terminals");
        return Vec::new();
    };
    terminals(machine)
        .into_iter()
        .filter(|terminal| Path::new("/dev").join(&terminal.name).exists())
        .map(|terminal| Program {
            name: format!("agetty {}", terminal.name),
            command: Command::new(agetty)
                .args(arguments(&terminal))
                .env("TERM", terminal_type(&terminal))
                .terminal(Path::new("/dev").join(&terminal.name)),
        })
        .collect()
}

fn terminals(machine: &MachineConfig) -> Vec<Terminal> {
    let mut names: Vec<(String, bool)> = VIRTUAL
        .iter()
        .map(|name| ((*name).to_owned(), false))
        .collect();
    for console in machine.command_line.consoles() {
        if is_serial(console) {
            names.push((console.to_owned(), true));
        }
    }
    let allowed = !machine.is_disabled("autologin");
    let autologins = &machine.loaded.config.rancher.autologin;
    names
        .into_iter()
        .map(|(name, is_serial)| Terminal {
            autologin: allowed.then(|| autologin_user(autologins, &name)).flatten(),
            name,
            is_serial,
        })
        .collect()
}

/// Whether a console is a separate line: not the virtual console, not a name that leaves /dev.
fn is_serial(console: &str) -> bool {
    let is_virtual = console
        .strip_prefix("tty")
        .is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()));
    !is_virtual && console != "null" && console.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The user of `rancher.autologin=[USER:]TTY`.
fn autologin_user(autologins: &[String], terminal: &str) -> Option<String> {
    autologins.iter().find_map(|entry| {
        let (user, tty) = entry.split_once(':').unwrap_or((RANCHER, entry));
        (tty == terminal).then(|| user.to_owned())
    })
}

fn terminal_type(terminal: &Terminal) -> &'static str {
    if terminal.is_serial { "vt220" } else { "linux" }
}

/// agetty(8): the line keeps the speed the kernel gave it, and no carrier is needed.
fn arguments(terminal: &Terminal) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    if let Some(user) = &terminal.autologin {
        arguments.extend(["--autologin".to_owned(), user.clone()]);
    }
    if terminal.is_serial {
        arguments
            .extend(["--local-line", "--keep-baud", "115200,57600,38400,9600"].map(str::to_owned));
    } else {
        arguments.push("--noclear".to_owned());
    }
    arguments.push(terminal.name.clone());
    arguments.push(terminal_type(terminal).to_owned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(line: &str) -> MachineConfig {
        let command_line = config::CommandLine::parse(line);
        MachineConfig {
            loaded: config::load(&[], &command_line),
            command_line,
            ..MachineConfig::default()
        }
    }

    #[test]
    fn serial_consoles_get_a_login_and_virtual_ones_are_not_doubled() {
        let names: Vec<String> = terminals(&machine(
            "console=tty0 console=tty1 console=ttyS0,115200 console=hvc0 console=../x",
        ))
        .into_iter()
        .map(|terminal| terminal.name)
        .collect();
        assert_eq!(
            names,
            [
                "tty1", "tty2", "tty3", "tty4", "tty5", "tty6", "ttyS0", "hvc0"
            ]
        );
    }

    #[test]
    fn autologin_names_terminals_and_can_be_disabled() {
        let users = |line: &str| -> Vec<(String, String)> {
            terminals(&machine(line))
                .into_iter()
                .filter_map(|terminal| Some((terminal.name, terminal.autologin?)))
                .collect()
        };
        let line = "console=ttyS0 rancher.autologin=tty1 rancher.autologin=docker:ttyS0";
        assert_eq!(
            users(line),
            [
                ("tty1".into(), "rancher".into()),
                ("ttyS0".into(), "docker".into())
            ]
        );
        assert!(users(&format!("{line} rancher.disable=[autologin]")).is_empty());
    }

    #[test]
    fn arguments_of_agetty() {
        let terminal = Terminal {
            name: "ttyS0".into(),
            is_serial: true,
            autologin: Some("rancher".into()),
        };
        assert_eq!(
            arguments(&terminal).join(" "),
            "--autologin rancher --local-line --keep-baud 115200,57600,38400,9600 ttyS0 vt220"
        );
    }
}
