//! Links, pipes and files of other users in the way.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};

use super::*;

/// A user who is not root.
const USER: u32 = 12345;

/// Root's directory, with a secret of root's and a home of the user's in it.
fn machine() -> tempfile::TempDir {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    fs::create_dir(at("home")).unwrap();
    chown(at("home"), Some(USER), Some(USER)).unwrap();
    fs::create_dir(at("etc")).unwrap();
    fs::write(at("etc/secret"), "secret").unwrap();
    fs::set_permissions(at("etc/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    work
}

fn content(bytes: &[u8]) -> Content<'_> {
    Content {
        bytes,
        mode: 0o640,
        owner: (USER, USER),
    }
}

#[test]
fn links_of_root_are_followed() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    fs::create_dir(at("real")).unwrap();
    symlink("real", at("near")).unwrap();
    symlink(at("real/new"), at("far")).unwrap();
    let own = rustix::process::geteuid().as_raw();
    let content = |bytes| Content {
        bytes,
        mode: 0o600,
        owner: (own, fs::metadata(at("real")).unwrap().gid()),
    };
    let place = Place::make(&at("near/x/../file")).unwrap();
    assert!(place.replace(&content(b"one"), false).unwrap() && !place.was_link());
    assert_eq!(fs::read_to_string(at("real/file")).unwrap(), "one");
    let place = Place::make(&at("far")).unwrap();
    assert!(place.was_link());
    for text in ["a long text", "short"] {
        place.overwrite(&content(text.as_bytes())).unwrap();
        assert_eq!(fs::read_to_string(at("real/new")).unwrap(), text);
    }
    for _ in 0..2 {
        place.append_once(&content(b" end"), 100).unwrap();
    }
    assert_eq!(fs::read_to_string(at("real/new")).unwrap(), "short end");
    assert!(place.append_once(&content(b"more"), 3).is_err(), "too long");
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_users_links_are_not_followed_wherever_they_are() {
    let work = machine();
    let at = |name: &str| work.path().join(name);
    symlink(at("etc/secret"), at("home/last")).unwrap();
    symlink(at("etc"), at("home/way")).unwrap();
    // A directory of root's that the user has moved there, with a link of root's in it.
    fs::create_dir(at("home/roots")).unwrap();
    symlink(at("etc/secret"), at("home/roots/link")).unwrap();
    fs::create_dir(at("tmp")).unwrap();
    fs::set_permissions(at("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink(at("etc"), at("tmp/way")).unwrap();
    lchown(at("tmp/way"), Some(USER), Some(USER)).unwrap();
    symlink(at("etc"), at("tmp/roots")).unwrap();
    fs::create_dir_all(at("tmp/users/below")).unwrap();
    chown(at("tmp/users"), Some(USER), Some(USER)).unwrap();
    symlink(at("etc"), at("tmp/users/below/way")).unwrap();
    for path in [
        "home/last",
        "home/way/new",
        "home/roots/link",
        "tmp/way/new",
    ] {
        let error = Place::make(&at(path)).unwrap_err().to_string();
        assert!(error.contains("it is not followed"), "{path}: {error}");
    }
    assert_eq!(fs::read_to_string(at("etc/secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(at("etc")).unwrap().count(), 1);
    // Nobody but root may exchange what root has in a directory with the sticky bit.
    Place::make(&at("tmp/roots/new")).unwrap();
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_file_of_another_user_does_not_become_the_users() {
    let work = machine();
    let at = |name: &str| work.path().join(name);
    // link(2) asks for no right to the file where fs.protected_hardlinks is 0, rename(2) never does.
    fs::hard_link(at("etc/secret"), at("home/linked")).unwrap();
    fs::write(at("home/moved"), "root's").unwrap();
    fs::set_permissions(at("home/moved"), fs::Permissions::from_mode(0o600)).unwrap();
    for (name, cause) in [
        ("home/linked", "it has a second name"),
        ("home/moved", "it belongs to another user"),
    ] {
        let place = Place::make(&at(name)).unwrap();
        assert!(!place.find().unwrap().unwrap().is_readable_by((USER, USER)));
        for result in [
            place.overwrite(&content(b"x")),
            place.append_once(&content(b"x"), 100),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.ends_with(cause), "{name}: {error}");
        }
        assert_eq!(fs::metadata(at(name)).unwrap().uid(), 0);
        // A new file in its place takes nothing from it.
        assert!(place.replace(&content(b"new"), true).unwrap());
        let new = fs::metadata(at(name)).unwrap();
        assert_eq!(
            (new.uid(), new.gid(), new.mode() & 0o7777),
            (USER, USER, 0o640)
        );
    }
    assert_eq!(fs::read_to_string(at("etc/secret")).unwrap(), "secret");
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn directories_are_made_and_what_is_in_the_way_is_named() {
    let work = machine();
    let at = |name: &str| work.path().join(name);
    let make = |name: &str| Place::make(&at(name))?.make_directory(0o700, (USER, USER));
    make("home/.ssh").unwrap();
    make("home/.ssh").unwrap();
    let made = fs::metadata(at("home/.ssh")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (USER, 0o700));
    let pipe = at("home/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let error = make("home/pipe").unwrap_err().to_string();
    assert!(error.ends_with("it is a named pipe"), "{error}");
    let place = Place::make(&pipe).unwrap();
    // Without the look at it these would wait for its other end.
    assert!(place.find().unwrap().unwrap().read(10).is_err());
    let own = Content {
        owner: (0, 0),
        ..content(b"x")
    };
    assert!(place.overwrite(&own).is_err());
    assert_eq!(
        place.set_aside(".damaged").unwrap(),
        at("home/pipe.damaged")
    );
    assert!(place.find().unwrap().is_none());
}
