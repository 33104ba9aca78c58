//! The ssh server of a console: host keys that stay, keys only, nobody as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sys::process::Command;

use super::accounts;
use crate::machine_config::{CONF, MachineConfig};
use crate::supervisor::Program;

/// Host key types; the rest are weaker or only larger.
const KEY_TYPES: &[&str] = &["ed25519", "ecdsa"];

/// Longest run of ssh-keygen; an emulated machine needs a second.
const KEYGEN_DEADLINE: Duration = Duration::from_secs(60);

/// Places of sshd, which insists on being started by its full path.
const SSHD: &[&str] = &["/usr/sbin/sshd", "/usr/bin/sshd"];

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
    let mut keys = Vec::new();
    let mut failures = Vec::new();
    for kind in KEY_TYPES {
        match host_key(&directory, kind, &ssh.keys) {
            Ok(path) => keys.push(path),
            Err(error) => failures.push(format!("{kind} host key: {error:#}")),
        }
    }
    if keys.is_empty() {
        bail!("{}", failures.join("; "));
    }
    for failure in failures {
        eprintln!("console: ssh: {failure}");
    }
    let config = config(machine, &keys);
    fs::create_dir_all("/etc/ssh").context("cannot create /etc/ssh")?;
    fs::write(CONFIG, config).with_context(|| format!("cannot write {CONFIG}"))?;
    Ok(Some(Program {
        name: "sshd".to_owned(),
        command: Command::new(sshd).args(["-D", "-e", "-f", CONFIG]),
    }))
}

/// The host key of one type: from the configuration, or from an earlier boot, or new.
fn host_key(
    directory: &Path,
    kind: &str,
    configured: &config::cloud_config::StringMap,
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    sys::fs::set_mode(directory, 0o700)?;
    let path = directory.join(format!("ssh_host_{kind}_key"));
    if let Some(Some(key)) = configured.get(kind) {
        let text = format!("{}\n", key.trim_end());
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(path);
        }
        cloud_init::store::write_atomic(&path, text.as_bytes(), 0o600)?;
        return Ok(path);
    }
    // A power cut can leave an empty file.
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
        return Ok(path);
    }
    generate(&path, kind)?;
    Ok(path)
}

/// A new key under a temporary name first: half a key would be kept for ever.
fn generate(path: &Path, kind: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let public = |path: &Path| PathBuf::from(format!("{}.pub", path.display()));
    for old in [&temporary, &public(&temporary)] {
        let _ = fs::remove_file(old); // from an interrupted boot
    }
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", "", "-f"])
        .arg(&temporary)
        .deadline(KEYGEN_DEADLINE)
        .run()?;
    if !output.status.success() {
        bail!(
            "ssh-keygen: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    for file in [&temporary, &public(&temporary)] {
        fs::File::open(file)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    fs::rename(public(&temporary), public(path)).context("cannot keep the public key")?;
    fs::rename(&temporary, path).with_context(|| format!("cannot keep {}", path.display()))
}

fn config(machine: &MachineConfig, keys: &[PathBuf]) -> String {
    let ssh = &machine.loaded.config.rancher.ssh;
    let mut lines = vec![
        "# written by ros console-init at every start".to_owned(),
        "# The first value counts: files of the machine's owner win.".to_owned(),
        "Include /etc/ssh/sshd_config.d/*.conf".to_owned(),
    ];
    if let Some(port) = ssh.port.and_then(|port| u16::try_from(port).ok()) {
        lines.push(format!("Port {port}"));
    }
    if let Some(address) = ssh
        .listen_address
        .as_deref()
        .filter(|address| is_one_word(address))
    {
        lines.push(format!("ListenAddress {address}"));
    }
    lines.extend(keys.iter().map(|key| format!("HostKey {}", key.display())));
    let passwords = if accounts::password(machine).is_some() {
        "yes"
    } else {
        "no"
    };
    lines.push(format!("PasswordAuthentication {passwords}"));
    lines.extend(
        [
            "PermitRootLogin no",
            "PermitEmptyPasswords no",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "AuthorizedKeysFile .ssh/authorized_keys",
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

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_for(text: &str) -> String {
        let source = config::Source { name: "t", text };
        let machine = MachineConfig {
            loaded: config::load(&[source], &config::CommandLine::default()),
            metadata: cloud_init::Metadata::default(),
            command_line: config::CommandLine::default(),
        };
        config(&machine, &[PathBuf::from("/k")])
    }

    #[test]
    fn passwords_work_only_when_one_was_set_and_root_never_logs_in() {
        let plain = config_for("");
        assert!(plain.contains("PasswordAuthentication no\n"));
        assert!(plain.contains("PermitRootLogin no\n"));
        assert!(config_for("rancher: {password: x}").contains("PasswordAuthentication yes\n"));
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
        assert!(!config_for("rancher: {ssh: {port: 70000}}").contains("Port"));
    }

    #[test]
    fn a_host_key_stays_and_a_configured_one_wins() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ssh_host_ed25519_key");
        fs::write(&path, "old\n").unwrap();
        let none = config::cloud_config::StringMap::new();
        host_key(directory.path(), "ed25519", &none).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old\n");
        let configured = [("ed25519".to_owned(), Some("mine".to_owned()))].into();
        host_key(directory.path(), "ed25519", &configured).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n");
    }
}
