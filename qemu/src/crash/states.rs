//! The states in which a power cut can leave a disk: what was flushed, and any part of what was not.

use super::log::Entry;

/// What of the log is on the disk after a power cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// All writes of these first entries, which a flush has confirmed.
    pub(super) flushed: usize,
    /// Of those after them, the ones that happened to get there.
    pub(super) lucky: Vec<usize>,
    /// The power failed before this entry.
    pub(super) cut: usize,
}

/// `count` of them, spread evenly over the log from entry `first` on. In one of three everything before the cut got there, in
/// one nothing that no flush had confirmed, in one each write with the chance of a half.
pub(super) fn spread(entries: &[Entry], first: usize, count: usize) -> Vec<State> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut toss = move || {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random >> 63 == 1
    };
    let room = entries.len().saturating_sub(first);
    (1..=count)
        .map(|number| {
            let cut = first + room * number / count.max(1);
            let before = entries.get(..cut).unwrap_or(entries);
            let flushed = before
                .iter()
                .rposition(|entry| *entry == Entry::Flush)
                .map_or(0, |at| at + 1);
            let lucky = (flushed..cut).filter(|_| match number % 3 {
                0 => true,
                1 => false,
                _ => toss(),
            });
            State {
                flushed,
                lucky: lucky.collect(),
                cut,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_is_always_there() {
        let write = |to| Entry::Write {
            to,
            bytes: 512,
            from: 0,
        };
        let entries = [write(0), write(1), Entry::Flush, write(2), write(3)];
        let states = spread(&entries, 1, 4);
        let cuts: Vec<usize> = states.iter().map(|state| state.cut).collect();
        assert_eq!(cuts, [2, 3, 4, 5]);
        assert_eq!((states[0].flushed, states[0].lucky.len()), (0, 0));
        assert_eq!(
            (states[2].flushed, states[2].lucky.as_slice()),
            (3, &[3][..])
        );
        assert!(states.iter().all(|state| state.flushed <= state.cut));
        assert_eq!(spread(&[], 0, 2).len(), 2);
    }
}
