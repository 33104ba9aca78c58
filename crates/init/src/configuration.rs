//! The phases around the configuration: the kernel command line early, every file once the state
//! partition is there, and the parts of it that are PID 1's own to apply.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use config::{CommandLine, Loaded, Severity, Source};
use sys::modules::ModuleIndex;
use sys::sysctl;

use crate::log;
use crate::machine::Machine;

/// What the system is built with; the lowest precedence.
const BUILT_IN: &str = "/usr/share/ros/os-config.yml";
/// What cloud-init found, and the installer's file; read in name order.
const CLOUD_CONFIG_DIRECTORY: &str = "/var/lib/rancher/conf/cloud-config.d";
/// What `ros config set` writes; above the directory.
const CLOUD_CONFIG: &str = "/var/lib/rancher/conf/cloud-config.yml";

/// A file that is larger is not a configuration.
const LARGEST_FILE_BYTES: u64 = config::MAX_DOCUMENT_BYTES as u64;

/// The name of a machine that has none (RancherOS's default).
const DEFAULT_HOST_NAME: &str = "rancher";

/// Kernel settings that User Docker and published ports need before they start.
///
/// Forwarding must be on first: dockerd that finds it off turns it on and sets the FORWARD policy to
/// DROP, which would cut System Docker's bridge off.
/// ICMP sockets are open to everybody, as on Debian: `ping` needs no root.
const SYSCTLS: &[(&str, &str)] = &[
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
    ("fs.file-max", "1000000000"),
];

/// Machines with less RAM than this get the kernel's plain reserve back.
const SMALL_MACHINE_KIB: u64 = 4 << 20;

/// What the kernel reserves without huge pages, in KiB: `4 * sqrt(RAM in KiB)`, at least 128 (mm/page_alloc.c,
/// calculate_min_free_kbytes).
///
/// With them it keeps 44 MiB and more free, so that pages can be put together; a machine of 512 MiB has better uses.
fn plain_reserve_kib(total_kib: u64) -> u64 {
    (total_kib * 16).isqrt().max(128)
}

fn give_reserve_back() -> anyhow::Result<()> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let total_kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .context("/proc/meminfo has no MemTotal")?;
    if total_kib < SMALL_MACHINE_KIB {
        sysctl::write(
            "vm.min_free_kbytes",
            &plain_reserve_kib(total_kib).to_string(),
        )?;
    }
    Ok(())
}

/// Reads `/proc/cmdline` and the built-in configuration: enough to find media and state.
pub(crate) fn read_command_line(mut machine: Machine) -> anyhow::Result<Machine> {
    let text = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    text.trim_end().clone_into(&mut machine.command_line);
    machine.config = load(&machine.command_line, &[BUILT_IN.into()])?.config;
    Ok(machine)
}

/// Reads every file again in order of precedence, and reports all that is wrong with them.
///
/// # Errors
/// When a file cannot be read or has an error; the good parts are in the machine's configuration
/// anyway, so that the keys of a half-broken cloud-config still let their owner in.
pub(crate) fn read(mut machine: Machine) -> anyhow::Result<Machine> {
    let mut files = vec![PathBuf::from(BUILT_IN)];
    files.extend(directory(Path::new(CLOUD_CONFIG_DIRECTORY)));
    files.push(CLOUD_CONFIG.into());
    let loaded = load(&machine.command_line, &files)?;
    for problem in &loaded.problems {
        match problem.severity {
            Severity::Warning => log::warning(&format!("configuration: {problem}")),
            Severity::Error => log::error(&format!("configuration: {problem}")),
        }
    }
    machine.config = loaded.config;
    Ok(machine)
}

/// Sets the loopback link up, and the host name, kernel settings and modules that the configuration names.
pub(crate) fn apply(mut machine: Machine) -> anyhow::Result<Machine> {
    let config = &machine.config;
    let name = config
        .hostname
        .clone()
        .or_else(|| config.rancher.defaults.hostname.clone());
    let name = name.unwrap_or_else(|| DEFAULT_HOST_NAME.to_owned());
    let mut errors = Vec::new();
    errors.extend(
        sysctl::write("kernel.hostname", &name)
            .err()
            .map(|error| error.to_string()),
    );
    // DHCP clients leave it alone, and published ports answer on it.
    errors.extend(
        sys::namespace::loopback_up()
            .err()
            .map(|error| error.to_string()),
    );
    for (key, value) in SYSCTLS {
        errors.extend(
            sysctl::write(key, value)
                .err()
                .map(|error| error.to_string()),
        );
    }
    errors.extend(give_reserve_back().err().map(|error| error.to_string()));
    for (key, value) in &config.rancher.sysctl {
        errors.extend(
            sysctl::write(key, value.as_deref().unwrap_or(""))
                .err()
                .map(|error| error.to_string()),
        );
    }
    if !config.rancher.modules.is_empty() {
        errors.extend(load_modules(&config.rancher.modules));
    }
    machine.hostname = name;
    if errors.is_empty() {
        return Ok(machine);
    }
    // The name above holds although an error is reported: the machine is passed on by the log only.
    for error in &errors {
        log::error(&format!("configuration: {error}"));
    }
    Ok(machine)
}

fn load_modules(modules: &[String]) -> Vec<String> {
    let directory = Path::new("/lib/modules").join(sys::kernel_release());
    let mut index = match ModuleIndex::open(&directory) {
        Ok(index) => index,
        Err(error) => return vec![error.to_string()],
    };
    modules
        .iter()
        .filter_map(|entry| {
            let (name, parameters) = entry.split_once(' ').unwrap_or((entry, ""));
            index
                .load(name, parameters)
                .err()
                .map(|error| error.to_string())
        })
        .collect()
}

fn load(command_line: &str, files: &[PathBuf]) -> anyhow::Result<Loaded> {
    let mut texts = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        match read_bounded(file) {
            Ok(text) => texts.push((file.display().to_string(), text)),
            // One bad file must not hide the others.
            Err(error) => log::error(&format!("configuration: {error:#}")),
        }
    }
    if texts.is_empty() {
        bail!(
            "none of {} can be read",
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    Ok(config::load(&sources, &CommandLine::parse(command_line)))
}

fn read_bounded(file: &Path) -> anyhow::Result<String> {
    let length = fs::metadata(file)
        .with_context(|| format!("cannot stat {}", file.display()))?
        .len();
    if length > LARGEST_FILE_BYTES {
        bail!(
            "{} has {length} bytes, more than {LARGEST_FILE_BYTES}",
            file.display()
        );
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The files of a directory in name order; hidden ones are editors' leftovers.
fn directory(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_file()
                && !path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #[test]
    fn reserve_follows_the_kernels_formula() {
        // init_per_zone_wmark_min's table: 512 MB -> 2896 kB, 1024 MB -> 4096 kB.
        assert_eq!(super::plain_reserve_kib(512 << 10), 2896);
        assert_eq!(super::plain_reserve_kib(1 << 20), 4096);
        assert_eq!(super::plain_reserve_kib(100), 128);
    }
}
