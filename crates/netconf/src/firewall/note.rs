//! What was noted of the commands of a configuration: each group of commands with what it did.

use std::collections::{BTreeMap, BTreeSet};

use config::cloud_config::{Command, Network};
use serde::{Deserialize, Serialize};

use super::Place;
use super::changes::{Added, Changes};
use super::saved::Saved;
use super::undo::{Restore, Work};

/// Commands by the key that they stand under, each as its words.
pub type Commands = BTreeMap<String, Vec<Vec<String>>>;
/// What iptables-save(8) prints, by family. A family that could not be read is not there.
pub type Texts = BTreeMap<String, String>;

/// All commands of a network.
pub fn commands(network: &Network) -> Commands {
    let words = |command: &Command| match command {
        Command::Line(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
        Command::Words(words) => words.clone(),
    };
    let own = [
        ("pre_cmds".to_owned(), &network.pre_cmds),
        ("post_cmds".to_owned(), &network.post_cmds),
    ];
    let of_links = network.interfaces.iter().flat_map(|(name, link)| {
        [
            (format!("interfaces.{name}.pre_up"), &link.pre_up),
            (format!("interfaces.{name}.post_up"), &link.post_up),
        ]
    });
    own.into_iter()
        .chain(of_links)
        .filter(|(_, commands)| !commands.is_empty())
        .map(|(key, commands)| (key, commands.iter().map(words).collect()))
        .collect()
}

/// Commands, and what they did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of the configuration whose commands ran.
    pub commands: Commands,
    groups: Vec<Group>,
    running: Option<Running>,
}

/// Commands that run together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    name: String,
    families: BTreeMap<String, Changes>,
}

/// What is to be done when commands have run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// By family, what deletes rules that are there twice because the group has run before.
    pub twice: Vec<(String, Vec<Restore>)>,
    /// Whether the commands deleted what dockerd needs, which only dockerd can make again.
    pub lost_docker: bool,
}

/// A group whose commands run: whoever is killed meanwhile finds here what was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Running {
    name: String,
    before: Texts,
}

impl Note {
    /// Nothing has run yet.
    pub fn new(commands: Commands) -> Note {
        Note {
            commands,
            ..Note::default()
        }
    }

    /// The commands of a group are about to run; `before` is what is there.
    pub fn begin(&mut self, name: &str, before: Texts) {
        self.running = Some(Running {
            name: name.to_owned(),
            before,
        });
    }

    /// Whether commands were begun whose end was not noted.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// They have run, and `after` is what is there now.
    pub fn end(&mut self, after: &Texts) -> Ended {
        let mut ended = Ended::default();
        let Some(running) = self.running.take() else {
            return ended;
        };
        for (family, before) in &running.before {
            let Some(after) = after.get(family) else {
                continue;
            };
            let (before, after) = (Saved::parse(before), Saved::parse(after));
            ended.lost_docker |= Changes::lost_foreign(&before, &after);
            let changes = self.claimable(family, Changes::between(&before, &after));
            let surplus = self
                .group(&running.name, family)
                .join(changes, &before, &after);
            let mut work = Work::new(after);
            for added in surplus.iter().rev() {
                work.delete(added);
            }
            let restores = work.end();
            if !restores.is_empty() {
                ended.twice.push((family.clone(), restores));
            }
        }
        ended
    }

    /// The families in which something is to be taken back.
    pub fn families(&self) -> BTreeSet<String> {
        let all = self.groups.iter().flat_map(|group| &group.families);
        all.filter(|(_, changes)| !changes.is_empty())
            .map(|(family, _)| family.clone())
            .collect()
    }

    /// What takes back in a family what the commands did, the last group first; `now` is what is there.
    pub fn undo(&self, family: &str, now: &str) -> Vec<Restore> {
        let mut work = Work::new(Saved::parse(now));
        let changes = || {
            let groups = self.groups.iter().rev();
            groups.filter_map(|group| group.families.get(family))
        };
        changes().for_each(|changes| work.take_back(changes));
        changes().for_each(|changes| work.drop_chains(changes));
        work.end()
    }

    /// The changes without what commands took away of what commands had made.
    fn claimable(&self, family: &str, mut changes: Changes) -> Changes {
        let all = self.groups.iter();
        let known: Vec<&Changes> = all.filter_map(|group| group.families.get(family)).collect();
        changes
            .dropped
            .retain(|place| known.iter().all(|known| !known.made.contains(place)));
        let mut own: BTreeMap<(Place, String), usize> = BTreeMap::new();
        for added in known.iter().flat_map(|known| &known.added) {
            *own.entry((added.place.clone(), added.rule.clone()))
                .or_default() += 1;
        }
        // The last ones: those before them say how many are left without them.
        changes.gone.reverse();
        changes.gone.retain(|gone| {
            let count = own.get_mut(&(gone.place.clone(), gone.rule.clone()));
            let is_own = count.is_some_and(|count| {
                let is_own = *count > 0;
                *count = count.saturating_sub(1);
                is_own
            });
            !is_own
        });
        changes.gone.reverse();
        changes
    }

    fn group(&mut self, name: &str, family: &str) -> &mut Changes {
        let index = self.groups.iter().position(|group| group.name == name);
        let index = index.unwrap_or_else(|| {
            self.groups.push(Group {
                name: name.to_owned(),
                families: BTreeMap::new(),
            });
            self.groups.len() - 1
        });
        let families = &mut self.groups[index].families;
        families.entry(family.to_owned()).or_default()
    }
}

impl Changes {
    /// Adds what another run of the same commands did. Returns the rules that are there twice because of it.
    fn join(&mut self, new: Changes, before: &Saved, after: &Saved) -> Vec<Added> {
        for place in new.made {
            // A chain of somebody else's that an earlier run dropped is theirs again.
            if !self.dropped.remove(&place) {
                self.made.insert(place);
            }
        }
        self.dropped.extend(new.dropped);
        for policy in new.policies {
            let mut known = self.policies.iter_mut();
            match known.find(|known| known.place == policy.place) {
                Some(known) => known.after = policy.after,
                None => self.policies.push(policy),
            }
        }
        self.policies.retain(|policy| policy.before != policy.after);
        let mut times: BTreeMap<(Place, String), usize> = BTreeMap::new();
        for gone in new.gone {
            let rule = (gone.place.clone(), gone.rule.clone());
            let times = times.entry(rule).or_default();
            *times += 1;
            // As often as in the run that took it away most often: something puts back what the next run takes away again.
            if *times > self.count_gone(&gone.place, &gone.rule) {
                self.gone.push(gone);
            }
        }
        self.join_added(new.added, before, after)
    }

    fn join_added(&mut self, new: Vec<Added>, before: &Saved, after: &Saved) -> Vec<Added> {
        let mut rules: BTreeMap<(Place, String), Vec<Added>> = BTreeMap::new();
        for added in new {
            let rule = (added.place.clone(), added.rule.clone());
            rules.entry(rule).or_default().push(added);
        }
        let mut twice = Vec::new();
        for ((place, rule), mut new) in rules {
            let claimed = self.count_added(&place, &rule);
            let (then, now) = (
                before.chain(&place).count(&rule),
                after.chain(&place).count(&rule),
            );
            // What was there of an earlier run, and what this one put next to it.
            let surplus = now.saturating_sub(then).min(claimed).min(then);
            let taken = (then + new.len()).saturating_sub(now);
            twice.extend(new.split_off(new.len() - surplus.min(new.len())));
            let left = now - surplus;
            let earlier = claimed
                .saturating_sub(taken)
                .min(left.saturating_sub(new.len()));
            let mut kept = 0;
            self.added.retain(|added| {
                let is_it = added.place == place && added.rule == rule;
                kept += usize::from(is_it);
                !is_it || kept <= earlier
            });
            self.added.extend(new);
        }
        twice
    }
}
