//! Which slot a boot takes: the same choice as `iso/boot.cfg` makes in GRUB, state by state.
//!
//! `cargo xtask grub-test` runs Debian's GRUB and this function on every state and compares. GRUB checks no checksum, so
//! this does not either.

use std::fmt;

use crate::records::{Block, Records, Tries, values};
use crate::slot::Slot;

/// Why a boot does not simply take the good slot or a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Nothing to say.
    Normal,
    /// The first choice could not be read; its copy was.
    Mirror,
    /// Neither choice could be read.
    Lost,
    /// All tries of the next version are used up.
    Exhausted,
    /// The tries are another choice's, or not there: the next version is not tried.
    Stale,
    /// The try could not be written down, so it is not made.
    Readonly,
}

/// As GRUB puts it on the kernel's command line.
impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Normal => "ok",
            Self::Mirror => "mirror",
            Self::Lost => "lost",
            Self::Exhausted => "exhausted",
            Self::Stale => "stale",
            Self::Readonly => "readonly",
        })
    }
}

/// What a boot does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The id of the choice, as text because GRUB takes any; empty when it is lost.
    pub id: String,
    /// Number of the try, from 1; 0 when the good slot is booted.
    pub attempt: u8,
    /// The reason.
    pub why: Why,
    /// Slots in the order in which they are booted until one has a kernel.
    pub order: Vec<Slot>,
    /// What is written to the tries first.
    pub tries: Option<Block>,
}

impl Decision {
    /// The slot that is booted when all have a kernel.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.order[0]
    }
}

/// A choice as far as GRUB looks.
struct Seen {
    id: String,
    good: Slot,
    next: Option<Slot>,
    prev: Option<Slot>,
}

fn seen(block: &Block) -> Option<Seen> {
    let values = values(block);
    let text = |name: &str| values.get(name).cloned().unwrap_or_default();
    let slot = |name: &str| {
        Slot::ALL
            .into_iter()
            .find(|slot| slot.to_string() == text(name))
    };
    let id = text("id");
    if id.is_empty() || id != text("end") {
        return None;
    }
    Some(Seen {
        id,
        good: slot("good")?,
        next: slot("next"),
        prev: slot("prev"),
    })
}

/// Decides a boot. `writable`: the tries can be written.
#[must_use]
pub fn choose(records: &Records, writable: bool) -> Decision {
    let (found, mut why) = match (seen(&records.choice0), seen(&records.choice1)) {
        (Some(first), _) => (Some(first), Why::Normal),
        (None, Some(copy)) => (Some(copy), Why::Mirror),
        (None, None) => (None, Why::Lost),
    };
    let mut attempt = 0;
    let mut tries = None;
    let mut order = Vec::new();
    if let Some(Seen {
        id,
        next: Some(next),
        ..
    }) = &found
    {
        match left(&records.tries, id) {
            None => why = Why::Stale,
            Some(0) => why = Why::Exhausted,
            Some(_) if !(writable && can_be_counted(&records.tries)) => why = Why::Readonly,
            Some(left) => {
                attempt = crate::records::TRIES - left + 1;
                tries = Some(counted(&records.tries, left - 1));
                order.push(*next);
            }
        }
    }
    if let Some(choice) = &found {
        order.push(choice.good);
        order.extend(choice.prev);
    }
    order.extend(Slot::ALL);
    Decision {
        id: found.map(|choice| choice.id).unwrap_or_default(),
        attempt,
        why,
        order,
        tries,
    }
}

/// Tries left for the choice `id`; 0 for a number that GRUB does not know, none when they are another's.
fn left(block: &Block, id: &str) -> Option<u8> {
    let values = values(block);
    if values.get("tid").map(String::as_str) != Some(id) {
        return None;
    }
    Some(match values.get("left").map(String::as_str) {
        Some("3") => 3,
        Some("2") => 2,
        Some("1") => 1,
        _ => 0,
    })
}

/// GRUB's `save_env` refuses a block whose last line does not end in front of the filling.
fn can_be_counted(block: &Block) -> bool {
    block.iter().rev().find(|byte| **byte != b'#') == Some(&b'\n')
}

/// The record after GRUB's `save_env`, which changes one digit in place.
fn counted(block: &Block, left: u8) -> Block {
    match Tries::decode(block) {
        Some(tries) => Tries { left, ..tries }.encode(),
        // A record of somebody else's making: what counts is the digit
        None => {
            let mut changed = *block;
            let key = b"\nleft=";
            let at = block.windows(key.len()).position(|window| window == key);
            if let Some(digit) = at.and_then(|at| changed.get_mut(at + key.len())) {
                *digit = b'0' + left;
            }
            changed
        }
    }
}
