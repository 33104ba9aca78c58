//! All states that a power cut can leave of a story.

use std::collections::HashMap;

use crate::layout::{Layout, Role};

use super::check::{Expect, Known, State};
use super::recorder::{Event, SECTOR_BYTES, Sector, Sectors, Sparse};
use super::story::Story;

/// Up to this many unflushed sectors every subset is tried.
const ALL_SUBSETS: usize = 12;
/// Bad states that are told.
const TOLD: usize = 10;

/// How many states are tried.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Random subsets of each step with many unflushed sectors.
    pub random: usize,
    /// Of what is tried one by one, one in this many.
    pub step: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// States that were looked at.
    pub states: usize,
    /// Bad ones.
    pub bad: usize,
    /// What was bad, the first of them.
    pub told: Vec<String>,
}

/// The flushed disk with some of the writes since.
struct View<'e> {
    flushed: &'e Sparse,
    writes: &'e [(u64, Box<Sector>)],
    /// Of each sector its writes, in order.
    of: &'e HashMap<u64, Vec<usize>>,
    done: Vec<bool>,
}

impl Sectors for View<'_> {
    fn sector(&self, number: u64) -> Sector {
        let last = self
            .of
            .get(&number)
            .and_then(|writes| writes.iter().rev().find(|write| self.done[**write]));
        match last {
            Some(write) => *self.writes[*write].1,
            None => self.flushed.get(number),
        }
    }
}

/// Tries the states of a story.
#[must_use]
pub fn run(story: &Story, share: Share) -> Outcome {
    let mut outcome = Outcome::default();
    let mut flushed = Sparse::new(u64::MAX);
    let mut writes: Vec<(u64, Box<Sector>)> = Vec::new();
    let mut expect = Expect::Nothing;
    let mut name = "";
    for event in &story.events {
        match event {
            Event::Write(sector, content) => writes.push((*sector, content.clone())),
            Event::Name(next) => name = next,
            Event::Expect(next) => expect = next.clone(),
            Event::Flush => {
                let epoch = Epoch {
                    flushed: &flushed,
                    writes: &writes,
                    layout: &story.layout,
                    expect: &expect,
                    name,
                };
                epoch.run(share, &mut outcome);
                for (sector, content) in writes.drain(..) {
                    flushed.set(sector, &content);
                }
            }
        }
    }
    outcome
}

/// What was written between two flushes.
struct Epoch<'e> {
    flushed: &'e Sparse,
    writes: &'e [(u64, Box<Sector>)],
    layout: &'e Layout,
    expect: &'e Expect,
    name: &'e str,
}

impl Epoch<'_> {
    fn run(&self, share: Share, outcome: &mut Outcome) {
        let count = self.writes.len();
        let mut of: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, (sector, _)) in self.writes.iter().enumerate() {
            of.entry(*sector).or_default().push(number);
        }
        let known = Known::default();
        let touched = self.touched();
        let mut view = View {
            flushed: self.flushed,
            writes: self.writes,
            of: &of,
            done: vec![false; count],
        };
        let mut look = |view: &View<'_>| {
            let state = State {
                view,
                layout: self.layout,
                known: &known,
                touched: &touched,
                boot_code: of.contains_key(&0),
            };
            outcome.states += 1;
            if let Err(what) = state.check(self.expect) {
                outcome.bad += 1;
                if outcome.told.len() < TOLD {
                    let done = view.done.iter().filter(|done| **done).count();
                    outcome.told.push(format!(
                        "{}: {what}; {done} of {count} sectors were written",
                        self.name
                    ));
                }
            }
        };
        if count <= ALL_SUBSETS {
            for subset in 0..1_usize << count {
                for (bit, done) in view.done.iter_mut().enumerate() {
                    *done = subset >> bit & 1 == 1;
                }
                look(&view);
            }
            return;
        }
        for written in (0..=count).step_by(share.step) {
            for (at, done) in view.done.iter_mut().enumerate() {
                *done = at < written;
            }
            look(&view);
        }
        for one in (0..count).step_by(share.step) {
            for only in [true, false] {
                view.done.fill(!only);
                view.done[one] = only;
                look(&view);
            }
        }
        let mut random = Random(0x5eed ^ count as u64);
        for _ in 0..share.random {
            // Mostly written, mostly not, and half
            let threshold = [32, 128, 224][random.below(3)];
            for done in &mut view.done {
                *done = random.below(256) < threshold;
            }
            look(&view);
        }
    }

    fn touched(&self) -> Vec<Role> {
        self.layout
            .partitions
            .iter()
            .filter(|partition| {
                let first = partition.start / SECTOR_BYTES as u64;
                let end = first + partition.size / SECTOR_BYTES as u64;
                self.writes
                    .iter()
                    .any(|(sector, _)| (first..end).contains(sector))
            })
            .map(|partition| partition.role)
            .collect()
    }
}

/// xorshift64: the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}
