//! Packing: what was unpacked comes out as it was.

use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::*;
use oci_image::digest::Digest;

#[test]
fn whiteouts_survive_packing() {
    let work = Work::new();
    let layer = tar(&[
        directory("d/"),
        file("d/.wh..wh..opq", ""),
        file("d/.wh.gone", ""),
    ]);
    work.unpack(&layer).unwrap();
    let mut packed = TarWriter::new(Vec::new());
    pack(&work.target, &mut packed, &PackOptions::layer()).unwrap();
    let packed = packed.finish().unwrap();
    let again = Work::new();
    again.unpack(&packed).unwrap();
    assert!(opaque(&again.path("d")) && is_whiteout(&again.path("d/gone")));
}

fn sample_tree(root: &Path) {
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/b/file"), "content").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    symlink("a/b", root.join("link")).unwrap();
    fs::hard_link(root.join("empty"), root.join("zz-hard")).unwrap();
    fs::set_permissions(root.join("a"), PermissionsExt::from_mode(0o2750)).unwrap();
    rustix::fs::mknodat(
        CWD,
        root.join("fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    rustix::fs::setxattr(root.join("a"), "trusted.other", b"x", XattrFlags::empty()).unwrap();
}

#[test]
fn packing_what_was_unpacked_gives_the_same_bytes() {
    let work = Work::new();
    let source = work.path("source");
    fs::create_dir(&source).unwrap();
    sample_tree(&source);
    let packed = |directory: &Path| {
        let mut writer = TarWriter::new(Vec::new());
        pack(directory, &mut writer, &PackOptions::layer()).unwrap();
        writer.finish().unwrap()
    };
    let first = packed(&source);
    let copy = Work::new();
    let unpacked = copy.unpack(&first).unwrap();
    assert_eq!(unpacked.diff_id, Digest::sha256(&first));
    assert_eq!(packed(&copy.target), first);
    assert_eq!(fs::metadata(copy.path("empty")).unwrap().nlink(), 2);
}

#[test]
fn a_foreign_tar_is_written_again_exactly() {
    // another order, another format, junk after the end
    let mut foreign = tar(&[
        file("z", "zz"),
        directory("a/"),
        link("a/l", Kind::Symlink, "../z"),
        file("a/f", "1234567"),
    ]);
    foreign[257..265].copy_from_slice(b"ustar  \0");
    let sum: u64 = foreign[..512]
        .iter()
        .enumerate()
        .map(|(i, b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u64::from(*b)
            }
        })
        .sum();
    foreign[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    foreign.extend_from_slice(&[0; 5000]);
    foreign.extend_from_slice(b"junk");
    let work = Work::new();
    let split = work.target.with_file_name("split.gz");
    let options = UnpackOptions {
        split: Some(SplitWriter::new(fs::File::create(&split).unwrap())),
        ..UnpackOptions::layer()
    };
    let unpacked = unpack(foreign.as_slice(), &work.target, options).unwrap();
    unpacked.split.unwrap().finish().unwrap();
    let mut again = Vec::new();
    assemble(&work.target, fs::File::open(&split).unwrap(), &mut again).unwrap();
    assert_eq!(again, foreign);
    assert_eq!(unpacked.diff_id, Digest::sha256(&foreign));
}
