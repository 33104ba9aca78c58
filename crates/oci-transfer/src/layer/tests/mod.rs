//! Layers against hostile and odd archives. Needs root, as the engine does.

mod escape;
mod hostile;
mod packing;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::pax::record;
use super::writer::encode;
use super::*;
use oci_image::error::Error;

/// A small deterministic generator (xorshift64*), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % limit
    }
}

/// A directory to unpack into, next to one that nothing may touch.
struct Work {
    _directory: tempfile::TempDir,
    target: PathBuf,
    outside: PathBuf,
}

impl Work {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (target, outside) = (
            directory.path().join("target"),
            directory.path().join("outside"),
        );
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        Self {
            _directory: directory,
            target,
            outside,
        }
    }

    fn unpack(&self, tar: &[u8]) -> oci_image::Result<Unpacked> {
        let limits = Limits {
            entries: 1000,
            bytes: 16 * 1024 * 1024,
            header: 64 * 1024,
        };
        unpack(
            tar,
            &self.target,
            UnpackOptions {
                limits,
                ..UnpackOptions::layer()
            },
        )
    }

    fn path(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.outside)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"], "something was put outside");
        assert_eq!(
            fs::read_to_string(self.outside.join("secret")).unwrap(),
            "secret"
        );
        assert_eq!(
            fs::metadata(self.outside.join("secret")).unwrap().nlink(),
            1,
            "a hard link was made"
        );
        let parent = fs::read_dir(self.target.parent().unwrap()).unwrap().count();
        assert_eq!(parent, 2, "something was put next to the target");
    }
}

fn file(path: &str, content: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, Kind::File, 0o644);
    entry.size = content.len() as u64;
    (entry, content.as_bytes().to_vec())
}

fn directory(path: &str) -> (Entry, Vec<u8>) {
    (Entry::new(path, Kind::Directory, 0o755), Vec::new())
}

fn link(path: &str, kind: Kind, target: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, kind, 0o777);
    entry.link = target.as_bytes().to_vec();
    (entry, Vec::new())
}

fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut content.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn opaque(path: &Path) -> bool {
    let mut value = [0_u8; 4];
    rustix::fs::getxattr(path, OPAQUE_XATTR, &mut value[..]).is_ok_and(|n| &value[..n] == b"y")
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = fs::symlink_metadata(path).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

#[test]
fn whiteouts_become_what_overlayfs_understands() {
    let work = Work::new();
    let layer = tar(&[
        directory("d/"),
        file("d/.wh.gone", ""),
        directory("o/"),
        file("o/.wh..wh..opq", ""),
        file("o/kept", "k"),
        file(".wh..wh.plnk", "aufs"),
        file(".wh.replaced", ""),
        directory("replaced/"),
        directory("late/"),
        file(".wh.late", ""),
    ]);
    work.unpack(&layer).unwrap();
    assert!(is_whiteout(&work.path("d/gone")));
    assert!(opaque(&work.path("o")) && !opaque(&work.path("d")));
    assert!(work.path("o/kept").is_file());
    assert!(!work.path(".wh..wh.plnk").exists());
    assert!(
        opaque(&work.path("replaced")),
        "a directory that was deleted and made again must not merge"
    );
    assert!(opaque(&work.path("late")));
}

#[test]
fn attributes_are_kept() {
    let work = Work::new();
    let (mut set_id, content) = file("su", "x");
    (set_id.mode, set_id.uid, set_id.gid, set_id.mtime) =
        (0o4755, 7, 3_000_000, (1_000_000_000, 500));
    let capability =
        b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
            .to_vec();
    set_id
        .xattrs
        .push((b"security.capability".to_vec(), capability.clone()));
    set_id
        .xattrs
        .push((b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()));
    let mut null = Entry::new("null", Kind::CharDevice, 0o666);
    null.device = (1, 3);
    let mut old = Entry::new("old/", Kind::Directory, 0o1777);
    old.mtime = (-5, 0);
    let long = "n".repeat(200);
    let layer = tar(&[
        (set_id, content),
        (null, Vec::new()),
        (Entry::new("pipe", Kind::Fifo, 0o600), Vec::new()),
        (old, Vec::new()),
        file(&format!("old/{long}"), "long"),
        link("hard", Kind::HardLink, "su"),
    ]);
    work.unpack(&layer).unwrap();
    let metadata = fs::metadata(work.path("su")).unwrap();
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
        (0o4755, 7, 3_000_000)
    );
    assert_eq!(
        (metadata.mtime(), metadata.mtime_nsec(), metadata.nlink()),
        (1_000_000_000, 500, 2)
    );
    let mut value = [0_u8; 64];
    let length =
        rustix::fs::getxattr(work.path("su"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(&value[..length], capability);
    assert!(
        rustix::fs::getxattr(work.path("su"), "trusted.overlay.redirect", &mut value[..]).is_err()
    );
    assert_eq!(
        fs::metadata(work.path("null")).unwrap().rdev(),
        rustix::fs::makedev(1, 3)
    );
    assert!(
        fs::metadata(work.path("pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    let old = fs::metadata(work.path("old")).unwrap();
    assert_eq!(
        (old.mtime(), old.mode() & 0o7777),
        (-5, 0o1777),
        "set after the file in it"
    );
    assert_eq!(
        fs::read_to_string(work.path(&format!("old/{long}"))).unwrap(),
        "long"
    );
}

#[test]
fn implied_directories_look_as_in_the_layer_below() {
    let (lower, upper) = (Work::new(), Work::new());
    let mut shared = Entry::new("tmp/", Kind::Directory, 0o1777);
    shared.uid = 9;
    lower.unpack(&tar(&[(shared, Vec::new())])).unwrap();
    let unpacked = upper.unpack(&tar(&[file("tmp/new/x", "x")])).unwrap();
    assert_eq!(unpacked.implied, [b"tmp".to_vec(), b"tmp/new".to_vec()]);
    adopt_implied(
        &upper.target,
        &unpacked.implied,
        std::slice::from_ref(&lower.target),
    )
    .unwrap();
    let adopted = fs::metadata(upper.path("tmp")).unwrap();
    assert_eq!((adopted.mode() & 0o7777, adopted.uid()), (0o1777, 9));
}

#[test]
fn plain_archives_keep_whiteout_names() {
    let work = Work::new();
    let archive = tar(&[file(".wh.x", "x"), directory("d/")]);
    unpack(archive.as_slice(), &work.target, UnpackOptions::plain()).unwrap();
    assert_eq!(fs::read_to_string(work.path(".wh.x")).unwrap(), "x");
    let refused = UnpackOptions {
        keep_kinds: true,
        ..UnpackOptions::plain()
    };
    let error = unpack(tar(&[file("d", "x")]).as_slice(), &work.target, refused)
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("cannot overwrite directory"),
        "{error}"
    );
}
