//! Chooses the modules that the initrd carries: those that kernel.toml names, and what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::archive::Archive;
use crate::kernel::{Declaration, Kernel};
use crate::workspace::Build;

/// What PID 1 reads to load modules; depmod makes more.
const INDEXES: [&str; 3] = ["modules.alias", "modules.dep", "modules.softdep"];

/// What depmod wants in addition to the modules.
const DEPMOD_INPUTS: [&str; 3] = [
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.order",
];

/// Adds the modules to the archive, with their own indexes.
pub(super) fn add<W: Write>(
    build: &Build,
    kernel: &Kernel,
    archive: &mut Archive<W>,
) -> Result<()> {
    let release = kernel.release()?;
    let source = kernel.modules().join(&release);
    let index = source.join("modules.dep");
    let index = fs::read_to_string(&index).with_context(|| format!("read {}", index.display()))?;
    let paths = closure(&index, &Declaration::read(build)?.initrd_modules(build)?)?;
    let staging = build.scratch().join("initrd-modules");
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("remove {}", staging.display()))?;
    }
    let target = staging.join("lib/modules").join(&release);
    for path in paths.iter().map(String::as_str).chain(DEPMOD_INPUTS) {
        copy(&source.join(path), &target.join(path))?;
    }
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    cmd!("depmod", "--basedir", &staging, &release)
        .env("PATH", path)
        .run()
        .context("run depmod")?;
    let inside = format!("lib/modules/{release}");
    archive.directory(&inside, 0o755)?;
    let files: BTreeSet<&str> = paths.iter().map(String::as_str).chain(INDEXES).collect();
    for folder in folders(&files) {
        archive.directory(&format!("{inside}/{folder}"), 0o755)?;
    }
    for file in files {
        archive.file(&format!("{inside}/{file}"), 0o644, &target.join(file))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("copy {}", from.display()))
}

/// Paths of the named modules and all that they depend on, by the content of modules.dep.
fn closure(index: &str, names: &[String]) -> Result<BTreeSet<String>> {
    let lines: BTreeMap<String, (&str, &str)> = index
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| (module_name(path), (path, needs)))
        .collect();
    let mut paths = BTreeSet::new();
    for name in names {
        let Some((path, needs)) = lines.get(&module_name(name)) else {
            bail!("kernel.toml names the module {name} for the initrd, which was not built");
        };
        paths.insert((*path).to_owned());
        paths.extend(needs.split_whitespace().map(str::to_owned));
    }
    Ok(paths)
}

/// The kernel's name of a module file: `pci-hyperv.ko` is `pci_hyperv`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// Every folder that the files are in, parents first.
fn folders(files: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for file in files {
        let parents = file
            .match_indices('/')
            .map(|(position, _)| file[..position].to_owned());
        folders.extend(parents);
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "kernel/a/one-two.ko: kernel/b/three.ko kernel/b/four.ko\nkernel/b/three.ko:\nkernel/b/four.ko:\nkernel/c/five.ko:\n";

    #[test]
    fn a_module_brings_what_it_depends_on() {
        let paths = closure(INDEX, &["one_two".to_owned()]).unwrap();
        assert_eq!(
            paths.into_iter().collect::<Vec<_>>(),
            [
                "kernel/a/one-two.ko",
                "kernel/b/four.ko",
                "kernel/b/three.ko"
            ]
        );
    }

    #[test]
    fn a_module_that_was_not_built_is_an_error() {
        let error = closure(INDEX, &["six".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("six"));
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let folders = folders(&BTreeSet::from(["a/b/c.ko", "a/d.ko"]));
        assert_eq!(folders.into_iter().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
