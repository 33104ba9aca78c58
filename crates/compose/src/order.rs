//! Ordering of named things by "must come after" edges; a cycle is broken and reported, never a dead end.

use std::collections::{BTreeMap, BTreeSet};

/// Name to the names it must come after; every name is a key.
pub(crate) type Edges = BTreeMap<String, BTreeSet<String>>;

/// An order that respects all edges that are left, by name where they leave a choice, and the cycles that were broken.
///
/// Each cycle is the list of its members in "comes after" direction; the edge from the first to the second member was
/// removed from `edges`.
pub(crate) fn order(edges: &mut Edges) -> (Vec<String>, Vec<Vec<String>>) {
    let mut cycles = Vec::new();
    let mut ordered: Vec<String> = Vec::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    while ordered.len() < edges.len() {
        let ready: Vec<String> = edges
            .iter()
            .filter(|(name, after)| !done.contains(*name) && after.iter().all(|a| done.contains(a)))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            let cycle = find_cycle(edges, &done);
            if let [first, second, ..] = cycle.as_slice()
                && let Some(after) = edges.get_mut(first)
            {
                after.remove(second);
            }
            cycles.push(cycle);
            continue;
        }
        done.extend(ready.iter().cloned());
        ordered.extend(ready);
    }
    (ordered, cycles)
}

/// A cycle among the names that are not done; there is one whenever none of them is ready.
fn find_cycle(edges: &Edges, done: &BTreeSet<String>) -> Vec<String> {
    let blocked = |name: &str| {
        edges
            .get(name)
            .and_then(|after| after.iter().find(|a| !done.contains(*a)))
            .cloned()
    };
    let mut path: Vec<String> = Vec::new();
    let mut next = edges.keys().find(|name| !done.contains(*name)).cloned();
    while let Some(name) = next {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            path.drain(..start);
            // An edge to itself: both ends are the same name.
            if path.len() == 1 {
                path.push(name);
            }
            return path;
        }
        next = blocked(&name);
        path.push(name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(&str, &[&str])]) -> Edges {
        pairs
            .iter()
            .map(|(name, after)| {
                (
                    (*name).to_owned(),
                    after.iter().map(|a| (*a).to_owned()).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn names_come_after_what_they_need() {
        let mut graph = edges(&[("c", &["b"]), ("b", &["a"]), ("a", &[]), ("z", &[])]);
        assert_eq!(order(&mut graph).0, ["a", "z", "b", "c"]);
    }

    #[test]
    fn a_cycle_is_named_and_everything_still_has_a_place() {
        let mut graph = edges(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("d", &["a"]),
            ("e", &[]),
        ]);
        let (ordered, cycles) = order(&mut graph);
        assert_eq!(ordered.len(), 5);
        assert_eq!(cycles, [["a", "b", "c"]]);
        let place = |name: &str| ordered.iter().position(|n| n == name).unwrap();
        assert!(place("a") < place("c") && place("c") < place("b") && place("a") < place("d"));
    }

    #[test]
    fn something_after_itself_is_a_cycle_of_one() {
        let mut graph = edges(&[("a", &["a"])]);
        let (ordered, cycles) = order(&mut graph);
        assert_eq!(ordered, ["a"]);
        assert_eq!(cycles, [["a", "a"]]);
    }
}
