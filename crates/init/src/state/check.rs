//! e2fsck of the state disk: what it could not repair keeps the machine from writing to it, what it repaired is kept for the owner.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

use super::{CHECK_DEADLINE, EARLY_STATE};
use crate::log;
use crate::machine::Machine;
use crate::toolbox::{Finished, Toolbox};
use crate::warnings::warn;

/// Exit code 0: nothing to do; up to 3: repaired (e2fsck(8)).
const CLEAN: i32 = 0;
const REPAIRED: i32 = 3;
/// What e2fsck says when it only tidies up, as after every power cut: the journal, files that were deleted while open, sums.
const ROUTINE: [&str; 6] = [
    "recovering journal",
    "clean, ",
    "orphan",
    "Setting free",
    "check forced",
    "non-contiguous",
];
/// Below the state disk, and in /var/log of the machine.
const LOG: &str = "var/log/e2fsck.log";
/// Most of one check that is kept, and the largest log: a disk that is repaired at each boot must not be filled by that.
const KEPT_BYTES: usize = 64 << 10;
const LOG_BYTES: u64 = 256 << 10;

/// How a check ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Why the file system is not written to: each write can cost more of it.
    pub(super) damage: Option<String>,
    /// What was repaired, in e2fsck's words.
    pub(super) repaired: Option<String>,
}

/// e2fsck -p: replays the journal, repairs what is safe.
pub(super) fn check(machine: &Machine, device: &Path) -> Checked {
    let result = Toolbox::open(machine).and_then(|toolbox| {
        let node = device.to_string_lossy();
        toolbox.run("e2fsck", &["-p", &node], CHECK_DEADLINE)
    });
    match result {
        Ok(output) => judge(&output),
        Err(error) => not_ended(device, &error),
    }
}

fn judge(output: &Finished) -> Checked {
    match output.code() {
        Some(CLEAN) => Checked::default(),
        Some(code) if code <= REPAIRED => Checked {
            damage: None,
            repaired: Some(output.text(KEPT_BYTES)),
        },
        _ => Checked {
            damage: Some(output.summary()),
            repaired: None,
        },
    }
}

/// A check that was cut off was in the middle of a repair, perhaps. One that could not begin says nothing about the disk.
fn not_ended(device: &Path, error: &anyhow::Error) -> Checked {
    let kind = error.chain().find_map(|cause| {
        let system = cause.downcast_ref::<sys::Error>().map(sys::Error::kind);
        let other = cause.downcast_ref::<std::io::Error>();
        system.or_else(|| other.map(std::io::Error::kind))
    });
    if kind == Some(ErrorKind::TimedOut) {
        let seconds = CHECK_DEADLINE.as_secs();
        return Checked {
            damage: Some(format!("its check did not end within {seconds} s")),
            repaired: None,
        };
    }
    let device = device.display();
    log::error(&format!("state: {device} is not checked: {error:#}"));
    Checked::default()
}

/// Says that something was repaired, and keeps the words on the disk if that is there to keep them; not for a journal that was replayed.
pub(super) fn tell(device: &Path, words: &str, is_there: bool) {
    let repairs = repairs(words);
    let name = device.display();
    if repairs == 0 {
        log::info(&format!("state: {name}: its check has tidied up"));
        return;
    }
    let kept = is_there.then(|| keep(&Path::new(EARLY_STATE).join(LOG), words));
    let place = match &kept {
        None => format!("{words:?}"),
        Some(Ok(())) => format!("/{LOG} has all of it"),
        Some(Err(error)) => format!("it is not kept: {error:#}"),
    };
    warn(
        "state",
        &format!("{name} was damaged and is repaired, in {repairs} places: {place}"),
    );
}

/// Lines about more than what every power cut leaves.
fn repairs(words: &str) -> usize {
    let is_routine = |line: &str| ROUTINE.iter().any(|known| line.contains(known));
    let lines = words.lines().filter(|line| !line.trim().is_empty());
    lines.filter(|line| !is_routine(line)).count()
}

/// Adds to the log, which begins again when it is full.
fn keep(path: &Path, words: &str) -> anyhow::Result<()> {
    let folder = path.parent().context("a path without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // A log that is full begins again, and so does one in whose place something else is: that is neither waited for nor written to.
    let mut text = sys::regular::read(path, LOG_BYTES).unwrap_or_default();
    text.extend(words.trim_end().bytes());
    text.push(b'\n');
    let temporary = sys::atomic_file::hidden(path);
    Ok(sys::atomic_file::write(path, &temporary, &text, 0o644)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sys::process::Command;

    use super::*;

    fn said(script: &str) -> Finished {
        let output = Command::new("sh").args(["-c", script]).run();
        Finished::of(output.expect("a shell"))
    }

    #[test]
    fn what_was_repaired_is_kept_and_what_was_not_is_damage() {
        assert_eq!(judge(&said("echo clean")), Checked::default());
        let repaired = judge(&said("echo Inode 7 fixed; exit 1"));
        assert_eq!(repaired.damage, None);
        assert_eq!(repaired.repaired.as_deref(), Some("Inode 7 fixed\n"));
        for script in ["echo bad; exit 4", "kill -9 $$"] {
            let damaged = judge(&said(script));
            assert!(damaged.damage.is_some() && damaged.repaired.is_none());
        }
    }

    #[test]
    fn a_power_cut_alone_is_not_damage() {
        let routine = "/dev/vda: recovering journal\n/dev/vda: Clearing orphaned inode 12 (uid=0)\n\
                       /dev/vda: Setting free blocks count to 7 (was 8)\n/dev/vda: clean, 11/64 files, 9/256 blocks\n";
        assert_eq!(repairs(routine), 0);
        let damaged = "/dev/vda contains a file system with errors, check forced.\n\
                       /dev/vda: Inode 14, i_blocks is 99, should be 8.  FIXED.\n\
                       /dev/vda: 14/64 files (0.0% non-contiguous), 9/256 blocks\n";
        assert_eq!(repairs(damaged), 1);
    }

    #[test]
    fn a_check_that_was_cut_off_is_damage() {
        let run = |program: &str| {
            let ended = Command::new(program)
                .args(["5"])
                .deadline(Duration::from_millis(20))
                .run();
            anyhow::Error::from(ended.expect_err("it does not end"))
        };
        let device = Path::new("/dev/none");
        let late = not_ended(device, &run("sleep").context("e2fsck"));
        assert!(late.damage.is_some_and(|words| words.contains("540 s")));
        assert_eq!(
            not_ended(device, &run("/no/such/program")),
            Checked::default()
        );
    }

    #[test]
    fn the_log_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("var/log/e2fsck.log");
        let words = "x".repeat(KEPT_BYTES);
        for _ in 0..20 {
            keep(&path, &words).expect("kept");
        }
        let length = fs::metadata(&path).expect("a log").len();
        assert!(length <= LOG_BYTES + 2 * KEPT_BYTES as u64, "{length}");
    }

    #[test]
    fn a_pipe_in_the_place_of_the_log_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, mknodat};
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        keep(&path, "Inode 7 fixed").expect("kept");
        assert_eq!(fs::read(&path).expect("a file"), b"Inode 7 fixed\n");
    }
}
