//! One at a time: whoever changes versions, records or the store of layers holds a lock for as long as its decision must stay true.
//! Two upgrades, or a policy and a person, would else choose the same slot.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// In RAM: a reboot ends every holder.
const FILE: &str = "/run/rancher/versions.lock";
/// Records and notes take less than a second; who downloads a version is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Words of the holder's command line that are said: more of them could have secrets.
const WORDS: usize = 3;
/// A holder's name is shorter.
const LONGEST_NAME: u64 = 200;

thread_local! {
    /// The lock of this thread, as long as anybody in it has one: what a holder calls takes it once more.
    static HELD: RefCell<Weak<File>> = const { RefCell::new(Weak::new()) };
}

/// The right to change versions, until this and all others of this thread are dropped.
#[must_use]
pub(super) struct Lock {
    /// Closing the file ends the lock.
    _held: Rc<File>,
}

/// Takes the lock, or waits a moment for it.
///
/// # Errors
/// When somebody else holds it for longer; the error names who.
pub(super) fn take() -> anyhow::Result<Lock> {
    take_for(PATIENCE)
}

/// The same as [`take`], with another time to wait.
///
/// # Errors
/// The same as [`take`].
pub(super) fn take_for(patience: Duration) -> anyhow::Result<Lock> {
    take_at(Path::new(FILE), patience)
}

fn take_at(path: &Path, patience: Duration) -> anyhow::Result<Lock> {
    if let Some(held) = HELD.with_borrow(Weak::upgrade) {
        return Ok(Lock { _held: held });
    }
    let held = Rc::new(alone_at(
        path,
        patience,
        "the versions of this machine are being changed",
    )?);
    HELD.set(Rc::downgrade(&held));
    Ok(Lock { _held: held })
}

/// Locks a file until it is closed. `busy` is what somebody else does who has it locked.
///
/// # Errors
/// When that is so for all of `patience`; the error names who.
pub(super) fn alone_at(path: &Path, patience: Duration, busy: &str) -> anyhow::Result<File> {
    let mut file = open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let end = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "{busy} by {}: try again when it has ended",
                    holder(&mut file)
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
    // For who waits; the lock holds without it
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all(own_name().as_bytes()));
    Ok(file)
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // For root only: a program that can open the file can also hold the lock.
        .mode(0o600)
        .open(path)
}

fn own_name() -> String {
    let words: Vec<String> = std::env::args_os()
        .take(WORDS)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    format!("`{}` (process {})", words.join(" "), std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut name = String::new();
    let read = file.take(LONGEST_NAME).read_to_string(&mut name);
    if read.is_err() || name.is_empty() {
        return "another command".to_owned();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn one_thread_has_it_more_than_once_and_another_one_is_told_who_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lock");
        let elsewhere = || {
            let path = path.clone();
            std::thread::spawn(move || take_at(&path, SHORT).map(drop).map_err(|e| e.to_string()))
                .join()
                .unwrap()
        };
        let outer = take_at(&path, SHORT).unwrap();
        let inner = take_at(&path, SHORT).unwrap();
        let refused = elsewhere().unwrap_err();
        assert!(refused.contains(&own_name()), "{refused}");
        drop(outer);
        assert!(elsewhere().is_err(), "the inner one has it still");
        drop(inner);
        elsewhere().unwrap();
        let again = take_at(&path, SHORT).unwrap();
        assert!(elsewhere().is_err());
        drop(again);
    }

    #[test]
    fn who_comes_second_waits_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = take_at(&path, SHORT).unwrap();
        let second = {
            let path = path.clone();
            std::thread::spawn(move || take_at(&path, PATIENCE).map(drop))
        };
        drop(first);
        second.join().unwrap().unwrap();
    }
}
