//! Servers are tried again: the network or they themselves may come up late.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Entry;
use crate::problems;

/// How long a server is tried.
const DEADLINE: Duration = Duration::from_secs(300);
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// What is said of servers that are tried still.
const SUBJECT: &str = "mounts";

/// Servers that have not been mounted yet, and why.
#[derive(Debug, Default)]
pub(in crate::console) struct Away(Mutex<BTreeMap<String, String>>);

impl Away {
    /// None yet; what an earlier console has said of its servers is taken back.
    pub(in crate::console) fn new() -> Away {
        problems::clear(SUBJECT);
        Away::default()
    }

    /// Mounts an entry, again and again while that may help.
    pub(in crate::console) fn mount(&self, entry: &Entry) -> anyhow::Result<()> {
        let end = Instant::now() + DEADLINE;
        let what = entry.what();
        let silent = format!("{what}: the server does not answer");
        self.lock().insert(what.clone(), silent);
        loop {
            match entry.mount() {
                Err(error) if Instant::now() < end && !is_refused(entry, &error) => {
                    self.lock().insert(what.clone(), format!("{error:#}"));
                    std::thread::sleep(TRY_AGAIN);
                }
                result => {
                    let mut away = self.lock();
                    away.remove(&what);
                    if away.is_empty() {
                        problems::clear(SUBJECT);
                    }
                    return result;
                }
            }
        }
    }

    /// Says what is tried still, with the last error, until none is.
    pub(in crate::console) fn tell(&self) {
        for error in self.lock().values() {
            let message =
                format!("{error}: it is tried again, and User Docker starts without its files");
            eprintln!("console: {SUBJECT}: {message}");
            problems::warn(SUBJECT, &message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server has said no to a name and a password: it counts wrong ones, and closes the account of a user who has too many.
/// An NFS server that is just coming up says no as well, before it has read its exports, and counts nothing.
fn is_refused(entry: &Entry, error: &anyhow::Error) -> bool {
    let words = format!("{error:#}");
    let says = |text: &&str| words.contains(*text);
    // EACCES, in the words of strerror(3), and of programs for it
    matches!(entry.kind.as_str(), "cifs" | "smb3")
        && ["ermission denied", "error(13)"].iter().any(says)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_wrong_password_is_not_tried_again() {
        let entry = |kind: &str| Entry {
            source: "//nas/share".to_owned(),
            target: "/mnt".to_owned(),
            kind: kind.to_owned(),
            options: "defaults".to_owned(),
        };
        let refused = |kind, words: &str| is_refused(&entry(kind), &anyhow!("{words}"));
        let kernel = "//nas/share on /mnt: mount cifs on /mnt: Permission denied (os error 13)";
        let program = super::super::last_words(
            "mount error(13): Permission denied\nRefer to the mount.cifs(8) manual page (e.g. man mount.cifs) and kernel log messages (dmesg)\n",
        );
        assert!(refused("cifs", kernel) && refused("smb3", program));
        assert!(!refused("nfs", "mount: /mnt: Permission denied"));
        assert!(!refused(
            "cifs",
            "mount cifs on /mnt: No route to host (os error 113)"
        ));
        // No such share: the server may not have mounted it itself yet.
        assert!(!refused(
            "cifs",
            "mount cifs on /mnt: No such file or directory (os error 2)"
        ));
    }
}
