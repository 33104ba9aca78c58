//! A sound tree, and everything that can happen to its files.

mod dockerd;
mod rows;
mod settled;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;
use rows::{After, DIRECTORIES, ROWS, Row};
use tree::Tree;

/// What a power cut, or a hand, leaves of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Empty,
    Zeros,
    /// As long as before: zeros from the middle on.
    HalfZeros,
    /// The first half only.
    Half,
    Junk,
    Directory,
    /// A link to nothing.
    Link,
    /// A named pipe: who opens it to read waits for ever.
    Pipe,
    Missing,
}

const ALL: [Damage; 9] = [
    Damage::Empty,
    Damage::Zeros,
    Damage::HalfZeros,
    Damage::Half,
    Damage::Junk,
    Damage::Directory,
    Damage::Link,
    Damage::Pipe,
    Damage::Missing,
];

impl Damage {
    fn to(self, path: &Path) {
        let before = fs::read(path).unwrap_or_default();
        // An l/ link is removed as such.
        fs::remove_file(path).unwrap();
        let half = before.len() / 2;
        match self {
            Damage::Empty => fs::write(path, "").unwrap(),
            Damage::Zeros => fs::write(path, vec![0; before.len()]).unwrap(),
            Damage::HalfZeros => {
                let mut after = before;
                after[half..].fill(0);
                fs::write(path, after).unwrap();
            }
            Damage::Half => fs::write(path, &before[..half]).unwrap(),
            Damage::Junk => fs::write(path, vec![0xff; before.len()]).unwrap(),
            Damage::Directory => fs::create_dir(path).unwrap(),
            Damage::Link => symlink("/nonexistent/file", path).unwrap(),
            Damage::Pipe => pipe(path),
            Damage::Missing => {}
        }
    }
}

/// Makes a named pipe.
pub(super) fn pipe(path: &Path) {
    let folder = fs::File::open(path.parent().unwrap()).unwrap();
    let found = folder.metadata().unwrap();
    let name = Path::new(path.file_name().unwrap());
    let kind = sys::fs::NodeKind::Fifo;
    sys::fs::make_node(
        folder.as_fd(),
        name,
        kind,
        0o600,
        (found.uid(), found.gid()),
    )
    .unwrap();
}

/// Files of a directory and their content, those set aside and temporary ones left out.
fn snapshot(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for path in entries(&directory) {
            let below = path.strip_prefix(root).unwrap().display().to_string();
            if below == "damaged" || below.contains(".damaged-") {
                continue;
            }
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                files.insert(below, target.as_os_str().as_encoded_bytes().to_vec());
            } else if kind.is_file() {
                files.insert(below, fs::read(&path).unwrap());
            } else {
                files.insert(below, format!("{kind:?}").into_bytes());
            }
        }
    }
    files
}

#[test]
fn a_sound_tree_stays_as_it_is_and_nothing_is_said() {
    let tree = Tree::new();
    let before = snapshot(&tree.root);
    let report = tree.heal();
    assert_eq!(report.said, Vec::<String>::new());
    assert_eq!(snapshot(&tree.root), before);
    let nothing = tempfile::tempdir().unwrap();
    let places = Places {
        data_root: nothing.path().join("none"),
        ..tree.places()
    };
    assert_eq!(heal(&places, "now").said, Vec::<String>::new());
}

/// Every row with every damage, without and with spares: at least forty kinds.
#[test]
fn each_damaged_file_is_healed_and_nothing_else_changes() {
    let mut tried = 0;
    for spares in [false, true] {
        for row in ROWS {
            for damage in ALL {
                if !row.unseen.contains(&damage) {
                    try_one(row, damage, spares);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 300, "only {tried}");
}

fn try_one(row: &Row, damage: Damage, spares: bool) {
    let tree = Tree::new();
    if spares {
        tree.heal();
    }
    let path = tree.root.join(tree.path(row.path));
    let what = format!("{} {damage:?} spares {spares}", row.path);
    let before = snapshot(&tree.root);
    let lost = snapshot_of(&path);
    damage.to(&path);
    let report = tree.heal();
    let said = report.said.join("\n");
    assert!(!said.is_empty(), "{what}: nothing is said");
    let after = snapshot(&tree.root);
    let below = path.strip_prefix(&tree.root).unwrap().display().to_string();
    let outcome = if spares { row.with_spares } else { row.alone };
    match outcome {
        After::Same => assert_eq!(after.get(&below), lost.as_ref(), "{what}: {said}"),
        After::Gone => assert!(!after.contains_key(&below), "{what}: {said}"),
        After::Other => assert!(after.contains_key(&below), "{what}: {said}"),
    }
    // The rest is as it was, except what went with it.
    for (file, content) in &before {
        let taken = tree.path(row.takes);
        let with_it = !taken.is_empty() && outcome == After::Gone && file.starts_with(&taken);
        if *file != below && !with_it {
            assert_eq!(after.get(file), Some(content), "{what}: {file}: {said}");
        }
    }
    tree.unharmed(&what);
    // What is damaged is kept.
    if damage != Damage::Missing && outcome != After::Other {
        assert!(said.contains("damaged"), "{what}: {said}");
    }
    // dockerd finds nothing more to trip over.
    let again = tree.heal_again().said;
    let again: Vec<_> = again
        .iter()
        .filter(|line| !line.contains("earlier start") && !line.contains("must be pulled again"))
        .collect();
    assert!(again.is_empty(), "{what}: said again {again:?}");
}

fn snapshot_of(path: &Path) -> Option<Vec<u8>> {
    fs::read_link(path)
        .map(|target| target.as_os_str().as_encoded_bytes().to_vec())
        .or_else(|_| fs::read(path))
        .ok()
}

#[test]
fn a_file_in_the_place_of_a_directory_makes_room() {
    for directory in DIRECTORIES {
        let tree = Tree::new();
        let path = tree.root.join(directory);
        if path.exists() {
            fs::rename(&path, tree.root.join("elsewhere")).unwrap();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "a file").unwrap();
        let said = tree.heal().said.join("\n");
        assert!(said.contains("not a directory"), "{directory}: {said}");
        assert!(!path.is_file(), "{directory}");
        tree.unharmed(directory);
    }
}

#[test]
fn a_lost_layer_takes_those_above_it_and_its_image_is_to_be_pulled() {
    let tree = Tree::new();
    let base = tree.path("image/overlay2/layerdb/sha256/BASE/cache-id");
    Damage::Zeros.to(&tree.root.join(base));
    let report = tree.heal();
    assert_eq!(
        report.lost_images.into_iter().collect::<Vec<_>>(),
        ["busybox:latest"]
    );
    // A pull would not get past a directory that is there.
    for layer in ["BASE", "TOP"] {
        let path = tree.path(&format!("image/overlay2/layerdb/sha256/{layer}"));
        assert!(!tree.root.join(path).exists(), "{layer}");
    }
    assert!(
        tree.root
            .join(tree.path("overlay2/BASECACHE/diff/bin"))
            .exists()
    );
}

#[test]
fn names_of_images_come_back_from_containers() {
    let tree = Tree::new();
    let table = tree.root.join("image/overlay2/repositories.json");
    Damage::Empty.to(&table);
    tree.heal();
    let table = fs::read_to_string(table).unwrap();
    let wanted = format!(
        r#"{{"Repositories":{{"busybox":{{"busybox:latest":"sha256:{}"}}}}}}"#,
        tree.path("IMAGE")
    );
    assert_eq!(table, wanted);
}

#[test]
fn settings_of_their_owner_stay_and_emptied_ones_come_back() {
    let tree = Tree::new();
    let path = tree.etc.join("daemon.json");
    for (text, said, left) in [
        ("{\"debug\": true", "stays as it is", "{\"debug\": true"),
        ("\0\0\0\0", "what Docker last ran with", tree::DAEMON_JSON),
        ("", "what Docker last ran with", tree::DAEMON_JSON),
        (" \n", "", " \n"),
        ("{}", "", "{}"),
    ] {
        fs::write(&path, text).unwrap();
        let report = tree.heal_again().said.join("\n");
        assert!(report.contains(said), "{text:?}: {report}");
        assert_eq!(fs::read_to_string(&path).unwrap(), left);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let mut places = tree.places();
    places.daemon_json = None;
    let report = heal(&places, "third").said.join("\n");
    assert!(report.contains("Docker runs without it"), "{report}");
    assert!(!path.exists());
    // And the whole directory.
    fs::remove_dir_all(&tree.etc).unwrap();
    fs::write(&tree.etc, "").unwrap();
    heal(&places, "fourth");
    assert!(!tree.etc.exists());
}

#[test]
fn what_a_killed_dockerd_left_is_out_of_the_way() {
    let tree = Tree::new();
    let places = tree.places();
    for text in ["1", "\0\0", "", "no number"] {
        fs::write(&places.pid_file, text).unwrap();
        assert_eq!(tree.heal_again().said, Vec::<String>::new(), "{text:?}");
        assert!(!places.pid_file.exists(), "{text:?}");
    }
    fs::create_dir(&places.pid_file).unwrap();
    fs::create_dir(&places.socket).unwrap();
    tree.heal_again();
    assert!(!places.pid_file.exists() && !places.socket.exists());
    // A file that docker run -v made below it is somebody's.
    fs::create_dir(&places.socket).unwrap();
    fs::write(places.socket.join("file"), "").unwrap();
    assert!(
        tree.heal_again()
            .said
            .join("")
            .contains("docker.sock.damaged-")
    );
}

#[test]
fn interrupted_writes_and_ends_of_logs_are_cleared() {
    let tree = Tree::new();
    let container = tree.root.join(tree.path("containers/ID"));
    let half = container.join(".tmp-config.v2.json123");
    fs::write(&half, "{").unwrap();
    let work = tree.root.join("image/overlay2/layerdb/tmp/write-set-1");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("size"), "1").unwrap();
    let log = container.join(format!("{}-json.log", tree.path("ID")));
    let whole = fs::read(&log).unwrap();
    let zeros = vec![0; 100_000];
    fs::write(&log, [whole.clone(), zeros].concat()).unwrap();
    let said = tree.heal().said.join("\n");
    assert!(
        said.contains("the log of container web ended in 100000 zeros"),
        "{said}"
    );
    assert_eq!(fs::read(&log).unwrap(), whole);
    assert!(!half.exists() && !work.exists());
    // All of it.
    fs::write(&log, vec![0; 10]).unwrap();
    tree.heal_again();
    assert_eq!(fs::read(&log).unwrap(), b"");
}

#[test]
fn spares_of_what_is_gone_are_gone() {
    let tree = Tree::new();
    tree.heal();
    let spares = |what: &str| {
        let all = files::matching(&tree.places().spares, &format!("*/{what}"));
        all.len()
    };
    assert_eq!(spares("containers/*/hostconfig.json"), 1);
    fs::remove_dir_all(tree.root.join("containers")).unwrap();
    tree.heal_again();
    assert_eq!(spares("containers/*/hostconfig.json"), 0);
    assert_eq!(spares("network/files/local-kv.db"), 1);
}

#[test]
fn databases_are_walked_to_their_last_page() {
    let file = tree::database();
    assert_eq!(bolt::check(&file), Ok(()));
    let page = file.len() / 6;
    for (at, what) in [
        (2 * page + 8, "the free list's kind"),
        (3 * page, "a branch's number"),
        (4 * page + 8, "a leaf's kind"),
        (4 * page + 20, "the place of an element"),
        (5 * page + 8, "the kind of a bucket's page"),
    ] {
        let mut damaged = file.clone();
        damaged[at] ^= 0xff;
        assert!(bolt::check(&damaged).is_err(), "{what}");
    }
    // One head may be lost: bbolt opens with the other.
    for head in [0, page] {
        let mut one = file.clone();
        one[head..head + page].fill(0);
        assert_eq!(bolt::check(&one), Ok(()));
    }
    assert!(bolt::check(&file[..5 * page]).is_err(), "cut off");
    for length in 0..file.len() {
        let _ = bolt::check(&file[..length]);
    }
}
