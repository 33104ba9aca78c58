//! Builds the initial RAM disk: PID 1, its built-in configuration, and the modules that find the media.
//!
//! The network boot's variant carries the media's images too, in a second archive behind the first.

mod apparmor;
mod archive;
mod keys;
mod modules;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::cache::{self, Inputs, Pending};
use crate::kernel::{self, Kernel};
use crate::setup::{self, Purpose};
use crate::workspace::{Build, VERSION};
use crate::{debian, images, progress, rust};
use archive::Archive;

/// Options of `cargo xtask initrd`.
#[derive(clap::Args, Default)]
#[group(skip)] // flattened into the options of iso
pub(crate) struct Options {
    /// Static program to use as PID 1 instead of crates/init
    #[arg(long)]
    pub(crate) pid1: Option<PathBuf>,
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    let kernel = kernel::ensure(build)?;
    ensure(build, options, &kernel).map(|_| ())
}

/// Directories that PID 1 finds: mount points, and the parents of the files.
const DIRECTORIES: &[&str] = &[
    "bin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "proc",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "usr/lib",
    "usr/lib/rancher",
    "usr/share",
    "usr/share/ros",
];

/// Builds PID 1's program, and the worker next to it, unless they are there.
pub(crate) fn program(build: &Build) -> Result<PathBuf> {
    setup::ensure(build, &[Purpose::Programs])?;
    progress::step("programs init and worker", || {
        rust::build(build, "worker")?;
        rust::build(build, "init")
    })
}

/// Builds the initrd unless it is there; returns its path.
pub(crate) fn ensure(build: &Build, options: &Options, kernel: &Kernel) -> Result<PathBuf> {
    let _lock = build.lock()?;
    let built = program(build)?;
    let worker = built.with_file_name("worker");
    let pid1 = options.pid1.clone().unwrap_or(built);
    let target = build
        .dist()
        .join(format!("initrd-{VERSION}-{}", build.arch.name()));
    // The rescue shell of a machine whose media was not found
    let busybox = debian::fetch_package(build, "busybox-static")?;
    let parser = apparmor::fetch(build)?;
    progress::step("initrd", || {
        let config = build.root.join("rootfs/os-config.yml");
        let profile = build.root.join("rootfs/apparmor/docker-default");
        let mut inputs = Inputs::new("initrd");
        inputs
            .text("kernel", &kernel.key)
            .text("version", VERSION)
            .text("keys", &keys::all(build)?)
            .text("compressor", &COMPRESSOR.join(" "));
        inputs.text(
            "modules",
            &kernel::Declaration::read(build)?
                .initrd_modules(build)?
                .join(" "),
        );
        inputs
            .text("epoch", &build.epoch()?.to_string())
            .file(&pid1)?
            .file(&worker)?
            .file(&busybox)?
            .file(&config)?
            .file(&profile)?;
        for package in &parser {
            inputs.file(package)?;
        }
        let key = inputs.key();
        if !cache::is_done(build, "initrd", &key, std::slice::from_ref(&target)) {
            let policy = build.scratch().join("apparmor-policy");
            apparmor::compile(build, &parser, &profile, &policy)?;
            let files = [&pid1, &worker, &busybox, &config, &policy].map(PathBuf::as_path);
            pack(build, kernel, &files, &target)?;
            cache::mark_done(build, "initrd", &key)?;
        }
        Ok(())
    })?;
    Ok(target)
}

fn pack(
    build: &Build,
    kernel: &Kernel,
    [pid1, worker, busybox, config, policy]: &[&Path; 5],
    target: &Path,
) -> Result<()> {
    check_static(pid1)?;
    check_static(worker)?;
    let plain = build.scratch().join("initrd.cpio");
    let pending = Pending::create(&plain)?;
    let mut archive = Archive::new(pending, build.epoch()?);
    for name in DIRECTORIES {
        archive.directory(name, 0o755)?;
    }
    archive.device("dev/console", 0o600, (5, 1))?;
    archive.device("dev/null", 0o666, (1, 3))?;
    archive.bytes("etc/os-release", 0o644, os_release().as_bytes())?;
    archive.file("usr/share/ros/apparmor-policy", 0o644, policy)?;
    archive.file("usr/share/ros/os-config.yml", 0o644, config)?;
    archive.bytes(
        "usr/share/ros/upgrade-keys",
        0o644,
        keys::all(build)?.as_bytes(),
    )?;
    archive.bytes(
        "usr/share/ros/version",
        0o644,
        format!("{VERSION}\n").as_bytes(),
    )?;
    archive.file("init", 0o755, pid1)?;
    archive.file("usr/lib/rancher/worker", 0o755, worker)?;
    let unpacked = build.scratch().join("busybox");
    debian::deb::extract(busybox, "usr/bin/busybox", &unpacked)?;
    archive.file("bin/busybox", 0o755, &unpacked)?;
    archive.link("bin/sh", "busybox")?;
    // The kernel loads modules by this name when a program asks for a protocol or a file system it does not have
    archive.link("sbin/usermode-helper", "../init")?;
    modules::add(build, kernel, &mut archive)?;
    archive.finish()?.commit()?;
    compress(&plain, target)
}

/// zstd at its best: half the size of LZ4, and an emulated CPU unpacks it in under a second (ARCHITECTURE.md).
const COMPRESSOR: &[&str] = &["zstd", "-19", "--threads=1", "--quiet", "--force"];

fn compress(plain: &Path, target: &Path) -> Result<()> {
    let pending = Pending::create(target)?;
    let (program, options) = COMPRESSOR.split_first().context("no compressor")?;
    let mut arguments: Vec<&std::ffi::OsStr> = options.iter().map(std::ffi::OsStr::new).collect();
    arguments.extend(["-o".as_ref(), pending.path().as_os_str(), plain.as_os_str()]);
    cmd(*program, arguments)
        .run()
        .with_context(|| format!("compress {}", plain.display()))?;
    pending.commit()
}

/// A program that wants a loader cannot be PID 1: the initrd has no libraries.
fn check_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    if bytes.windows(LOADER.len()).any(|window| window == LOADER) {
        bail!(
            "{} is not static: it names the loader {}",
            program.display(),
            String::from_utf8_lossy(LOADER)
        );
    }
    Ok(())
}

/// What every dynamic program of x86-64 holds.
const LOADER: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";

fn os_release() -> String {
    format!(
        "NAME=\"RancherOS\"\nID=rancheros\nVERSION=\"{VERSION}\"\nVERSION_ID={VERSION}\nPRETTY_NAME=\"RancherOS {VERSION}\"\n\
         HOME_URL=\"https://rancher.com/rancher-os/\"\n"
    )
}

/// Builds the network boot's initrd unless it is there: `initrd` and behind it all that the ISO carries as `/rancheros`.
pub(crate) fn netboot(build: &Build, initrd: &Path) -> Result<PathBuf> {
    let target = build
        .dist()
        .join(format!("netboot-{VERSION}-{}", build.arch.name()));
    let media = images::ensure(build)?;
    progress::step("netboot initrd", || {
        let mut inputs = Inputs::new("netboot");
        inputs
            .text("epoch", &build.epoch()?.to_string())
            .file(initrd)?
            .tree(&media)?;
        let key = inputs.key();
        if cache::is_done(build, "netboot", &key, std::slice::from_ref(&target)) {
            return Ok(());
        }
        let mut pending = Pending::create(&target)?;
        archive::append(&mut pending, initrd)?;
        // Stored as it is: the images are compressed already
        let mut archive = Archive::new(pending, build.epoch()?);
        archive.tree("rancheros", &media)?;
        archive.finish()?.commit()?;
        cache::mark_done(build, "netboot", &key)
    })?;
    Ok(target)
}
