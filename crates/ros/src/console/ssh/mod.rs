//! The ssh server of a console: host keys that stay, keys only, nobody as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sys::process::Command;

use super::{accounts, host_keys};
use crate::machine_config::{CONF, MachineConfig};
use crate::problems;
use crate::supervisor::Program;

/// Places of sshd, which insists on being started by its full path.
const SSHD: &[&str] = &["/usr/sbin/sshd", "/usr/bin/sshd"];

/// Host keys and authorized keys that the state disk cannot keep.
pub(super) const IN_RAM: &str = "/run/rancher/ssh";

/// Where the machine's owner puts files for sshd.
const OWN: &str = "/etc/ssh/sshd_config.d";

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
    fs::create_dir_all("/etc/ssh").context("cannot create /etc/ssh")?;
    let write = |own| {
        fs::write(CONFIG, config(machine, &keys, own))
            .with_context(|| format!("cannot write {CONFIG}"))
    };
    write(true)?;
    if let Some(said) = refused_because_of_own_files(sshd) {
        write(false)?;
        problems::warn(
            "ssh",
            &format!("{OWN} is left out, since sshd does not start with it: {said}"),
        );
    }
    Ok(Some(Program {
        name: "sshd".to_owned(),
        command: Command::new(sshd).args(["-D", "-e", "-f", CONFIG]),
    }))
}

/// What sshd says when files of the machine's owner would keep it from starting. Nothing is tried without such files: a
/// start of sshd takes time.
fn refused_because_of_own_files(sshd: &str) -> Option<String> {
    let mut files = fs::read_dir(OWN).into_iter().flatten().flatten();
    files.find(|file| file.path().extension().is_some_and(|end| end == "conf"))?;
    let output = Command::new(sshd)
        .args(["-t", "-f", CONFIG])
        .deadline(TRY_DEADLINE)
        .run()
        .ok()
        .filter(|output| !output.status.success())?;
    let said = String::from_utf8_lossy(&output.stderr);
    Some(said.trim().replace('\n', "; "))
}

/// With `own`, files of the machine's owner come first.
fn config(machine: &MachineConfig, keys: &[PathBuf], own: bool) -> String {
    let ssh = &machine.loaded.config.rancher.ssh;
    let mut lines = vec!["# written by ros console-init at every start".to_owned()];
    if own {
        lines.push("# The first value counts: files of the machine's owner win.".to_owned());
        lines.push(format!("Include {OWN}/*.conf"));
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
    lines.extend(keys.iter().map(|key| format!("HostKey {}", key.display())));
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
            "AuthorizedKeysFile .ssh/authorized_keys /run/rancher/ssh/%u",
            "X11Forwarding no",
            "UseDNS no",
            "PrintMotd no",
            "ClientAliveInterval 180",
            "AcceptEnv LANG LC_*",
            "Subsystem sftp internal-sftp",
            "PidFile none",
        ]
        .map(str::to_owned),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_for(text: &str) -> String {
        let source = config::Source { name: "t", text };
        let machine = MachineConfig {
            loaded: config::load(&[source], &config::CommandLine::default()),
            ..MachineConfig::default()
        };
        config(&machine, &[PathBuf::from("/k")], true)
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
