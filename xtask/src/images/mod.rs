//! Builds the system images from Debian packages, our own programs and data; without root and without Docker.
//!
//! Out come OCI tarballs in `dist/images-ARCH`, and for the media one squashfs per layer with an index.

mod accounts;
mod assemble;
mod closure;
pub(crate) mod declaration;
mod elf;
mod glob;
mod layer;
pub(crate) mod oci;
mod patchelf;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_image::media::{self, MediaIndex};

use crate::cache::{self, Inputs};
use crate::debian::{self, Fetched};
use crate::setup::{self, Purpose};
use crate::workspace::{Build, VERSION};
use crate::{progress, rust};
use accounts::Accounts;
use assemble::Sources;
use declaration::{Declaration, Declarations};
use layer::Layer;
use oci::Image;
use tree::Tree;

/// Options of `cargo xtask images`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(build: &Build, _options: &Options) -> Result<()> {
    ensure(build).map(|_| ())
}

/// Builds all images unless they are there; returns the folder that the media carries as `/rancheros`.
pub(crate) fn ensure(build: &Build) -> Result<PathBuf> {
    let _lock = build.lock()?;
    setup::ensure(build, &[Purpose::Fetch, Purpose::Programs, Purpose::Images])?;
    progress::step("system images", || {
        let declarations = Declarations::read(build)?;
        let packages = debian::fetch_closures(build, &declarations.requests())?;
        let programs = programs(build, &declarations)?;
        let mut builder = Builder::new(build, &declarations, &packages, &programs)?;
        let outputs = builder.outputs();
        let key = builder.key()?;
        if cache::is_done(build, "images", &key, &outputs) && media_is_whole(build) {
            progress::note("system images", "nothing changed");
            return Ok(());
        }
        builder.build_all()?;
        cache::mark_done(build, "images", &key)
    })?;
    Ok(build.media())
}

/// Builds our programs that images carry.
fn programs(build: &Build, declarations: &Declarations) -> Result<BTreeMap<String, PathBuf>> {
    let names: BTreeSet<&String> = declarations
        .image
        .iter()
        .flat_map(|image| image.programs.keys())
        .collect();
    names
        .into_iter()
        .map(|name| {
            let path = progress::step(&format!("program {name}"), || rust::build(build, name))?;
            Ok((name.clone(), path))
        })
        .collect()
}

/// Whether every layer that the index names is there with its size.
fn media_is_whole(build: &Build) -> bool {
    let Ok(bytes) = fs::read(build.media().join(media::FILE_NAME)) else {
        return false;
    };
    MediaIndex::parse(&bytes).is_ok_and(|index| {
        index
            .images
            .iter()
            .flat_map(|image| &image.layers)
            .all(|layer| {
                fs::metadata(build.media().join(&layer.file))
                    .is_ok_and(|found| found.len() == layer.size)
            })
    })
}

/// One run over all images.
struct Builder<'a> {
    build: &'a Build,
    declarations: &'a Declarations,
    packages: BTreeMap<&'a str, &'a [Fetched]>,
    programs: &'a BTreeMap<String, PathBuf>,
    accounts: Accounts,
    trees: BTreeMap<String, Tree>,
    layers: BTreeMap<String, Layer>,
}

impl<'a> Builder<'a> {
    fn new(
        build: &'a Build,
        declarations: &'a Declarations,
        packages: &'a [Vec<Fetched>],
        programs: &'a BTreeMap<String, PathBuf>,
    ) -> Result<Self> {
        let names = declarations.image.iter().map(|image| image.name.as_str());
        Ok(Self {
            build,
            declarations,
            packages: names.zip(packages.iter().map(Vec::as_slice)).collect(),
            programs,
            accounts: Accounts::read(&assemble::files(build, ACCOUNTS))?,
            trees: BTreeMap::new(),
            layers: BTreeMap::new(),
        })
    }

    fn image_path(&self, image: &Declaration) -> PathBuf {
        if image.user {
            self.build
                .media()
                .join(format!("user-images/{}.tar", image.name))
        } else {
            self.build.images().join(format!("{}.oci.tar", image.name))
        }
    }

    fn outputs(&self) -> Vec<PathBuf> {
        let mut outputs: Vec<PathBuf> = self
            .declarations
            .image
            .iter()
            .map(|image| self.image_path(image))
            .collect();
        outputs.push(self.build.media().join(media::FILE_NAME));
        outputs
    }

    /// The key of everything together.
    fn key(&self) -> Result<String> {
        let mut inputs = Inputs::new("images");
        for image in &self.declarations.image {
            inputs.text(&image.name, &self.layer_key(image, true)?);
        }
        Ok(inputs.text("version", VERSION).key())
    }

    /// What an image's own layer depends on. A layer above does not depend on the content of our programs below it.
    fn layer_key(&self, image: &Declaration, with_programs: bool) -> Result<String> {
        let mut inputs = Inputs::new("layer");
        inputs
            .text("builder", BUILDER)
            .text("packer", &layer::packer(image.compression)?)
            .text("arch", self.build.arch.name());
        inputs.text("epoch", &self.build.epoch()?.to_string());
        inputs
            .text("declaration", &format!("{image:?}"))
            .text("prune", &self.declarations.prune.join("\n"));
        inputs
            .text("applets", &format!("{:?}", self.declarations.applets))
            .text("version", VERSION);
        for package in self
            .packages
            .get(image.name.as_str())
            .copied()
            .unwrap_or_default()
        {
            inputs.text("package", &package.sha256);
        }
        for folder in image.files.iter().map(String::as_str).chain([ACCOUNTS]) {
            inputs
                .text("folder", folder)
                .tree(&assemble::files(self.build, folder))?;
        }
        for name in image.programs.keys().filter(|_| with_programs) {
            inputs.file(&self.programs[name])?;
        }
        for name in self.declarations.below(image) {
            let below = self
                .declarations
                .get(&name)
                .context("an image below was checked")?;
            inputs.text("below", &self.layer_key(below, false)?);
        }
        Ok(inputs.key())
    }

    fn build_all(&mut self) -> Result<()> {
        let mut index = MediaIndex {
            version: VERSION.to_owned(),
            images: Vec::new(),
        };
        let layer_folder = self.build.media().join("layers");
        let mut kept = BTreeSet::new();
        for image in &self.declarations.image {
            let names: Vec<String> = self
                .declarations
                .below(image)
                .into_iter()
                .chain([image.name.clone()])
                .collect();
            for name in &names {
                self.make_layer(name)?;
            }
            let layers = names.iter().map(|name| self.layers[name].clone()).collect();
            let described = Image::new(self.build, image, VERSION, &names, layers)?;
            described.write(&self.image_path(image), self.build.epoch()?)?;
            if !image.user && !image.catalogue {
                let programs = names.iter().filter_map(|name| self.declarations.get(name));
                let entry =
                    described.media(programs.map(|image| image.read_ahead.clone()).collect())?;
                entry
                    .check()
                    .with_context(|| format!("image {}", image.name))?;
                index.images.push(entry);
                for layer in names.iter().map(|name| &self.layers[name]) {
                    let file = format!("{}.squashfs", layer.diff_id.hex());
                    cache::place(&layer.squashfs()?, &layer_folder.join(&file))?;
                    kept.insert(file);
                }
            }
        }
        remove_others(&layer_folder, &kept)?;
        cache::write(
            &self.build.media().join(media::FILE_NAME),
            &index.to_bytes().context("write the index")?,
        )
    }

    /// Packs an image's own layer, or takes it from the cache.
    fn make_layer(&mut self, name: &str) -> Result<()> {
        if self.layers.contains_key(name) {
            return Ok(());
        }
        let image = self
            .declarations
            .get(name)
            .with_context(|| format!("image {name} is not declared"))?;
        let key = self.layer_key(image, true)?;
        let layer = match layer::cached(&key)? {
            Some(layer) => {
                progress::note(
                    &format!("layer {name}"),
                    &format!("{} (cached)", sizes(&layer)),
                );
                layer
            }
            None => progress::step(&format!("layer {name}"), || {
                let tree = self.tree(name)?;
                let layer = layer::pack(self.build, name, image.compression, &tree, &key)?;
                progress::note(&format!("layer {name}"), &sizes(&layer));
                Ok(layer)
            })?,
        };
        self.layers.insert(name.to_owned(), layer);
        Ok(())
    }

    /// The files of an image's own layer.
    fn tree(&mut self, name: &str) -> Result<Tree> {
        if let Some(tree) = self.trees.get(name) {
            return Ok(tree.clone());
        }
        let image = self
            .declarations
            .get(name)
            .with_context(|| format!("image {name} is not declared"))?;
        let mut below = Tree::default();
        for lower in self.declarations.below(image) {
            below.overlay(&self.tree(&lower)?);
        }
        let sources = Sources {
            build: self.build,
            declarations: self.declarations,
            accounts: &self.accounts,
            programs: self.programs,
        };
        let packages = self.packages.get(name).copied().unwrap_or_default();
        let tree = sources
            .layer(image, packages, &below)
            .with_context(|| format!("image {name}"))?;
        if self
            .declarations
            .image
            .iter()
            .any(|other| other.base.as_deref() == Some(name))
        {
            self.trees.insert(name.to_owned(), tree.clone());
        }
        Ok(tree)
    }
}

/// Folder of `rootfs/files` whose `etc/passwd` and `etc/group` number the owners of files.
const ACCOUNTS: &str = "base";
/// Raised when the same inputs make other bytes than before.
const BUILDER: &str = "6";

fn sizes(layer: &Layer) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "{:.1} MB, squashfs {:.1} MB",
        megabytes(layer.tar_size),
        megabytes(layer.squashfs_size)
    )
}

/// Removes the layers of earlier builds.
fn remove_others(folder: &Path, kept: &BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        if !kept.contains(&*entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())
                .with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}
