//! The host packages that the build needs: finds what is missing and installs it through apt.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::progress;
use crate::workspace::{Arch, Build};

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only list what is missing
    #[arg(long)]
    list: bool,
}

/// What host packages are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Verifying and unpacking Debian's files.
    Fetch,
    /// Compiling our own programs.
    Programs,
    /// Compiling the kernel.
    Kernel,
    /// Packing system images.
    Images,
    /// Writing the ISO image.
    Iso,
    /// Starting virtual machines.
    Machine,
    /// Starting containers in the crates' own tests.
    Tests,
    /// Compiling libFuzzer.
    Fuzz,
    /// Building the system that benchmarks compare with.
    Peer,
}

/// Every purpose but the benchmarks', which installs its packages when it is run.
const ALL: [Purpose; 8] = [
    Purpose::Fetch,
    Purpose::Programs,
    Purpose::Kernel,
    Purpose::Images,
    Purpose::Iso,
    Purpose::Machine,
    Purpose::Tests,
    Purpose::Fuzz,
];

/// One host package: name, what needs it, and the target architecture that needs it (all if none).
type Row = (&'static str, &'static [Purpose], Option<Arch>);

/// The table of host packages.
const PACKAGES: &[Row] = &[
    ("ca-certificates", &[Purpose::Fetch], None),
    ("debian-archive-keyring", &[Purpose::Fetch], None),
    ("gpgv", &[Purpose::Fetch], None),
    ("gzip", &[Purpose::Fetch], None),
    ("xz-utils", &[Purpose::Fetch, Purpose::Kernel], None),
    ("zstd", &[Purpose::Fetch, Purpose::Kernel], None),
    ("g++", &[Purpose::Fuzz], None),
    ("gcc", &[Purpose::Programs, Purpose::Kernel], None),
    ("libc6-dev", &[Purpose::Programs, Purpose::Kernel], None),
    ("bc", &[Purpose::Kernel], None),
    ("bison", &[Purpose::Kernel], None),
    ("flex", &[Purpose::Kernel], None),
    ("kmod", &[Purpose::Kernel], None),
    ("libelf-dev", &[Purpose::Kernel], None),
    ("libssl-dev", &[Purpose::Kernel], None),
    ("make", &[Purpose::Kernel], None),
    ("openssl", &[Purpose::Kernel], None),
    ("perl-base", &[Purpose::Kernel], None),
    ("squashfs-tools", &[Purpose::Kernel, Purpose::Images], None),
    ("dosfstools", &[Purpose::Iso], None),
    ("mtools", &[Purpose::Iso], None),
    ("xorriso", &[Purpose::Iso], None),
    ("busybox-static", &[Purpose::Tests], None),
    ("iptables", &[Purpose::Tests], None),
    ("e2fsprogs", &[Purpose::Machine, Purpose::Peer], None),
    ("fakeroot", &[Purpose::Peer], None),
    ("mmdebstrap", &[Purpose::Peer], None),
    ("openssh-client", &[Purpose::Machine], None),
    ("python3-pip", &[Purpose::Machine], None),
    ("ovmf", &[Purpose::Machine], Some(Arch::X86_64)),
    ("qemu-efi-aarch64", &[Purpose::Machine], Some(Arch::Aarch64)),
    ("qemu-system-arm", &[Purpose::Machine], Some(Arch::Aarch64)),
    ("qemu-system-x86", &[Purpose::Machine], Some(Arch::X86_64)),
    ("qemu-utils", &[Purpose::Machine], None),
];

/// Compiler of another architecture's programs and kernel.
fn cross_packages(arch: Arch) -> [&'static str; 2] {
    match arch {
        Arch::X86_64 => ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
        Arch::Aarch64 => ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    }
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    let missing = missing(build, &ALL)?;
    if missing.is_empty() {
        progress::note("setup", "every host package is there");
        return Ok(());
    }
    if options.list {
        missing.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    install(&missing)
}

/// Makes sure that the host packages for these purposes are there.
pub(crate) fn ensure(build: &Build, purposes: &[Purpose]) -> Result<()> {
    let missing = missing(build, purposes)?;
    if missing.is_empty() {
        Ok(())
    } else {
        install(&missing)
    }
}

/// Names of needed packages that are not installed.
fn missing(build: &Build, purposes: &[Purpose]) -> Result<Vec<&'static str>> {
    let wanted = wanted(build.arch, Arch::host()?, purposes);
    let installed = installed(&wanted)?;
    Ok(wanted
        .into_iter()
        .filter(|name| !installed.contains(*name))
        .collect())
}

/// Names of the packages in the table for these purposes.
fn wanted(arch: Arch, host: Arch, purposes: &[Purpose]) -> Vec<&'static str> {
    let rows = PACKAGES.iter().filter(|(_, needed, only)| {
        purposes.iter().any(|purpose| needed.contains(purpose))
            && only.is_none_or(|only| only == arch)
    });
    let mut names: Vec<&str> = rows.map(|(name, _, _)| *name).collect();
    let compiles = purposes
        .iter()
        .any(|purpose| matches!(purpose, Purpose::Programs | Purpose::Kernel));
    if compiles && arch != host {
        names.extend(cross_packages(arch));
    }
    names
}

/// Which of `names` dpkg knows as installed.
fn installed(names: &[&str]) -> Result<BTreeSet<String>> {
    let mut arguments = vec!["-W", "-f", "${db:Status-Abbrev} ${Package}\n"];
    arguments.extend(names);
    let answer = cmd("dpkg-query", arguments)
        .stdout_capture()
        .stderr_null()
        .unchecked()
        .run();
    let Ok(answer) = answer else {
        bail!(
            "this host has no dpkg, so its packages cannot be looked up; the build needs what Debian calls: {}",
            names.join(" ")
        );
    };
    Ok(parse_installed(&String::from_utf8_lossy(&answer.stdout)))
}

fn parse_installed(listing: &str) -> BTreeSet<String> {
    let lines = listing.lines().filter_map(|line| line.strip_prefix("ii "));
    lines.map(|name| name.trim().to_owned()).collect()
}

/// Installs packages through apt-get, as root or through sudo.
fn install(names: &[&str]) -> Result<()> {
    let list = names.join(" ");
    progress::note("setup", &format!("installing host packages: {list}"));
    if !has_program("apt-get") {
        bail!("this host has no apt-get: install these packages (Debian's names) by hand: {list}");
    }
    let prefix = privilege(&list)?;
    progress::step("host packages", || {
        if apt_get(&prefix, names, true).is_err() {
            // The lists may be missing or old: fresh ones, then for real
            apt(&prefix, &["update"]).context("apt-get update failed (is there a network?)")?;
            apt_get(&prefix, names, false)
                .with_context(|| format!("apt-get could not install {list}"))?;
        }
        Ok(())
    })
}

/// How to become root: nothing as root, else sudo.
fn privilege(list: &str) -> Result<Vec<String>> {
    let user = cmd!("id", "-u").read().context("run id")?;
    if user.trim() == "0" {
        return Ok(Vec::new());
    }
    let by_hand = format!("run as root: apt-get install {list}");
    if !has_program("sudo") {
        bail!("host packages are missing and there is no sudo: {by_hand}");
    }
    let mut prefix = vec!["sudo".to_owned()];
    if !std::io::stdin().is_terminal() {
        prefix.push("--non-interactive".to_owned());
        if cmd!("sudo", "--non-interactive", "true")
            .stderr_null()
            .run()
            .is_err()
        {
            bail!("host packages are missing and sudo would ask for a password: {by_hand}");
        }
    }
    Ok(prefix)
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn apt_get(prefix: &[String], names: &[&str], quiet: bool) -> Result<()> {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(names);
    if quiet {
        arguments.push("--quiet=2");
    }
    apt(prefix, &arguments)
}

fn apt(prefix: &[String], arguments: &[&str]) -> Result<()> {
    let mut line: Vec<&str> = prefix.iter().map(String::as_str).collect();
    line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    line.extend(arguments);
    cmd(line[0], &line[1..])
        .stdin_null()
        .stdout_to_stderr()
        .run()
        .with_context(|| line.join(" "))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_installations_count() {
        let found = parse_installed("ii  gpgv\nrc  xorriso\nun  patchelf\nii  zstd\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["gpgv", "zstd"]);
    }

    #[test]
    fn packages_follow_purpose_and_architecture() {
        let machine = wanted(Arch::X86_64, Arch::X86_64, &[Purpose::Machine]);
        assert!(
            machine.contains(&"ovmf")
                && !machine.contains(&"qemu-efi-aarch64")
                && !machine.contains(&"flex")
        );
        let kernel = wanted(Arch::Aarch64, Arch::X86_64, &[Purpose::Kernel]);
        assert!(kernel.contains(&"gcc-aarch64-linux-gnu"));
        assert!(!wanted(Arch::X86_64, Arch::X86_64, &ALL).contains(&"gcc-x86-64-linux-gnu"));
    }
}
