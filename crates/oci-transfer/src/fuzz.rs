//! Entry points of the fuzz targets in `crates/fuzz`, shared with the tests, which run the corpus; never compiled into a
//! program.
//!
//! Each takes any bytes and must return: a panic, or a change outside an unpacker's directory, is a defect.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::layer::{Entry, Kind, Limits, TarWriter, UnpackOptions, unpack};

/// Unpacks a layer below `outer`, as overlayfs wants it and plainly, and checks that nothing else changed there. The
/// first byte chooses between bytes that are a tar, and a tar made of the entries that the bytes describe: random bytes
/// alone would rarely be one.
pub fn layer(data: &[u8], outer: &Path) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let tar = if kind % 2 == 0 {
        data.to_vec()
    } else {
        described(data)
    };
    fs::write(outer.join("canary"), b"alive").expect("write the canary");
    for (name, options) in [
        ("layer", UnpackOptions::layer()),
        ("plain", UnpackOptions::plain()),
    ] {
        let root = outer.join(name);
        fs::create_dir(&root).expect("make the root");
        // Bounds what one input costs; the real limits differ only in their numbers.
        let limits = Limits {
            entries: 1000,
            bytes: 16 << 20,
            ..options.limits
        };
        let _ = unpack(&*tar, &root, UnpackOptions { limits, ..options });
    }
    let mut names: Vec<_> = fs::read_dir(outer)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["canary", "layer", "plain"], "something got out");
    let canary = outer.join("canary");
    let metadata = fs::symlink_metadata(&canary).expect("the canary is there");
    assert_eq!(metadata.nlink(), 1, "the canary was linked");
    assert_eq!(metadata.mode() & 0o7000, 0, "the canary's mode was changed");
    assert_eq!(fs::read(&canary).expect("read the canary"), b"alive");
}

/// Pieces of paths that have mattered to unpackers.
const PIECES: [&str; 16] = [
    "a",
    "b",
    "c",
    "..",
    ".",
    "",
    "/",
    ".wh.a",
    ".wh.b",
    ".wh..wh..opq",
    ".wh..",
    "canary",
    "../canary",
    "/tmp",
    "proc",
    ".wh.",
];

/// A tar of entries, four bytes and two paths each.
fn described(mut data: &[u8]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    while let Some(([kind, mode, shape, size], rest)) = data.split_first_chunk() {
        data = rest;
        let kind = match kind % 7 {
            0 => Kind::File,
            1 => Kind::HardLink,
            2 => Kind::Symlink,
            3 => Kind::CharDevice,
            4 => Kind::BlockDevice,
            5 => Kind::Directory,
            _ => Kind::Fifo,
        };
        let path = path(&mut data, shape & 3);
        let mut entry = Entry::new(path, kind, u32::from(*mode) << 4 | 0o600);
        entry.link = self::path(&mut data, shape >> 2 & 3);
        if shape & 0x80 != 0 {
            entry.xattrs = vec![(b"user.a".to_vec(), b"1".to_vec())];
        }
        entry.size = u64::from(*size);
        if tar.append(&entry, &mut std::io::repeat(b'x')).is_err() {
            break;
        }
    }
    tar.finish().unwrap_or_default()
}

/// A path of up to four pieces, one byte each; the high bit makes it absolute.
fn path(data: &mut &[u8], more: u8) -> Vec<u8> {
    let mut path = Vec::new();
    for _ in 0..=more {
        let Some((piece, rest)) = data.split_first() else {
            break;
        };
        *data = rest;
        if !path.is_empty() || piece & 0x80 != 0 {
            path.push(b'/');
        }
        path.extend_from_slice(PIECES[usize::from(piece % 16)].as_bytes());
    }
    path
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("layer", |data| {
            let outer = tempfile::tempdir().unwrap();
            super::layer(data, outer.path());
        });
    }
}
