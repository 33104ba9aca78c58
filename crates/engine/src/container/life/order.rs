//! The order of starts after a boot: a container whose namespaces or volumes another one joins comes before it, whatever
//! their names and the times of their last starts.

use crate::Engine;
use crate::container::{Container, Record};

/// What each of some containers (by its place in a list) waits for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::container) struct Order {
    /// Every place once; those that others need come first, and else the list's own order holds.
    pub(in crate::container) places: Vec<usize>,
    /// Containers that need each other in a ring, each ring once: there is no right order.
    pub(in crate::container) rings: Vec<Vec<usize>>,
}

/// Where the walk stands with a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnTheWay,
    Done,
}

/// Orders containers; `needs[n]` are the places of those that number `n` needs.
///
/// A walk in depth with its own stack: a chain of ten thousand containers must not exhaust PID 1's.
pub(in crate::container) fn order(needs: &[Vec<usize>]) -> Order {
    let mut marks = vec![Mark::New; needs.len()];
    let mut order = Order::default();
    for first in 0..needs.len() {
        if marks[first] != Mark::New {
            continue;
        }
        marks[first] = Mark::OnTheWay;
        let mut path = vec![(first, needs[first].iter())];
        while let Some((place, rest)) = path.last_mut() {
            let place = *place;
            let Some(&next) = rest.next() else {
                marks[place] = Mark::Done;
                order.places.push(place);
                path.pop();
                continue;
            };
            match marks.get(next) {
                Some(Mark::New) => {
                    marks[next] = Mark::OnTheWay;
                    path.push((next, needs[next].iter()));
                }
                Some(Mark::OnTheWay) => {
                    let ring = path.iter().map(|(on_the_way, _)| *on_the_way);
                    order
                        .rings
                        .push(ring.skip_while(|place| *place != next).collect());
                }
                Some(Mark::Done) | None => {}
            }
        }
    }
    order
}

impl Record {
    /// Containers that must be there before this one, by name or identifier: those whose namespaces it joins, and those
    /// whose volumes it has.
    pub(in crate::container) fn needs(&self) -> Vec<&str> {
        let host = &self.host_config;
        let modes = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
        let joined = modes
            .into_iter()
            .filter_map(|mode| mode.strip_prefix("container:"));
        let volumes = host.volumes_from.iter();
        let volumes =
            volumes.filter_map(|text| crate::container::mounts::parse_volumes_from(text).ok());
        joined.chain(volumes.map(|(name, _)| name)).collect()
    }
}

impl Engine {
    /// Puts containers into the order in which they can be started. What needs each other in a ring is said.
    pub(in crate::container) fn in_order(
        &self,
        containers: Vec<std::rc::Rc<Container>>,
    ) -> Vec<std::rc::Rc<Container>> {
        let place_of = |name: &str| {
            let found = self.find(name).ok()?;
            containers
                .iter()
                .position(|container| container.id == found.id)
        };
        let needs: Vec<Vec<usize>> = containers
            .iter()
            .map(|container| {
                let record = container.record();
                record.needs().into_iter().filter_map(place_of).collect()
            })
            .collect();
        let order = order(&needs);
        for ring in &order.rings {
            let names: Vec<String> = ring.iter().map(|place| containers[*place].name()).collect();
            crate::report(&format!(
                "containers that need each other cannot be started in any order: {}",
                names.join(", ")
            ));
        }
        let places = order.places.into_iter();
        places.map(|place| containers[place].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of `count` containers; the first of each pair needs the second.
    fn ordered(count: usize, needs: &[(usize, usize)]) -> Order {
        let mut all = vec![Vec::new(); count];
        for (who, whom) in needs {
            all[*who].push(*whom);
        }
        order(&all)
    }

    #[test]
    fn what_others_need_comes_first_and_else_nothing_moves() {
        for (needs, expected) in [
            (&[][..], [0, 1, 2, 3]),
            (&[(0, 3)], [3, 0, 1, 2]),
            (&[(3, 0)], [0, 1, 2, 3]),
            (&[(0, 1), (1, 2), (2, 3)], [3, 2, 1, 0]),
            (&[(0, 2), (1, 2), (3, 2)], [2, 0, 1, 3]),
            (&[(0, 1), (0, 3), (1, 3)], [3, 1, 0, 2]),
        ] {
            let order = ordered(4, needs);
            assert_eq!(order.places, expected, "{needs:?}");
            assert!(order.rings.is_empty(), "{needs:?}");
        }
    }

    #[test]
    fn rings_are_named_once_and_everybody_has_a_place() {
        for (needs, ring) in [
            (&[(1, 1)][..], vec![1]),
            (&[(0, 1), (1, 0)], vec![0, 1]),
            (&[(0, 1), (1, 2), (2, 3), (3, 1)], vec![1, 2, 3]),
        ] {
            let order = ordered(4, needs);
            assert_eq!(order.rings, [ring], "{needs:?}");
            let mut places = order.places.clone();
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2, 3], "{needs:?}");
        }
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let chain: Vec<(usize, usize)> = (0..99_999).map(|n| (n, n + 1)).collect();
        let places = ordered(100_000, &chain).places;
        assert_eq!((places[0], places[99_999]), (99_999, 0));
    }
}
