//! Broken versions come back alone: whatever is wrong with a version, the one before runs again within its tries, nobody is
//! locked out, and it is said what was wrong.
//!
//! The faults are tables ([`kinds`]); what is asserted is the same for all.

mod faults;
pub(super) mod kinds;
mod old;
mod power;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use tempfile::TempDir;

use super::install::{DISK_BYTES, blank_disk, install_on};
use crate::context::{Context, alone, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};
use crate::second_version::SecondVersion;
use kinds::{DOCKER, EARLY, Kind, LATE, SHORT};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        long(
            context,
            "broken_kernel_or_pid_1_comes_back_alone",
            |context| table(context, "broken-early", EARLY.iter()),
        ),
        long(context, "broken_services_come_back_alone", |context| {
            table(context, "broken-late", LATE.iter())
        }),
        long(context, "broken_user_docker_comes_back_alone", |context| {
            table(context, "broken-docker", DOCKER.iter())
        }),
        alone(context, "broken_versions_come_back_alone", |context| {
            let short = kinds::all().filter(|kind| SHORT.contains(&kind.name));
            table(context, "broken", short)
        }),
        long(
            context,
            "broken_by_a_power_cut_the_version_is_tried_again",
            power::cuts,
        ),
        long(
            context,
            "broken_old_version_too_keeps_its_owner_in",
            old::both_bad,
        ),
    ]
}

/// Seconds that a version has to pass its checks: enough for User Docker's canary on an emulated machine.
const TIMEOUT: u32 = 75;
/// A version that nobody judges is given up by PID 1 in 195 s; the boots around that take a minute each.
const BACK_DEADLINE: Duration = Duration::from_secs(900);
/// How long what hangs is given to say something all the same: there is no event to wait for.
const SILENCE: Duration = Duration::from_secs(15);
/// Tries that a version gets.
const TRIES: usize = 3;
/// The slots of the version that is installed, and of the one that is tried.
const GOOD: u32 = 4;
const TRIED: u32 = 5;

/// What broken versions print and no other.
const NOISE: &[&str] = &[
    "Kernel panic",
    "Attempted to kill init",
    "SQUASHFS error",
    "I/O error",
    "EXT4-fs error",
    "segfault at",
];

/// An installed machine with a container of the user's, and a second disk that has versions to upgrade to.
struct Installed {
    guest: Guest,
    versions: PathBuf,
    _folder: TempDir,
}

/// Versions are handed over in a file of this size.
const VERSION_BYTES: u64 = 512 << 20;

impl Installed {
    /// A copy of an installed disk, booted.
    fn start(context: &Context, name: &str, disk: &Path) -> anyhow::Result<Installed> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let copy = folder.path().join("disk");
        duct::cmd!("cp", "--sparse=always", "--reflink=auto", disk, &copy)
            .run()
            .context("cannot copy a disk")?;
        let versions = folder.path().join("versions");
        File::create(&versions)
            .and_then(|file| file.set_len(VERSION_BYTES))
            .context("cannot make a disk")?;
        let mut guest = Machine::new(name, Boot::Disk)
            .disk_behind(&copy, "virtio-blk-pci,bootindex=1")
            .disk(&versions)
            .start(&context.artifacts)?;
        for noise in NOISE {
            guest.allow(noise);
        }
        guest.wait_ready()?;
        guest.wait_docker()?;
        guest.run("docker run -d --restart always --name web busybox sleep 1000000")?;
        Ok(Installed {
            guest,
            versions,
            _folder: folder,
        })
    }

    /// Puts a version on the second disk.
    fn offer(&self, version: &SecondVersion) -> anyhow::Result<()> {
        let content = std::fs::read(&version.path).context("cannot read an ISO")?;
        ensure!(
            content.len() as u64 <= VERSION_BYTES,
            "the ISO is larger than the disk for it"
        );
        File::options()
            .write(true)
            .open(&self.versions)
            .and_then(|file| file.write_all_at(&content, 0))
            .context("cannot write a disk")
    }

    /// Has the next boot try the version on the second disk, and reboots. Returns where the console then was.
    fn try_version(&self) -> anyhow::Result<usize> {
        self.guest.run(UPGRADE)?;
        let mark = self.guest.console.mark();
        // The connection ends with the machine.
        let _ = self.guest.ssh.answer("sudo reboot");
        Ok(mark)
    }

    fn reset(&mut self) -> anyhow::Result<()> {
        self.guest.qmp.run("system_reset", json!({})).map(drop)
    }

    /// Waits for the installed version's boot, and until it has decided.
    fn wait_back(&self, mark: usize) -> anyhow::Result<()> {
        let console = &self.guest.console;
        console.wait_after(mark, &format!("rancher.slot={GOOD} "), BACK_DEADLINE)?;
        self.guest.wait_ready_after(console.mark())?;
        self.guest
            .run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)
            .map(drop)
    }

    /// How many kernels of the tried slot have started since `mark`.
    fn boots_since(&self, mark: usize) -> usize {
        let slot = format!("rancher.slot={TRIED} ");
        let text = self.guest.console.text();
        let lines = text[mark..].lines();
        lines
            .filter(|line| line.contains("] Command line: ") && line.contains(&slot))
            .count()
    }
}

const UPGRADE: &str = "sudo ros os upgrade -i /dev/vdb --no-reboot";

/// Installs a machine on a disk; `config` is a line of its cloud-config.
fn installed(context: &Context, name: &str, config: &str) -> anyhow::Result<super::install::Disk> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(
        &context.artifacts,
        &format!("{name}-install"),
        &disk.path,
        config,
    )?;
    Ok(disk)
}

/// Tries one kind after the other. After a failure the rest goes on with a fresh machine: the table is for finding faults.
fn table<'a>(
    context: &Context,
    name: &str,
    kinds: impl Iterator<Item = &'a Kind>,
) -> anyhow::Result<()> {
    let config = format!("rancher: {{upgrade: {{timeout: {TIMEOUT}}}}}");
    let disk = installed(context, name, &config)?;
    let mut machine = None;
    let mut failures = Vec::new();
    for kind in kinds {
        let mut at_work = match machine.take() {
            Some(machine) => machine,
            None => Installed::start(context, name, &disk.path)?,
        };
        let start = Instant::now();
        let result = row(context, &mut at_work, kind);
        let seconds = start.elapsed().as_secs();
        match result {
            Ok(reason) => {
                println!("{}: {seconds} s: {reason}", kind.name);
                machine = Some(at_work);
            }
            Err(error) => {
                println!("{}: failed after {seconds} s", kind.name);
                failures.push(format!("{}: {error:#}", kind.name));
            }
        }
    }
    if let Some(machine) = machine {
        machine.guest.check()?;
    }
    if !failures.is_empty() {
        bail!(
            "{} kinds failed:\n{}",
            failures.len(),
            failures.join("\n\n")
        );
    }
    Ok(())
}

/// Returns what the history says.
fn row(context: &Context, machine: &mut Installed, kind: &Kind) -> anyhow::Result<String> {
    let artifacts = &context.artifacts;
    let version = SecondVersion::changed(&artifacts.iso, |tree| {
        kind.fault.apply(tree, &artifacts.arch)
    })?;
    machine.offer(&version)?;
    drop(version);
    let mark = machine.try_version()?;
    if let Some((last, never)) = kind.hangs {
        let mut from = mark;
        for _ in 0..TRIES {
            let console = &machine.guest.console;
            console.wait_after(from, last, BOOT_DEADLINE)?;
            from = console.mark();
            let spoke = console.wait_after(from, never, SILENCE).is_ok();
            ensure!(!spoke, "it does not hang: it said {never:?}");
            from = console.mark();
            machine.reset()?;
        }
    }
    machine.wait_back(mark)?;
    let boots = machine.boots_since(mark);
    let guest = &machine.guest;
    let history = guest.run("sudo ros os history | tail -n 1")?;
    ensure!(
        history.contains(&format!("in slot {TRIED}: rejected, {}", kind.reason)),
        "the history says {history:?}, not {:?}",
        kind.reason
    );
    ensure!(
        boots == kind.boots,
        "its kernel was started {boots} times, not {}: {history}",
        kind.boots
    );
    let list = guest.run("sudo ros os list")?;
    ensure!(
        list.contains(&format!("slot {GOOD} good running")),
        "afterwards: {list}"
    );
    guest.run("ros status | grep -q 'was given up: '")?;
    guest.refuses(UPGRADE, 2, "was rejected before")?;
    guest.run_until(WEB, BOOT_DEADLINE)?;
    Ok(history)
}

/// The user's container runs.
const WEB: &str = "test \"$(docker inspect -f '{{.State.Running}}' web)\" = true";
