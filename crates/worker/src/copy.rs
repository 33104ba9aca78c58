//! Copying what an image has at a volume's mount point into the volume, the first time the volume is used.

use std::io::BufWriter;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_image::error::{Context, Error, Result};
use oci_transfer::layer::{PackOptions, TarWriter, UnpackOptions, pack_directory, unpack_into};
use rustix::fs::{Dir, FileType, Gid, Mode, OFlags, Uid};

/// Copies the content, owner and mode of the directory `source`, a path in the directory `root`, into the volume unless
/// that holds anything. Links in either lead nowhere else.
///
/// # Errors
/// When a file cannot be read or written; the volume then holds a part.
pub(crate) fn copy_up(root: &OwnedFd, source: &Path, volume: &OwnedFd) -> Result<()> {
    let what = || format!("copy {} to a volume", source.display());
    for entry in Dir::read_from(volume).context(what)? {
        let entry = entry.context(what)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(());
        }
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::DIRECTORY;
    let source = match sys::fs::open_in_root_with(root.as_fd(), source, flags) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        source => source.map_err(|error| Error::io(what(), std::io::Error::from(error)))?,
    };
    let stat = rustix::fs::fstat(&source).context(what)?;
    debug_assert!(FileType::from_raw_mode(stat.st_mode).is_dir());
    copy_content(source, volume)?;
    let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(volume, Some(owner.0), Some(owner.1)).context(what)?;
    rustix::fs::fchmod(volume, Mode::from_raw_mode(stat.st_mode & 0o7777)).context(what)
}

/// Packs on one side of a pipe and unpacks on the other, which keeps links, devices, attributes and times.
fn copy_content(source: OwnedFd, volume: &OwnedFd) -> Result<()> {
    let (reader, writer) = std::io::pipe().context(|| "make a pipe".to_owned())?;
    let target = volume
        .try_clone()
        .context(|| "duplicate a descriptor".to_owned())?;
    std::thread::scope(|scope| {
        let packer = scope.spawn(move || {
            let mut tar = TarWriter::new(BufWriter::new(writer));
            let options = PackOptions {
                procfs: false,
                ..PackOptions::plain()
            };
            pack_directory(source.as_fd(), &mut tar, &options)?;
            tar.finish().map(drop)
        });
        let options = UnpackOptions {
            procfs: false,
            ..UnpackOptions::plain()
        };
        let unpacked = unpack_into(reader, target, options);
        let packed = packer
            .join()
            .map_err(|_| Error::invalid("packing panicked"))?;
        // a failed unpack breaks the pipe: its error is the cause
        unpacked?;
        packed
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    #[test]
    fn content_owner_and_mode_come_along() {
        let work = tempfile::tempdir().unwrap();
        let (root, target) = (work.path().join("r"), work.path().join("t"));
        let source = root.join("s");
        fs::create_dir_all(source.join("d")).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(source.join("d/f"), "x").unwrap();
        symlink("/etc/passwd", source.join("l")).unwrap();
        symlink("/s", root.join("link")).unwrap();
        fs::set_permissions(&source, PermissionsExt::from_mode(0o1777)).unwrap();
        copy_up(&open(&root), Path::new("/link"), &open(&target)).unwrap();
        assert_eq!(fs::read_to_string(target.join("d/f")).unwrap(), "x");
        assert_eq!(
            fs::read_link(target.join("l")).unwrap(),
            Path::new("/etc/passwd")
        );
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o1777);
    }

    #[test]
    fn a_volume_with_content_is_left_alone() {
        let work = tempfile::tempdir().unwrap();
        let (source, target) = (work.path().join("s"), work.path().join("t"));
        fs::create_dir(&source).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(source.join("f"), "image").unwrap();
        fs::write(target.join("f"), "user").unwrap();
        copy_up(&open(work.path()), Path::new("/s"), &open(&target)).unwrap();
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "user");
    }

    #[test]
    fn what_is_not_a_directory_of_the_image_is_not_copied() {
        let work = tempfile::tempdir().unwrap();
        let (root, target) = (work.path().join("r"), work.path().join("t"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink(work.path(), root.join("out")).unwrap();
        for source in ["/file", "/none", "/out", "/out/r"] {
            copy_up(&open(&root), Path::new(source), &open(&target)).unwrap();
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{source}");
        }
    }
}
