//! The ssh server of a console: host keys that stay, keys only, nobody as root, unless files of the machine's owner say
//! otherwise.

mod own;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sys::process::Command;

use self::own::Own;
use super::{accounts, host_keys};
use crate::machine_config::{CONF, MachineConfig};
use crate::problems;
use crate::supervisor::Program;

pub(super) use self::own::note_images;

/// Places of sshd, which insists on being started by its full path.
const SSHD: &[&str] = &["/usr/sbin/sshd", "/usr/bin/sshd"];

/// Host keys and authorized keys that the state disk cannot keep.
pub(super) const IN_RAM: &str = "/run/rancher/ssh";

/// Keys of users whose homes are other users'.
pub(super) const OF_USERS: &str = "/run/rancher/ssh-users";

/// How long sshd may take to read its configuration.
const TRY_DEADLINE: Duration = Duration::from_secs(20);

/// This console's configuration of sshd.
const CONFIG: &str = "/etc/ssh/sshd_config.rancher";

/// Host keys and configuration; the program to keep running, or none when ssh is switched off.
pub(super) fn prepare(machine: &MachineConfig) -> anyhow::Result<Option<Program>> {
    let ssh = &machine.loaded.config.rancher.ssh;
    if ssh.daemon == Some(false) {
        return Ok(None);
    }
    let sshd = SSHD
        .iter()
        .find(|path| Path::new(path).exists())
        .context("this console has no sshd")?;
    let directory = Path::new(CONF).join("ssh");
    let keys = host_keys::ensure(&directory, &Path::new(IN_RAM).join("host"), &ssh.keys)?;
    configure(machine, &keys, sshd)?;
    Ok(Some(Program {
        name: "sshd".to_owned(),
        command: Command::new(sshd).args(["-D", "-e", "-f", CONFIG]),
    }))
}

/// Writes the configuration, with as much of the owner's as sshd starts with and lets somebody in.
fn configure(machine: &MachineConfig, keys: &[PathBuf], sshd: &str) -> anyhow::Result<()> {
    let own = Own::found()?;
    let mut refused = None;
    for attempt in own.attempts() {
        fs::write(CONFIG, config(machine, keys, &attempt))
            .with_context(|| format!("cannot write {CONFIG}"))?;
        // Nothing is tried without such files: a start of sshd takes time.
        let refusal = (!attempt.is_empty()).then(|| refusal(sshd)).flatten();
        if let Some(refusal) = refusal {
            refused.get_or_insert(refusal);
            continue;
        }
        if let Some(why) = refused {
            let names = own.left_out(&attempt);
            problems::warn("ssh", &format!("{names} left out, since {why}"));
        }
        return Ok(());
    }
    Ok(())
}

/// Why sshd cannot be used with the configuration as it is written now.
fn refusal(sshd: &str) -> Option<String> {
    // `Match` needs somebody to match (sshd(8), -C).
    const SOMEBODY: &str = "user=rancher,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22";
    let run = |arguments: &[&str]| {
        let command = Command::new(sshd).args(arguments).args(["-f", CONFIG]);
        command.deadline(TRY_DEADLINE).run().ok()
    };
    let tried = run(&["-t"])?;
    if !tried.status.success() {
        let said = String::from_utf8_lossy(&tried.stderr);
        let said = said.trim().replace('\n', "; ");
        return Some(format!("sshd does not start: {said}"));
    }
    let settings = run(&["-T", "-C", SOMEBODY])?;
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let why = own::locks_out(&String::from_utf8_lossy(&settings.stdout), &passwd)?;
    Some(format!("nobody could log in: {why}"))
}

/// Where sshd looks for the keys of who logs in.
const AUTHORIZED_KEYS: &str = ".ssh/authorized_keys /run/rancher/ssh/%u /run/rancher/ssh-users/%u";

/// What must hold also when the owner's file says otherwise: the keys that let the owner in, the machine's own host keys, and
/// no PAM, which has no rules for sshd here. The first value counts.
fn fixed(own: &str, keys: &[PathBuf]) -> Vec<String> {
    let more = own::value(own, "AuthorizedKeysFile").filter(|more| *more != "none");
    let mut lines = host_keys_of(keys);
    let files = format!("{AUTHORIZED_KEYS} {}", more.unwrap_or_default());
    lines.push(format!("AuthorizedKeysFile {}", files.trim_end()));
    lines.extend(["UsePAM no", "PidFile none"].map(str::to_owned));
    lines
}

fn host_keys_of(keys: &[PathBuf]) -> Vec<String> {
    let lines = keys.iter().map(|key| format!("HostKey {}", key.display()));
    lines.collect()
}

/// Files of the machine's owner come first.
fn config(machine: &MachineConfig, keys: &[PathBuf], own: &Own) -> String {
    let ssh = &machine.loaded.config.rancher.ssh;
    let mut lines = vec!["# written by ros console-init at every start".to_owned()];
    if !own.is_empty() {
        lines.push("# The first value counts: files of the machine's owner win.".to_owned());
    }
    let text = own.file.as_ref().map_or("", |file| file.text.as_str());
    // What is read twice opens its ports twice.
    if own.folder && !text.contains(own::FOLDER) {
        lines.push(format!("Include {}/*.conf", own::FOLDER));
    }
    if let Some(file) = &own.file {
        lines.extend(fixed(text, keys));
        lines.push(format!("Include {}", file.path));
    } else {
        lines.extend(host_keys_of(keys));
    }
    // Before OpenSSH 9.5 a second one was an error.
    if !own::value(text, "Subsystem").is_some_and(|value| value.starts_with("sftp")) {
        lines.push("Subsystem sftp internal-sftp".to_owned());
    }
    // What is not a port or an address was reported with its place, and must not keep sshd from starting.
    let port = ssh.port.and_then(|port| u16::try_from(port).ok());
    if let Some(port) = port.filter(|port| *port != 0) {
        lines.push(format!("Port {port}"));
    }
    if let Some(address) = ssh
        .listen_address
        .as_deref()
        .filter(|address| config::schema::is_listen_address(address))
    {
        lines.push(format!("ListenAddress {address}"));
    }
    let asked = machine.loaded.config.ssh_pwauth.as_deref();
    let passwords = match asked {
        _ if machine.is_disabled("password") => "no",
        Some("true" | "yes" | "on") => "yes",
        Some("false" | "no" | "off") => "no",
        _ if accounts::password(machine).is_some() => "yes",
        _ => "no",
    };
    lines.push(format!("PasswordAuthentication {passwords}"));
    lines.extend(
        [
            "PermitRootLogin no",
            "PermitEmptyPasswords no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "X11Forwarding no",
            "UseDNS no",
            "PrintMotd no",
            "ClientAliveInterval 180",
            "AcceptEnv LANG LC_*",
            "PidFile none",
        ]
        .map(str::to_owned),
    );
    lines.push(format!("AuthorizedKeysFile {AUTHORIZED_KEYS}"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_with(text: &str, own: &Own) -> String {
        let source = config::Source { name: "t", text };
        let machine = MachineConfig {
            loaded: config::load(&[source], &config::CommandLine::default()),
            ..MachineConfig::default()
        };
        config(&machine, &[PathBuf::from("/k")], own)
    }

    fn config_for(text: &str) -> String {
        config_with(text, &Own::default())
    }

    #[test]
    fn the_owners_file_wins_and_does_not_lock_the_owner_out() {
        let file = own::File {
            path: "/etc/ssh/sshd_config",
            text: "Port 2222\nAuthorizedKeysFile /keys/%u\nUsePAM yes\n".to_owned(),
        };
        let own = Own {
            folder: true,
            file: Some(file),
        };
        let text = config_with("", &own);
        let place = |line: &str| text.lines().position(|known| known == line).expect(line);
        let file = place("Include /etc/ssh/sshd_config");
        for line in [
            "Include /etc/ssh/sshd_config.d/*.conf",
            "HostKey /k",
            "AuthorizedKeysFile .ssh/authorized_keys /run/rancher/ssh/%u /run/rancher/ssh-users/%u /keys/%u",
            "UsePAM no",
        ] {
            assert!(place(line) < file, "{line}");
        }
        for line in ["PermitRootLogin no", "PasswordAuthentication no"] {
            assert!(file < place(line), "{line}");
        }
        assert!(text.contains("\nSubsystem sftp internal-sftp\n"));
        let file = own::File {
            path: "/etc/ssh/sshd_config",
            text: "subsystem sftp /x\n".to_owned(),
        };
        let own = Own {
            folder: false,
            file: Some(file),
        };
        assert!(!config_with("", &own).contains("Subsystem"));
        assert!(!config_for("").contains("Include"));
    }

    #[test]
    fn passwords_work_only_when_one_was_set_and_root_never_logs_in() {
        let plain = config_for("");
        assert!(plain.contains("PasswordAuthentication no\n"));
        assert!(plain.contains("PermitRootLogin no\n"));
        assert!(config_for("rancher: {password: x}").contains("PasswordAuthentication yes\n"));
        assert!(config_for("ssh_pwauth: true").contains("PasswordAuthentication yes\n"));
        assert!(
            config_for("ssh_pwauth: no\nrancher: {password: x}")
                .contains("PasswordAuthentication no\n")
        );
        assert!(
            config_for("rancher: {password: x, disable: [password]}")
                .contains("PasswordAuthentication no\n")
        );
    }

    #[test]
    fn port_and_address_are_taken_and_nothing_else_gets_in() {
        let text = config_for(
            "rancher: {ssh: {port: 2222, listen_address: \"1.2.3.4\\nPermitRootLogin yes\"}}",
        );
        assert!(text.contains("Port 2222\n"));
        assert!(!text.contains("ListenAddress"));
        assert!(!text.contains("PermitRootLogin yes"));
        for unusable in ["port: 70000", "port: 0", "listen_address: nowhere"] {
            let text = config_for(&format!("rancher: {{ssh: {{{unusable}}}}}"));
            assert!(
                !text.contains("Port") && !text.contains("ListenAddress"),
                "{unusable}"
            );
        }
        assert!(
            config_for("rancher: {ssh: {listen_address: '10.0.0.1:2222'}}")
                .contains("ListenAddress 10.0.0.1:2222\n")
        );
    }
}
