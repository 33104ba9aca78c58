//! `rootfs/images.toml`: what each system image is made of.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::debian::ClosureRequest;
use crate::workspace::Build;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declarations {
    /// Packages that no image takes, though something depends on them.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Paths that no image keeps.
    #[serde(default)]
    pub(crate) prune: Vec<String>,
    /// Names of multi-call programs' applets, by the name of the set.
    #[serde(default)]
    pub(crate) applets: BTreeMap<String, Vec<String>>,
    /// Images in the order of building: a base comes before what stands on it.
    pub(crate) image: Vec<Declaration>,
}

/// One image.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declaration {
    /// Short name: `console`.
    pub(crate) name: String,
    /// Reference without tag; the tag is the version.
    pub(crate) repository: String,
    /// Tag in place of the version.
    pub(crate) tag: Option<String>,
    /// Whether it is loaded into User Docker in place of being a system image.
    #[serde(default)]
    pub(crate) user: bool,
    /// Whether it belongs to a service of the catalogue: it is built, and the media do not carry it.
    #[serde(default)]
    pub(crate) catalogue: bool,
    /// Image below this one.
    pub(crate) base: Option<String>,
    /// Debian packages; what they depend on comes with them.
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// Packages left out of this image.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Paths removed after unpacking, as globs: `*` within a name, `**` any depth.
    #[serde(default)]
    pub(crate) prune: Vec<String>,
    /// Paths kept though a glob of `prune` matches them.
    #[serde(default)]
    pub(crate) keep: Vec<String>,
    /// Our own programs, with the further names of each.
    #[serde(default)]
    pub(crate) programs: BTreeMap<String, Vec<String>>,
    /// Folders below `rootfs/files` that are laid over the image, in this order.
    #[serde(default)]
    pub(crate) files: Vec<String>,
    /// Files in which `${VERSION}` becomes the version.
    #[serde(default)]
    pub(crate) templates: Vec<String>,
    /// Empty folders, with mode 0755 unless `modes` says otherwise.
    #[serde(default)]
    pub(crate) folders: Vec<String>,
    /// Symbolic links: path to target.
    #[serde(default)]
    pub(crate) links: BTreeMap<String, String>,
    /// Modes in octal by path.
    #[serde(default)]
    pub(crate) modes: BTreeMap<String, String>,
    /// Owners `user:group` by path, by the names in the image's own passwd and group.
    #[serde(default)]
    pub(crate) owners: BTreeMap<String, String>,
    /// Files joined from others: path to glob. The parts are removed.
    #[serde(default)]
    pub(crate) joined: BTreeMap<String, String>,
    /// Links to a multi-call program.
    pub(crate) applets: Option<Applets>,
    /// Programs that bring their own loader and libraries.
    #[serde(default)]
    pub(crate) closures: Vec<Closure>,
    /// Programs of it that every boot starts, in the order of their starts: the engine reads them as soon as it has mounted the layer.
    #[serde(default)]
    pub(crate) read_ahead: Vec<String>,
    /// How its file system is compressed.
    #[serde(default)]
    pub(crate) compression: Compression,
    /// What to start.
    #[serde(default)]
    pub(crate) entrypoint: Vec<String>,
    /// Arguments of the entry point, or the program.
    #[serde(default)]
    pub(crate) cmd: Vec<String>,
    /// Environment, `NAME=value`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
    /// Labels.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// How a layer's file system is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Small.
    #[default]
    Zstd,
    /// A third larger, and read two to three times as fast (dockerd and containerd, under TCG).
    Lz4,
    /// An eighth smaller than zstd, and read several times as slowly: for what most machines never read.
    Xz,
}

/// Links to a multi-call program, for each applet whose name no real program has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applets {
    /// The program.
    pub(crate) program: String,
    /// Folder of the links.
    pub(crate) folder: String,
    /// Sets of names, from the file's table `applets`.
    pub(crate) sets: Vec<String>,
}

/// A closure: programs at a fixed prefix with their own loader and libraries (design section 8).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closure {
    /// Folder that holds `bin` and `lib`, in the image and wherever the programs run.
    pub(crate) prefix: String,
    /// Programs, taken from the packages.
    pub(crate) programs: Vec<String>,
    /// Names of those that get a fixed address.
    #[serde(default)]
    pub(crate) fixed: Vec<String>,
    /// Whether loader and libraries have an address that they prefer.
    #[serde(default)]
    pub(crate) fixed_libraries: bool,
    /// Further names of programs in `bin`.
    #[serde(default)]
    pub(crate) links: BTreeMap<String, String>,
    /// Libraries that programs open by name: folder below `lib` to glob.
    #[serde(default)]
    pub(crate) plugins: BTreeMap<String, String>,
    /// Data files: folder below the prefix to glob.
    #[serde(default)]
    pub(crate) data: BTreeMap<String, String>,
}

impl Declaration {
    /// The image's reference.
    pub(crate) fn reference(&self, version: &str) -> String {
        format!(
            "{}:{}",
            self.repository,
            self.tag.as_deref().unwrap_or(version)
        )
    }
}

impl Declarations {
    /// Reads the file of this workspace.
    pub(crate) fn read(build: &Build) -> Result<Self> {
        let path = Self::path(&build.root);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let text = text.replace("${MULTIARCH}", build.arch.multiarch());
        let found = Self::parse(&text).with_context(|| format!("parse {}", path.display()))?;
        Ok(found)
    }

    /// Where the file is.
    pub(crate) fn path(root: &Path) -> PathBuf {
        root.join("rootfs/images.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        let found: Self = toml::from_str(text)?;
        for (position, image) in found.image.iter().enumerate() {
            if let Some(base) = &image.base
                && !found.image[..position]
                    .iter()
                    .any(|earlier| earlier.name == *base)
            {
                bail!(
                    "image {} is on {base}, which is not declared before it",
                    image.name
                );
            }
            let sets = image.applets.iter().flat_map(|applets| &applets.sets);
            if let Some(set) = sets
                .into_iter()
                .find(|set| !found.applets.contains_key(*set))
            {
                bail!(
                    "image {} names the applet set {set}, which is not declared",
                    image.name
                );
            }
            if found.image[..position]
                .iter()
                .any(|earlier| earlier.name == image.name)
            {
                bail!("image {} is declared twice", image.name);
            }
            image.check()?;
        }
        Ok(found)
    }

    /// An image by name.
    pub(crate) fn get(&self, name: &str) -> Option<&Declaration> {
        self.image.iter().find(|image| image.name == name)
    }

    /// Names of the images below `image`, lowest first.
    pub(crate) fn below(&self, image: &Declaration) -> Vec<String> {
        let mut names = Vec::new();
        let mut next = image.base.clone();
        while let Some(name) = next {
            next = self.get(&name).and_then(|base| base.base.clone());
            names.insert(0, name);
        }
        names
    }

    /// What the resolver is asked, one request per image.
    pub(crate) fn requests(&self) -> Vec<(String, ClosureRequest)> {
        let request = |image: &Declaration| ClosureRequest {
            packages: image.packages.clone(),
            exclude: self.exclude.iter().chain(&image.exclude).cloned().collect(),
            below: self.below(image),
        };
        self.image
            .iter()
            .map(|image| (image.name.clone(), request(image)))
            .collect()
    }
}

impl Declaration {
    /// What is right by itself and would be noticed late: on a machine after an upgrade, or in the time of a boot.
    fn check(&self) -> Result<()> {
        if self.catalogue && self.base.is_some() {
            bail!(
                "image {} of the catalogue has a base: an upgrade takes the layers of the media away",
                self.name
            );
        }
        let of_closures = self.closures.iter().flat_map(|closure| &closure.programs);
        let programs: Vec<&OsStr> = of_closures
            .chain(self.programs.keys())
            .filter_map(|program| Path::new(program).file_name())
            .collect();
        for program in &self.read_ahead {
            if !Path::new(program)
                .file_name()
                .is_some_and(|name| programs.contains(&name))
            {
                bail!(
                    "image {}: {program} is to be read ahead, and is not a program of it",
                    self.name
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_to_come_first() {
        let text = "[[image]]\nname='a'\nrepository='x/a'\nbase='b'\n[[image]]\nname='b'\nrepository='x/b'\n";
        assert!(Declarations::parse(text).is_err());
    }

    #[test]
    fn layers_below_are_listed_lowest_first() {
        let text = "[[image]]\nname='a'\nrepository='x/a'\n[[image]]\nname='b'\nrepository='x/b'\nbase='a'\n\
                    [[image]]\nname='c'\nrepository='x/c'\nbase='b'\n";
        let found = Declarations::parse(text).unwrap();
        assert_eq!(found.below(found.get("c").unwrap()), ["a", "b"]);
        assert_eq!(found.get("c").unwrap().reference("1"), "x/c:1");
    }

    #[test]
    fn images_of_the_catalogue_stand_alone_and_what_is_read_ahead_is_there() {
        let parse = |keys: &str| {
            let base = "[[image]]\nname='a'\nrepository='x/a'\n";
            Declarations::parse(&format!(
                "{base}[[image]]\nname='b'\nrepository='x/b'\n{keys}"
            ))
        };
        for (keys, good) in [
            ("catalogue=true", true),
            ("catalogue=true\nbase='a'", false),
            ("programs.ros=[]\nread_ahead=['usr/bin/ros']", true),
            ("read_ahead=['usr/bin/ros']", false),
        ] {
            assert_eq!(parse(keys).is_ok(), good, "{keys}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(
            Declarations::parse("[[image]]\nname='a'\nrepository='x'\npackage=['b']\n").is_err()
        );
    }
}
