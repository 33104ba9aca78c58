//! `ros user-docker`: becomes dockerd, in the console's view of the file system.
//!
//! The programs come from this container's image, as a closure (their own loader and libraries at a fixed prefix). They
//! are mounted on a directory of the host that every console sees. Then this process leaves its own cgroup, so that
//! restarting the service does not end the shims of running containers, enters the console's mount namespace, starts
//! containerd, and executes dockerd.

mod bridge;
mod containerd;
mod earlier;
mod firewall;
mod heal;
mod last_good;
mod options;
mod ports;
mod starts;
mod wait;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use config::Docker;
use sys::mount::{self, Attributes, MountFlags, Propagation, UnmountFlags};
use sys::namespace::{CloneFlags, setns};

use crate::machine_config::MachineConfig;
use crate::{problems, tls};
use last_good::{Choice, Settings};

/// The closure, in this container's image and in every console.
const CLOSURE: &str = "/usr/lib/rancher/docker";
/// The host's /usr/lib/rancher as this container sees it: a volume with shared propagation.
const SHARED: &str = "/host/rancher";
/// System Docker's socket.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
/// The cgroup of dockerd and of containerd's shims.
const CGROUP: &str = "/sys/fs/cgroup/user-docker";
/// What dockerd finds its helpers by: the closure first.
const PATH: &str =
    "/usr/lib/rancher/docker/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The user's own settings of the daemon; what stands there is not given as a flag.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// Largest file of settings that is read; people's have some KiB.
const LONGEST_SETTINGS: u64 = 4 << 20;

/// Temporary files of containerd's shims, which go on when the console that they were started in is replaced by a new one: the files
/// of the old one, with its /tmp, are gone then. dockerd's own are below its data.
const TEMPORARY: &str = "/run/rancher/user-docker-tmp";
/// dockerd's defaults.
const PID_FILE: &str = "/var/run/docker.pid";
const SOCKET: &str = "/var/run/docker.sock";
/// Where a containerd of the user's own has its state.
const CONTAINERD: &str = "/run/containerd";
/// Copies of small files of Docker's, for the start after a power cut.
const SPARES: &str = "/var/lib/rancher/docker-good/spares";
/// The subject of what was healed: it stays when Docker answers.
const HEALED: &str = "docker-repair";

/// Returns only when it fails; with `containerd`, a directory of dockerd's, it is the keeper of containerd instead, and with
/// `firewall` that of the firewall.
pub(crate) fn main(containerd: Option<&Path>, firewall: bool) -> anyhow::Result<ExitCode> {
    if let Some(state) = containerd {
        return containerd::keep(state);
    }
    if firewall {
        return firewall::keep();
    }
    let machine = MachineConfig::load();
    let docker = &settings(&machine);
    let context = docker.storage_context.as_deref().unwrap_or("console");
    let closure = open_closure()?;
    // A custom console may lack the host's directory: this copy is mounted in it then.
    let spare = open_closure()?;
    if let Err(error) = publish(&closure) {
        eprintln!("user-docker: {error:#}: docker is in {context} alone");
    }
    let pid = wait::for_console(context)?;
    if !machine.loaded.config.write_files.is_empty() || !machine.loaded.config.mounts.is_empty() {
        wait::for_files(context, pid);
    }
    join_cgroup().context("cannot join the cgroup of user docker")?;
    let view = fs::File::open(format!("/proc/{pid}/ns/mnt"))
        .with_context(|| format!("cannot see what {context} sees, process {pid}"))?;
    enter(&view).with_context(|| format!("cannot enter {context}, process {pid}"))?;
    wait::for_disk(context, &machine, docker)?;
    prepare_view(&spare)?;
    earlier::carry(&view, &mounting_places(docker))
        .context("cannot take mounts over from an earlier console")?;
    starts::count();
    heal(docker);
    if docker.tls == Some(true)
        && let Err(error) = tls::prepare_server(docker, machine.hostname())
    {
        eprintln!("user-docker: tls: {error:#}");
    }
    let mut start = Start::choose(docker);
    bridge::prepare(&mut start.arguments, &start.in_file);
    let environment = environment(&machine, &start.environment);
    if let Err(error) = ports::keep(&environment) {
        eprintln!(
            "user-docker: published ports are closed until dockerd has loaded its containers: {error:#}"
        );
    }
    let address =
        containerd::start(&start.docker, &start.in_file, &environment).unwrap_or_else(|error| {
            eprintln!("user-docker: containerd: {error:#}: dockerd starts its own");
            None
        });
    if address.is_none()
        && let Err(error) = firewall::start(&environment)
    {
        eprintln!("user-docker: {error:#}");
    }
    wait::for_group(context, start.docker.group.as_deref().unwrap_or("docker"))?;
    let mut arguments = vec!["dockerd".to_owned()];
    arguments.extend(start.arguments);
    arguments.extend(address.map(|path| format!("--containerd={}", path.display())));
    println!("starting {}", arguments.join(" "));
    let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
    let environment: Vec<OsString> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}").into())
        .collect();
    let dockerd = Path::new(CLOSURE).join("bin/dockerd");
    Err(sys::process::exec(&dockerd, &arguments, &environment).into())
}

/// Heals what a power cut has done to Docker's data, while neither dockerd nor its containerd runs, and says it: on the console and
/// in `ros status` until the next boot.
fn heal(docker: &Docker) {
    if let Err(error) = containerd::stop_earlier(docker) {
        eprintln!("user-docker: {error:#}: Docker's data is not looked at");
        return;
    }
    let places = places(docker);
    let now = engine_api::Timestamp::now().fixed();
    // A name for a directory: seconds are enough.
    let stamp: String = now
        .chars()
        .take(19)
        .map(|c| if c == ':' { '-' } else { c })
        .collect();
    let report = heal::heal(&places, &stamp);
    heal::note(&places.data_root, &report.lost_images);
    for sentence in report.said {
        problems::warn(HEALED, &sentence);
    }
}

/// The text of dockerd's file of settings; empty when there is none, and also for what is not a file: it is healed.
fn daemon_json() -> String {
    let text = sys::regular::read(Path::new(DAEMON_JSON), LONGEST_SETTINGS).unwrap_or_default();
    String::from_utf8(text).unwrap_or_default()
}

/// Where Docker's data is, with what is kept about it.
fn places(docker: &Docker) -> heal::Places {
    let text = daemon_json();
    heal::Places {
        data_root: data_root(docker, &text),
        etc: Path::new(DAEMON_JSON)
            .parent()
            .unwrap_or(Path::new("/"))
            .to_owned(),
        pid_file: docker.pid_file.as_deref().unwrap_or(PID_FILE).into(),
        socket: SOCKET.into(),
        spares: SPARES.into(),
        daemon_json: last_good::daemon_json(),
    }
}

/// Flushes each layer that Docker takes in, for as long as it runs; it answers.
fn settle_layers() {
    heal::watch(&places(&settings(&MachineConfig::load())));
}

/// Where dockerd keeps everything: daemon.json wins, as its keys are not given as flags.
fn data_root(docker: &Docker, daemon_json: &str) -> PathBuf {
    let value = serde_json::from_str::<serde_json::Value>(daemon_json).unwrap_or_default();
    ["data-root", "graph"]
        .iter()
        .find_map(|key| value.get(key)?.as_str())
        .map_or_else(|| containerd::data_root(docker).to_owned(), PathBuf::from)
}

/// Where Docker mounts what its containers need.
fn mounting_places(docker: &Docker) -> earlier::Places {
    let text = daemon_json();
    let value = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    let exec_root = value.get("exec-root").and_then(|value| value.as_str());
    let exec_root = exec_root.map_or_else(|| containerd::exec_root(docker), Path::new);
    // /var/run is a link.
    let real = |place: &Path| fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
    earlier::Places {
        data_root: real(&data_root(docker, &text)),
        state: vec![real(exec_root), real(Path::new(CONTAINERD))],
    }
}

/// Pulls again what has lost a layer; Docker answers.
fn pull_lost_images() {
    let docker = settings(&MachineConfig::load());
    let text = daemon_json();
    for sentence in heal::pull_again(&data_root(&docker, &text)) {
        problems::warn(HEALED, &sentence);
    }
}

/// `rancher.docker`, with the mirrors of Docker Hub from `rancher.registry_mirrors`: this dockerd knows no others.
fn settings(machine: &MachineConfig) -> Docker {
    let rancher = &machine.loaded.config.rancher;
    let mut docker = rancher.docker.clone();
    for mirror in rancher
        .registry_mirrors
        .get("docker.io")
        .into_iter()
        .flatten()
    {
        let url = if mirror.contains("://") {
            mirror.clone()
        } else {
            format!("https://{mirror}")
        };
        if !docker.registry_mirror.contains(&url) {
            docker.registry_mirror.push(url);
        }
    }
    docker
}

/// What dockerd is started with.
struct Start {
    /// The settings that its companions need: places and the group.
    docker: Docker,
    /// Keys of its file of settings.
    in_file: BTreeSet<String>,
    arguments: Vec<String>,
    environment: Vec<String>,
}

impl Start {
    /// What the configuration says, unless dockerd has refused that.
    fn choose(docker: &Docker) -> Start {
        let wanted = Settings::new(docker, daemon_json());
        let refused = |why: &str| starts::warn(&format!("{why}: dockerd gets its own file"));
        let (mut settings, docker) = match last_good::choose(&wanted) {
            Choice::Wanted => return Start::of(wanted, docker.clone()),
            Choice::LastGood(good) => {
                let docker = good.places.clone().into_docker(docker);
                (good, docker)
            }
            Choice::BuiltIn => {
                let docker = built_in();
                (Settings::new(&docker, String::new()), docker)
            }
        };
        if settings.daemon_json != wanted.daemon_json {
            match last_good::daemon_json_copy(&settings) {
                Ok(path) => settings
                    .arguments
                    .push(format!("--config-file={}", path.display())),
                Err(error) => refused(&format!("{error:#}")),
            }
        }
        Start::of(settings, docker)
    }

    fn of(settings: Settings, docker: Docker) -> Start {
        Start {
            docker,
            in_file: options::daemon_json_keys(&settings.daemon_json),
            arguments: settings.arguments,
            environment: settings.environment,
        }
    }
}

/// What the system itself says about dockerd.
fn built_in() -> Docker {
    let nowhere = PathBuf::from("/nonexistent");
    let places = machine_config::Places {
        oem: nowhere.clone(),
        conf: nowhere.clone(),
        command_line: nowhere,
        ..machine_config::Places::default()
    };
    let machine = MachineConfig::load_from(&places);
    machine.loaded.config.rancher.docker
}

/// A detached, read-only copy of the mount of the closure.
fn open_closure() -> anyhow::Result<OwnedFd> {
    use std::os::fd::AsFd as _;
    let tree = mount::open_tree_clone(CLOSURE)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount::set_attributes_fd(tree.as_fd(), Attributes::set(flags), true)?;
    Ok(tree)
}

/// Puts the closure where consoles see it. An older one goes: lazily, for shims run from it.
fn publish(closure: &OwnedFd) -> anyhow::Result<()> {
    let target = Path::new(SHARED).join("docker");
    fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    while mount::mountinfo()?
        .iter()
        .any(|entry| entry.target == target)
    {
        mount::unmount(&target, UnmountFlags::DETACH)?;
    }
    Ok(mount::move_mount_fd(closure, &target)?)
}

/// Leaves the service's cgroup (cgroup v2: writing 0 moves the writer).
fn join_cgroup() -> anyhow::Result<()> {
    fs::create_dir_all(CGROUP)?;
    fs::write(Path::new(CGROUP).join("cgroup.procs"), "0")?;
    Ok(())
}

/// Enters a mount namespace. Everything opened before stays open.
fn enter(view: &fs::File) -> anyhow::Result<()> {
    setns(view, CloneFlags::NEWNS)?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// What dockerd needs of the console's mounts: the closure, and propagation of `/` and `/run` for volumes and network
/// namespaces of containers.
fn prepare_view(spare: &OwnedFd) -> anyhow::Result<()> {
    if !Path::new(CLOSURE).join("bin/dockerd").exists() {
        // Fails when the directory exists or when it cannot be made; the mount tells.
        let _ = fs::create_dir_all(CLOSURE);
        mount::move_mount_fd(spare, CLOSURE)
            .context("the console does not see docker's programs")?;
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(TEMPORARY)
        .with_context(|| format!("cannot create {TEMPORARY}"))?;
    mount::set_propagation("/", Propagation::Shared, false)?;
    let mounts = mount::mountinfo()?;
    for path in ["/run", "/run/docker", "/run/containerd"] {
        if mounts.iter().any(|entry| entry.target == Path::new(path)) {
            mount::set_propagation(path, Propagation::Shared, false)?;
        }
    }
    if !Path::new(CLOSURE).join("bin/dockerd").exists() {
        bail!("{CLOSURE}/bin/dockerd does not exist");
    }
    Ok(())
}

/// The daemon's environment: nothing of this container's, the closure's places, proxies, then the configuration's own.
fn environment(machine: &MachineConfig, own: &[String]) -> Vec<(String, String)> {
    let network = &machine.loaded.config.rancher.network;
    let mut environment = vec![
        ("PATH".to_owned(), PATH.to_owned()),
        (
            "XTABLES_LIBDIR".to_owned(),
            format!("{CLOSURE}/iptables/lib/xtables"),
        ),
        ("HOME".to_owned(), "/root".to_owned()),
        ("TMPDIR".to_owned(), TEMPORARY.to_owned()),
    ];
    let proxies = [
        ("HTTP_PROXY", &network.http_proxy),
        ("HTTPS_PROXY", &network.https_proxy),
        ("NO_PROXY", &network.no_proxy),
    ];
    for (name, value) in proxies {
        environment.extend(value.clone().map(|value| (name.to_owned(), value)));
    }
    environment.extend(own.iter().filter_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    }));
    environment
}
