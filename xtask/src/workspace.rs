//! Where the build reads and writes, and for which architecture.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result, bail};

use crate::progress;

/// Version of RancherOS: the workspace's.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A machine architecture that can be built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    /// 64-bit PC
    X86_64,
    /// 64-bit Arm
    Aarch64,
}

impl Arch {
    /// The architecture of this machine.
    pub(crate) fn host() -> Result<Self> {
        std::env::consts::ARCH
            .parse()
            .context("this machine's architecture cannot be built for, name one with --arch")
    }

    /// The kernel's and our own name: `x86_64`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name: `amd64`.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The OCI image specification's name (GOARCH).
    pub(crate) fn oci(self) -> &'static str {
        self.debian()
    }

    /// Rust's target triple.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Debian's directory for libraries: `x86_64-linux-gnu`.
    pub(crate) fn multiarch(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// The file name of the dynamic loader, in the directory for libraries (ld.so(8)).
    pub(crate) fn loader(self) -> &'static str {
        match self {
            Self::X86_64 => "ld-linux-x86-64.so.2",
            Self::Aarch64 => "ld-linux-aarch64.so.1",
        }
    }
}

impl FromStr for Arch {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "aarch64" | "arm64" => Ok(Self::Aarch64),
            other => bail!("unknown architecture {other}, known are x86_64 and aarch64"),
        }
    }
}

/// One invocation of the build: folders, architecture and policy.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    /// Top of the workspace.
    pub(crate) root: PathBuf,
    /// Architecture to build for.
    pub(crate) arch: Arch,
    /// Fail when a lock file would change.
    pub(crate) locked: bool,
}

impl Build {
    /// A build in this workspace, for the host's architecture unless `arch` names one.
    pub(crate) fn new(arch: Option<Arch>, locked: bool) -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .with_context(|| format!("{} has no parent", manifest.display()))?
            .to_path_buf();
        let arch = match arch {
            Some(arch) => arch,
            None => Arch::host()?,
        };
        Ok(Self { root, arch, locked })
    }

    /// Keeps other builds in this workspace waiting, as cargo does, for as long as what it returns is held. The steps of one
    /// process share it.
    pub(crate) fn lock(&self) -> Result<Arc<File>> {
        static HELD: Mutex<Weak<File>> = Mutex::new(Weak::new());
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held.upgrade() {
            return Ok(file);
        }
        let path = self.root.join("target/xtask/lock");
        std::fs::create_dir_all(self.root.join("target/xtask"))
            .and_then(|()| File::create(&path))
            .and_then(|file| {
                if file.try_lock().is_err() {
                    progress::note("waiting", "another cargo xtask builds in this folder");
                    file.lock()?;
                }
                let file = Arc::new(file);
                *held = Arc::downgrade(&file);
                Ok(file)
            })
            .with_context(|| format!("lock {}", path.display()))
    }

    /// What is handed to the user.
    pub(crate) fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// What the ISO's file system carries below `/rancheros`.
    pub(crate) fn media(&self) -> PathBuf {
        self.dist()
            .join(format!("media-{}/rancheros", self.arch.name()))
    }

    /// The system images as archives.
    pub(crate) fn images(&self) -> PathBuf {
        self.dist().join(format!("images-{}", self.arch.name()))
    }

    /// Intermediate files of this architecture's build.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("target/xtask").join(self.arch.name())
    }

    /// Time given to every file in an artifact: `SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub(crate) fn epoch(&self) -> Result<u64> {
        match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text
                .parse()
                .with_context(|| format!("SOURCE_DATE_EPOCH is not a number: {text}")),
            Err(_) => Ok(DEFAULT_EPOCH),
        }
    }
}

/// 2026-01-01T00:00:00Z: the time of files when `SOURCE_DATE_EPOCH` is not set, so that two builds give the same bytes.
const DEFAULT_EPOCH: u64 = 1_767_225_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_wait_until_the_last_step_of_a_build_has_ended() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let build = Build {
            root: folder.path().to_owned(),
            arch: Arch::X86_64,
            locked: false,
        };
        let (whole, step) = (build.lock()?, build.lock()?);
        let other = File::open(folder.path().join("target/xtask/lock"))?;
        drop(whole);
        assert!(other.try_lock().is_err(), "a step still works");
        drop(step);
        assert!(other.try_lock().is_ok());
        Ok(())
    }
}
