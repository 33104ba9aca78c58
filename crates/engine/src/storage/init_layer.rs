//! The layer between an image and what a container changes: files and directories that the engine mounts over, and those
//! by which programs tell that they are in a container. Docker has the same (daemon/initlayer): an export shows them, a
//! diff and a commit do not, and an image's own links in these places lead nowhere.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::changes::find_lower;

/// What is in one of the places.
enum Place {
    Directory,
    File,
    Link(&'static str),
}

/// The places, as Docker has them.
const PLACES: [(&str, Place); 10] = [
    ("dev/pts", Place::Directory),
    ("dev/shm", Place::Directory),
    ("proc", Place::Directory),
    ("sys", Place::Directory),
    (".dockerenv", Place::File),
    ("etc/resolv.conf", Place::File),
    ("etc/hosts", Place::File),
    ("etc/hostname", Place::File),
    ("dev/console", Place::File),
    ("etc/mtab", Place::Link("/proc/mounts")),
];

/// Mode of what is made.
const MODE: u32 = 0o755;

/// Makes the layer at `path` above `lowers` (the uppermost first), unless it is there. It appears whole or not at all.
///
/// # Errors
/// What the kernel refuses, named.
pub(super) fn ensure(path: &Path, lowers: &[PathBuf]) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let made = path.with_extension("new");
    match fs::remove_dir_all(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    make(&made, lowers)?;
    fs::rename(&made, path)
}

fn make(layer: &Path, lowers: &[PathBuf]) -> io::Result<()> {
    let top = lowers.first().map(fs::metadata).transpose()?;
    directory(layer, top.as_ref())?;
    let mut above = Vec::new();
    for (place, kind) in &PLACES {
        let below = find_lower(lowers, place.as_ref());
        if matches!(kind, Place::Directory) && below.is_some_and(|below| below.is_dir()) {
            continue;
        }
        let parent = Path::new(place).parent().unwrap_or(Path::new(""));
        if !parent.as_os_str().is_empty() && !layer.join(parent).exists() {
            let like = find_lower(lowers, parent).filter(Metadata::is_dir);
            directory(&layer.join(parent), like.as_ref())?;
            above.extend(like.map(|like| (layer.join(parent), like)));
        }
        let path = layer.join(place);
        match kind {
            Place::Directory => directory(&path, None)?,
            Place::File => {
                let mut options = OpenOptions::new();
                let file = options
                    .write(true)
                    .create_new(true)
                    .mode(MODE)
                    .open(&path)?;
                file.set_permissions(Permissions::from_mode(MODE))?;
            }
            Place::Link(target) => symlink(target, &path)?,
        }
    }
    // What was made in them has changed their times.
    for (path, like) in above {
        File::open(path)?.set_modified(like.modified()?)?;
    }
    Ok(())
}

/// Makes a directory, with the owner and mode of the one that it hides.
fn directory(path: &Path, like: Option<&Metadata>) -> io::Result<()> {
    fs::DirBuilder::new().mode(MODE).create(path)?;
    let mode = like.map_or(MODE, |like| like.mode() & 0o7777);
    if let Some(like) = like {
        std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid()))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_has_dockers_places_and_the_images_attributes() {
        let work = tempfile::tempdir().unwrap();
        let (image, layer) = (work.path().join("image"), work.path().join("init"));
        for path in ["etc", "dev", "proc"] {
            fs::create_dir_all(image.join(path)).unwrap();
        }
        fs::write(image.join("etc/hosts"), "the image's own").unwrap();
        symlink("/nowhere", image.join("etc/resolv.conf")).unwrap();
        symlink("/run/shm", image.join("dev/shm")).unwrap();
        symlink("/", image.join("sys")).unwrap();
        fs::set_permissions(image.join("etc"), Permissions::from_mode(0o750)).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        File::open(image.join("etc"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        ensure(&layer, std::slice::from_ref(&image)).unwrap();
        ensure(&layer, &[image]).unwrap();
        for place in [
            ".dockerenv",
            "etc/hosts",
            "etc/hostname",
            "etc/resolv.conf",
            "dev/console",
        ] {
            let metadata = fs::symlink_metadata(layer.join(place)).unwrap();
            assert!(metadata.is_file() && metadata.len() == 0, "{place}");
            assert_eq!(metadata.mode() & 0o7777, 0o755, "{place}");
        }
        for place in ["dev/pts", "dev/shm", "sys"] {
            let metadata = fs::symlink_metadata(layer.join(place)).unwrap();
            assert!(metadata.is_dir(), "{place}");
        }
        assert!(!layer.join("proc").exists(), "the image has it");
        let link = fs::read_link(layer.join("etc/mtab")).unwrap();
        assert_eq!(link, Path::new("/proc/mounts"));
        let etc = fs::metadata(layer.join("etc")).unwrap();
        assert_eq!((etc.mode() & 0o7777, etc.mtime()), (0o750, 1000));
        assert!(!work.path().join("init.new").exists());
    }

    #[test]
    fn an_empty_image_has_the_places_too() {
        let work = tempfile::tempdir().unwrap();
        let layer = work.path().join("init");
        ensure(&layer, &[]).unwrap();
        assert!(layer.join("proc").is_dir() && layer.join("etc/hosts").is_file());
    }
}
