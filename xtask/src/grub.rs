//! GRUB of Debian 13, on every host: its programs run from their packages, and the parts for each firmware lie unpacked
//! next to them. The versions are pinned in the lock files; what the host has installed is never used.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::Inputs;
use crate::debian::{self, Tool};
use crate::workspace::{Arch, Build};

/// Packages of the programs and of the libraries that they need, for the architecture of this machine.
const PROGRAMS: [&str; 8] = [
    "grub-common",
    "libc6",
    "libcap2",
    "libdevmapper1.02.1",
    "liblzma5",
    "libpcre2-8-0",
    "libselinux1",
    "libudev1",
];

/// Where Debian keeps GRUB's parts, a folder per platform.
const PARTS: &str = "usr/lib/grub";

/// A firmware that GRUB is built for, by GRUB's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// BIOS of a PC
    Bios,
    /// UEFI of a 64-bit PC
    UefiX86,
    /// UEFI of a 64-bit Arm machine
    UefiArm,
}

impl Platform {
    /// GRUB's name, also that of the folder of its parts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bios => "i386-pc",
            Self::UefiX86 => "x86_64-efi",
            Self::UefiArm => "arm64-efi",
        }
    }

    /// The firmwares of an architecture.
    pub(crate) fn all(arch: Arch) -> &'static [Self] {
        match arch {
            Arch::X86_64 => &[Self::Bios, Self::UefiX86],
            Arch::Aarch64 => &[Self::UefiArm],
        }
    }

    /// What UEFI firmware starts from a disc or a disk that it knows nothing of (UEFI specification, 3.5.1.1).
    pub(crate) fn removable_name(self) -> &'static str {
        match self {
            Self::Bios => "",
            Self::UefiX86 => "BOOTX64.EFI",
            Self::UefiArm => "BOOTAA64.EFI",
        }
    }

    /// Debian's package of its parts.
    fn package(self) -> &'static str {
        match self {
            Self::Bios => "grub-pc-bin",
            Self::UefiX86 => "grub-efi-amd64-bin",
            Self::UefiArm => "grub-efi-arm64-bin",
        }
    }
}

/// Fetches what [`Grub::get`] unpacks.
pub(crate) fn fetch(build: &Build) -> Result<Vec<PathBuf>> {
    let host = Tool::host(build)?;
    let programs = PROGRAMS
        .iter()
        .map(|name| debian::fetch_package(&host, name));
    let parts = Platform::all(build.arch)
        .iter()
        .map(|platform| debian::fetch_package(build, platform.package()));
    programs.chain(parts).collect()
}

/// Unpacked, with what it needs to run.
pub(crate) struct Grub {
    tool: Tool,
    key: String,
}

impl Grub {
    /// Fetches and unpacks the programs for this machine and the parts for the architecture that is built.
    pub(crate) fn get(build: &Build) -> Result<Self> {
        let packages = fetch(build)?;
        let mut inputs = Inputs::new("grub");
        for package in &packages {
            inputs.file(package)?;
        }
        let name = format!("grub-{}", build.arch.name());
        Ok(Self {
            tool: Tool::unpack(build, &name, &packages, |_| Ok(()))?,
            key: inputs.key(),
        })
    }

    /// What identifies it: a hash of its packages.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The folder of a platform's modules and boot sectors.
    pub(crate) fn parts(&self, platform: Platform) -> PathBuf {
        self.tool.path(PARTS).join(platform.name())
    }

    /// Runs `grub-mkimage`: GRUB for `platform` with `modules` in it, written to `target`. `arguments` say what else is in it.
    pub(crate) fn image(
        &self,
        platform: Platform,
        modules: &[String],
        arguments: &[String],
        target: &Path,
    ) -> Result<()> {
        let mut line = vec!["--format".to_owned(), platform.name().to_owned()];
        for (option, path) in [
            ("--directory", &*self.parts(platform)),
            ("--output", target),
        ] {
            line.extend([option.to_owned(), path.display().to_string()]);
        }
        line.extend_from_slice(arguments);
        line.extend_from_slice(modules);
        self.tool
            .run("usr/bin/grub-mkimage", &line)
            .run()
            .with_context(|| format!("build GRUB for {}", platform.name()))
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches packages, as every build does. Without the pinned GRUB the bytes of an ISO would be the host's choice.
    #[test]
    fn images_of_both_firmwares_are_the_pinned_version_and_the_same_twice() {
        let build = Build::new(Some(Arch::X86_64), true).unwrap();
        let grub = Grub::get(&build).unwrap();
        let folder = std::env::temp_dir().join(format!("xtask-grub-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let modules = ["normal".to_owned()];
        for platform in Platform::all(build.arch) {
            let images = ["one", "two"].map(|name| {
                let path = folder.join(name);
                let prefix = ["--prefix".to_owned(), "/boot/grub".to_owned()];
                grub.image(*platform, &modules, &prefix, &path).unwrap();
                std::fs::read(path).unwrap()
            });
            assert!(images[0].len() > 10_000, "{platform:?}");
            assert!(images[0] == images[1], "{platform:?}");
        }
        let normal = std::fs::read(grub.parts(Platform::UefiX86).join("normal.mod")).unwrap();
        let pinned = b"2.12-9+deb13u";
        assert!(normal.windows(pinned.len()).any(|bytes| bytes == pinned));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
