//! `ros os upgrade`, `rollback`, `commit` and `cancel`.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use install::{Manifest, Outcome, Partition, Role, Slot, store};

use super::installed::{Installed, Writable};
use crate::install::medium::Medium;
use crate::install::progress::Progress;
use crate::install::{confirm, copy, write};

/// RancherOS's flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// ISO file of the other version; the one that is staged when absent
    #[arg(short, long)]
    image: Option<String>,
    /// Only put it on the disk
    #[arg(short, long)]
    stage: bool,
    /// Do not ask, and take a version that was rejected before
    #[arg(short, long)]
    force: bool,
    /// Do not reboot afterwards
    #[arg(long)]
    no_reboot: bool,
    /// Start it by kexec; not possible yet
    #[arg(short, long)]
    kexec: bool,
    /// More kernel parameters for it
    #[arg(long, allow_hyphen_values = true)]
    append: Option<String>,
    /// Make the console anew; the default console always is
    #[arg(long)]
    upgrade_console: bool,
    /// Tell more
    #[arg(long)]
    debug: bool,
}

/// Puts a version into a free slot and has the next boot try it.
pub(super) fn upgrade(options: &Options) -> anyhow::Result<ExitCode> {
    ensure!(!options.kexec, "-k is not possible yet");
    if options.upgrade_console {
        println!("The default console is made anew at every boot; another one stays as it is.");
    }
    let machine = Installed::here()?;
    let choice = machine
        .records()?
        .choice()
        .context("the boot records are lost")?;
    if let Some(next) = choice.next {
        bail!("the version in slot {next} is tried first: `ros os commit` or `ros os cancel`");
    }
    let Some(image) = options.image.as_deref() else {
        return arm_staged(&machine, options);
    };
    let medium = Medium::open(Some(image))?;
    refuse(&machine, &medium, options.force)?;
    println!(
        "Upgrading to rancher/os:v{} from {image}",
        medium.manifest.version
    );
    if asks(options.force) && !confirm("Continue")? {
        return Ok(ExitCode::FAILURE);
    }
    let slot = stage(&machine, &medium, options.append.as_deref())?;
    if options.stage {
        println!(
            "v{} is staged in slot {slot}; `ros os upgrade` tries it.",
            medium.manifest.version
        );
        return Ok(ExitCode::SUCCESS);
    }
    try_slot(&machine, slot, options.force, options.no_reboot)
}

fn asks(force: bool) -> bool {
    !force && sys::tty::is_terminal(std::io::stdin())
}

fn refuse(machine: &Installed, medium: &Medium, force: bool) -> anyhow::Result<()> {
    let digest = medium.digest();
    if force {
        return Ok(());
    }
    if let Some(event) = machine.history().rejected(&digest) {
        bail!(
            "this version was rejected before ({}); -f tries it again",
            event.reason
        );
    }
    let running = machine.version(machine.slot);
    ensure!(
        running.is_none_or(|running| running.digest != digest),
        "already at version v{}; -f installs it again",
        medium.manifest.version
    );
    Ok(())
}

/// Writes layers and slot. Nothing in the records changes, so a power cut leaves the machine as it was.
fn stage(machine: &Installed, medium: &Medium, append: Option<&str>) -> anyhow::Result<Slot> {
    let records = machine.records()?;
    let free = install::free(&records, machine.slot)?;
    let slot = *free.first().context("no slot is free")?;
    let arguments = arguments(machine, &medium.manifest, append)?;
    let mut progress = Progress::new(
        medium.manifest.store_bytes() + medium.manifest.kernel.size + medium.manifest.initrd.size,
    );
    {
        let writable = Writable::new()?;
        collect(writable.root(), slot)?;
        check_room(writable.root(), &medium.manifest)?;
        copy::version(medium, writable.root(), slot, &mut progress)?;
    }
    let role = Role::Kernel(slot);
    let mut disk = machine.open(role)?;
    let size = end_of(&mut disk.0).context("cannot size a slot")?;
    let partition = Partition {
        role,
        start: 0,
        size,
    };
    write::slot(
        &mut disk,
        partition,
        machine.sector_bytes,
        medium,
        &arguments,
    )?;
    progress.add(medium.manifest.kernel.size + medium.manifest.initrd.size);
    progress.end();
    machine.note(slot, Outcome::Staged, "")?;
    Ok(slot)
}

/// Bytes of a device.
fn end_of(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// The other version's parameters, with those that this machine's user has added to the running one's.
fn arguments(
    machine: &Installed,
    other: &Manifest,
    append: Option<&str>,
) -> anyhow::Result<String> {
    let running = machine
        .version(machine.slot)
        .context("the running version has no manifest")?;
    let environment = machine.environment(machine.slot)?;
    let now = environment.into_iter().find(|(name, _)| name == "args");
    let now = now.map(|(_, value)| value).unwrap_or_default();
    let own = now
        .split_whitespace()
        .filter(|word| !running.manifest.arguments.iter().any(|known| known == word))
        .map(str::to_owned);
    let mut words: Vec<String> = other.arguments.iter().cloned().chain(own).collect();
    words.extend(append.map(str::to_owned));
    Ok(words.join(" "))
}

/// Removes the folder of the slot that is written next, and contents that no slot has any more.
fn collect(root: &Path, slot: Slot) -> anyhow::Result<()> {
    let folder = root.join(store::slot_folder(slot));
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let contents = root.join(store::STORE);
    for entry in
        fs::read_dir(&contents).with_context(|| format!("cannot list {}", contents.display()))?
    {
        let entry = entry.context("cannot list the store")?;
        let metadata = entry.metadata().context("cannot stat a content")?;
        if metadata.nlink() == 1 {
            fs::remove_file(entry.path()).context("cannot remove a content that nobody has")?;
        }
    }
    Ok(())
}

/// Looks for room before the first byte.
fn check_room(root: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let missing = manifest
        .files
        .iter()
        .filter(|item| !root.join(store::stored(item)).exists());
    let wanted: u64 = missing.map(|item| item.size).sum();
    let free = sys::fs::free_bytes(root)?;
    ensure!(
        wanted < free,
        "{wanted} bytes are to be stored, the disk has room for {free}"
    );
    Ok(())
}

fn arm_staged(machine: &Installed, options: &Options) -> anyhow::Result<ExitCode> {
    let free = install::free(&machine.records()?, machine.slot)?;
    let history = machine.history();
    let staged = free.into_iter().find(|slot| {
        history
            .last(*slot)
            .is_some_and(|event| event.outcome == Outcome::Staged)
    });
    let Some(slot) = staged else {
        bail!(
            "name an ISO file with -i: images from registries and lists of releases are not possible yet"
        );
    };
    ensure!(
        !options.stage,
        "the version in slot {slot} is staged already"
    );
    try_slot(machine, slot, options.force, options.no_reboot)
}

/// Has the next boot try a slot.
fn try_slot(
    machine: &Installed,
    slot: Slot,
    force: bool,
    no_reboot: bool,
) -> anyhow::Result<ExitCode> {
    machine.apply(&install::arm(&machine.records()?, slot)?)?;
    machine.note(slot, Outcome::Armed, "")?;
    println!(
        "The next boot tries the version in slot {slot}; if it fails, the one that runs comes back by itself."
    );
    if no_reboot || (asks(force) && !confirm("Continue with reboot")?) {
        return Ok(ExitCode::SUCCESS);
    }
    crate::power::reboot()?;
    Ok(ExitCode::SUCCESS)
}

/// Tries the version that was good before; it has to pass its checks, too.
pub(super) fn rollback(force: bool, no_reboot: bool) -> anyhow::Result<ExitCode> {
    let machine = Installed::here()?;
    let choice = machine
        .records()?
        .choice()
        .context("the boot records are lost")?;
    let previous = choice
        .prev
        .context("there is no version before this one on the disk")?;
    if asks(force) && !confirm(&format!("Go back to the version in slot {previous}"))? {
        return Ok(ExitCode::FAILURE);
    }
    try_slot(&machine, previous, true, no_reboot)
}

/// Makes the running version the good one.
pub(super) fn commit() -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let records = machine.records()?;
    let choice = records.choice().context("the boot records are lost")?;
    if choice.good == machine.slot && choice.next.is_none() {
        println!("v{} is committed already.", config::VERSION);
        return Ok(());
    }
    machine.apply(&install::commit(&records, machine.slot)?)?;
    machine.note(machine.slot, Outcome::Committed, "by hand")
}

/// Takes an order back.
pub(super) fn cancel() -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let records = machine.records()?;
    let choice = records.choice().context("the boot records are lost")?;
    let next = choice.next.context("no version is to be tried")?;
    ensure!(
        next != machine.slot,
        "the version in slot {next} runs already: `ros os rollback` goes back"
    );
    machine.apply(&install::cancel(&records)?)?;
    machine.note(next, Outcome::Cancelled, "")
}
