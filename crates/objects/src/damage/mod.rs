//! State that a power cut, a full disk or a hand has damaged: the engine neither stops nor blocks on it. What is damaged
//! moves to `damaged/` below the engine's root, is never deleted, and is said: on the kernel's log and among the warnings
//! of `info`. A record's spare (see [`crate::atomic_file`]) takes its place.

mod read;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use json_reader::lenient;
use serde::de::DeserializeOwned;

use crate::atomic_file::{self, SPARE, spare_of};

/// Where what is damaged goes, below the engine's root.
const FOLDER: &str = "damaged";
/// Things kept there; more stay where they are. So much damage is a disk to be replaced.
const KEPT_MAX: usize = 1000;
/// Sentences kept for `info`.
const SAID_MAX: usize = 100;

/// What was found damaged, and where it goes. Clones share it.
#[derive(Clone, Debug)]
pub struct Damage(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    said: RefCell<Vec<String>>,
}

impl Damage {
    /// For the state below `root`. What was set aside at earlier starts and is still there is said again.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let damage = Self(Rc::new(Inner {
            root: root.to_owned(),
            said: RefCell::default(),
        }));
        let folder = root.join(FOLDER);
        let earlier = fs::read_dir(&folder).map_or(0, Iterator::count);
        if earlier > 0 {
            damage.say(format!(
                "{}: {earlier} damaged files or directories were set aside at earlier starts; delete what you do not need",
                folder.display()
            ));
        }
        damage
    }

    /// Says something on the kernel's log and keeps it for [`Self::said`].
    pub fn say(&self, text: String) {
        sys::kmsg::warn("engine", &text);
        let mut said = self.0.said.borrow_mut();
        if said.len() < SAID_MAX {
            said.push(text);
        }
    }

    /// What was said.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.0.said.borrow().clone()
    }

    /// Makes sure that a directory is there. One that cannot be made is said, and what it would hold is missing.
    pub fn directory(&self, path: &Path, mode: u32) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && fs::symlink_metadata(path).is_err() => {}
            Ok(metadata) => self.set_aside(path, read::kind_of(metadata.file_type())),
            Err(error) => self.set_aside(path, &engine_api::cause(&error)),
        }
        let mut builder = fs::DirBuilder::new();
        if let Err(error) = builder.recursive(true).mode(mode).create(path) {
            self.say(format!(
                "make {}: {}",
                path.display(),
                engine_api::cause(&error)
            ));
        }
    }

    /// What is in a directory. One that cannot be read is said, and is empty.
    pub fn entries(&self, path: &Path) -> Vec<PathBuf> {
        match fs::read_dir(path) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) => {
                self.say(format!(
                    "read {}: {}",
                    path.display(),
                    engine_api::cause(&error)
                ));
                Vec::new()
            }
        }
    }

    /// Paths of the records `*.json` in a directory, those included of which only the spare is there. What an earlier
    /// engine began to write is removed.
    pub fn records(&self, directory: &Path) -> Vec<PathBuf> {
        let mut records = Vec::new();
        for path in self.entries(directory) {
            match path.extension().and_then(OsStr::to_str) {
                // The file next to it is the truth.
                _ if atomic_file::is_half(&path) => self.clear(&path),
                Some("json") => records.push(path),
                Some(SPARE) => records.push(path.with_extension("")),
                _ => {}
            }
        }
        records.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        records.sort();
        records.dedup();
        records
    }

    fn clear(&self, path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            self.set_aside(path, &engine_api::cause(&error));
        }
    }

    /// Reads a file whose content `fits`; none when it is missing. What cannot be read is set aside.
    pub fn bytes(
        &self,
        path: &Path,
        fits: impl Fn(&[u8]) -> Result<(), String>,
    ) -> Option<Vec<u8>> {
        let bytes = read::regular_file(path).and_then(|found| {
            fits(&found.bytes).map_err(io::Error::other)?;
            self.own(path, &found);
            Ok(found.bytes)
        });
        match bytes {
            Ok(bytes) => Some(bytes),
            Err(error) if read::is_missing(path, &error) => None,
            Err(error) => {
                self.set_aside(path, &engine_api::cause(&error));
                None
            }
        }
    }

    /// Reads a record that `fits`; none when it is missing, or damaged as its spare is. What cannot be read is set aside,
    /// and the spare takes its place.
    pub fn load<T: DeserializeOwned>(
        &self,
        path: &Path,
        fits: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let parse = |path: &Path| -> io::Result<(T, read::Found)> {
            let found = read::regular_file(path)?;
            // As the server reads the same types in requests: one deserializer of each is a fifth of a megabyte less of PID 1.
            let record: T = lenient::from_slice(&found.bytes)?;
            fits(&record).map_err(io::Error::other)?;
            Ok((record, found))
        };
        let error = match parse(path) {
            Ok((record, found)) => {
                self.own(path, &found);
                return Some(record);
            }
            Err(error) => error,
        };
        let spare = spare_of(path);
        let missing = read::is_missing(path, &error);
        let replacement = parse(&spare);
        if !missing {
            self.set_aside(path, &engine_api::cause(&error));
        }
        match replacement {
            Ok((record, found)) => {
                self.say(format!(
                    "{} {}: its version before is used",
                    path.display(),
                    if missing { "is missing" } else { "was damaged" }
                ));
                if let Err(error) = atomic_file::write(path, &found.bytes, 0o600) {
                    self.say(format!(
                        "write {}: {}",
                        path.display(),
                        engine_api::cause(&error)
                    ));
                }
                Some(record)
            }
            Err(error) if read::is_missing(&spare, &error) => None,
            Err(error) => {
                self.set_aside(&spare, &engine_api::cause(&error));
                None
            }
        }
    }

    /// Takes a file of another owner, or one that others may write, for our own: nobody else can reach it here.
    fn own(&self, path: &Path, found: &read::Found) {
        match found.make_ours() {
            Ok(None) => {}
            Ok(Some(what)) => self.say(format!("{} {what}: corrected", path.display())),
            Err(error) => self.say(format!("{}: {}", path.display(), engine_api::cause(&error))),
        }
    }

    /// Moves something out of the way and says why. It is never deleted; what cannot be moved stays.
    pub fn set_aside(&self, path: &Path, why: &str) {
        let moved = self.place_for(path).and_then(|target| {
            fs::rename(path, &target)?;
            Ok(target)
        });
        let shown = path.display();
        match moved.or_else(|_| next_to(path)) {
            Ok(target) => self.say(format!(
                "{shown} is damaged ({why}): it is now {}",
                target.display()
            )),
            Err(error) => self.say(format!(
                "{shown} is damaged ({why}) and cannot be moved: {}",
                engine_api::cause(&error)
            )),
        }
    }

    /// A free name in the folder, made of the path below the root.
    fn place_for(&self, path: &Path) -> io::Result<PathBuf> {
        let folder = self.0.root.join(FOLDER);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        if fs::read_dir(&folder)?.count() >= KEPT_MAX {
            return Err(io::Error::other("the folder of damaged files is full"));
        }
        let below = path.strip_prefix(&self.0.root).unwrap_or(path);
        let words: Vec<_> = below
            .components()
            .filter_map(|component| match component {
                std::path::Component::Normal(word) => Some(word.to_string_lossy()),
                _ => None,
            })
            .collect();
        Ok(free_name(&folder, &words.join("-")))
    }
}

/// Renames something where it is: `NAME.damaged`.
fn next_to(path: &Path) -> io::Result<PathBuf> {
    let no_name = || io::Error::other("it has no name");
    let (folder, name) = path.parent().zip(path.file_name()).ok_or_else(no_name)?;
    let target = free_name(folder, &format!("{}.damaged", name.to_string_lossy()));
    fs::rename(path, &target)?;
    Ok(target)
}

/// `name`, or `name.1`, `name.2` and so on when that is taken.
fn free_name(folder: &Path, name: &str) -> PathBuf {
    let taken = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
    let names = (1..).map(|number| folder.join(format!("{name}.{number}")));
    std::iter::once(folder.join(name))
        .chain(names)
        .find(|path| !taken(path))
        .unwrap_or_else(|| folder.join(name))
}
