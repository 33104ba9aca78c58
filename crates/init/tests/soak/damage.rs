//! Every file that the engine reads at its start, damaged in every way: it starts, says what it set aside, and has lost
//! nothing else.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mkfifoat, mknodat};
use serde_json::{Value, json};

use crate::http;
use crate::machine::{Machine, create_with, run, start, wait_until};

crate::tests![
    every_damaged_file_is_set_aside_and_nothing_is_lost,
    a_record_damaged_with_its_spare_takes_nothing_else_along,
    directories_of_the_state_may_be_anything
];

/// A way to damage a file, and its name.
type Damage = (&'static str, fn(&Path));

const OTHER_USER: u32 = 1234;

#[rustfmt::skip]
const DAMAGES: [Damage; 13] = [
    ("empty", |path| fs::write(path, "").unwrap()),
    ("half", |path| { let bytes = fs::read(path).unwrap(); fs::write(path, &bytes[..bytes.len() / 2]).unwrap(); }),
    ("zeros", |path| { let size = fs::metadata(path).unwrap().len(); replace(path, &vec![0; usize::try_from(size).unwrap()]); }),
    ("junk", |path| replace(path, b"\xff\xfe{]")),
    ("another record", |path| replace(path, b"{}")),
    ("huge", |path| File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap()),
    ("directory", |path| { fs::remove_file(path).unwrap(); fs::create_dir(path).unwrap(); }),
    ("named pipe", |path| { fs::remove_file(path).unwrap(); mkfifoat(CWD, path, Mode::RWXU).unwrap(); }),
    ("socket", |path| { fs::remove_file(path).unwrap(); drop(UnixListener::bind(short(path)).unwrap()); }),
    ("device", |path| { fs::remove_file(path).unwrap(); mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, makedev(1, 7)).unwrap(); }),
    ("link loop", |path| { fs::remove_file(path).unwrap(); symlink(path, path).unwrap(); }),
    ("owner", |path| chown(path, Some(OTHER_USER), None).unwrap()),
    ("missing", |path| fs::remove_file(path).unwrap()),
];

fn replace(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// A path that fits into a socket's address.
fn short(path: &Path) -> PathBuf {
    let folder = File::open(path.parent().unwrap()).unwrap();
    let number = std::os::fd::IntoRawFd::into_raw_fd(folder);
    PathBuf::from(format!("/proc/self/fd/{number}")).join(path.file_name().unwrap())
}

/// A kind of file: its name, and a path below the engine's root in which `*` is any name.
const FILES: [(&str, &str); 14] = [
    ("table of images", "repositories.json"),
    ("identity", "engine-id"),
    ("image", "images/*.json"),
    ("configuration of an image", "blobs/sha256/*"),
    ("layer", "layers/*/layer.json"),
    ("split of a layer", "layers/*/split.gz"),
    ("volume", "volumes/named/volume.json"),
    ("network", "networks/*.json"),
    ("container", "containers/*/container.json"),
    ("log", "containers/*/*-json.log"),
    ("hosts", "containers/*/hosts"),
    ("host name", "containers/*/hostname"),
    ("name servers", "containers/*/resolv.conf"),
    ("hash of the name servers", "containers/*/resolv.conf.hash"),
];

/// The first file in the order of names that the pattern means.
fn find(root: &Path, pattern: &str) -> PathBuf {
    let mut paths = vec![root.to_owned()];
    for word in pattern.split('/') {
        let (before, after) = word.split_once('*').unwrap_or((word, ""));
        let exact = !word.contains('*');
        let below = paths.iter().flat_map(|path| fs::read_dir(path).unwrap());
        let fits = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(before) && name.ends_with(after) && (!exact || name == word)
        };
        paths = below
            .map(|entry| entry.unwrap().path())
            .filter(fits)
            .collect();
    }
    paths.into_iter().min().unwrap()
}

/// What clients see of the engine's state.
pub(crate) fn seen(machine: &Machine) -> Value {
    let get = |path: &str| machine.get(path).unwrap().json();
    let list = |value: Value, keys: &[&str]| -> Vec<Value> {
        let items = value.as_array().cloned().unwrap_or_default();
        let mut all: Vec<Value> = items
            .iter()
            .map(|item| keys.iter().map(|key| item[key].clone()).collect())
            .collect();
        all.sort_by_key(ToString::to_string);
        all
    };
    json!({
        "containers": list(get("/containers/json?all=1"), &["Id", "Names", "Labels"]),
        "images": list(get("/images/json?all=1"), &["Id", "RepoTags"]),
        "networks": list(get("/networks"), &["Id", "Name"]),
        "volumes": list(get("/volumes")["Volumes"].clone(), &["Name", "Labels"]),
    })
}

fn post(socket: &Path, path: &str, body: &Value) {
    let answer = http::request(
        socket,
        "POST",
        path,
        "application/json",
        body.to_string().as_bytes(),
    );
    let answer = answer.unwrap();
    assert_eq!(answer.status, 201, "{path}: {}", answer.text());
}

/// A machine with one of everything, stopped.
pub(crate) fn prepared(name: &str) -> Machine {
    let mut machine = Machine::new(name);
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    post(
        &socket,
        "/volumes/create",
        &json!({"Name": "named", "Labels": {"of": "mine"}}),
    );
    post(&socket, "/networks/create", &json!({"Name": "front"}));
    let host = json!({"NetworkMode": "none", "Binds": ["named:/data"]});
    assert!(create_with(&socket, "made", &["true"], host));
    assert!(run(&socket, "ran", &["sleep", "98765"], "none"));
    machine.kill();
    machine
}

/// Starts the engine on damaged state and returns its warnings and what clients see.
fn started(machine: &mut Machine) -> (String, Value) {
    machine.start();
    let info = machine.get("/info").unwrap().json();
    (info["Warnings"].to_string(), seen(machine))
}

fn every_damaged_file_is_set_aside_and_nothing_is_lost() {
    let mut machine = prepared("damage");
    let whole = machine.keep_state();
    let (warnings, expected) = started(&mut machine);
    assert!(!warnings.contains("damaged"), "{warnings}");
    let cases = FILES
        .iter()
        .flat_map(|file| DAMAGES.iter().map(move |damage| (*file, *damage)));
    // An emulated machine takes seconds for each: there, some of each kind.
    let emulated = std::env::var_os("ENGINE_PROGRAM").is_some();
    let step = if emulated { 7 } else { 1 };
    for ((file, pattern), (damage, apply)) in cases.step_by(step) {
        machine.kill();
        machine.restore_state(&whole);
        let path = find(&machine.root(), pattern);
        apply(&path);
        let (warnings, found) = started(&mut machine);
        let case = format!("{file}, {damage}: {warnings}");
        assert_eq!(found, expected, "{case}");
        check_said(file, damage, &path, &machine.root(), &warnings);
        // Who has these files has them from its first start.
        let container = match WRITTEN_AT_START.contains(&file) {
            true => "ran",
            false => "made",
        };
        assert!(start(&machine.socket(), container), "{case}");
        // A process that outlives this round would be another's in the next one.
        let path = "/containers/ran/kill";
        let _ = http::request(&machine.socket(), "POST", path, "", b"");
        wait_until("the container has ended", || {
            machine.containers()[&format!("/{container}")] == "exited"
        });
    }
}

/// Files that each start of a container writes, whatever is there.
const WRITTEN_AT_START: [&str; 4] = [
    "hosts",
    "host name",
    "name servers",
    "hash of the name servers",
];
/// Files whose content the engine neither reads at its start nor can tell from damage: any content is one.
const ANY_CONTENT: [&str; 2] = ["split of a layer", "log"];

fn check_said(file: &str, damage: &str, path: &Path, root: &Path, warnings: &str) {
    let case = format!("{file}, {damage}: {warnings}");
    let is_content = matches!(
        damage,
        "empty" | "half" | "zeros" | "junk" | "another record" | "huge" | "owner"
    );
    match damage {
        "missing" => return,
        _ if is_content && (ANY_CONTENT.contains(&file) || WRITTEN_AT_START.contains(&file)) => {
            return;
        }
        // An empty object says of an image that nothing is known of it.
        "another record" if file == "image" => return,
        "owner" => {
            assert!(warnings.contains("belonged to user"), "{case}");
            assert_ne!(fs::metadata(path).unwrap().uid(), OTHER_USER, "{case}");
            return;
        }
        _ => assert!(warnings.contains("is damaged"), "{case}"),
    }
    let aside: Vec<_> = fs::read_dir(root.join("damaged")).unwrap().collect();
    assert_eq!(aside.len(), 1, "{case}");
    let kind = aside[0].as_ref().unwrap().file_type().unwrap();
    let is_it = match damage {
        "directory" => kind.is_dir(),
        "named pipe" => kind.is_fifo(),
        "socket" => kind.is_socket(),
        "device" => kind.is_char_device(),
        "link loop" => kind.is_symlink(),
        _ => kind.is_file(),
    };
    assert!(is_it, "{case}");
}

fn a_record_damaged_with_its_spare_takes_nothing_else_along() {
    let mut machine = prepared("spare");
    let whole = machine.keep_state();
    let (_, expected) = started(&mut machine);
    for (file, pattern) in FILES {
        machine.kill();
        machine.restore_state(&whole);
        let path = find(&machine.root(), pattern);
        let mut spare = path.clone().into_os_string();
        spare.push(".before");
        if !Path::new(&spare).exists() {
            continue;
        }
        for path in [&path, Path::new(&spare)] {
            fs::write(path, "{").unwrap();
        }
        let (warnings, mut found) = started(&mut machine);
        let mut expected = expected.clone();
        // What the record alone knew is lost, and nothing but that.
        for (of, key) in [("network", "networks"), ("container", "containers")] {
            if file == of {
                let (was, is) = (&mut expected[key], &mut found[key]);
                let (was, is) = (was.take(), is.take());
                let missing = was.as_array().unwrap().len() - is.as_array().unwrap().len();
                // A network that is always there is made again.
                assert!(missing <= 1, "{file}: {is} of {was}");
            }
        }
        if file == "table of images" {
            expected["images"][0][1] = json!([]);
        }
        if file == "volume" {
            expected["volumes"][0][1] = Value::Null;
        }
        assert_eq!(found, expected, "{file}: {warnings}");
        assert!(warnings.contains("is damaged"), "{file}: {warnings}");
        if file == "container" {
            let directory = path
                .parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let kept = machine
                .root()
                .join(format!("damaged/containers-{directory}"));
            assert!(
                kept.join("upper").is_dir(),
                "the files of the container are kept"
            );
        }
    }
}

fn directories_of_the_state_may_be_anything() {
    let mut machine = prepared("directories");
    let whole = machine.keep_state();
    for name in [
        "containers",
        "images",
        "blobs",
        "blobs/sha256",
        "layers",
        "tmp",
        "volumes",
        "networks",
        "damaged",
    ] {
        for (damage, apply) in &DAMAGES[6..11] {
            if *damage == "directory" {
                continue;
            }
            machine.kill();
            machine.restore_state(&whole);
            let path = machine.root().join(name);
            // A directory of this name goes; a file takes its place, which is then damaged.
            let _ = fs::rename(&path, path.with_extension("gone"));
            fs::write(&path, "").unwrap();
            apply(&path);
            let (warnings, _) = started(&mut machine);
            assert!(
                name == "damaged" || warnings.contains("is damaged"),
                "{name}, {damage}: {warnings}"
            );
        }
    }
}
