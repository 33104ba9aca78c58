//! What `kernel-config/kernel.toml` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::{Arch, Build};

/// Where it is.
const DECLARATION: &str = "kernel-config/kernel.toml";

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declaration {
    /// Version series that the source must be of: `6.12`.
    pub(crate) series: String,
    /// Debian package that holds the source.
    pub(crate) source_package: String,
    /// Names of the fragments for every architecture, in order.
    pub(crate) fragments: Vec<String>,
    /// What the kernel says about who built it.
    pub(crate) identity: Identity,
    /// Per architecture, by our name for it.
    pub(crate) arch: BTreeMap<String, Architecture>,
    /// Options that must be built in or modules.
    pub(crate) required: Vec<Rule>,
    /// Options that must be built in.
    pub(crate) built_in: Vec<Rule>,
    /// Options that must be off.
    pub(crate) absent: Vec<Rule>,
    /// Where the configuration is not what guides to hardening ask for.
    pub(crate) open: Vec<Open>,
    /// What the initrd carries.
    pub(crate) initrd: Initrd,
    /// Where firmware comes from.
    pub(crate) firmware: Firmware,
}

/// Builder's identity in the kernel's version text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// KBUILD_BUILD_TIMESTAMP.
    pub(crate) timestamp: String,
    /// KBUILD_BUILD_USER.
    pub(crate) user: String,
    /// KBUILD_BUILD_HOST.
    pub(crate) host: String,
}

/// How one architecture's kernel is built.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Architecture {
    /// The kernel's name for it (ARCH).
    pub(crate) name: String,
    /// Name of the fragment that belongs to it.
    pub(crate) fragment: String,
    /// Make target of the image.
    pub(crate) target: String,
    /// The image's path below the build folder.
    pub(crate) image: PathBuf,
    /// Lines that a whole build prints.
    pub(crate) lines: u64,
    /// Modules that the initrd carries for this architecture only.
    #[serde(default)]
    pub(crate) initrd_modules: Vec<String>,
}

/// Options that share a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Why.
    pub(crate) reason: String,
    /// Names without `CONFIG_`.
    pub(crate) options: Vec<String>,
}

/// Options that are not as guides to hardening have them, for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    /// Why.
    pub(crate) reason: String,
    /// Names without `CONFIG_` of those that are off here.
    #[serde(default)]
    pub(crate) off: Vec<String>,
    /// Names of those that are on here.
    #[serde(default)]
    pub(crate) on: Vec<String>,
}

/// What the initrd carries of the kernel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Initrd {
    /// Modules, without those they depend on.
    pub(crate) modules: Vec<String>,
}

/// Where firmware comes from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Firmware {
    /// Debian packages.
    pub(crate) packages: Vec<String>,
    /// Patterns of files that are left out though a module names them.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
}

impl Declaration {
    /// Reads the workspace's.
    pub(crate) fn read(build: &Build) -> Result<Self> {
        Self::read_in(&build.root)
    }

    /// Reads that of the workspace at `root`.
    pub(crate) fn read_in(root: &Path) -> Result<Self> {
        let path = root.join(DECLARATION);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// The part about the architecture that is built.
    pub(crate) fn arch(&self, build: &Build) -> Result<&Architecture> {
        let name = build.arch.name();
        self.arch
            .get(name)
            .with_context(|| format!("kernel.toml has no [arch.{name}]"))
    }

    /// Modules that the initrd carries, without those they depend on.
    pub(crate) fn initrd_modules(&self, build: &Build) -> Result<Vec<String>> {
        let own = &self.arch(build)?.initrd_modules;
        Ok(self.initrd.modules.iter().chain(own).cloned().collect())
    }

    /// All fragments of the architecture in one text.
    pub(crate) fn merged(&self, build: &Build) -> Result<String> {
        let mut merged = String::new();
        for name in self.fragments.iter().chain([&self.arch(build)?.fragment]) {
            let path = folder(build).join(format!("{name}.config"));
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            merged.push_str(&text);
        }
        Ok(merged)
    }
}

fn folder(build: &Build) -> PathBuf {
    build.root.join("kernel-config")
}

/// Prefix of the compiler's name (CROSS_COMPILE): empty on a machine of the same architecture.
pub(crate) fn cross_prefix(build: &Build) -> Result<&'static str> {
    Ok(match build.arch {
        arch if arch == Arch::host()? => "",
        Arch::X86_64 => "x86_64-linux-gnu-",
        Arch::Aarch64 => "aarch64-linux-gnu-",
    })
}
