//! Small files and links of a console: sudo, profile, issue, docker's links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context as _;
use config::VERSION;
use config::cloud_config::Network;

use super::accounts::{self, DOCKER, RANCHER};
use crate::config_command::secrets;
use crate::machine_config::MachineConfig;

/// Where the docker service puts its programs.
const CLOSURE_BIN: &str = "/usr/lib/rancher/docker/bin";
/// Programs that are linked into /usr/bin; the targets appear when the docker service starts.
const LINKED: &[&str] = &[
    "docker",
    "docker-compose",
    "dockerd",
    "docker-proxy",
    "containerd",
    "ctr",
    "runc",
];
/// Where every docker client looks for its plugins, whichever user it is.
const PLUGINS: &str = "/usr/libexec/docker/cli-plugins";
/// Plugins of the client: `docker buildx`, `docker compose`.
const LINKED_PLUGINS: &[&str] = &["docker-buildx", "docker-compose"];
/// System Docker's socket.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
/// The socket of the syslog service.
const SYSLOG_SOCKET: &str = "/run/syslog/log";

fn write(path: &str, text: &str, mode: u32) -> anyhow::Result<()> {
    let path = Path::new(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(sys::fs::set_mode(path, mode)?)
}

/// A link, replaced when it is there; a file that is there stays (a console image may bring its own docker).
fn link(target: &str, path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_symlink() => return Ok(()),
        Ok(_) => {
            fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?
        }
        Err(_) => {}
    }
    symlink(target, path).with_context(|| format!("cannot link {}", path.display()))
}

/// sudo without a password: rancher and docker have none.
pub(super) fn write_sudoers() -> anyhow::Result<()> {
    let text =
        format!("{RANCHER} ALL=(ALL:ALL) NOPASSWD: ALL\n{DOCKER} ALL=(ALL:ALL) NOPASSWD: ALL\n");
    write("/etc/sudoers.d/rancher", &text, 0o440)
}

/// The first line of such files.
const WRITTEN: &str = "# written by ros console-init\n";
/// Proxies for login shells (RancherOS's name).
const PROXIES: &str = "/etc/profile.d/proxy.sh";

/// Tells a person who logs in what is wrong; scripts that start a login shell read on undisturbed.
const PROBLEMS: &str = "case $- in *i*) /usr/bin/ros status --problems >&2 2>/dev/null ;; esac\n";

/// Words of `ros` at the Tab key, made when it is pressed for the first time: bash asks again after code 124 (bash(1),
/// "Programmable Completion"). Other shells read the file, too.
const COMPLETION: &str = "if [ -n \"$BASH_VERSION\" ]; then\n  _ros_first() { eval \"$(/usr/bin/ros completion bash)\" && return 124; }\n  complete -F _ros_first ros\nfi\n";

/// Paths, completion, proxies and the machine's problems for login shells.
pub(super) fn write_profile(machine: &MachineConfig) -> anyhow::Result<()> {
    let text = format!(
        "{WRITTEN}case \":$PATH:\" in *:/usr/sbin:*) ;; *) PATH=\"$PATH:/usr/sbin:/sbin\" ;; esac\nexport PATH\n{COMPLETION}{PROBLEMS}"
    );
    write("/etc/profile.d/rancher.sh", &text, 0o644)?;
    write_proxies(&machine.loaded.config.rancher.network)
}

/// The machine's proxies as variables: programs read the one or the other spelling.
pub(crate) fn proxies(network: &Network) -> impl Iterator<Item = (String, &str)> {
    let proxies = [
        ("http_proxy", &network.http_proxy),
        ("https_proxy", &network.https_proxy),
        ("no_proxy", &network.no_proxy),
    ];
    proxies.into_iter().flat_map(|(name, value)| {
        let value = value.as_deref().unwrap_or_default();
        let names = [name.to_owned(), name.to_uppercase()];
        names
            .into_iter()
            .map(move |name| (name, value))
            .filter(|(_, value)| !value.is_empty())
    })
}

/// Proxies have a separate file: one with a password in it is for those alone who may use Docker, which has it anyway.
fn write_proxies(network: &Network) -> anyhow::Result<()> {
    let mut text = WRITTEN.to_owned();
    let mut is_secret = false;
    for (name, value) in proxies(network) {
        is_secret |= secrets::has_password(value);
        let quoted = value.replace('\'', "'\\''");
        text.push_str(&format!("export {name}='{quoted}'\n"));
    }
    // Nobody reads it between its words and its owner.
    write(PROXIES, "", 0o600)?;
    if is_secret {
        sys::fs::set_owner(Path::new(PROXIES), 0, accounts::group_id(DOCKER)?)?;
    }
    let mode = if is_secret { 0o640 } else { 0o644 };
    write(PROXIES, &text, mode)
}

/// `docker` and its companions in /usr/bin, and its plugins where it finds them.
pub(super) fn link_docker() -> anyhow::Result<()> {
    fs::create_dir_all(PLUGINS).with_context(|| format!("cannot create {PLUGINS}"))?;
    let linked = [("/usr/bin", LINKED), (PLUGINS, LINKED_PLUGINS)];
    for (folder, names) in linked {
        for name in names {
            link(
                &format!("{CLOSURE_BIN}/{name}"),
                &Path::new(folder).join(name),
            )?;
        }
    }
    Ok(())
}

/// Lets group docker use System Docker. Its members own the machine already: User Docker gives them any container.
pub(super) fn share_system_docker() -> anyhow::Result<()> {
    let group = accounts::group_id(DOCKER)?;
    Ok(sys::fs::set_owner(Path::new(SYSTEM_DOCKER), 0, group)?)
}

/// /dev/log of the host, which consoles and containers that bind it share.
pub(super) fn link_syslog() -> anyhow::Result<()> {
    link(SYSLOG_SOCKET, Path::new("/dev/log"))
}

/// What agetty prints above its prompt; it fills in terminal, host name and addresses (agetty(8)).
pub(super) fn write_issue(machine: &MachineConfig) -> anyhow::Result<()> {
    let problems = crate::problems::all();
    write(
        "/etc/issue",
        &issue(machine.errors().count(), &problems),
        0o644,
    )
}

fn issue(errors: usize, problems: &[String]) -> String {
    let mut text = format!("\nRancherOS v{VERSION} \\n \\l\n  address: \\4 \\6\n");
    if errors > 0 {
        text.push_str(&format!(
            "  the configuration has {errors} errors: ros config validate\n"
        ));
    }
    for problem in problems {
        // agetty(8) reads a backslash as the start of an escape.
        text.push_str(&format!("  {}\n", problem.replace('\\', "/")));
    }
    text.push('\n');
    text
}

/// Directories in /run that programs of the image expect.
pub(super) fn make_run_directories() -> anyhow::Result<()> {
    for (path, mode) in [("/run/sshd", 0o755), ("/run/lock", 0o1777)] {
        fs::create_dir_all(path).with_context(|| format!("cannot create {path}"))?;
        sys::fs::set_mode(Path::new(path), mode)?;
    }
    if !Path::new("/run/utmp").exists() {
        write("/run/utmp", "", 0o664)?;
    }
    Ok(())
}

/// From now on only errors of the kernel appear between the lines of a login; `rancher.debug` keeps all of them.
pub(super) fn quiet_kernel(machine: &MachineConfig) -> anyhow::Result<()> {
    if machine.loaded.config.rancher.debug == Some(true) {
        return Ok(());
    }
    fs::write("/proc/sys/kernel/printk", "4").context("cannot write /proc/sys/kernel/printk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issue_tells_of_errors_only_when_there_are_some() {
        assert!(!issue(0, &[]).contains("errors"));
        assert!(issue(2, &[]).contains("2 errors: ros config validate"));
        let problems = ["state: a\\b is full".to_owned()];
        assert!(issue(0, &problems).contains("  state: a/b is full\n"));
    }

    #[test]
    fn links_are_made_anew_and_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        link("/old", &a).unwrap();
        link("/new", &a).unwrap();
        assert_eq!(fs::read_link(&a).unwrap(), Path::new("/new"));
        fs::write(&b, "own").unwrap();
        link("/new", &b).unwrap();
        assert_eq!(fs::read_to_string(&b).unwrap(), "own");
    }
}
