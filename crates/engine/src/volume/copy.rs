//! Copying what an image has at a volume's mount point into the volume, the first time the volume is used.

use std::io::BufWriter;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use engine_api::{Error, Result};
use oci_transfer::layer::{Form, PackOptions, TarWriter, UnpackOptions, pack, unpack};

/// Copies the content, owner and mode of `source` into the volume directory `target`, unless that holds anything.
/// Whether something was copied. Both are directories that the caller has resolved; nothing outside them is touched.
/// Blocks: not for PID 1's own thread.
///
/// # Errors
/// When a file cannot be read or written; the target then holds a part.
pub fn copy_up(source: &Path, target: &Path) -> Result<bool> {
    let failed = |error: std::io::Error| {
        Error::server(format!("copy {} to a volume: {error}", source.display()))
    };
    if std::fs::read_dir(target).map_err(failed)?.next().is_some() {
        return Ok(false);
    }
    let metadata = std::fs::metadata(source).map_err(failed)?;
    if !metadata.is_dir() {
        return Ok(false);
    }
    copy_content(source, target)?;
    std::os::unix::fs::chown(target, Some(metadata.uid()), Some(metadata.gid())).map_err(failed)?;
    std::fs::set_permissions(target, PermissionsExt::from_mode(metadata.mode() & 0o7777))
        .map_err(failed)?;
    Ok(true)
}

/// Packs on one side of a pipe and unpacks on the other, which keeps links, devices, attributes and times.
fn copy_content(source: &Path, target: &Path) -> Result<()> {
    let server = |error: oci_image::Error| Error::server(error.to_string());
    let (reader, writer) = std::io::pipe()?;
    std::thread::scope(|scope| {
        let packer = scope.spawn(move || {
            let mut tar = TarWriter::new(BufWriter::new(writer));
            let options = PackOptions {
                form: Form::Plain,
                ..PackOptions::layer()
            };
            pack(source, &mut tar, &options)?;
            tar.finish().map(drop)
        });
        let unpacked = unpack(reader, target, UnpackOptions::plain());
        let packed = packer
            .join()
            .map_err(|_| Error::server("packing panicked"))?;
        unpacked.map_err(server)?;
        packed.map_err(server)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn content_owner_and_mode_come_along() {
        let work = tempfile::tempdir().unwrap();
        let (source, target) = (work.path().join("s"), work.path().join("t"));
        fs::create_dir_all(source.join("d")).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(source.join("d/f"), "x").unwrap();
        symlink("/etc/passwd", source.join("l")).unwrap();
        fs::set_permissions(&source, PermissionsExt::from_mode(0o1777)).unwrap();
        assert!(copy_up(&source, &target).unwrap());
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
        assert!(!copy_up(&source, &target).unwrap());
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "user");
    }
}
