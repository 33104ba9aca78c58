//! All entries of `mounts`: disks in order, and servers next to each other, since each may be down. What lies below the place of a
//! server waits for it: until it answers an empty directory is there.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::{Entry, is_remote};
use crate::console::part;

/// Mounts entries by `mount`, which reports its errors, and says whether it is there. Returns when all have ended, or false when
/// `patience` has: servers are tried on.
pub(in crate::console) fn mount_all(
    entries: Vec<Entry>,
    patience: Duration,
    mount: impl Fn(&Entry) -> bool + Send + Sync + 'static,
) -> bool {
    let waits = waits(&entries);
    let states = Arc::new(States::new(entries.len()));
    let (entries, mount) = (Arc::new(entries), Arc::new(mount));
    let mut later = Vec::new();
    for (index, before) in waits.into_iter().enumerate() {
        if before.is_empty() && !entries[index].is_remote() {
            states.set(index, mount(&entries[index]));
        } else {
            later.push((index, before));
        }
    }
    for (index, before) in later {
        let (entries, states, mount) = (entries.clone(), states.clone(), mount.clone());
        std::thread::spawn(move || {
            let entry = &entries[index];
            let is_there = match states.first_missing(&before) {
                None => mount(entry),
                Some(missing) => part("mounts", || {
                    let missing = &entries[missing].target;
                    bail!(
                        "{}: it waits for {missing}, which is not mounted",
                        entry.what()
                    )
                }),
            };
            states.set(index, is_there);
        });
    }
    states.wait_for_all(patience)
}

/// Which entries have ended, and how.
#[derive(Debug)]
struct States {
    ended: Mutex<Vec<Option<bool>>>,
    changed: Condvar,
}

impl States {
    fn new(count: usize) -> States {
        States {
            ended: Mutex::new(vec![None; count]),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<bool>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, index: usize, is_there: bool) {
        self.lock()[index] = Some(is_there);
        self.changed.notify_all();
    }

    /// Waits until all of these have ended; the first that is not mounted.
    fn first_missing(&self, all: &[usize]) -> Option<usize> {
        let open = |ended: &mut Vec<Option<bool>>| all.iter().any(|index| ended[*index].is_none());
        let ended = self.changed.wait_while(self.lock(), open);
        let ended = ended.unwrap_or_else(PoisonError::into_inner);
        let mut all = all.iter().copied();
        all.find(|index| ended[*index] != Some(true))
    }

    fn wait_for_all(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut ended = self.lock();
        while ended.contains(&None) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(ended, left);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// For each entry those that it waits for: servers whose place it lies below, and earlier ones that wait themselves. No two wait for
/// each other.
fn waits(entries: &[Entry]) -> Vec<Vec<usize>> {
    let all = || 0..entries.len();
    let mut waits: Vec<Vec<usize>> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let is_later_server = |other: &usize| {
                let server = &entries[*other];
                // What is listed later at the same place goes on top.
                server.is_remote() && *other > index && is_below(entry, server, false)
            };
            // Servers are mounted in the order of the list.
            let is_local = !entry.is_remote();
            all()
                .filter(|other| is_local && is_later_server(other))
                .collect()
        })
        .collect();
    for index in all() {
        for other in 0..index {
            let is_late = entries[other].is_remote() || !waits[other].is_empty();
            if is_late
                && is_below(&entries[index], &entries[other], true)
                && !leads_to(&waits, other, index)
            {
                waits[index].push(other);
            }
        }
    }
    waits
}

/// Whether an entry takes something from below another one's place, or is mounted there; with `or_at`, also at the very place.
fn is_below(entry: &Entry, other: &Entry, or_at: bool) -> bool {
    if other.kind == "swap" {
        return false;
    }
    let place = Path::new(&other.target);
    let target = Path::new(&entry.target);
    let is_local = entry.source.starts_with('/') && !is_remote(&entry.kind);
    entry.kind != "swap" && target.starts_with(place) && (or_at || target != place)
        || is_local && Path::new(&entry.source).starts_with(place)
}

/// Whether `from` waits for `to`, also by way of others.
fn leads_to(waits: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = vec![false; waits.len()];
    let mut open = vec![from];
    while let Some(index) = open.pop() {
        if index == to {
            return true;
        }
        if !std::mem::replace(&mut seen[index], true) {
            open.extend(&waits[index]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::entries_of as entries;
    use super::*;

    #[test]
    fn what_lies_below_a_servers_place_waits_for_it() {
        for (lines, wanted) in [
            (
                vec![
                    "/dev/sdb /mnt/a",
                    "nas:/ /mnt/nas nfs",
                    "/mnt/a /b none bind",
                ],
                vec![vec![], vec![], vec![]],
            ),
            (
                vec!["/mnt/nas/x /srv none bind", "nas:/ /mnt/nas nfs"],
                vec![vec![1], vec![]],
            ),
            (
                vec![
                    "nas:/ /mnt/nas nfs",
                    "/mnt/nas /srv none bind",
                    "/srv/y /y none bind",
                ],
                vec![vec![], vec![0], vec![1]],
            ),
            (
                vec![
                    "nas:/ /mnt/nas nfs",
                    "/dev/sdb /mnt/nas/disk ext4",
                    "nas:/b /mnt/nas/b nfs",
                ],
                vec![vec![], vec![0], vec![0]],
            ),
            (
                vec![
                    "nas:/ /mnt/nas nfs",
                    "/mnt/nas/swap none swap",
                    "/mnt/nasty /srv none bind",
                ],
                vec![vec![], vec![0], vec![]],
            ),
            // A share's name is not a path here.
            (
                vec!["//mnt/nas /mnt/nas cifs", "//mnt/nas/x /srv cifs"],
                vec![vec![], vec![]],
            ),
            // The later one is mounted over the earlier one.
            (
                vec!["/dev/sdb /mnt ext4", "nas:/ /mnt nfs", "/dev/sdc /mnt ext4"],
                vec![vec![], vec![], vec![1]],
            ),
        ] {
            assert_eq!(waits(&entries(&lines)), wanted, "{lines:?}");
        }
    }

    #[test]
    fn no_two_wait_for_each_other() {
        let around = entries(&["/mnt/a/b/c /mnt/a none bind", "nas:/ /mnt/a/b nfs"]);
        assert_eq!(waits(&around), [vec![1], vec![]]);
        let longer = entries(&[
            "/mnt/n/x /a none bind",
            "nas:/ /mnt/n nfs",
            "/a/y /mnt/n/z none bind",
            "nas:/ /mnt/n/x nfs",
        ]);
        let waits = waits(&longer);
        for from in 0..waits.len() {
            for next in &waits[from] {
                assert!(!leads_to(&waits, *next, from), "{waits:?}");
            }
        }
    }

    /// The targets in the order of their mounts, of a server that says nothing until it is told.
    fn start(lines: &[&str], answer: bool) -> (mpsc::Receiver<String>, mpsc::Sender<()>) {
        let (sender, mounted) = mpsc::channel();
        let (tell, told) = mpsc::channel::<()>();
        let told = Mutex::new(told);
        let is_done = mount_all(entries(lines), Duration::ZERO, move |entry| {
            if entry.is_remote() {
                told.lock().unwrap().recv().unwrap();
            }
            sender.send(entry.target.clone()).unwrap();
            answer || !entry.is_remote()
        });
        assert!(!is_done);
        (mounted, tell)
    }

    const LINES: &[&str] = &[
        "/mnt/nas/a /a none bind",
        "nas:/ /mnt/nas nfs",
        "/a/b /b none bind",
        "/dev/sdb /c",
    ];

    #[test]
    fn disks_do_not_wait_and_what_is_below_a_server_comes_after_it() {
        let (mounted, tell) = start(LINES, true);
        assert_eq!(mounted.recv().unwrap(), "/c");
        tell.send(()).unwrap();
        let rest: Vec<String> = mounted.iter().collect();
        assert_eq!(rest, ["/mnt/nas", "/a", "/b"]);
    }

    #[test]
    fn what_is_below_a_server_that_is_away_is_left_out() {
        let (mounted, tell) = start(LINES, false);
        tell.send(()).unwrap();
        // Ends when all threads have.
        let all: Vec<String> = mounted.iter().collect();
        assert_eq!(all, ["/c", "/mnt/nas"]);
        assert!(mount_all(entries(LINES), Duration::from_secs(3600), |_| {
            true
        }));
    }
}
