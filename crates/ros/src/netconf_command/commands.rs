//! Commands of the configuration: `pre_cmds`, `post_cmds`, and `pre_up` and `post_up` of a link.

use std::time::Duration;

use config::cloud_config::{Command as Entry, Network};

use super::firewall::Firewall;
use super::loudly;

/// Longest run of one command.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs commands, and knows what they did to the firewall.
pub(super) struct Commands {
    firewall: Firewall,
}

impl Commands {
    /// Takes back what commands of an earlier configuration did to the firewall.
    pub(super) fn start(network: &Network) -> Commands {
        Commands {
            firewall: Firewall::start(network),
        }
    }

    /// Those of the machine.
    pub(super) fn run(&mut self, name: &str, commands: &[Entry]) {
        self.run_group(name, name, commands, "");
    }

    /// Those of a link.
    pub(super) fn run_for(&mut self, name: &str, commands: &[Entry], interface: &str) {
        self.run_group(&format!("{name} {interface}"), name, commands, interface);
    }

    fn run_group(&mut self, group: &str, name: &str, commands: &[Entry], interface: &str) {
        if !commands.is_empty() {
            self.firewall
                .around(group, || run_all(name, commands, interface));
        }
    }
}

/// One after the other; a failure is reported and the next one follows.
fn run_all(name: &str, commands: &[Entry], interface: &str) {
    let fill = |word: &String| word.replace("$iface", interface);
    for (index, command) in commands.iter().enumerate() {
        let command = match command {
            Entry::Line(line) => Entry::Line(fill(line)),
            Entry::Words(words) => Entry::Words(words.iter().map(fill).collect()),
        };
        let program = crate::console::program(&command)
            .env("iface", interface)
            .deadline(DEADLINE);
        let error = match program.run() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => format!(
                "{}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            Err(error) => error.to_string(),
        };
        loudly(&format!("{name}[{index}]: {error}"));
    }
}
