//! Orders about versions: which one the next boot tries, the way back, and what is kept.

use std::process::ExitCode;

use anyhow::Context as _;
use install::{Choice, Outcome, Slot};

use super::failure::fail;
use super::gate::facts::Facts;
use super::installed::Installed;
use super::{kexec, live, loader, lock, rules};
use crate::install::confirm;

/// The choice that rules.
fn choice(machine: &Installed) -> anyhow::Result<Choice> {
    let choice = machine.records()?.choice();
    choice.context("the boot records are lost")
}

/// # Errors
/// When another version is tried, by this boot or by the next one: one at a time.
pub(super) fn refuse_when_given(machine: &Installed) -> anyhow::Result<()> {
    match choice(machine)?.next {
        None => Ok(()),
        Some(next) if next == machine.slot => fail!(
            Refused,
            "the version in slot {next}, which runs, is tried first: `ros os commit` keeps it, `ros os rollback` goes back"
        ),
        Some(next) => fail!(
            Refused,
            "the version in slot {next} is tried first: the next boot does it, `ros os cancel` takes that back"
        ),
    }
}

/// Has the next boot try a slot.
pub(super) fn arm(machine: &Installed, slot: Slot) -> anyhow::Result<()> {
    give(machine, slot, "")?;
    crate::problems::clear("upgrade");
    println!(
        "The next boot tries the version in slot {slot}; if it fails, the one that runs comes back by itself."
    );
    Ok(())
}

/// Notes what works, and writes the order into the records.
pub(super) fn give(machine: &Installed, slot: Slot, reason: &str) -> anyhow::Result<()> {
    let _lock = lock::take()?;
    Facts::gather().note()?;
    written(
        || machine.decide(|records| install::arm(records, slot)),
        || machine.decide(install::cancel),
        || machine.note(slot, Outcome::Armed, reason),
    )
}

/// An order holds as soon as the records have it: a history that cannot be written is said, and takes nothing back. Records that were
/// written by half are taken back.
fn written(
    order: impl FnOnce() -> anyhow::Result<()>,
    undo: impl FnOnce() -> anyhow::Result<()>,
    note: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if let Err(error) = order() {
        return match undo() {
            Ok(()) => Err(error),
            Err(also) => Err(error.context(format!(
                "perhaps the next boot tries it all the same ({also:#}): `ros os status`"
            ))),
        };
    }
    if let Err(error) = note() {
        eprintln!("warning: the history does not have it: {error:#}");
    }
    Ok(())
}

/// The way back from where the machine is.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// The version in this slot is given up, and the good one booted.
    GiveUp(Slot),
    /// The version before is tried.
    Try(Slot),
}

/// `live` is the slot of a version that runs without having been booted.
fn way_back(choice: &Choice, running: Slot, live: Option<Slot>) -> anyhow::Result<Way> {
    match (choice.next, choice.prev) {
        (Some(next), _) if next == running || live == Some(next) => Ok(Way::GiveUp(next)),
        (Some(next), _) => fail!(
            Refused,
            "the version in slot {next} was not started yet: `ros os cancel` takes the order back"
        ),
        (None, Some(previous)) => Ok(Way::Try(previous)),
        (None, None) => fail!(Refused, "there is no version before this one on the disk"),
    }
}

/// The slot of the version that runs since an upgrade without a reboot.
fn live_slot() -> Option<Slot> {
    let number = live::slot()?;
    Slot::from_number(u32::try_from(number).ok()?)
}

/// Goes back: from a version that is tried to the good one, at once; from a good one to the one before, which has to pass its checks, too.
pub(super) fn rollback(force: bool, no_reboot: bool) -> anyhow::Result<ExitCode> {
    let machine = Installed::here()?;
    let way = way_back(&choice(&machine)?, machine.slot, live_slot())?;
    if let (Way::Try(slot), false) = (&way, force) {
        let (now, then) = (machine.version(machine.slot), machine.version(*slot));
        if let (Some(now), Some(then)) = (now, then) {
            rules::refuse(&now.manifest, &then.manifest)?;
        }
    }
    let question = match way {
        Way::GiveUp(slot) => {
            format!("Give the version in slot {slot} up, and go back to the one before")
        }
        Way::Try(slot) => format!("Go back to the version in slot {slot}"),
    };
    if asks(force) && !confirm(&question)? {
        return Ok(ExitCode::FAILURE);
    }
    match way {
        Way::GiveUp(slot) => {
            // First the history, as the checks do it: it must not be forgotten
            machine.note_or_say(slot, Outcome::Rejected, "by hand");
            machine.decide(install::reject)?;
            println!(
                "The version in slot {slot} is given up; the next boot starts the one before."
            );
        }
        Way::Try(slot) => arm(&machine, slot)?,
    }
    if !no_reboot {
        crate::power::reboot()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `reboot --kexec-previous`: the version before this one is tried, and started without the firmware.
///
/// # Errors
/// When there is none, when another one is tried first, or when this machine must go through its firmware.
pub(crate) fn previous_by_kexec() -> anyhow::Result<()> {
    kexec::check(false)?;
    let machine = Installed::here()?;
    refuse_when_given(&machine)?;
    let Some(previous) = choice(&machine)?.prev else {
        fail!(Refused, "there is no version before this one on the disk");
    };
    if let (Some(now), Some(then)) = (machine.version(machine.slot), machine.version(previous)) {
        rules::refuse(&now.manifest, &then.manifest)?;
    }
    arm(&machine, previous)?;
    kexec::try_slot(&machine, previous).or_else(|error| {
        // Nobody wants a later reboot to try it
        machine.decide(install::cancel)?;
        Err(error.context("the version before is not tried"))
    })
}

/// Whether a person is asked.
pub(super) fn asks(force: bool) -> bool {
    !force && sys::tty::is_terminal(std::io::stdin())
}

/// Whether there is something to commit.
fn to_commit(choice: &Choice, running: Slot, live: Option<Slot>) -> anyhow::Result<bool> {
    match choice.next {
        // What this boot tries, or what the owner has chosen in the boot menu
        None => Ok(choice.good != running),
        Some(next) if next == running => Ok(true),
        Some(next) if live == Some(next) => fail!(
            Refused,
            "the version in slot {next} runs without a reboot, and has not shown that it boots: the next boot tries it"
        ),
        Some(next) => fail!(
            Refused,
            "the version in slot {next} was not started yet: the next boot tries it, `ros os cancel` takes that back"
        ),
    }
}

/// Makes the running version the good one.
pub(super) fn commit() -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let _lock = lock::take()?;
    if !to_commit(&choice(&machine)?, machine.slot, live_slot())? {
        println!("v{} is committed already.", config::VERSION);
        return Ok(());
    }
    machine.decide(|records| install::commit(records, machine.slot))?;
    machine.note_or_say(machine.slot, Outcome::Committed, "by hand");
    loader::update(&machine);
    Ok(())
}

/// Takes an order back.
pub(super) fn cancel() -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let _lock = lock::take()?;
    let next = match choice(&machine)?.next {
        None => fail!(Refused, "no version is to be tried"),
        Some(next) if next == machine.slot => fail!(
            Refused,
            "the version in slot {next} runs already: `ros os rollback` goes back"
        ),
        Some(next) => next,
    };
    machine.decide(install::cancel)?;
    machine.note_or_say(next, Outcome::Cancelled, "");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::failure::Failure;
    use super::*;

    fn choice(next: Option<Slot>, prev: Option<Slot>) -> Choice {
        Choice {
            id: 7,
            good: Slot::A,
            next,
            prev,
        }
    }

    fn refusal<T: std::fmt::Debug>(result: anyhow::Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Failure::Refused), "{error:#}");
        format!("{error:#}")
    }

    #[test]
    fn from_a_trial_the_way_back_is_the_good_version() {
        let (b, c) = (Some(Slot::B), Some(Slot::C));
        let way = |next, prev, running, live| way_back(&choice(next, prev), running, live);
        // At the first upgrade there is no version before the good one
        assert_eq!(way(b, None, Slot::B, None).unwrap(), Way::GiveUp(Slot::B));
        assert_eq!(way(b, c, Slot::B, None).unwrap(), Way::GiveUp(Slot::B));
        assert_eq!(way(b, c, Slot::A, b).unwrap(), Way::GiveUp(Slot::B));
        assert_eq!(way(None, c, Slot::A, None).unwrap(), Way::Try(Slot::C));
        assert!(refusal(way(b, c, Slot::A, None)).contains("ros os cancel"));
        assert!(refusal(way(None, None, Slot::A, None)).contains("no version before"));
    }

    #[test]
    fn only_what_was_booted_is_committed() {
        let b = Some(Slot::B);
        let commits = |next, running, live| to_commit(&choice(next, None), running, live);
        assert!(commits(b, Slot::B, None).unwrap());
        assert!(!commits(None, Slot::A, None).unwrap());
        assert!(commits(None, Slot::C, None).unwrap(), "from the menu");
        assert!(refusal(commits(b, Slot::A, None)).contains("was not started yet"));
        assert!(refusal(commits(b, Slot::A, b)).contains("without a reboot"));
    }

    #[test]
    fn a_history_that_cannot_be_written_takes_no_order_back() {
        let undone = Cell::new(0);
        let undo = || {
            undone.set(undone.get() + 1);
            Ok(())
        };
        let fails = || Err(anyhow::anyhow!("input/output error"));
        written(|| Ok(()), undo, fails).unwrap();
        assert_eq!(undone.get(), 0);
        written(fails, undo, || panic!("nothing was ordered")).unwrap_err();
        assert_eq!(undone.get(), 1);
        let error = written(fails, fails, || Ok(())).unwrap_err();
        assert!(
            format!("{error:#}").contains("perhaps the next boot"),
            "{error:#}"
        );
    }
}
