//! What a power cut can leave of a disk, and whether the machine comes back from it.
//!
//! [`story`] does to a disk what a machine does in its life: it is installed, gets versions, tries, keeps and rejects them. A
//! [`Recorder`] writes down every sector and every flush. [`run`] then makes the states that a power cut can leave: everything that
//! was flushed, and of what was written since then every beginning, all but one, only one, and any subset. Of each state
//! [`check`] asks the chooser, and compares what it would boot with what was written there.
//!
//! A disk does one sector as a whole or not at all, and keeps what it has flushed; it may do all else in any order.

#![allow(clippy::unwrap_used)] // a test, which xtask runs too

mod check;
mod recorder;
mod states;
mod story;

pub use recorder::{Event, Recorder, SECTOR_BYTES, Sparse};
pub use states::{Outcome, Share, run};
pub use story::{Fault, Story, story};

#[cfg(test)]
mod tests;
