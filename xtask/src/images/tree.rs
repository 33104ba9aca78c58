//! The files of a layer, in memory: names, owners and modes are data, so that building needs no root.

use std::collections::BTreeMap;
use std::collections::btree_map::{Entry as Slot, Iter};
use std::rc::Rc;

use anyhow::{Result, bail};

use super::glob;

/// Directories that are only other names of one: `/bin`, `/sbin` and `/usr/sbin` are `/usr/bin`.
///
/// One folder for programs means that a real program always replaces busybox's applet of that name.
const ALIASES: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/bin"),
    ("usr/sbin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
];

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// A file with its content.
    File(Rc<[u8]>),
    /// A symbolic link with its target.
    Link(String),
}

/// A path's kind and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Kind.
    pub(crate) kind: Kind,
    /// Permission bits, set-uid and set-gid included.
    pub(crate) mode: u32,
    /// User id.
    pub(crate) user: u32,
    /// Group id.
    pub(crate) group: u32,
}

impl Entry {
    /// A directory of root's, 0755.
    pub(crate) fn directory() -> Self {
        Self {
            kind: Kind::Directory,
            mode: 0o755,
            user: 0,
            group: 0,
        }
    }

    /// A file of root's.
    pub(crate) fn file(content: impl Into<Rc<[u8]>>, mode: u32) -> Self {
        Self {
            kind: Kind::File(content.into()),
            mode,
            user: 0,
            group: 0,
        }
    }

    /// A symbolic link.
    pub(crate) fn link(target: &str) -> Self {
        Self {
            kind: Kind::Link(target.to_owned()),
            mode: 0o777,
            user: 0,
            group: 0,
        }
    }

    fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Paths without a slash at the front, in order; a directory comes before what is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Puts an entry at `path`, with its parent directories.
    pub(crate) fn insert(&mut self, path: &str, entry: Entry) -> Result<()> {
        let path = canonical(path)?;
        if path.is_empty()
            || (ALIASES.iter().any(|(_, target)| *target == path) && entry.kind != Kind::Directory)
        {
            return Ok(());
        }
        if let Kind::Link(target) = &entry.kind
            && resolve_link(&path, target).is_ok_and(|target| target == path)
        {
            return Ok(()); // `/sbin/ip -> /bin/ip`, which are one name here
        }
        let mut parent = path.as_str();
        while let Some((rest, _)) = parent.rsplit_once('/') {
            parent = rest;
            match self.0.entry(parent.to_owned()) {
                Slot::Vacant(slot) => drop(slot.insert(Entry::directory())),
                Slot::Occupied(slot) if slot.get().is_directory() => break,
                Slot::Occupied(_) => bail!("/{path} cannot be: /{parent} is not a directory"),
            }
        }
        match self.0.entry(path) {
            Slot::Occupied(mut slot) if slot.get().is_directory() == entry.is_directory() => {
                drop(slot.insert(entry))
            }
            Slot::Occupied(slot) => bail!(
                "/{} is a directory in one place and not in another",
                slot.key()
            ),
            Slot::Vacant(slot) => drop(slot.insert(entry)),
        }
        Ok(())
    }

    /// Adds the link without which an aliased name (`/bin`) would not exist.
    pub(crate) fn insert_aliases(&mut self) {
        for (alias, target) in ALIASES {
            let target = target
                .strip_prefix("usr/")
                .filter(|_| alias.starts_with("usr/"))
                .unwrap_or(target);
            self.0.insert(alias.to_owned(), Entry::link(target));
        }
    }

    /// The entry at a path.
    pub(crate) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(&canonical(path).ok()?)
    }

    /// The entry at a path, for changing its attributes.
    pub(crate) fn get_mut(&mut self, path: &str) -> Option<&mut Entry> {
        self.0.get_mut(&canonical(path).ok()?)
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> Iter<'_, String, Entry> {
        self.0.iter()
    }

    /// Removes what is at `path` and below it.
    pub(crate) fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.0
            .retain(|name, _| name != path && !name.starts_with(&below));
    }

    /// Removes every path that a pattern of `prune` matches, with what is below it, unless `keep` matches the path or a
    /// path below; directories that this empties go too.
    pub(crate) fn prune(&mut self, prune: &[String], keep: &[String]) {
        let any = |patterns: &[String], path: &str| {
            patterns.iter().any(|pattern| glob::matches(pattern, path))
        };
        let goes = |path: &str| {
            let mut ancestors = std::iter::successors(Some(path), |path| {
                path.rsplit_once('/').map(|(parent, _)| parent)
            });
            ancestors.any(|ancestor| any(prune, ancestor)) && !any(keep, path)
        };
        let files: Vec<String> = self
            .0
            .iter()
            .filter(|(path, entry)| !entry.is_directory() && goes(path))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &files {
            self.0.remove(path);
        }
        let folders: Vec<String> = self
            .0
            .iter()
            .filter(|(_, entry)| entry.is_directory())
            .map(|(path, _)| path.clone())
            .collect();
        for folder in folders.iter().rev() {
            let emptied = || {
                files
                    .iter()
                    .any(|path| path.starts_with(&format!("{folder}/")))
            };
            if !self.has_children(folder) && (goes(folder) || emptied()) {
                self.0.remove(folder);
            }
        }
    }

    fn has_children(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        self.0
            .range(below.clone()..)
            .next()
            .is_some_and(|(path, _)| path.starts_with(&below))
    }

    /// Paths that a pattern matches.
    pub(crate) fn find(&self, pattern: &str) -> Vec<String> {
        self.0
            .keys()
            .filter(|path| glob::matches(pattern, path))
            .cloned()
            .collect()
    }

    /// Adds what `other` has, in place of what is here.
    pub(crate) fn overlay(&mut self, other: &Self) {
        for (path, entry) in &other.0 {
            self.0.insert(path.clone(), entry.clone());
        }
    }

    /// Follows symbolic links to a file; the path of the file, or `None`.
    pub(crate) fn follow(&self, path: &str) -> Option<String> {
        let mut path = canonical(path).ok()?;
        for _ in 0..LINKS_MAX {
            match &self.0.get(&path)?.kind {
                Kind::Link(target) => path = resolve_link(&path, target).ok()?,
                _ => return Some(path),
            }
        }
        None
    }

    /// Leaves out what a layer below has already, and takes its attributes for directories that both have.
    pub(crate) fn without(mut self, below: &Self, own: &[String]) -> Self {
        let is_own = |path: &str| {
            own.iter()
                .any(|name| canonical(name).is_ok_and(|name| name == path))
        };
        for (path, entry) in &mut self.0 {
            if let Some(lower) = below.0.get(path)
                && lower.is_directory()
                && entry.is_directory()
                && !is_own(path)
            {
                *entry = lower.clone();
            }
        }
        let same: Vec<String> = self
            .0
            .iter()
            .filter(|(path, entry)| below.0.get(*path) == Some(entry))
            .map(|(path, _)| path.clone())
            .collect();
        for path in same.iter().rev().filter(|path| !path.is_empty()) {
            if !self.has_children(path) {
                self.0.remove(path);
            }
        }
        self
    }
}

/// Links followed before a loop is assumed: the kernel's number.
const LINKS_MAX: usize = 40;

/// A path without slash or dots at the front, and with aliased directories replaced.
pub(crate) fn canonical(path: &str) -> Result<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let plain = names.join("/");
    if plain.contains('\0') {
        bail!("path {plain:?} has a NUL byte");
    }
    for (alias, target) in ALIASES {
        if plain == alias {
            return Ok(target.to_owned());
        }
        if let Some(rest) = plain
            .strip_prefix(alias)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            return Ok(format!("{target}/{rest}"));
        }
    }
    Ok(plain)
}

/// Where a link at `path` points.
fn resolve_link(path: &str, target: &str) -> Result<String> {
    match (target.strip_prefix('/'), path.rsplit_once('/')) {
        (Some(absolute), _) => canonical(absolute),
        (None, Some((parent, _))) => canonical(&format!("{parent}/{target}")),
        (None, None) => canonical(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Entry {
        Entry::file(text.as_bytes(), 0o644)
    }

    #[test]
    fn one_folder_holds_all_programs() {
        let mut tree = Tree::default();
        tree.insert("./bin/ip", file("ip")).unwrap();
        tree.insert("./sbin/ip", Entry::link("/bin/ip")).unwrap();
        assert_eq!(tree.get("/usr/sbin/ip").unwrap().kind, file("ip").kind);
        assert_eq!(tree.follow("sbin/ip").unwrap(), "usr/bin/ip");
        tree.insert_aliases();
        assert_eq!(
            tree.iter()
                .find(|(path, _)| *path == "usr/sbin")
                .unwrap()
                .1
                .kind,
            Kind::Link("bin".into())
        );
        assert_eq!(
            tree.iter()
                .find(|(path, _)| *path == "sbin")
                .unwrap()
                .1
                .kind,
            Kind::Link("usr/bin".into())
        );
    }

    #[test]
    fn pruning_takes_folders_along_but_keeps_what_is_kept() {
        let mut tree = Tree::default();
        for path in [
            "usr/share/doc/a/copyright",
            "usr/share/doc/b/x",
            "usr/share/b",
        ] {
            tree.insert(path, file("")).unwrap();
        }
        tree.insert("var/lib/empty", Entry::directory()).unwrap();
        tree.prune(&["usr/share/doc/*".into()], &["usr/share/doc/b/x".into()]);
        let left: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            left,
            [
                "usr",
                "usr/share",
                "usr/share/b",
                "usr/share/doc",
                "usr/share/doc/b",
                "usr/share/doc/b/x",
                "var",
                "var/lib",
                "var/lib/empty"
            ]
        );
    }

    #[test]
    fn a_layer_has_only_what_is_new_with_the_attributes_below() {
        let mut below = Tree::default();
        below.insert("root/.profile", file("a")).unwrap();
        below.get_mut("root").unwrap().mode = 0o700;
        let mut layer = Tree::default();
        layer.insert("root/.profile", file("a")).unwrap();
        layer.insert("root/.bashrc", file("b")).unwrap();
        let layer = layer.without(&below, &[]);
        assert_eq!(
            layer
                .iter()
                .map(|(path, _)| path.as_str())
                .collect::<Vec<_>>(),
            ["root", "root/.bashrc"]
        );
        assert_eq!(layer.get("root").unwrap().mode, 0o700);
    }

    #[test]
    fn a_file_and_a_directory_cannot_share_a_name() {
        let mut tree = Tree::default();
        tree.insert("a", file("")).unwrap();
        assert!(tree.insert("a/b", file("")).is_err());
    }
}
