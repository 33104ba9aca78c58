//! `cargo xtask crash-test --machine`: power cuts of a running machine. Everything that it writes to its state disk is
//! recorded; states in which a power cut can leave the disk are made of that. In each the file system is whole again after
//! its journal and holds what the machine had confirmed; a sample of them is booted and used.

pub(crate) mod installed;
pub(crate) mod kills;
mod log;
mod slots;
mod states;
mod story;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::artifacts::Artifacts;
use crate::disk;
use crate::guest::Guest;
use crate::machine::{Boot, Machine};
use log::{Entry, Log};
use states::State;
use story::Promise;

/// States that are looked at, and of them booted, unless the arguments say otherwise.
const STATES: usize = 300;
const BOOTS: usize = 8;

/// Runs it; the arguments are the number of states and of boots.
///
/// # Errors
/// When a state is bad, or a machine does not come up.
pub(crate) fn run(artifacts: &Artifacts, arguments: &[String]) -> anyhow::Result<()> {
    let (wanted, boots) = (number(arguments, 0, STATES)?, number(arguments, 1, BOOTS)?);
    let folder = tempfile::tempdir().context("cannot make a folder for disks")?;
    let (empty, lived) = (folder.path().join("empty"), folder.path().join("lived"));
    disk::make_state(&empty)?;
    copy(&empty, &lived)?;
    let log = Log::new(folder.path())?;
    let told = story::live(artifacts, &log, &lived)?;
    log.check()?;
    let entries = log.entries()?;
    eprintln!(
        "crash: {} operations on the disk, {} of them flushes",
        entries.len(),
        entries
            .iter()
            .filter(|entry| **entry == Entry::Flush)
            .count()
    );
    let states = states::spread(&entries, told.formatted, wanted);
    let step = (wanted / boots.max(1)).max(1);
    let mut base = Base::new(&log, &entries, empty);
    let mut booted = 0;
    for (index, state) in states.iter().enumerate() {
        let image = folder.path().join("state");
        base.make(state, &image)?;
        let promises = told.made_before(state.cut);
        let is_booted = boots > 0 && index % step == step - 1;
        let mut tried = look(&image, &promises);
        if tried.is_ok() && is_booted {
            let kept = folder.path().join("booted");
            copy(&image, &kept)?;
            tried = boot(artifacts, &kept, &promises, booted).context("booted");
            booted += 1;
            eprintln!("crash: {} states, {booted} booted", index + 1);
        }
        if let Err(error) = tried {
            let bad = artifacts.log("crash", "state");
            copy(&image, &bad)?;
            bail!("{} ({}): {error:#}", bad.display(), words(state));
        }
    }
    println!(
        "{} states after a power cut of a running machine, none bad; {booted} of them were booted",
        states.len()
    );
    Ok(())
}

/// A number among the arguments of a command.
fn number(arguments: &[String], index: usize, default: usize) -> anyhow::Result<usize> {
    match arguments.get(index) {
        Some(text) => text
            .parse()
            .with_context(|| format!("{text} is not a number")),
        None => Ok(default),
    }
}

fn words(state: &State) -> String {
    format!(
        "cut before operation {}, {} of {} unconfirmed writes done",
        state.cut,
        state.lucky.len(),
        state.cut - state.flushed
    )
}

/// The disk as it was at some flush; it only goes forward.
struct Base<'a> {
    log: &'a Log,
    entries: &'a [Entry],
    path: PathBuf,
    applied: usize,
}

impl<'a> Base<'a> {
    /// The disk at `path` is as it was before the log.
    fn new(log: &'a Log, entries: &'a [Entry], path: PathBuf) -> Self {
        Self {
            log,
            entries,
            path,
            applied: 0,
        }
    }

    /// Makes the disk of a state, which is not before the last one.
    fn make(&mut self, state: &State, image: &Path) -> anyhow::Result<()> {
        let confirmed = self
            .entries
            .get(self.applied..state.flushed)
            .unwrap_or_default();
        self.log.replay(confirmed, &self.path)?;
        self.applied = self.applied.max(state.flushed);
        copy(&self.path, image)?;
        let lucky: Vec<Entry> = state
            .lucky
            .iter()
            .filter_map(|index| self.entries.get(*index).copied())
            .collect();
        self.log.replay(&lucky, image)
    }
}

/// Keeps the holes: a disk is mostly holes.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    duct::cmd!("cp", "--sparse=always", from, to)
        .run()
        .map(drop)
        .context("cp")
}

/// The file system is whole after its journal was replayed, and holds what was promised.
fn look(image: &Path, promises: &[&Promise]) -> anyhow::Result<()> {
    // Mends by itself only what a mount does too: the journal, files that were deleted while open, the counts of free blocks.
    let (code, said) = e2fsck(&["-f", "-p"], image)?;
    ensure!(code <= 1, "e2fsck: {said}");
    for promise in promises {
        promise.is_kept_on(image)?;
    }
    Ok(())
}

/// Its exit code (e2fsck(8): 0 no errors, 1 corrected) and what it said.
fn e2fsck(options: &[&str], image: &Path) -> anyhow::Result<(i32, String)> {
    let path = image.to_string_lossy();
    let words = options.iter().copied().chain([path.as_ref()]);
    let output = duct::cmd("e2fsck", words)
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .context("e2fsck")?;
    let Some(code) = output.status.code() else {
        bail!("e2fsck: {}", output.status);
    };
    Ok((code, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The machine comes up by itself and works with what it has.
fn boot(
    artifacts: &Artifacts,
    image: &Path,
    promises: &[&Promise],
    number: usize,
) -> anyhow::Result<()> {
    let guest = Machine::new(&format!("crash-{number}"), Boot::Kernel)
        .state_disk(image)
        .start(artifacts)?;
    guest.wait_ready()?;
    for promise in promises {
        promise.is_kept_in(&guest)?;
    }
    works(&guest)?;
    guest.check()
}

/// A new setting and a new container are possible, and the state is on the disk.
fn works(guest: &Guest) -> anyhow::Result<()> {
    guest.run("grep -q ' /home ext4 ' /proc/mounts")?;
    guest.run("sudo ros config set rancher.environment.AFTER later && test \"$(sudo ros config get rancher.environment.AFTER)\" = later")?;
    guest.wait_docker()?;
    guest.run("docker run --rm busybox true && docker save busybox | system-docker load -q && system-docker run --rm busybox true")?;
    Ok(())
}
