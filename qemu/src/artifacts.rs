//! What is tested: the files that `cargo xtask iso` made, and the machine kind to boot them on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::ssh::Key;

/// How machines of one architecture are started; a table of `machines.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachineKind {
    pub(crate) program: String,
    pub(crate) machine: String,
    pub(crate) tcg_cpu: String,
    pub(crate) kvm_cpu: String,
    pub(crate) serial: String,
    firmware: Vec<String>,
    firmware_variables: Vec<String>,
}

impl MachineKind {
    /// The UEFI firmware of this host.
    pub(crate) fn firmware(&self) -> anyhow::Result<&str> {
        existing(&self.firmware)
    }

    /// The variables that go with it, to be copied for each machine.
    pub(crate) fn firmware_variables(&self) -> anyhow::Result<&str> {
        existing(&self.firmware_variables)
    }
}

fn existing(candidates: &[String]) -> anyhow::Result<&str> {
    let Some(found) = candidates.iter().find(|path| Path::new(path).exists()) else {
        bail!(
            "none of these exists: {}; install the package ovmf",
            candidates.join(", ")
        );
    };
    Ok(found)
}

/// Everything a test needs to start machines.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    pub(crate) arch: String,
    pub(crate) machine: MachineKind,
    pub(crate) iso: PathBuf,
    pub(crate) kernel: String,
    pub(crate) initrd: String,
    pub(crate) network_initrd: String,
    /// The folder with images.json and layers, as they are on the ISO.
    pub(crate) media: PathBuf,
    pub(crate) key: Key,
    /// Machines have a state disk unless a test says otherwise.
    pub(crate) state_disks: bool,
    dist: PathBuf,
    logs: PathBuf,
}

impl Artifacts {
    /// Docker's name of the architecture.
    pub(crate) fn docker_arch(&self) -> &str {
        match self.arch.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// Finds the files of `arch` below `dist`.
    ///
    /// # Errors
    /// Names the file that is missing and the command that makes it.
    pub(crate) fn find(dist: &Path, arch: &str) -> anyhow::Result<Artifacts> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut kinds: BTreeMap<String, MachineKind> =
            toml::from_str(include_str!("../machines.toml")).context("machines.toml")?;
        let machine = kinds
            .remove(arch)
            .with_context(|| format!("machines.toml has no machine for {arch}"))?;
        let file = |name: String| -> anyhow::Result<PathBuf> {
            let path = dist.join(name);
            if !path.exists() {
                bail!(
                    "{} is missing: run `cargo xtask iso --arch {arch}`",
                    path.display()
                );
            }
            Ok(path)
        };
        let logs = dist.join("qemu-test");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let keys = logs.join("keys");
        // A key of an earlier run may be there.
        let _ = fs::remove_dir_all(&keys);
        fs::create_dir_all(&keys).with_context(|| format!("cannot create {}", keys.display()))?;
        Ok(Artifacts {
            iso: file(format!("rancheros-{version}-{arch}.iso"))?,
            kernel: file(format!("vmlinuz-{version}-{arch}"))?
                .display()
                .to_string(),
            initrd: file(format!("initrd-{version}-{arch}"))?
                .display()
                .to_string(),
            network_initrd: file(format!("netboot-{version}-{arch}"))?
                .display()
                .to_string(),
            media: file(format!("media-{arch}/rancheros"))?,
            key: Key::generate(&keys)?,
            state_disks: true,
            arch: arch.to_owned(),
            machine,
            dist: dist.to_owned(),
            logs,
        })
    }

    /// A program that we did not write: `docker-compose`, `docker-registry`, or the folder `python`.
    pub(crate) fn client(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.dist.join(format!("clients-{}", self.arch)).join(name);
        if !path.exists() {
            bail!(
                "{} is missing: run `cargo xtask qemu-test`, which fetches it",
                path.display()
            );
        }
        Ok(path)
    }

    /// An image in a tar, of the media or of the catalogue, by its name in `rootfs/images.toml`.
    pub(crate) fn image(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self
            .dist
            .join(format!("images-{}/{name}.oci.tar", self.arch));
        if !path.exists() {
            bail!("{} is missing: run `cargo xtask images`", path.display());
        }
        Ok(path)
    }

    /// The system as an OCI image layout in a tar.
    pub(crate) fn os_image(&self) -> anyhow::Result<PathBuf> {
        // Named as the ISO is, which carries the version
        let iso = self.iso.file_name().unwrap_or_default().to_string_lossy();
        let name = iso.replacen("rancheros-", "os-", 1);
        let path = self.dist.join(name.replace(".iso", ".oci.tar"));
        if !path.exists() {
            bail!(
                "{} is missing: run `cargo xtask qemu-test`, which builds it",
                path.display()
            );
        }
        Ok(path)
    }

    /// One of the engine's own tests as a program: `engine`, `runtime`, `soak` or `upgrade`.
    pub(crate) fn engine_test(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = format!("engine-tests-{}", self.arch);
        let path = self.dist.join(folder).join(name);
        if !path.exists() {
            bail!(
                "{} is missing: run `cargo xtask qemu-test`, which compiles it",
                path.display()
            );
        }
        Ok(path)
    }

    /// The peer's disk, which only benchmarks need.
    pub(crate) fn peer(&self) -> anyhow::Result<PathBuf> {
        let path = self.dist.join(format!("peer-{}.ext4", self.arch));
        if !path.exists() {
            bail!(
                "{} is missing: run `cargo xtask bench boot`",
                path.display()
            );
        }
        Ok(path)
    }

    /// The peer's files as one archive: their size without the disk's free space.
    pub(crate) fn peer_content(&self) -> anyhow::Result<PathBuf> {
        Ok(self.peer()?.with_extension("tar"))
    }

    /// The log file of one kind for one machine; what the machine's last start left there becomes `NAME.KIND.previous.log`.
    pub(crate) fn log(&self, name: &str, kind: &str) -> PathBuf {
        let path = self.logs.join(format!("{name}.{kind}.log"));
        // Absent at the first start.
        let _ = std::fs::rename(&path, path.with_extension("previous.log"));
        path
    }
}
