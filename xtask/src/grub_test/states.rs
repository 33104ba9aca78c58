//! The states of the boot records: all that the model reaches, and what damage makes of them.

use std::collections::BTreeSet;

use install::{Block, Choice, Records, Tries, Which, choose};

use super::emulator::Answer;

/// Every state, each once.
pub(super) fn all() -> Vec<Records> {
    let reached = install::model::reachable();
    let mut known = BTreeSet::new();
    let mut states = Vec::new();
    let mut add = |records: Records| {
        if known.insert((records.choice0, records.choice1, records.tries)) {
            states.push(records);
        }
    };
    for records in &reached {
        add(records.clone());
    }
    for records in &reached {
        for which in Which::ALL {
            for block in damaged(records.get(which)) {
                let mut records = records.clone();
                records.set(which, block);
                add(records);
            }
        }
    }
    states
}

/// What can become of a record: nothing, rubbish, a part of it, other digits, other lines.
fn damaged(block: &Block) -> Vec<Block> {
    let mut all = vec![[0; 512], [0xff; 512], [b'#'; 512]];
    for cut in [1, 24, 25, 30, 37, 45, 60, 75, 90] {
        let mut torn = *block;
        torn[cut..].fill(0);
        all.push(torn);
        let mut torn = *block;
        torn[..cut].fill(0);
        all.push(torn);
        let mut flipped = *block;
        flipped[cut] ^= 1;
        all.push(flipped);
    }
    let text = String::from_utf8_lossy(block).into_owned();
    for (old, new) in [
        ("left=3", "left=9"),
        ("left=", "LEFT="),
        ("good=4", "good=7"),
        ("good=", "goot="),
        ("next=5", "next=8"),
        ("end=", "id=1"),
        ("id=0", "id=("),
        ("tid=0", "tid=!"),
        ("\n", "\\"),
    ] {
        let changed = text.replacen(old, new, 2);
        if changed != text
            && let Ok(block) = Block::try_from(changed.as_bytes())
        {
            all.push(block);
        }
    }
    all
}

/// What our chooser says, in the form of GRUB's answer.
pub(super) fn expected(records: &Records, writable: bool) -> Answer {
    let decision = choose(records, writable);
    Answer {
        id: decision.id,
        attempt: decision.attempt.to_string(),
        why: decision.why.to_string(),
        order: decision.order.iter().map(ToString::to_string).collect(),
        tries: String::from_utf8_lossy(&decision.tries.unwrap_or(records.tries)).into_owned(),
        strays: false,
    }
}

/// For a person who is to understand a difference.
pub(super) fn describe(records: &Records) -> String {
    let choices = [&records.choice0, &records.choice1].map(|block| {
        Choice::decode(block).map_or_else(
            || String::from_utf8_lossy(&block[..100]).replace('\n', "|"),
            |choice| format!("{choice:?}"),
        )
    });
    let tries = Tries::decode(&records.tries).map_or_else(
        || String::from_utf8_lossy(&records.tries[..60]).replace('\n', "|"),
        |tries| format!("{tries:?}"),
    );
    format!(
        "choice0 {}\n  choice1 {}\n  tries {tries}",
        choices[0], choices[1]
    )
}
