//! What is written, in which order, when a version is armed, committed or rejected.
//!
//! Every step is one record, and is on the disk before the next begins. Whatever instant the power fails at, a boot sees the
//! decision of before or of after; `model.rs` tries all of them.

use crate::bios::BOOT_CODE_BYTES;
use crate::disk::Disk;
use crate::error::Result;
use crate::layout::{Layout, Role};
use crate::loader::Loader;
use crate::records::{Block, Choice, LARGEST_ID, Records, TRIES, Tries, Which, envelope};
use crate::slot::Slot;

/// One record to write and flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub which: Which,
    /// What.
    pub block: Block,
}

/// The records of a new installation.
#[must_use]
pub fn install(good: Slot) -> Records {
    let choice = Choice {
        id: 1,
        good,
        next: None,
        prev: None,
    }
    .encode();
    Records {
        choice0: choice,
        choice1: choice,
        tries: Tries { id: 0, left: 0 }.encode(),
    }
}

/// Ends an installation whose slot `good` is written: records, then the boot loader. What is written before is on the disk before a
/// loader is there that looks at it. Returns the boot code, which is to be written to the first sector, last of all.
///
/// # Errors
/// When the disk cannot be written.
pub fn finish(
    disk: &mut impl Disk,
    layout: &Layout,
    loader: &Loader,
    good: Slot,
) -> Result<Option<[u8; BOOT_CODE_BYTES]>> {
    let records = envelope(&install(good))?;
    disk.write_at(layout.get(Role::BootState)?.start, &records)?;
    // UEFI starts the disk from here on.
    disk.flush()?;
    let code = loader.write(disk, layout)?;
    disk.flush()?;
    Ok(code)
}

/// Has the next boot try the version in `next`.
///
/// The tries come first: a choice whose tries are not there would not be tried. An earlier order is taken back before
/// that, because its tries are overwritten.
///
/// # Errors
/// When the records are lost ([`repair`] them first), or `next` is the good slot.
pub fn arm(records: &Records, next: Slot) -> Result<Vec<Step>> {
    let current = current(records)?;
    if current.good == next {
        invalid!("slot {next} is the one that is in use");
    }
    let mut steps = Vec::new();
    let mut id = new_id(records)?;
    if current.next.is_some() {
        steps = reject(records)?;
        id += 1;
    }
    steps.push(Step {
        which: Which::Tries,
        block: Tries { id, left: TRIES }.encode(),
    });
    steps.extend(choice(Choice {
        id,
        next: Some(next),
        ..current
    }));
    Ok(steps)
}

/// Makes the version in `running`, which has proven itself, the good one.
///
/// # Errors
/// When the records are lost.
pub fn commit(records: &Records, running: Slot) -> Result<Vec<Step>> {
    let current = current(records)?;
    let prev = if current.good == running {
        current.prev
    } else {
        Some(current.good)
    };
    Ok(choice(Choice {
        id: new_id(records)?,
        good: running,
        next: None,
        prev,
    }))
}

/// Gives the next version up: the good one is booted from now on.
///
/// # Errors
/// When the records are lost.
pub fn reject(records: &Records) -> Result<Vec<Step>> {
    let current = current(records)?;
    Ok(choice(Choice {
        id: new_id(records)?,
        next: None,
        ..current
    }))
}

/// Takes an order back before it was tried; on the disk the same as [`reject`].
///
/// # Errors
/// When the records are lost.
pub fn cancel(records: &Records) -> Result<Vec<Step>> {
    reject(records)
}

/// Gives the next version all its tries back: it has passed its checks, but was not started by the firmware. Only a start by the
/// firmware can commit it.
///
/// # Errors
/// When the records are lost, or no version is to be tried.
pub fn refill(records: &Records) -> Result<Vec<Step>> {
    tries(records, TRIES)
}

/// Takes all its tries from the next version: the next boot is the good one's, which then rejects it.
///
/// # Errors
/// When the records are lost, or no version is to be tried.
pub fn spend(records: &Records) -> Result<Vec<Step>> {
    tries(records, 0)
}

fn tries(records: &Records, left: u8) -> Result<Vec<Step>> {
    let current = current(records)?;
    if current.next.is_none() {
        invalid!("no version is to be tried");
    }
    let tries = Tries {
        id: current.id,
        left,
    };
    Ok(vec![Step {
        which: Which::Tries,
        block: tries.encode(),
    }])
}

/// Makes both copies of the choice whole again; nothing when they are. When both are lost, `good` and `prev` are what the history
/// ([`crate::History::proven`]) or, without one, the running system tells.
#[must_use]
pub fn repair(records: &Records, good: Slot, prev: Option<Slot>) -> Vec<Step> {
    let (first, copy) = (
        Choice::decode(&records.choice0),
        Choice::decode(&records.choice1),
    );
    let step = |which, choice: Choice| Step {
        which,
        block: choice.encode(),
    };
    match (first, copy) {
        (Some(first), copy) if copy == Some(first) => Vec::new(),
        (Some(first), _) => vec![step(Which::Choice1, first)],
        (None, Some(copy)) => vec![step(Which::Choice0, copy)],
        (None, None) => choice(Choice {
            id: new_id(records).unwrap_or(1),
            good,
            next: None,
            prev: prev.filter(|prev| *prev != good),
        }),
    }
}

/// Slots that a new version may be written to: not the good one, not the one before it, not the one that is tried, and not
/// the one that runs.
///
/// # Errors
/// When the records are lost: then nobody knows.
pub fn free(records: &Records, running: Slot) -> Result<Vec<Slot>> {
    let current = current(records)?;
    let taken = [
        Some(current.good),
        current.next,
        current.prev,
        Some(running),
    ];
    Ok(Slot::ALL
        .into_iter()
        .filter(|slot| !taken.contains(&Some(*slot)))
        .collect())
}

/// The copy comes first: a torn first record then falls to the new decision, and is never older than the copy.
fn choice(choice: Choice) -> Vec<Step> {
    let block = choice.encode();
    [Which::Choice1, Which::Choice0]
        .map(|which| Step { which, block })
        .to_vec()
}

fn current(records: &Records) -> Result<Choice> {
    match records.choice() {
        Some(choice) => Ok(choice),
        None => invalid!("the boot records are lost"),
    }
}

/// Above every id that any record has, also one that was written before a power cut.
fn new_id(records: &Records) -> Result<u32> {
    let ids = [
        Choice::decode(&records.choice0).map(|choice| choice.id),
        Choice::decode(&records.choice1).map(|choice| choice.id),
        Tries::decode(&records.tries).map(|tries| tries.id),
    ];
    let largest = ids.into_iter().flatten().max().unwrap_or(0);
    if largest >= LARGEST_ID {
        invalid!("the boot records have used up all {LARGEST_ID} numbers");
    }
    Ok(largest + 1)
}
