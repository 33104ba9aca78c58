//! A small model does what iptables-restore(8) does, and rules that look like chance are changed and changed back.

use super::super::changes::Changes;
use super::super::undo::{Restore, Work};
use super::super::{Place, Saved, saved};

/// What iptables-restore makes of rules.
pub(super) fn apply(saved: &mut Saved, restores: &[Restore]) {
    for restore in restores {
        let text = restore.text();
        let mut lines = text.lines();
        let table = lines.next().unwrap().strip_prefix('*').unwrap();
        let table = saved.tables.entry(table.to_owned()).or_default();
        for line in lines {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            let rule = words.get(2).copied().unwrap_or_default();
            match *words.as_slice() {
                ["COMMIT"] => {}
                ["-N", chain] => {
                    let known = table.insert(chain.to_owned(), saved::Chain::default());
                    assert_eq!(known, None, "{line}");
                }
                ["-X", chain] => assert_eq!(table.remove(chain), Some(saved::Chain::default())),
                ["-A", chain, _] => table
                    .entry(chain.into())
                    .or_default()
                    .rules
                    .push(rule.into()),
                ["-D", chain, _] => {
                    let rules = &mut table.get_mut(chain).expect(line).rules;
                    let index = rules.iter().position(|known| known == rule);
                    rules.remove(index.expect(line));
                }
                ["-I", chain, _] => {
                    let (index, rule) = rule.split_once(' ').expect(line);
                    let index: usize = index.parse().expect(line);
                    let rules = &mut table.entry(chain.into()).or_default().rules;
                    rules.insert(index - 1, rule.to_owned());
                }
                [chain, policy, "[0:0]"] => {
                    let chain = chain.strip_prefix(':').expect(line);
                    table.entry(chain.into()).or_default().policy = Some(policy.to_owned());
                }
                _ => panic!("{line}"),
            }
        }
    }
}

/// Numbers that look like chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn rules(&mut self, most: usize) -> Vec<String> {
        let count = self.below(most + 1);
        (0..count)
            .map(|_| format!("-j {}", ["a", "b", "c", "d"][self.below(4)]))
            .collect()
    }
}

#[test]
fn whatever_commands_made_of_the_rules_is_taken_back() {
    let mut chance = Chance(7);
    for round in 0..2000 {
        let place = |table: &str, chain: &str| Place {
            table: table.into(),
            chain: chain.into(),
        };
        let mut made = |saved: &mut Saved, place: &Place| {
            let table = saved.tables.entry(place.table.clone()).or_default();
            let is_built_in = saved::is_built_in(&place.chain);
            let chain = table.entry(place.chain.clone()).or_default();
            chain.policy = is_built_in.then(|| ["ACCEPT", "DROP"][chance.below(2)].to_owned());
            chain.rules = chance.rules(5);
        };
        let (input, user) = (place("filter", "INPUT"), place("filter", "USER"));
        let (mut before, mut after) = (Saved::default(), Saved::default());
        made(&mut before, &input);
        made(&mut after, &input);
        match round % 4 {
            0 => made(&mut before, &user),
            1 => made(&mut after, &user),
            2 => {
                made(&mut before, &user);
                made(&mut after, &user);
            }
            _ => {}
        }
        let changes = Changes::between(&before, &after);
        let mut work = Work::new(after.clone());
        work.take_back(&changes);
        work.drop_chains(&changes);
        let mut now = after.clone();
        apply(&mut now, &work.end());
        assert_eq!(now, before, "{round}: {after:?}");
    }
}
