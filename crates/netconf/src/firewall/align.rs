//! Which lines of a list are new in a later one, and which went.

use std::collections::HashMap;

/// Most comparisons of two lists, some milliseconds: beyond that only how often a line is there counts, and not its place.
const MAX_CELLS: usize = 1 << 20;

/// What differs between two lists, by places in each of them, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Aligned {
    /// Places in the earlier list of the lines that the later list does not have any more.
    pub(super) gone: Vec<usize>,
    /// Places in the later list of the lines that are new.
    pub(super) new: Vec<usize>,
}

/// Compares them: what both have in the same order stays.
pub(super) fn align(before: &[String], after: &[String]) -> Aligned {
    let same = |(a, b): &(&String, &String)| a == b;
    let start = before.iter().zip(after).take_while(same).count();
    let (before, after) = (&before[start..], &after[start..]);
    let end = before.iter().rev().zip(after.iter().rev());
    let end = end.take_while(same).count();
    let (before, after) = (&before[..before.len() - end], &after[..after.len() - end]);
    let mut aligned = if before.len().saturating_mul(after.len()) > MAX_CELLS {
        Aligned {
            gone: surplus(before, after),
            new: surplus(after, before),
        }
    } else {
        longest(before, after)
    };
    for place in aligned.gone.iter_mut().chain(&mut aligned.new) {
        *place += start;
    }
    aligned
}

/// By the longest sequence that both have.
fn longest(before: &[String], after: &[String]) -> Aligned {
    let width = after.len() + 1;
    // Length of the longest sequence in what follows place i of the one and place j of the other.
    let mut lengths = vec![0_u32; (before.len() + 1) * width];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            lengths[i * width + j] = if before[i] == after[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let mut aligned = Aligned::default();
    let (mut i, mut j) = (0, 0);
    while i < before.len() && j < after.len() {
        if before[i] == after[j] {
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            aligned.gone.push(i);
            i += 1;
        } else {
            aligned.new.push(j);
            j += 1;
        }
    }
    aligned.gone.extend(i..before.len());
    aligned.new.extend(j..after.len());
    aligned
}

/// Places of the lines that `list` has more often than `other` has. Of equal lines the last ones count as too many.
fn surplus(list: &[String], other: &[String]) -> Vec<usize> {
    let mut left: HashMap<&String, usize> = HashMap::new();
    for line in other {
        *left.entry(line).or_default() += 1;
    }
    let is_more = |(place, line): (usize, &String)| match left.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            None
        }
        _ => Some(place),
    };
    list.iter().enumerate().filter_map(is_more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_went_and_what_is_new_is_told_by_its_place() {
        for (before, after, gone, new) in [
            ("a b c", "a b c", vec![], vec![]),
            ("", "a", vec![], vec![0]),
            ("a b", "", vec![0, 1], vec![]),
            ("a b c", "x a c", vec![1], vec![0]),
            ("a x d", "a x d a d", vec![], vec![3, 4]),
            ("a b", "b a", vec![0], vec![1]),
        ] {
            let aligned = align(&list(before), &list(after));
            assert_eq!(aligned, Aligned { gone, new }, "{before} -> {after}");
        }
    }

    #[test]
    fn long_lists_are_compared_by_how_often_a_line_is_there() {
        let before: Vec<String> = (0..3000).map(|number| format!("a{number}")).collect();
        let mut after: Vec<String> = before.iter().rev().cloned().collect();
        after.push("x".into());
        after.remove(0);
        let aligned = align(&before, &after);
        assert_eq!(aligned.gone, [2999]);
        assert_eq!(aligned.new, [2999]);
    }
}
