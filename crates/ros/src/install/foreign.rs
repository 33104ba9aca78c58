//! An installation from another Linux: this program is the entry point of the system's image, and runs in a container of it
//! (`docker run --privileged -v /dev:/dev rancher/os install -d /dev/sdb`).
//!
//! The image has the version's files, but no system around them: what makes file systems is in the version's own layers,
//! which the other kernel mounts. The machine that runs is not touched except for the disk, and never rebooted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use install::image;
use serde::Deserialize;
use sys::blockdev;
use sys::mount::{self, MountFlags, UnmountFlags};
use sys::process::Command;

use super::running_medium;

/// The image of the system with the tools, without a tag.
const CONSOLE: &str = "rancher/os-console";
/// Where a version has the list of its images and their layers.
const IMAGES: &str = "rancheros/images.json";
/// Where programs are in it.
const PROGRAMS: [&str; 2] = ["/usr/sbin", "/usr/bin"];

/// Where the image has its files, when this is a container of it.
pub(super) fn files() -> Option<PathBuf> {
    let root = Path::new("/").join(image::FOLDER);
    let is_image = Path::new("/").join(image::MANIFEST).is_file();
    (is_image && !running_medium().exists()).then_some(root)
}

/// Programs that the installation needs: the machine's own, or those of the version that is installed.
pub(super) enum Tools {
    /// Found by PATH.
    Own,
    /// In this root directory.
    Mounted(Root),
}

/// A mounted root of layers.
pub(super) struct Root {
    folder: PathBuf,
    /// Mounted below it, the last first to be unmounted.
    mounts: Vec<PathBuf>,
}

impl Tools {
    /// Those of the machine, or of the version with these files.
    ///
    /// # Errors
    /// When the kernel cannot mount the layers.
    pub(super) fn open(files: Option<&Path>) -> anyhow::Result<Self> {
        let Some(files) = files else {
            return Ok(Self::Own);
        };
        let root = Root::mount(files).context(
            "the tools of the version cannot be mounted (is this a container with --privileged and -v /dev:/dev?)",
        )?;
        Ok(Self::Mounted(root))
    }

    /// A program by its name, to be given arguments.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn command(&self, name: &str) -> anyhow::Result<Command> {
        let Self::Mounted(root) = self else {
            return Ok(Command::new(name));
        };
        let mut paths = PROGRAMS.iter().map(|folder| format!("{folder}/{name}"));
        let path = paths.find(|path| root.at("root").join(&path[1..]).exists());
        let path = path.with_context(|| format!("{CONSOLE} has no {name}"))?;
        Ok(Command::new(path).root(root.at("root")))
    }
}

impl Root {
    fn mount(files: &Path) -> anyhow::Result<Self> {
        let folder = PathBuf::from(format!("/run/ros-install-tools-{}", std::process::id()));
        let mut root = Self {
            folder,
            mounts: Vec::new(),
        };
        let text = fs::read(files.join(IMAGES)).with_context(|| format!("cannot read {IMAGES}"))?;
        let layers = layers(&text)?;
        let mut names = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let name = number.to_string();
            let file = files.join("rancheros").join(layer);
            let device = blockdev::loop_attach(&file, true)?;
            root.make(&name, |target| {
                mount::squashfs(device.path(), target, MountFlags::NODEV)
            })?;
            names.push(root.at(&name).display().to_string());
        }
        // The uppermost first
        names.reverse();
        let lowers = format!("lowerdir={}", names.join(":"));
        root.make("root", |target| {
            mount::mount("overlay", target, "overlay", MountFlags::RDONLY, &lowers)
        })?;
        let devices = root.at("root").join("dev");
        mount::bind("/dev", &devices, true)?;
        root.mounts.push(devices);
        Ok(root)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Mounts something on a new directory.
    fn make(
        &mut self,
        name: &str,
        mount: impl FnOnce(&Path) -> Result<(), sys::Error>,
    ) -> anyhow::Result<()> {
        let target = self.at(name);
        fs::create_dir_all(&target)
            .with_context(|| format!("cannot create {}", target.display()))?;
        mount(&target)?;
        self.mounts.push(target);
        Ok(())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for target in self.mounts.iter().rev() {
            // What is left ends with the container
            let _ = mount::unmount(target, UnmountFlags::DETACH);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Deserialize)]
struct Images {
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    references: Vec<String>,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    file: String,
}

/// Files of the console's layers, the lowest first.
fn layers(text: &[u8]) -> anyhow::Result<Vec<String>> {
    let all: Images =
        serde_json::from_slice(text).with_context(|| format!("{IMAGES} cannot be read"))?;
    let is_console = |image: &Image| {
        let mut names = image.references.iter();
        names.any(|name| {
            name.strip_prefix(CONSOLE)
                .is_some_and(|tag| tag.starts_with(':'))
        })
    };
    let Some(console) = all.images.into_iter().find(is_console) else {
        bail!("{IMAGES} has no {CONSOLE}");
    };
    // One directory alone is not an overlay
    ensure!(console.layers.len() > 1, "{CONSOLE} has only one layer");
    Ok(console.layers.into_iter().map(|layer| layer.file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consoles_layers_are_found_by_its_name() {
        let text = br#"{"images": [
            {"references": ["rancher/os-console-extra:1"], "layers": [{"file": "x"}, {"file": "y"}]},
            {"references": ["rancher/os-console:1"], "layers": [{"file": "layers/a", "size": 1}, {"file": "layers/b"}]}
        ]}"#;
        assert_eq!(layers(text).unwrap(), ["layers/a", "layers/b"]);
        assert!(layers(br#"{"images": []}"#).is_err());
        assert!(layers(b"").is_err());
    }

    #[test]
    fn a_machine_of_ours_has_its_own_tools() {
        assert!(files().is_none());
        assert!(matches!(Tools::open(None).unwrap(), Tools::Own));
        assert!(Tools::open(Some(Path::new("/nonexistent"))).is_err());
    }

    #[test]
    #[ignore = "needs root, loop devices and the media of a build in dist: cargo test -- --ignored"]
    fn the_tools_of_a_version_make_a_file_system() {
        sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS).expect("a mount namespace");
        mount::set_propagation("/", mount::Propagation::Private, true).expect("private mounts");
        let media = format!("../../dist/media-{}", std::env::consts::ARCH);
        let media = Path::new(env!("CARGO_MANIFEST_DIR")).join(media);
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        let disk = blockdev::loop_attach(file.path(), false).unwrap();
        let tools = Tools::open(Some(&media)).unwrap();
        let made = tools
            .command("mke2fs")
            .unwrap()
            .args(["-q", "-F", "-t", "ext4", "-L", "MADE"])
            .args([disk.path()])
            .run()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let found = blockdev::probe(disk.path()).expect("a file system");
        assert_eq!(found.label.as_deref(), Some("MADE"));
        assert!(tools.command("no-such-program").is_err());
        let Tools::Mounted(root) = &tools else {
            panic!("the machine's own tools");
        };
        let folder = root.folder.clone();
        drop(tools);
        assert!(!folder.exists(), "it stays mounted");
    }
}
