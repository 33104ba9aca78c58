//! Programs of a medium's layer, read as soon as it is mounted.
//!
//! Reading a program out of a squashfs is work for a processor. While the first containers are made a boot has one to spare,
//! and it has none when those programs start: dockerd and containerd are 150 MB.

use std::io;
use std::path::{Path, PathBuf};

use sys::regular;
use sys::rooted::Root;

/// One program may fill this part of the RAM that is free: on a small machine it would push out what is in use.
const PART_OF_FREE: u64 = 4;

/// Begins to read files of a layer that is mounted, in a thread. What cannot be read is read, or reported, by whoever needs it.
pub(super) fn begin(layer: &Path, files: &[String]) {
    if files.is_empty() {
        return;
    }
    let (layer, files) = (layer.to_owned(), files.to_vec());
    let reader = std::thread::Builder::new().name("read-ahead".to_owned());
    // Without a thread the boot is slower, and that is all.
    let _ = reader.spawn(move || {
        for file in files {
            let _ = read(&layer, &PathBuf::from(file), sys::free_ram());
        }
    });
}

/// Reads a file into the kernel's cache if there is room; the bytes that were read.
fn read(layer: &Path, file: &Path, free: u64) -> io::Result<u64> {
    let root = Root::open(layer).map_err(io::Error::other)?;
    let mut file = regular::open_in(&root, file).map_err(io::Error::other)?;
    if file.metadata()?.len() > free / PART_OF_FREE {
        return Ok(0);
    }
    io::copy(&mut file, &mut io::sink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_when_there_is_room_and_nothing_else_is() {
        let layer = tempfile::tempdir().unwrap();
        std::fs::write(layer.path().join("program"), [7; 1000]).unwrap();
        std::os::unix::fs::symlink("/program", layer.path().join("link")).unwrap();
        let read = |name: &str, free: u64| super::read(layer.path(), Path::new(name), free);
        assert_eq!(read("program", 4000).unwrap(), 1000);
        assert_eq!(read("link", 4000).unwrap(), 1000, "within the layer");
        assert_eq!(read("program", 3999).unwrap(), 0);
        for name in [".", "absent"] {
            assert!(read(name, 1 << 40).is_err(), "{name}");
        }
    }
}
