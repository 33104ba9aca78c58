//! What is made of an archive, and what is refused; what the other half of `cp` packs comes out as it was.

use std::os::unix::fs::{MetadataExt, symlink};

use super::super::pack::pack;
use super::*;

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_mtime(1_000_000_000);
    header.set_size(size);
    header
}

/// An archive of directories (`name/`), links (`name -> target`), hard links (`name => target`) and files with their name.
fn archive(names: &[&str]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in names {
        if let Some((name, target)) = name.split_once(" -> ") {
            let mut header = header(EntryType::Symlink, 0);
            archive.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = name.split_once(" => ") {
            let mut header = header(EntryType::Link, 0);
            archive.append_link(&mut header, name, target).unwrap();
        } else if name.ends_with('/') {
            let mut header = header(EntryType::Directory, 0);
            // The engine writes `/` for the root directory, which the library refuses to.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, std::io::empty()).unwrap();
        } else {
            let mut header = header(EntryType::Regular, name.len() as u64);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, name.as_bytes()).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

fn unpacked(names: &[&str], new: Option<&str>, folder: &Path) -> Result<Vec<String>, String> {
    let names = archive(names);
    let renaming = Names::new(new.map(str::to_owned));
    match unpack(names.as_slice(), folder, renaming, false) {
        Ok(()) => Ok(list(folder)),
        Err(error) => Err(format!("{error:#}").replace(&folder.display().to_string(), "F")),
    }
}

/// What is below a directory, in order.
fn list(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            found.extend(list(&path).iter().map(|below| format!("{name}/{below}")));
        }
        found.push(name);
    }
    found.sort();
    found
}

#[test]
fn the_outermost_name_is_exchanged_and_no_other() {
    let etc = &[
        "etc/",
        "etc/etc",
        "etc/a.etc",
        "etc/link -> etc",
        "etc/hard => etc/etc",
    ][..];
    let table = [
        (etc, None, "etc etc/a.etc etc/etc etc/hard etc/link"),
        (
            etc,
            Some("new&|"),
            "new&| new&|/a.etc new&|/etc new&|/hard new&|/link",
        ),
        // The root directory of a container, and what is in a directory.
        (
            &["/", "/bin/", "/bin/sh"],
            Some("out"),
            "out out/bin out/bin/sh",
        ),
        (&["/", "/bin/", "/bin/sh"], None, "bin bin/sh"),
        (
            &["./", "./bin/", "./bin/sh"],
            Some("out"),
            "out out/bin out/bin/sh",
        ),
        (&["./", "./.hidden"], None, ".hidden"),
        (&["file"], Some("name"), "name"),
        (&["e.c"], Some("e*c"), "e*c"),
    ];
    for (names, new, expected) in table {
        let folder = tempfile::tempdir().unwrap();
        let found = unpacked(names, new, folder.path()).map(|found| found.join(" "));
        assert_eq!(found.as_deref(), Ok(expected), "{names:?} {new:?}");
    }
}

#[test]
fn links_keep_what_they_say_and_hard_links_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["etc/", "etc/f", "etc/link -> etc/f", "etc/hard => etc/f"];
    unpacked(&names, Some("new"), folder.path()).unwrap();
    let at = |name: &str| folder.path().join("new").join(name);
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("etc/f"));
    let inode = |name: &str| fs::metadata(at(name)).unwrap().ino();
    assert_eq!(inode("hard"), inode("f"));
    let made = fs::metadata(at("")).unwrap();
    assert_eq!((made.mode() & 0o7777, made.mtime()), (0o755, 1_000_000_000));
}

#[test]
fn nothing_is_made_outside_of_the_target() {
    let outside = tempfile::tempdir().unwrap();
    let away = format!("d/link -> {}", outside.path().display());
    let hard = format!("d/hard => {}/x", outside.path().display());
    for names in [
        &["d/", "../evil"][..],
        &["d/", "d/../../evil"],
        &["d/", &away, "d/link/evil"],
        &["d/", &hard],
        &["d/", "other"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let found = unpacked(names, Some("new"), folder.path());
        assert!(found.is_err(), "{names:?} {found:?}");
        assert_eq!(list(outside.path()), Vec::<String>::new(), "{names:?}");
        assert!(!folder.path().join("../evil").exists(), "{names:?}");
    }
}

#[test]
fn what_is_there_already_is_replaced_by_its_kind_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("file"), "old").unwrap();
    fs::write(at("kept"), "kept").unwrap();
    symlink(at("kept"), at("link")).unwrap();
    for (names, told) in [
        (
            "folder",
            "cannot overwrite directory \"F/folder\" with non-directory \"F\"",
        ),
        (
            "file/",
            "cannot overwrite non-directory \"F/file\" with directory \"F\"",
        ),
    ] {
        let found = unpacked(&[names], None, folder.path());
        assert_eq!(found, Err(told.to_owned()));
    }
    unpacked(&["folder/", "folder/x"], None, folder.path()).unwrap();
    unpacked(&["file"], None, folder.path()).unwrap();
    unpacked(&["link"], None, folder.path()).unwrap();
    let read = |name: &str| fs::read_to_string(at(name)).unwrap();
    // The link is replaced, and what it leads to is not written to.
    assert_eq!(
        (read("file"), read("link"), read("kept")),
        ("file".into(), "link".into(), "kept".into())
    );
}

#[test]
fn an_archive_that_ends_early_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = archive(&["d/", "d/file"]);
    let cut = &whole[..1024 + 4];
    assert!(unpack(cut, folder.path(), Names::new(None), false).is_err());
}

#[test]
fn what_is_packed_here_is_the_same_where_it_is_unpacked() {
    let source = tempfile::tempdir().unwrap();
    let at = |name: &str| source.path().join(name);
    let long = "l".repeat(150);
    fs::create_dir_all(at("d/empty")).unwrap();
    fs::write(at("d/file"), "text").unwrap();
    fs::write(at("d").join(&long), "far").unwrap();
    fs::hard_link(at("d/file"), at("d/hard")).unwrap();
    symlink("file", at("d/link")).unwrap();
    let fifo = rustix::fs::mknodat(CWD, at("d/pipe"), FileType::Fifo, Mode::RUSR, 0);
    fifo.unwrap();
    fs::set_permissions(at("d/file"), fs::Permissions::from_mode(0o4710)).unwrap();
    fs::set_permissions(at("d/empty"), fs::Permissions::from_mode(0o500)).unwrap();
    // Not the time at which it is unpacked
    let old = Timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: old,
        last_modification: old,
    };
    for name in ["d/pipe", "d/file", "d/empty"] {
        rustix::fs::utimensat(CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let name = "security.capability";
    let may =
        rustix::fs::lsetxattr(at("d").join(&long), name, &capability, XattrFlags::empty()).is_ok();

    let mut bytes = Vec::new();
    pack(&at("d"), "named", &mut bytes).unwrap();
    let target = tempfile::tempdir().unwrap();
    unpack(bytes.as_slice(), target.path(), Names::new(None), false).unwrap();
    let copy = |name: &str| target.path().join("named").join(name);
    assert_eq!(list(&at("d")), list(&target.path().join("named")));
    assert_eq!(fs::read_to_string(copy("hard")).unwrap(), "text");
    let looked = |path: PathBuf| {
        let found = fs::symlink_metadata(path).unwrap();
        (found.mode(), found.mtime(), found.nlink())
    };
    for name in ["file", "empty", "pipe", &long] {
        assert_eq!(looked(at("d").join(name)), looked(copy(name)), "{name}");
    }
    if may {
        let mut value = [0; 64];
        let length = rustix::fs::lgetxattr(copy(&long), name, &mut value[..]);
        assert_eq!(length, Ok(capability.len()));
    }
    fs::set_permissions(at("d/empty"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_content_of_a_directory_has_no_name() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "").unwrap();
    for (name, expected) in [(".", "a"), ("new", "new new/a")] {
        let mut bytes = Vec::new();
        pack(source.path(), name, &mut bytes).unwrap();
        let target = tempfile::tempdir().unwrap();
        unpack(bytes.as_slice(), target.path(), Names::new(None), false).unwrap();
        assert_eq!(list(target.path()).join(" "), expected);
    }
}
