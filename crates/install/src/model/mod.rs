//! Every state that a machine can get into, found by trying everything that can happen in each: a test of `choose` and the
//! steps, with their own code and the records' own bytes, and the states that `cargo xtask grub-test` gives to GRUB.
//!
//! What can happen: a version is staged, armed, cancelled, tried, committed, rejected; the power fails between two writes,
//! and in the middle of one, which leaves the old record, the new one or rubbish; a new version does not load, hangs, or
//! fails its gate. The numbers of choices are renamed by rank after each event, which makes the states finitely many.

#![allow(clippy::unwrap_used)] // a test, which xtask runs too

use std::collections::{BTreeSet, VecDeque};

use crate::chooser::{Decision, Why, choose};
use crate::records::{Block, Choice, RECORD_BYTES, Records, TRIES, Tries, Which};
use crate::slot::Slot;
use crate::steps::{self, Step};

/// What lies in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Empty,
    /// Passed the gate once, or came with the installation.
    Proven,
    /// Nobody knows yet whether it works, nor whether it is whole.
    Unproven,
}

/// The fields of a choice; `None` is rubbish.
type SeenChoice = Option<(u32, u32, u32, u32)>;
/// The records as the model sees them.
type Seen = (SeenChoice, SeenChoice, Option<(u32, u8)>);
/// What tells two states apart.
type Key = (Seen, [Content; 3], Option<(Slot, bool)>);

#[derive(Clone, PartialEq, Eq)]
struct State {
    records: Records,
    content: [Content; 3],
    /// The slot that runs, and whether as a try; none when the machine is off.
    running: Option<(Slot, bool)>,
}

/// The machine's rules, so that a test can seed a wrong one.
#[derive(Clone, Copy)]
struct Rules {
    arm: fn(&Records, Slot) -> Vec<Step>,
    commit: fn(&Records, Slot) -> Vec<Step>,
    free: fn(&Records, Slot) -> Vec<Slot>,
    counts: bool,
    repairs: bool,
}

const RULES: Rules = Rules {
    arm: |records, slot| steps::arm(records, slot).unwrap(),
    commit: |records, slot| steps::commit(records, slot).unwrap(),
    free: |records, running| steps::free(records, running).unwrap(),
    counts: true,
    repairs: true,
};

const RUBBISH: Block = [0x55; RECORD_BYTES];

/// Decoded: 1,536 bytes would tell nobody anything.
impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let choices = [&self.records.choice0, &self.records.choice1].map(Choice::decode);
        let tries = Tries::decode(&self.records.tries);
        write!(
            formatter,
            "{choices:?} {tries:?} {:?} {:?}",
            self.content, self.running
        )
    }
}

impl State {
    fn installed() -> Self {
        Self {
            records: steps::install(Slot::A),
            content: [Content::Proven, Content::Empty, Content::Empty],
            running: None,
        }
    }

    fn content(&self, slot: Slot) -> Content {
        self.content[slot.number() as usize - 4]
    }

    fn set(&mut self, slot: Slot, content: Content) {
        self.content[slot.number() as usize - 4] = content;
    }

    /// What tells two states apart, and the state with its numbers renamed by rank.
    fn canonical(mut self) -> (Self, Key) {
        let mut choices = [
            Choice::decode(&self.records.choice0),
            Choice::decode(&self.records.choice1),
        ];
        let mut tries = Tries::decode(&self.records.tries);
        let ids: BTreeSet<u32> = choices
            .iter()
            .flatten()
            .map(|choice| choice.id)
            .chain(tries.map(|tries| tries.id))
            .collect();
        let rank = |id: u32| ids.iter().position(|known| *known == id).unwrap() as u32 + 1;
        for choice in choices.iter_mut().flatten() {
            choice.id = rank(choice.id);
        }
        if let Some(tries) = &mut tries {
            tries.id = rank(tries.id);
        }
        let number = |slot: Option<Slot>| slot.map_or(0, Slot::number);
        let seen = |choice: Option<Choice>| {
            choice.map(|c| (c.id, c.good.number(), number(c.next), number(c.prev)))
        };
        let key = (
            seen(choices[0]),
            seen(choices[1]),
            tries.map(|t| (t.id, t.left)),
        );
        self.records = Records {
            choice0: choices[0].map_or(RUBBISH, |choice| choice.encode()),
            choice1: choices[1].map_or(RUBBISH, |choice| choice.encode()),
            tries: tries.map_or(RUBBISH, |tries| tries.encode()),
        };
        let rest = (self.content, self.running);
        (self, (key, rest.0, rest.1))
    }

    /// The states in which the power failed while `steps` were written, and the one in which it did not.
    fn written(&self, steps: &[Step]) -> (Self, Vec<Self>) {
        let mut now = self.clone();
        let mut cut = Vec::new();
        for step in steps {
            let mut torn = now.clone();
            torn.records.set(step.which, RUBBISH);
            for mut state in [now.clone(), torn] {
                state.running = None;
                cut.push(state);
            }
            now.records.set(step.which, step.block);
        }
        (now, cut)
    }

    /// The slots that this decision can boot: the first that has a kernel, and beyond any unproven one that does not load.
    fn bootable(&self, decision: &Decision) -> Vec<Slot> {
        let mut slots = Vec::new();
        for slot in &decision.order {
            match self.content(*slot) {
                Content::Empty => {}
                Content::Unproven => slots.push(*slot),
                Content::Proven => {
                    slots.push(*slot);
                    break;
                }
            }
        }
        slots
    }
}

/// Everything that can come after a state.
fn successors(state: &State, rules: Rules) -> Vec<State> {
    let mut all = Vec::new();
    let Some((running, trial)) = state.running else {
        return boots(state, rules);
    };
    let mut off = state.clone();
    off.running = None;
    all.push(off);
    // What PID 1 does first: repair, and give up what GRUB did not boot
    let repair = if rules.repairs {
        steps::repair(&state.records, running, None)
    } else {
        Vec::new()
    };
    let (whole, cut) = state.written(&repair);
    all.extend(cut);
    let Some(choice) = whole.records.choice() else {
        return all;
    };
    let mut does = |steps: Vec<Step>, change: &dyn Fn(&mut State)| {
        let mut changed = whole.clone();
        change(&mut changed);
        let (done, cut) = changed.written(&steps);
        all.extend(cut);
        all.push(done);
    };
    if choice.next.is_some() && !(trial && choice.next == Some(running)) {
        // A machine that is not in a try waits with an order until its reboot, or finds that its try did not happen
        does(steps::reject(&whole.records).unwrap(), &|_| {});
        // kexec: the running system counts the try as the boot loader does
        let decision = choose(&whole.records, true);
        if let (Some(block), Some(next)) = (decision.tries, choice.next)
            && whole.content(next) != Content::Empty
        {
            let count = Step {
                which: Which::Tries,
                block,
            };
            does(vec![count], &|state| state.running = Some((next, true)));
        }
    }
    if trial && choice.next == Some(running) {
        // The gate has passed before the first record is written
        does((rules.commit)(&whole.records, running), &|state| {
            state.set(running, Content::Proven);
            state.running = Some((running, false));
        });
        does(steps::reject(&whole.records).unwrap(), &|_| {});
        // It came by kexec and has passed: what decides is still to come
        does(steps::refill(&whole.records).unwrap(), &|_| {});
        // Nobody has judged it: PID 1 reboots
        does(steps::spend(&whole.records).unwrap(), &|_| {});
        return all;
    }
    for slot in (rules.free)(&whole.records, running) {
        does(Vec::new(), &|state| state.set(slot, Content::Unproven));
    }
    for slot in Slot::ALL {
        if slot != choice.good && whole.content(slot) != Content::Empty {
            does((rules.arm)(&whole.records, slot), &|_| {});
        }
    }
    all
}

/// What the boot loader can do.
fn boots(state: &State, rules: Rules) -> Vec<State> {
    let mut all = Vec::new();
    for writable in [true, false] {
        let decision = choose(&state.records, writable);
        let mut counted = state.clone();
        if let Some(tries) = decision.tries.filter(|_| rules.counts) {
            counted.records.tries = tries;
            let mut torn = state.clone();
            torn.records.tries = RUBBISH;
            all.push(torn);
        }
        for slot in state.bootable(&decision) {
            let mut booted = counted.clone();
            booted.running = Some((slot, decision.attempt > 0));
            all.push(booted);
        }
    }
    all
}

/// What must hold in every state; an error says what does not.
fn check(state: &State, rules: Rules) -> Result<(), String> {
    let decision = choose(&state.records, true);
    let fail = |what: &str| {
        Err(format!(
            "{what}: {:?} {} in {state:?}",
            decision.order, decision.why
        ))
    };
    if matches!(decision.why, Why::Lost | Why::Stale)
        && Tries::decode(&state.records.tries).is_some()
    {
        return fail("the records contradict each other");
    }
    if decision.attempt == 0 && state.content(decision.slot()) != Content::Proven {
        return fail("an unproven version is booted without counting");
    }
    // Nobody answers any more: GRUB alone comes back to a proven version
    let mut alone = state.records.clone();
    for _ in 0..TRIES {
        if let Some(tries) = choose(&alone, true).tries.filter(|_| rules.counts) {
            alone.tries = tries;
        }
    }
    let last = choose(&alone, true);
    if last.attempt != 0 || state.content(last.slot()) != Content::Proven {
        return fail("the tries do not end");
    }
    if let Some(choice) = state.records.choice() {
        for kept in [Some(choice.good), choice.prev].into_iter().flatten() {
            if state.content(kept) != Content::Proven {
                return fail("a version to come back to was overwritten");
            }
        }
    }
    for damaged in Which::ALL {
        let mut records = state.records.clone();
        let both = [&records.choice0, &records.choice1].map(Choice::decode);
        records.set(damaged, RUBBISH);
        let decision = choose(&records, true);
        if state.bootable(&decision).is_empty() {
            return fail("nothing is booted after damage");
        }
        let alike = both[0] == both[1];
        if alike && decision.attempt == 0 && state.content(decision.slot()) != Content::Proven {
            return fail("damage of one record boots an unproven version");
        }
    }
    Ok(())
}

/// The records of every state that a machine can get into; a loader that writes nothing sees no others.
///
/// # Panics
/// When a state breaks a rule: the test of this module fails then, too.
#[must_use]
pub fn reachable() -> Vec<Records> {
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    for state in explore(RULES).expect("the model holds") {
        let records = state.records;
        if known.insert((records.choice0, records.choice1, records.tries)) {
            all.push(records);
        }
    }
    all
}

/// Visits every state.
fn explore(rules: Rules) -> Result<Vec<State>, String> {
    let (first, key) = State::installed().canonical();
    let mut known = BTreeSet::from([key]);
    let mut open = VecDeque::from([first]);
    let mut all = Vec::new();
    while let Some(state) = open.pop_front() {
        check(&state, rules)?;
        for next in successors(&state, rules) {
            let (next, key) = next.canonical();
            if known.insert(key) {
                open.push_back(next);
            }
        }
        all.push(state);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
