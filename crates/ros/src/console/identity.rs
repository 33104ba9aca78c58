//! The machine's name and its owners' keys.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use machine_config::lease_names;

use super::accounts::{self, DOCKER, RANCHER};
use super::{ssh, users};
use crate::machine_config::{MachineConfig, authorized_keys};
use crate::problems;

/// The kernel's host name as a file; the console shares the host's UTS namespace.
const KERNEL_HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// A metadata service that answers late and disks for homes have them installed again at the same time: the configuration that is read
/// last holds.
static KEYS: Mutex<()> = Mutex::new(());

/// Who never gets keys.
const ROOT: &str = "root";

/// System Docker's socket, and how long it is waited for.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
const ANSWER: Duration = Duration::from_secs(5);

/// Sets the host name in the kernel, /etc/hostname and /etc/hosts.
pub(crate) fn set_hostname(name: &str) -> anyhow::Result<()> {
    fs::write(KERNEL_HOSTNAME, name).with_context(|| format!("cannot write {KERNEL_HOSTNAME}"))?;
    // In place: the engine may have mounted these files.
    fs::write("/etc/hostname", format!("{name}\n")).context("cannot write /etc/hostname")?;
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    fs::write("/etc/hosts", hosts_with(&hosts, name)).context("cannot write /etc/hosts")
}

/// rsyslogd asks for the machine's name when it starts and when it is told to look again (rsyslogd(8), HUP).
pub(super) fn tell_syslog() {
    let runtime = system_docker::event_loop();
    let told = runtime.map(|runtime| {
        let client = engine_api::Client::new(SYSTEM_DOCKER);
        runtime.block_on(async {
            tokio::time::timeout(ANSWER, client.container_kill("syslog", Some("HUP"))).await
        })
    });
    if !matches!(told, Ok(Ok(Ok(())))) {
        // It has not started yet, or it is switched off.
        println!("syslog was not told the host name");
    }
}

/// Sets the host name again whenever a DHCP server has given another one; a machine that somebody names keeps its own.
/// `known` is what a server had said when the name was set. Ends with an error only.
pub(crate) fn follow_leases(known: Option<String>) -> anyhow::Result<()> {
    let directory = Path::new(lease_names::DIRECTORY);
    // The service network may start later.
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let names = sys::fs::NewNames::new()?;
    names.watch(directory)?;
    let mut known = known;
    loop {
        let said = lease_names::LeaseName::load(directory).map(|lease| lease.name);
        if said != known {
            set_hostname(MachineConfig::load().hostname())?;
            tell_syslog();
            known = said;
        }
        names.wait()?;
    }
}

/// The hosts file with `127.0.1.1 name` (RancherOS's line) and a localhost.
fn hosts_with(hosts: &str, name: &str) -> String {
    let is_own = |line: &&str| line.split_ascii_whitespace().next() == Some("127.0.1.1");
    let mut lines: Vec<String> = hosts
        .lines()
        .filter(|line| !is_own(line))
        .map(str::to_owned)
        .collect();
    let has_localhost = |line: &String| {
        line.split_ascii_whitespace()
            .skip(1)
            .any(|word| word == "localhost")
    };
    if !lines.iter().any(has_localhost) {
        lines.insert(0, "127.0.0.1\tlocalhost".to_owned());
    }
    let short = name.split('.').next().unwrap_or(name);
    let names = if short == name {
        name.to_owned()
    } else {
        format!("{name} {short}")
    };
    lines.push(format!("127.0.1.1\t{names}"));
    lines.join("\n") + "\n"
}

/// Adds the machine's keys to rancher and docker, and to the one that `user` names, who is made later at a boot; root never
/// gets any.
pub(crate) fn install_keys(machine: &MachineConfig) -> anyhow::Result<()> {
    let (good, bad) = authorized_keys(machine);
    let named = users::default_user(&machine.loaded.config);
    let named = named.filter(|name| *name != ROOT && accounts::user(name).is_ok());
    let mut failures = Vec::new();
    for name in [RANCHER, DOCKER].into_iter().chain(named) {
        failures.extend(give_keys(name, &good));
    }
    failures.extend(bad.iter().map(|key| {
        let start: String = key.chars().take(24).filter(|c| !c.is_control()).collect();
        format!("{start:?} is not a public key")
    }));
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("; "))
}

/// The same in a machine that runs, with the configuration of now.
pub(super) fn install_keys_again() -> anyhow::Result<()> {
    let _alone = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    install_keys(&MachineConfig::load())
}

/// The same for the one that `user` names alone.
pub(super) fn install_keys_of_default_user(machine: &MachineConfig) -> anyhow::Result<()> {
    let Some(name) = users::default_user(&machine.loaded.config) else {
        return Ok(());
    };
    ensure!(
        name != ROOT,
        "root does not log in by ssh: rancher has the keys that are meant for it"
    );
    accounts::user(name)?; // else the name is not one that names a file either
    let failures = give_keys(name, &authorized_keys(machine).0);
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn give_keys(name: &str, keys: &[String]) -> Vec<String> {
    let installed = if keys.is_empty() {
        Ok(())
    } else {
        install_keys_of(name, keys)
    };
    let failures = [installed.err(), keep_in_ram(name, keys).err()];
    let failures = failures.into_iter().flatten();
    failures.map(|error| format!("{name}: {error:#}")).collect()
}

fn install_keys_of(name: &str, keys: &[String]) -> anyhow::Result<()> {
    let user = accounts::user(name)?;
    if is_strangers(name, Path::new(&user.home), user.uid) {
        return Ok(()); // those in RAM let the user in
    }
    add_keys(name, Path::new(&user.home), (user.uid, user.gid), keys)
}

/// Whether the home is another user's, which is said: sshd would not take its keys, and what the other one has there is not ours.
pub(super) fn is_strangers(name: &str, home: &Path, uid: u32) -> bool {
    let Some(owner) = accounts::stranger(home, uid) else {
        return false;
    };
    let home = home.display();
    problems::warn(
        "users",
        &format!(
            "{home} belongs to the user number {owner}, and {name} has {uid}: nothing is written there, and ssh takes {name}'s keys from \
             RAM; give it to {name} (`chown -R`), or name {owner} as the `uid` of {name}"
        ),
    );
    true
}

/// Has sshd take the keys of a user of `users` from RAM, in the console at `root`.
pub(super) fn keep_own_keys(root: &Path, name: &str, keys: &[String]) -> anyhow::Result<()> {
    keep_in(&in_ram(root), name, keys)
}

/// Takes them from there: the home has them, or there are none.
pub(super) fn forget_own_keys(root: &Path, name: &str) -> anyhow::Result<()> {
    match fs::remove_file(in_ram(root).join(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("its keys in RAM stay")
        }
        _ => Ok(()),
    }
}

fn in_ram(root: &Path) -> PathBuf {
    root.join(ssh::OF_USERS.trim_start_matches('/'))
}

/// Adds keys to a user's file. What was there and could not be used is said.
pub(super) fn add_keys(
    name: &str,
    home: &Path,
    (uid, gid): (u32, u32),
    keys: &[String],
) -> anyhow::Result<()> {
    if let Some(aside) = cloud_init::authorized_keys::install(home, uid, gid, keys)? {
        let message = format!(
            "{name}'s authorized keys were damaged: {} has them",
            aside.display()
        );
        problems::warn("ssh", &message);
    }
    Ok(())
}

/// Where sshd looks too: a home that cannot be written now, or read later, must not lock its owner out.
fn keep_in_ram(name: &str, keys: &[String]) -> anyhow::Result<()> {
    keep_in(Path::new(ssh::IN_RAM), name, keys)
}

fn keep_in(directory: &Path, name: &str, keys: &[String]) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    // sshd reads the keys as the user who logs in.
    sys::fs::set_mode(directory, 0o755)?;
    let text = keys.join("\n") + "\n";
    // Whole at every moment: sshd may read it now.
    let path = directory.join(name);
    let hidden = sys::atomic_file::hidden(&path);
    Ok(sys::atomic_file::write(
        &path,
        &hidden,
        text.as_bytes(),
        0o644,
    )?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn keys_in_ram_are_whole_at_every_moment() {
        let folder = tempfile::tempdir().unwrap();
        let keep = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            keep_in(&folder.path().join("ssh"), "ada", &keys).unwrap();
        };
        keep(&["one", "two"]);
        let path = folder.path().join("ssh/ada");
        // Who has opened the file before reads all of it.
        let open = fs::File::open(&path).unwrap();
        keep(&["three"]);
        assert_eq!(std::io::read_to_string(open).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_hosts_file_names_the_machine_once() {
        let first = hosts_with(
            "127.0.0.1\tlocalhost\n127.0.1.1\told\n10.0.0.1 nas\n",
            "new.example.org",
        );
        assert_eq!(
            first,
            "127.0.0.1\tlocalhost\n10.0.0.1 nas\n127.0.1.1\tnew.example.org new\n"
        );
        assert_eq!(hosts_with(&first, "new.example.org"), first);
        assert_eq!(hosts_with("", "a"), "127.0.0.1\tlocalhost\n127.0.1.1\ta\n");
    }
}
