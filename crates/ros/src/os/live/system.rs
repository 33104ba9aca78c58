//! The system's own part of an upgrade without a reboot: layers, files that PID 1 brings, PID 1's program; and the way back.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::Context as _;
use engine_api::Client;
use engine_api::body::Body;
use install::{Slot, store};
use sys::mount::{self, MountFlags, UnmountFlags};
use sys::namespace::{CloneFlags, setns};

use super::super::initrd::PROGRAM;
use super::super::installed::STORE;

/// Other files of the initrd that stay on the machine, by their names there, and their modes
/// (`crates/init/src/root.rs`, `COPIED`).
const FILES: &[(&str, u32)] = &[
    ("usr/lib/rancher/worker", 0o755),
    ("usr/share/ros/apparmor-policy", 0o644),
    ("usr/share/ros/upgrade-keys", 0o644),
    (OS_CONFIG, 0o644),
    ("etc/os-release", 0o644),
];
/// The built-in configuration.
const OS_CONFIG: &str = "usr/share/ros/os-config.yml";
/// The running program, whatever has become of its path.
const RUNNING: &str = "/proc/1/exe";
/// Where System Docker takes images of media from.
const MEDIA: &str = "/run/rancher/media";
/// Seconds that work under way in System Docker gets to end.
const WAIT_S: u64 = 30;

/// All that is taken out of an initrd.
pub(super) fn names() -> Vec<&'static str> {
    let files = FILES.iter().map(|(name, _)| *name);
    files.chain([PROGRAM]).collect()
}

/// Enters PID 1's view of the files, and stays: the console, whose view this process has, may be replaced.
pub(super) fn enter() -> anyhow::Result<()> {
    let namespace = fs::File::open("/proc/1/ns/mnt").context("cannot find PID 1's mounts")?;
    setns(&namespace, CloneFlags::NEWNS)?;
    std::env::set_current_dir("/").context("cannot enter PID 1's root")
}

/// The system as it was, to go back to.
pub(super) struct Former {
    program: Vec<u8>,
    files: Vec<(&'static str, u32, Vec<u8>)>,
    bound: bool,
    replaced: bool,
}

impl Former {
    /// Notes what runs.
    ///
    /// # Errors
    /// When a file of it cannot be read: there would be no way back.
    pub(super) fn note() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read(path).with_context(|| format!("cannot read {path}"));
        let files = FILES.iter().map(|(name, mode)| {
            let content = read(&format!("/{name}"))?;
            Ok((*name, *mode, content))
        });
        Ok(Self {
            program: read(RUNNING)?,
            files: files.collect::<anyhow::Result<_>>()?,
            bound: false,
            replaced: false,
        })
    }

    /// The built-in configuration as it was.
    pub(super) fn os_config(&self) -> &[u8] {
        let mut files = self.files.iter();
        files
            .find(|(name, ..)| *name == OS_CONFIG)
            .map_or(&[], |(_, _, content)| content)
    }

    /// Puts the version in `slot` in place of what runs.
    ///
    /// # Errors
    /// Whatever step fails; [`Former::back`] undoes the others.
    pub(super) async fn leave(
        &mut self,
        client: &Client,
        slot: Slot,
        mut files: BTreeMap<&'static str, Vec<u8>>,
    ) -> anyhow::Result<()> {
        for (name, mode) in FILES {
            write(name, *mode, &files.remove(name).unwrap_or_default())?;
        }
        let folder = Path::new(STORE).join(store::slot_folder(slot));
        mount::bind(&folder, MEDIA, false)?;
        self.bound = true;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount::remount_bind(MEDIA, flags)?;
        // It reads the layers as it takes over
        let program = files.remove(PROGRAM).unwrap_or_default();
        let said = replace(client, program).await?;
        self.replaced = true;
        println!("{said}");
        Ok(())
    }

    /// Undoes [`Former::leave`], as far as it came.
    ///
    /// # Errors
    /// The first step that failed, after all were tried.
    pub(super) async fn back(self, client: &Client) -> anyhow::Result<()> {
        let mut failed = Ok(());
        for (name, mode, content) in &self.files {
            failed = failed.and(write(name, *mode, content));
        }
        if self.bound {
            let gone = mount::unmount(MEDIA, UnmountFlags::DETACH);
            failed = failed.and(gone.map_err(anyhow::Error::from));
        }
        if self.replaced {
            failed = failed.and(replace(client, self.program).await.map(drop));
        }
        failed
    }
}

fn write(name: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let path = Path::new("/").join(name);
    // A program that runs cannot be written to, but its name can be given to another
    cloud_init::store::write_atomic(&path, content, mode)
        .with_context(|| format!("cannot write {}", path.display()))
}

async fn replace(client: &Client, program: Vec<u8>) -> anyhow::Result<String> {
    let program: Body = system_docker::body(Box::new(Cursor::new(program)));
    system_docker::replace_engine(client, program, Some(WAIT_S)).await
}
