//! The phases around the configuration: the kernel command line early, every file once the state
//! partition is there, and the parts of it that are PID 1's own to apply.

use std::fs;
use std::path::Path;

use anyhow::Context;
use config::{Loaded, Problem};
use machine_config::MachineConfig;
use sys::blockdev::{self, Kind};
use sys::modules::ModuleIndex;
use sys::mount::{self, MountFlags};
use sys::sysctl;

use crate::machine::Machine;
use crate::{apply, log, state, warnings, watchdog};

/// Kernel settings that User Docker and published ports need before they start, and walls between users.
///
/// Forwarding must be on first: dockerd that finds it off turns it on and sets the FORWARD policy to
/// DROP, which would cut System Docker's bridge off.
/// ICMP sockets are open to everybody, as on Debian: `ping` needs no root.
/// In directories that everybody may write, root's programs follow no link of another user's and open no pipe or file of
/// another user's; nobody makes a second name for a file that is not the own one (Documentation/admin-guide/sysctl/fs.rst).
const SYSCTLS: &[(&str, &str)] = &[
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
    ("fs.file-max", "1000000000"),
    ("fs.protected_symlinks", "1"),
    ("fs.protected_hardlinks", "1"),
    ("fs.protected_fifos", "1"),
    ("fs.protected_regular", "1"),
];

/// Where the vendor's files are, and the label that their file system has when no other is named (RancherOS's).
const OEM: &str = "/usr/share/ros/oem";
const OEM_LABEL: &str = "LABEL=RANCHER_OEM";

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
    let read = MachineConfig::load_early();
    machine.config = read.loaded.config;
    Ok(machine)
}

/// Reads every file again in order of precedence, and reports all that is wrong with them.
///
/// The good parts of half-broken files hold, so that the keys of a cloud-config still let their owner in.
pub(crate) fn read(mut machine: Machine) -> anyhow::Result<Machine> {
    if let Err(error) = mount_oem(&machine) {
        warnings::warn("configuration", &format!("{error:#}"));
    }
    let read = MachineConfig::load();
    for problem in &read.loaded.problems {
        if !machine.problems.contains(problem) {
            report(problem);
        }
    }
    read.hostname().clone_into(&mut machine.hostname);
    machine.is_named = read.given_hostname().is_some();
    machine.problems = read.loaded.problems;
    machine.config = read.loaded.config;
    machine.tree = read.loaded.tree;
    Ok(machine)
}

/// Adds the services of catalogues that the console has fetched and started since the configuration was read.
pub(crate) fn add_fetched(machine: &mut Machine) {
    let mut loaded = Loaded {
        config: std::mem::take(&mut machine.config),
        tree: std::mem::take(&mut machine.tree),
        ..Loaded::default()
    };
    MachineConfig::add_fetched(&mut loaded);
    machine.config = loaded.config;
    machine.tree = loaded.tree;
}

/// [`read`] at the boot. A change that waited for its confirmation when the power went is taken back first.
pub(crate) fn read_first(machine: Machine) -> anyhow::Result<Machine> {
    match apply::files::recover() {
        Ok(true) => warnings::warn(
            "config-apply",
            "a change of the configuration was not confirmed before the machine stopped: the earlier one is back",
        ),
        Ok(false) => {}
        Err(error) => warnings::warn("config-apply", &format!("{error:#}")),
    }
    read(machine)
}

/// Mounts the vendor's file system read-only, when there is one, so that its oem-config.yml is a layer of the
/// configuration.
fn mount_oem(machine: &Machine) -> anyhow::Result<()> {
    let wanted = machine.config.rancher.state.oem_dev.as_deref();
    let target = Path::new(OEM);
    if target.join("oem-config.yml").exists() {
        return Ok(()); // the configuration is read a second time
    }
    let name = wanted.unwrap_or(OEM_LABEL);
    let Some(device) = state::resolve("rancher.state.oem_dev", name) else {
        anyhow::ensure!(
            wanted.is_none(),
            "rancher.state.oem_dev: {name} was not found"
        );
        return Ok(());
    };
    let kind = match blockdev::probe(&device).map(|superblock| superblock.kind) {
        Some(Kind::Ext4) => "ext4",
        Some(Kind::Vfat) => "vfat",
        Some(Kind::Xfs) => "xfs",
        Some(Kind::Btrfs) => "btrfs",
        Some(Kind::Iso9660) => "iso9660",
        _ => anyhow::bail!(
            "{}: OEM files must be on ext4, vfat, xfs, btrfs or iso9660",
            device.display()
        ),
    };
    fs::create_dir_all(target).with_context(|| format!("cannot create {OEM}"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount::mount(&device, target, kind, flags, "")?;
    log::info(&format!("configuration: {} is on {OEM}", device.display()));
    Ok(())
}

/// What [`read`] and [`apply`] do, after a service that may have written configuration (cloud-init) has ended.
pub(crate) fn reread(machine: Machine) -> anyhow::Result<Machine> {
    let (config, hostname) = (machine.config.clone(), machine.hostname.clone());
    let machine = read(machine)?;
    if machine.config == config && machine.hostname == hostname {
        return Ok(machine);
    }
    apply(machine)
}

/// In the log, and for `ros status`.
fn report(problem: &Problem) {
    warnings::warn("configuration", &problem.to_string());
}

/// Sets the loopback link up, and the host name, kernel settings and modules that the configuration names.
///
/// What cannot be applied is reported here and costs nothing else.
pub(crate) fn apply(mut machine: Machine) -> anyhow::Result<Machine> {
    let config = &machine.config;
    let mut errors: Vec<String> = Vec::new();
    let mut part = |result: sys::Result<()>| errors.extend(result.err().map(|e| e.to_string()));
    part(sysctl::write("kernel.hostname", &machine.hostname));
    // DHCP clients leave it alone, and published ports answer on it.
    part(sys::namespace::loopback_up());
    for (key, value) in SYSCTLS {
        part(sysctl::write(key, value));
    }
    errors.extend(give_reserve_back().err().map(|error| format!("{error:#}")));
    let armed = watchdog::configure(config);
    errors.extend(
        armed
            .err()
            .map(|error| format!("rancher.watchdog: {error:#}")),
    );
    // Modules first: a module brings its parameters (`net.bridge.*` with br_netfilter).
    if !config.rancher.modules.is_empty() {
        errors.extend(load_modules(&config.rancher.modules));
    }
    for (key, value) in &config.rancher.sysctl {
        if let Ok(now) = sysctl::read(key) {
            machine.sysctls.entry(key.clone()).or_insert(now);
        }
        let result = sysctl::write(key, value.as_deref().unwrap_or(""));
        errors.extend(result.err().map(|e| format!("rancher.sysctl: {e}")));
    }
    for error in &errors {
        warnings::warn("configuration", error);
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
                .map(|error| format!("rancher.modules: {error}"))
        })
        .collect()
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
