//! Collects the firmware that the built modules ask for.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use super::declaration::Declaration;
use crate::cache;
use crate::debian::{self, deb};
use crate::progress;
use crate::workspace::Build;

/// Where Debian's packages keep firmware.
const FOLDERS: [&str; 2] = ["usr/lib/firmware", "lib/firmware"];

/// Fetches the packages that hold firmware.
pub(super) fn fetch(build: &Build, declaration: &Declaration) -> Result<Vec<PathBuf>> {
    declaration
        .firmware
        .packages
        .iter()
        .map(|name| debian::fetch_package(build, name))
        .collect()
}

/// Fills `target` (the future `/lib/firmware`) with what the modules below `modules` name, as far as the packages have it.
pub(super) fn collect(
    packages: &[PathBuf],
    exclude: &[String],
    modules: &Path,
    target: &Path,
) -> Result<()> {
    if target.exists() {
        fs::remove_dir_all(target).with_context(|| format!("remove {}", target.display()))?;
    }
    fs::create_dir_all(target).with_context(|| format!("create {}", target.display()))?;
    let wanted = wanted(modules)?;
    let mut found = BTreeSet::new();
    let mut rest = wanted
        .iter()
        .filter(|name| !exclude.iter().any(|start| name.starts_with(start.as_str())))
        .cloned()
        .collect();
    // A link's target is wanted too, and may stand before the link: twice is enough
    for _ in 0..2 {
        for package in packages {
            take(package, target, &mut rest, &mut found)?;
        }
    }
    let bytes: u64 = found
        .iter()
        .filter_map(|name| fs::metadata(target.join(name)).ok())
        .map(|file| file.len())
        .sum();
    progress::note(
        "firmware",
        &format!(
            "{} files of {} that modules name, {} KiB",
            found.len(),
            wanted.len(),
            bytes / 1024
        ),
    );
    Ok(())
}

/// Names of firmware files in the modules' own records.
fn wanted(modules: &Path) -> Result<BTreeSet<String>> {
    let mut files: Vec<PathBuf> = cache::walk(modules)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "ko"));
    let mut arguments = vec!["--field".to_owned(), "firmware".to_owned()];
    arguments.extend(
        files
            .iter()
            .map(|path| modules.join(path).display().to_string()),
    );
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let text = cmd("modinfo", arguments)
        .env("PATH", path)
        .read()
        .context("run modinfo")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Copies wanted files of one package; links add what they point to, to what is wanted.
fn take(
    package: &Path,
    target: &Path,
    wanted: &mut BTreeSet<String>,
    found: &mut BTreeSet<String>,
) -> Result<()> {
    deb::for_each(package, |entry| {
        let path = entry.path().context("entry name")?.into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path);
        let Some(name) = FOLDERS
            .iter()
            .find_map(|folder| path.strip_prefix(folder).ok())
        else {
            return Ok(());
        };
        let name = name.to_string_lossy().into_owned();
        if !wanted.contains(&name) || found.contains(&name) {
            return Ok(());
        }
        let file = target.join(&name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        if let Some(link) = entry.link_name().context("link name")? {
            wanted.insert(resolve(&name, &link));
            symlink(&link, &file).with_context(|| format!("link {}", file.display()))?;
        } else {
            let mut bytes = Vec::new();
            entry
                .read_to_end(&mut bytes)
                .with_context(|| format!("read {name}"))?;
            fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
        }
        found.insert(name);
        Ok(())
    })
}

/// What a link `name` with the text `link` points to, relative to the firmware folder.
fn resolve(name: &str, link: &Path) -> String {
    let mut path = PathBuf::from(name);
    path.pop();
    for part in link.components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_folder() {
        assert_eq!(
            resolve("intel/ice/ddp/ice.pkg", Path::new("ice-1.3.41.0.pkg")),
            "intel/ice/ddp/ice-1.3.41.0.pkg"
        );
        assert_eq!(resolve("a/b", Path::new("../c/d")), "c/d");
    }
}
