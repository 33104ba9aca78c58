//! Puts an image's files together from packages, our programs and `rootfs/files`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::accounts::Accounts;
use super::declaration::{Declaration, Declarations};
use super::patchelf::Patchelf;
use super::tree::{Entry, Kind, Tree};
use super::{closure, elf};
use crate::cache;
use crate::debian::{Fetched, deb};
use crate::workspace::{Build, VERSION};

/// What assembling an image needs besides its declaration.
pub(crate) struct Sources<'a> {
    /// The build.
    pub(crate) build: &'a Build,
    /// All declarations.
    pub(crate) declarations: &'a Declarations,
    /// Numbers of users and groups.
    pub(crate) accounts: &'a Accounts,
    /// Our programs, built, by name.
    pub(crate) programs: &'a BTreeMap<String, PathBuf>,
}

impl Sources<'_> {
    /// The files of an image's own layer, given those of the layers below.
    pub(crate) fn layer(
        &self,
        image: &Declaration,
        packages: &[Fetched],
        below: &Tree,
    ) -> Result<Tree> {
        let mut tree = Tree::default();
        for package in packages {
            self.unpack(package, &mut tree)
                .with_context(|| format!("unpack {} {}", package.name, package.version))?;
        }
        if !image.closures.is_empty() {
            let mut all = below.clone();
            all.overlay(&tree);
            tree = Tree::default();
            let patchelf = Patchelf::get(self.build)?;
            for declared in &image.closures {
                tree.overlay(&closure::build(self.build, &patchelf, declared, &all)?);
            }
        }
        for (path, pattern) in &image.joined {
            join(&mut tree, path, pattern)?;
        }
        let globs =
            |lists: [&Vec<String>; 2]| lists.into_iter().flatten().cloned().collect::<Vec<_>>();
        tree.prune(
            &globs([&self.declarations.prune, &image.prune]),
            &image.keep,
        );
        for folder in &image.files {
            self.lay_over(&mut tree, folder)?;
        }
        fill_templates(&mut tree, image)?;
        self.add_programs(&mut tree, image)?;
        self.add_names(&mut tree, image, below)?;
        self.set_attributes(&mut tree, image)?;
        if image.base.is_none() {
            tree.insert_aliases();
        }
        let mut all = below.clone();
        all.overlay(&tree);
        let folders = elf::default_folders(self.build.arch);
        let own = |path: &str| tree.get(path).is_some();
        // A closure was checked on its own when it was made
        let in_closure = |path: &str| {
            let prefixes = image.closures.iter().map(|closure| &closure.prefix);
            prefixes
                .map(|prefix| prefix.trim_start_matches('/'))
                .any(|prefix| path.starts_with(prefix))
        };
        elf::check(&all, &folders, |path| own(path) && !in_closure(path))?;
        let explicit: Vec<String> = image
            .modes
            .keys()
            .chain(image.owners.keys())
            .cloned()
            .collect();
        Ok(tree.without(below, &explicit))
    }

    /// Adds the files of one package.
    fn unpack(&self, package: &Fetched, tree: &mut Tree) -> Result<()> {
        deb::for_each(&package.file, |entry| {
            let path = String::from_utf8(entry.path_bytes().into_owned())
                .context("a path is not UTF-8")?;
            let header = entry.header().clone();
            let owner = |name: Option<&[u8]>| {
                name.map(|name| String::from_utf8_lossy(name).into_owned())
                    .filter(|name| !name.is_empty())
            };
            let user =
                owner(header.username_bytes()).map_or(Ok(0), |name| self.accounts.user(&name))?;
            let group =
                owner(header.groupname_bytes()).map_or(Ok(0), |name| self.accounts.group(&name))?;
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Symlink => Kind::Link(link_target(entry)?),
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    entry
                        .read_to_end(&mut content)
                        .with_context(|| format!("read {path}"))?;
                    Kind::File(content.into())
                }
                tar::EntryType::Link => hard_link(tree, &link_target(entry)?)?,
                other => bail!("{path} is of type {other:?}, which no package should have"),
            };
            let mode = header.mode().with_context(|| format!("mode of {path}"))? & 0o7777;
            tree.insert(
                &path,
                Entry {
                    kind,
                    mode,
                    user,
                    group,
                },
            )
        })
    }

    /// Lays a folder of `rootfs/files` over the tree: executable files become 0755, others 0644, all root's.
    fn lay_over(&self, tree: &mut Tree, folder: &str) -> Result<()> {
        let root = files(self.build, folder);
        for path in listed(&root)? {
            let full = root.join(&path);
            let entry = read_entry(&full)?;
            tree.insert(&path.to_string_lossy(), entry)
                .with_context(|| format!("add {}", full.display()))?;
        }
        Ok(())
    }

    fn add_programs(&self, tree: &mut Tree, image: &Declaration) -> Result<()> {
        for (name, links) in &image.programs {
            let program = self
                .programs
                .get(name)
                .with_context(|| format!("program {name} was not built"))?;
            let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
            tree.insert(&format!("usr/bin/{name}"), Entry::file(bytes, 0o755))?;
            for link in links {
                tree.insert(&format!("usr/bin/{link}"), Entry::link(name))?;
            }
        }
        Ok(())
    }

    /// Adds folders, links and applets.
    fn add_names(&self, tree: &mut Tree, image: &Declaration, below: &Tree) -> Result<()> {
        for folder in &image.folders {
            tree.insert(folder, Entry::directory())?;
        }
        for (path, target) in &image.links {
            tree.insert(path, Entry::link(target))?;
        }
        if let Some(applets) = &image.applets {
            let sets = applets
                .sets
                .iter()
                .filter_map(|set| self.declarations.applets.get(set));
            for name in sets.flatten() {
                let path = format!("{}/{name}", applets.folder);
                if tree.get(&path).is_none() && below.get(&path).is_none() {
                    tree.insert(&path, Entry::link(&applets.program))?;
                }
            }
        }
        Ok(())
    }

    fn set_attributes(&self, tree: &mut Tree, image: &Declaration) -> Result<()> {
        for (path, owner) in &image.owners {
            let (user, group) = self.accounts.owner(owner)?;
            let entry = tree
                .get_mut(path)
                .with_context(|| format!("owners: {path} is not in image {}", image.name))?;
            (entry.user, entry.group) = (user, group);
        }
        for (path, mode) in &image.modes {
            let mode = u32::from_str_radix(mode, 8)
                .with_context(|| format!("mode {mode:?} of {path} is not octal"))?;
            let entry = tree
                .get_mut(path)
                .with_context(|| format!("modes: {path} is not in image {}", image.name))?;
            entry.mode = mode;
        }
        Ok(())
    }
}

/// Puts the version into the files that ask for it.
fn fill_templates(tree: &mut Tree, image: &Declaration) -> Result<()> {
    for path in &image.templates {
        let entry = tree
            .get_mut(path)
            .with_context(|| format!("templates: {path} is not in image {}", image.name))?;
        let Kind::File(content) = &entry.kind else {
            bail!("template {path} is not a file");
        };
        let text = std::str::from_utf8(content)
            .with_context(|| format!("template {path} is not UTF-8"))?;
        entry.kind = Kind::File(text.replace("${VERSION}", VERSION).into_bytes().into());
    }
    Ok(())
}

/// The files of a folder and the folders above them, in order.
///
/// Git knows no empty folder: a fresh clone would not have it, and its image other bytes.
fn listed(root: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = cache::walk(root)?;
    paths.sort();
    let is_folder = |path: &Path| {
        let kind = root.join(path).symlink_metadata();
        kind.is_ok_and(|kind| kind.is_dir())
    };
    let files: Vec<PathBuf> = paths
        .iter()
        .filter(|path| !is_folder(path))
        .cloned()
        .collect();
    paths.retain(|path| files.iter().any(|file| file.starts_with(path)));
    Ok(paths)
}

/// A folder of `rootfs/files`.
pub(crate) fn files(build: &Build, folder: &str) -> PathBuf {
    build.root.join("rootfs/files").join(folder)
}

/// Replaces the files that match `pattern` by one that has them all, in order.
fn join(tree: &mut Tree, path: &str, pattern: &str) -> Result<()> {
    let parts = tree.find(pattern);
    if parts.is_empty() {
        bail!("nothing matches {pattern}, which {path} is joined from");
    }
    let mut content = Vec::new();
    for part in parts {
        if let Some(Kind::File(bytes)) = tree.get(&part).map(|entry| entry.kind.clone()) {
            content.extend_from_slice(&bytes);
            if !content.ends_with(b"\n") {
                content.push(b'\n');
            }
        }
        tree.remove(&part);
    }
    tree.insert(path, Entry::file(content, 0o644))
}

fn link_target(entry: &tar::Entry<'_, &mut dyn Read>) -> Result<String> {
    let target = entry.link_name_bytes().context("a link has no target")?;
    String::from_utf8(target.into_owned()).context("a link's target is not UTF-8")
}

/// A hard link becomes a second file with the same content; squashfs stores it once.
fn hard_link(tree: &Tree, target: &str) -> Result<Kind> {
    match tree.get(target).map(|entry| &entry.kind) {
        Some(Kind::File(content)) => Ok(Kind::File(Rc::clone(content))),
        _ => bail!("hard link to {target}, which is not a file"),
    }
}

fn read_entry(path: &Path) -> Result<Entry> {
    let found = fs::symlink_metadata(path).with_context(|| format!("stat {}", path.display()))?;
    if found.is_symlink() {
        let target =
            fs::read_link(path).with_context(|| format!("read link {}", path.display()))?;
        return Ok(Entry::link(&target.to_string_lossy()));
    }
    if found.is_dir() {
        return Ok(Entry::directory());
    }
    let mode = if found.permissions().mode() & 0o100 == 0 {
        0o644
    } else {
        0o755
    };
    Ok(Entry::file(
        fs::read(path).with_context(|| format!("read {}", path.display()))?,
        mode,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_folders_are_not_laid_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/empty/within")).unwrap();
        fs::create_dir_all(folder.path().join("etc/full")).unwrap();
        fs::write(folder.path().join("etc/full/file"), "").unwrap();
        let paths = listed(folder.path()).unwrap();
        let expected = ["etc", "etc/full", "etc/full/file"].map(PathBuf::from);
        assert_eq!(paths, expected);
    }

    #[test]
    fn joined_files_replace_their_parts() {
        let mut tree = Tree::default();
        tree.insert("share/b.crt", Entry::file(&b"two"[..], 0o644))
            .unwrap();
        tree.insert("share/a.crt", Entry::file(&b"one\n"[..], 0o644))
            .unwrap();
        join(&mut tree, "/etc/bundle", "share/*.crt").unwrap();
        assert_eq!(
            tree.get("etc/bundle").unwrap().kind,
            Kind::File(b"one\ntwo\n"[..].into())
        );
        assert!(tree.get("share/a.crt").is_none());
        assert!(join(&mut tree, "/etc/bundle", "share/*.crt").is_err());
    }
}
