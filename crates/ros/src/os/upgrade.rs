//! `ros os upgrade`: a version is put on the disk, and tried.

use std::process::ExitCode;

use anyhow::Context as _;
use config::VERSION;
use install::{Outcome, Slot};

use super::failure::fail;
use super::installed::Installed;
use super::lock::{self, Lock};
use super::order::{arm, asks, refuse_when_given};
use super::policy::Policy;
use super::rules::Asker;
use super::wanted::Wanted;
use super::{changes, kexec, live, releases, rules, stage};
use crate::install::confirm;
use crate::install::medium::Medium;

/// RancherOS's flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name of an image, archive of one, or ISO file; when absent the version that is staged, else the newest that `ros os list -u` has
    #[arg(value_name = "IMAGE", conflicts_with = "image")]
    reference: Option<String>,
    /// The same, as in RancherOS
    #[arg(short, long)]
    image: Option<String>,
    /// Take it although nobody has signed it
    #[arg(long)]
    insecure: bool,
    /// Only put it on the disk
    #[arg(short, long)]
    stage: bool,
    /// Do not ask, and take a version that was rejected before
    #[arg(short, long)]
    force: bool,
    /// Do not reboot afterwards
    #[arg(long)]
    no_reboot: bool,
    /// Start it by kexec, without the firmware; a boot through the firmware then decides whether it is kept
    #[arg(short, long)]
    kexec: bool,
    /// More kernel parameters for it
    #[arg(long, allow_hyphen_values = true)]
    append: Option<String>,
    /// Start it at once, without a reboot: services that differ are replaced, containers run on
    #[arg(long, conflicts_with_all = ["stage", "no_reboot", "kexec"])]
    live: bool,
    /// Replace the console by a new one; the default console always is
    #[arg(long)]
    upgrade_console: bool,
    /// Tell more
    #[arg(long)]
    debug: bool,
}

/// Puts a version into a free slot and has the next boot try it.
pub(super) fn upgrade(options: &Options) -> anyhow::Result<ExitCode> {
    if options.kexec && (options.stage || options.no_reboot) {
        println!("-k has no effect: nothing is started now");
    } else if options.kexec {
        kexec::check(options.force)?;
    }
    if options.upgrade_console {
        println!(
            "The default console starts from its image at every boot; another one stays as it is."
        );
    }
    let machine = Installed::here()?;
    refuse_when_given(&machine)?;
    let policy = Policy::of_machine(options.insecure)?;
    let named = options.image.clone().or_else(|| options.reference.clone());
    let image = match named {
        Some(image) => image,
        None => match staged(&machine)? {
            Some(slot) => return upgrade_staged(&machine, slot, options),
            None => newest(&policy)?,
        },
    };
    let medium = Medium::open(Some(&image), &policy)?;
    check_and_tell(&machine, &Wanted::on_medium(&medium, &image), options)?;
    let slot = stage::slot(&machine)?;
    stage::check_room(slot, &medium)?;
    if options.debug {
        tell_more(&machine, &medium, slot)?;
    }
    if asks(options.force) && !confirm("Continue")? {
        return Ok(ExitCode::FAILURE);
    }
    // From here until it is armed nobody else may write to the slot
    let lock = lock::take()?;
    stage::stage(&machine, &medium, slot, options.append.as_deref())?;
    let version = medium.manifest.version.clone();
    // A reboot would end this process before it has put away what it was staged from
    drop(medium);
    if options.stage {
        println!("v{version} is staged in slot {slot}; `ros os upgrade` tries it.");
        return Ok(ExitCode::SUCCESS);
    }
    begin(&machine, slot, options, lock)
}

/// The version that lies on the disk: the rules are asked and the changes told as of any other, since the one who has put it there may
/// have been the policy, and a pin may be newer.
fn upgrade_staged(machine: &Installed, slot: Slot, options: &Options) -> anyhow::Result<ExitCode> {
    if options.stage {
        fail!(Refused, "the version in slot {slot} is staged already");
    }
    if options.append.is_some() {
        fail!(
            Refused,
            "the version in slot {slot} has its kernel parameters already: name its image again to stage it with others"
        );
    }
    let version = machine.version(slot).context("no version is staged")?;
    println!("A version lies in slot {slot}; the name of an image takes another one.");
    check_and_tell(machine, &Wanted::in_slot(&version, slot), options)?;
    if asks(options.force) && !confirm("Continue")? {
        return Ok(ExitCode::FAILURE);
    }
    let lock = lock::take()?;
    // A question may have waited for long
    let there = machine.version(slot).map(|there| there.digest);
    if staged(machine)? != Some(slot) || there.as_ref() != Some(&version.digest) {
        fail!(
            Refused,
            "meanwhile another version was staged, or this one started: `ros os status`"
        );
    }
    begin(machine, slot, options, lock)
}

/// What a person is told before the question.
///
/// # Errors
/// When this machine does not take the version, or not without a reboot.
fn check_and_tell(
    machine: &Installed,
    wanted: &Wanted<'_>,
    options: &Options,
) -> anyhow::Result<()> {
    let asker = Asker::Person {
        force: options.force,
    };
    rules::check(machine, wanted, asker)?;
    for line in rules::describe(machine, wanted) {
        println!("{line}");
    }
    println!("{}", changes::line(machine, wanted));
    if options.live {
        live::check(machine, wanted.manifest, options.force)?;
        println!(
            "  without a reboot: services that differ are replaced; shells of the console end when it is one of them"
        );
    }
    Ok(())
}

/// Starts the version in a slot as the options say.
fn begin(
    machine: &Installed,
    slot: Slot,
    options: &Options,
    lock: Lock,
) -> anyhow::Result<ExitCode> {
    if !options.live {
        return try_slot(machine, slot, options, lock);
    }
    // Another process goes on, and takes it itself
    drop(lock);
    live::start(slot)
}

/// `--debug`: what is known before the first byte is written.
fn tell_more(machine: &Installed, medium: &Medium, slot: Slot) -> anyhow::Result<()> {
    let manifest = &medium.manifest;
    println!("debug: {} runs in slot {}", VERSION, machine.slot);
    println!("debug: v{} goes into slot {slot}", manifest.version);
    println!("debug: its manifest has the SHA-256 {}", medium.digest());
    println!(
        "debug: its kernel parameters: {}",
        manifest.arguments.join(" ")
    );
    println!(
        "debug: {} bytes are not on the disk yet:",
        stage::missing(slot, medium)?
    );
    let missing = manifest.payload().filter(|item| {
        let path = std::path::Path::new(super::installed::STORE).join(install::store::stored(item));
        !path.exists()
    });
    for item in missing {
        println!(
            "debug:   {} {} bytes, {}",
            item.path, item.size, item.sha256
        );
    }
    Ok(())
}

/// The slot with a version that was put there and not tried yet.
pub(super) fn staged(machine: &Installed) -> anyhow::Result<Option<Slot>> {
    let free = install::free(&machine.records()?, machine.slot)?;
    let history = machine.history();
    // A later download that broke off has taken its place: the slot then has another version, or none
    let is_staged = |slot: &Slot| {
        let staged = history.last(*slot);
        let staged = staged.filter(|event| event.outcome == Outcome::Staged);
        let there = machine.version(*slot);
        staged.is_some_and(|event| there.is_some_and(|version| version.digest == event.digest))
    };
    Ok(free.into_iter().find(is_staged))
}

/// Puts a version on the disk that nobody was asked about: all rules hold.
pub(super) fn stage_image(machine: &Installed, image: &str, policy: &Policy) -> anyhow::Result<()> {
    let medium = Medium::open(Some(image), policy)?;
    rules::check(machine, &Wanted::on_medium(&medium, image), Asker::Policy)?;
    let _lock = lock::take()?;
    let slot = stage::slot(machine)?;
    stage::check_room(slot, &medium)?;
    stage::stage(machine, &medium, slot, None)
}

/// Has the next boot try the version that is staged; returns its name.
pub(super) fn arm_staged(machine: &Installed) -> anyhow::Result<String> {
    let _lock = lock::take()?;
    let slot = staged(machine)?.context("no version is staged")?;
    let version = machine.version(slot).context("no version is staged")?;
    // A pin, or a rejection under another name, may be newer than it
    rules::check(machine, &Wanted::in_slot(&version, slot), Asker::Policy)?;
    arm(machine, slot)?;
    Ok(version.manifest.version)
}

/// The name of the newest version that there is for this machine, unless it runs.
fn newest(policy: &Policy) -> anyhow::Result<String> {
    let newest = releases::newest(policy)?;
    if !newest.is_newer() {
        fail!(
            Refused,
            "v{VERSION} runs, and the newest is {}",
            newest.image
        );
    }
    Ok(newest.image)
}

/// Has the next boot try a slot, and boots it now unless the options say otherwise.
fn try_slot(
    machine: &Installed,
    slot: Slot,
    options: &Options,
    lock: Lock,
) -> anyhow::Result<ExitCode> {
    arm(machine, slot)?;
    // The records say it from here on, and a question may wait for long
    drop(lock);
    if options.no_reboot || (asks(options.force) && !confirm("Continue with reboot")?) {
        return Ok(ExitCode::SUCCESS);
    }
    if options.kexec {
        kexec::try_slot(machine, slot)?;
    } else {
        crate::power::reboot()?;
    }
    Ok(ExitCode::SUCCESS)
}
