//! What somebody who validates a document should know, and no part of a boot says: settings that are taken and come to nothing.
//!
//! A boot does not need these rules: they are not in crate config, which is part of PID 1's program.

mod docker;
mod services;
mod ssh;
mod upgrade;

use config::{Entry, Location, Node, Problem};

use crate::machine_config::MachineConfig;

/// Adds warnings.
pub(super) fn add(machine: &MachineConfig, problems: &mut Vec<Problem>) {
    let (config, tree) = (&machine.loaded.config, &machine.loaded.tree);
    let rancher = &config.rancher;
    docker::add(&rancher.docker, tree, problems);
    services::actions(&config.write_files, tree, problems);
    services::schedules(&rancher.services, tree, problems);
    services::scripts(&rancher.services, &config.write_files, tree, problems);
    ssh::add(tree, problems);
    upgrade::add(&rancher.upgrade, tree, problems);
}

fn at_key(entry: &Entry, key: &str, words: String) -> Problem {
    Problem::warning(&entry.key_at, key, words)
}

fn at_item(tree: &Node, list: &str, index: usize, words: String) -> Problem {
    let at = place(tree, &format!("{list}.{index}"));
    Problem::warning(&at, format!("{list}[{index}]"), words)
}

fn place(tree: &Node, key: &str) -> Location {
    let node = tree.get(key);
    node.map_or_else(Location::built_in, |node| node.at.clone())
}

#[cfg(test)]
mod tests {
    use crate::machine_config::of_documents;

    pub(super) fn said(text: &str) -> Vec<String> {
        let machine = of_documents(vec![("t".to_owned(), text.to_owned())]);
        assert!(
            machine.loaded.problems.is_empty(),
            "{:?}",
            machine.loaded.problems
        );
        let mut problems = Vec::new();
        super::add(&machine, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }
}
