//! Builds the kernel, its modules and the firmware image.
//!
//! The built kernel is kept in the cache under a key of its source, its configuration and its compiler; what the media carries
//! (modules, firmware) is packed from there.

mod compile;
mod declaration;
mod firmware;
mod options;
mod squashfs;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache::{self, Inputs};
use crate::debian;
use crate::progress;
use crate::setup::{self, Purpose};
use crate::workspace::{Build, VERSION};

pub(crate) use declaration::{Declaration, Open, cross_prefix};

/// Options of `cargo xtask kernel`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// A built kernel in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// What identifies it: a hash of everything it is made from.
    pub(crate) key: String,
    /// Folder of the artifacts.
    folder: PathBuf,
}

impl Kernel {
    /// The bootable image.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The folder that becomes `/lib/modules`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }

    /// What `uname -r` says: the only folder in [`Kernel::modules`].
    pub(crate) fn release(&self) -> Result<String> {
        let path = self.folder.join("release");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, _options: &Options) -> Result<()> {
    ensure(build).map(|_| ())
}

/// Builds kernel, modules image and firmware image unless they are there.
pub(crate) fn ensure(build: &Build) -> Result<Kernel> {
    let _lock = build.lock()?;
    setup::ensure(build, &[Purpose::Fetch, Purpose::Kernel])?;
    let declaration = Declaration::read(build)?;
    let kernel = progress::step("kernel", || kernel(build, &declaration))?;
    progress::step("modules and firmware", || {
        media(build, &declaration, &kernel)
    })?;
    let image = format!("vmlinuz-{VERSION}-{}", build.arch.name());
    cache::place(&kernel.image(), &build.dist().join(image))?;
    Ok(kernel)
}

/// The kernel from the cache, or a new one.
fn kernel(build: &Build, declaration: &Declaration) -> Result<Kernel> {
    let source = debian::fetch_package(build, &declaration.source_package)?;
    let fragments = declaration.merged(build)?;
    let mut inputs = Inputs::new("kernel");
    inputs
        .text("recipe", RECIPE)
        .text("arch", build.arch.name())
        .text("fragments", &fragments);
    let arch = declaration.arch(build)?;
    inputs.text(
        "declaration",
        &format!(
            "{:?} {} {} {:?}",
            declaration.identity, arch.name, arch.target, arch.image
        ),
    );
    inputs.text("compiler", &compiler(build)?).file(&source)?;
    let key = inputs.key();
    let folder = cache::dir("kernel")?.join(&key);
    let kernel = Kernel { key, folder };
    if kernel.folder.is_dir() {
        progress::note("kernel", &format!("{}, from the cache", kernel.release()?));
        return Ok(kernel);
    }
    let tree = compile::Tree::new(build, declaration, &source, &kernel.key)?;
    tree.configure(&fragments)?;
    tree.compile()?;
    keep(&tree, &kernel.folder)?;
    tree.remove()?;
    progress::note("kernel", &kernel.release()?);
    Ok(kernel)
}

/// Raised when the build itself changes what comes out of the same configuration.
const RECIPE: &str = "2";

/// Compiler, assembler and linker, as they name themselves: another version makes other bytes.
fn compiler(build: &Build) -> Result<String> {
    let prefix = cross_prefix(build)?;
    let mut names = Vec::new();
    for program in ["gcc", "ld"] {
        let program = format!("{prefix}{program}");
        let text = cmd!(&program, "--version")
            .read()
            .with_context(|| format!("run {program} --version"))?;
        names.push(text.lines().next().unwrap_or_default().to_owned());
    }
    Ok(names.join("; "))
}

/// Collects the artifacts of a finished tree in the cache; all of them or none.
fn keep(tree: &compile::Tree, folder: &Path) -> Result<()> {
    let partial = folder.with_extension("part");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    tree.install(&partial)?;
    fs::rename(&partial, folder).with_context(|| format!("rename to {}", folder.display()))
}

/// Packs what the media carries in addition to the system images.
fn media(build: &Build, declaration: &Declaration, kernel: &Kernel) -> Result<()> {
    let modules = build.media().join("modules.squashfs");
    let firmware = build.media().join("firmware.squashfs");
    let packages = firmware::fetch(build, declaration)?;
    let mut inputs = Inputs::new("modules and firmware");
    inputs
        .text("kernel", &kernel.key)
        .text("packer", &squashfs::packer()?)
        .text("epoch", &build.epoch()?.to_string());
    inputs.text("exclude", &declaration.firmware.exclude.join(" "));
    for package in &packages {
        inputs.file(package)?;
    }
    let key = inputs.key();
    let outputs = [modules.clone(), firmware.clone()];
    if cache::is_done(build, "modules", &key, &outputs) {
        return Ok(());
    }
    squashfs::pack(build, &kernel.modules(), &modules)?;
    let tree = build.scratch().join("firmware");
    firmware::collect(
        &packages,
        &declaration.firmware.exclude,
        &kernel.modules().join(kernel.release()?),
        &tree,
    )?;
    squashfs::pack(build, &tree, &firmware)?;
    cache::mark_done(build, "modules", &key)
}
