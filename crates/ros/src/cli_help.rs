//! Examples below the help of every command of `ros`, and completion for shells.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

/// Commands by their words, and what a person would type; only the first form of each is shown to be short.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "boot blame",
        &["ros boot blame", "ros boot blame --format json"],
    ),
    (
        "completion",
        &["ros completion bash > ~/.ros-completion && . ~/.ros-completion"],
    ),
    ("config confirm", &["ros config confirm"]),
    ("config diff", &["ros config diff"]),
    (
        "config export",
        &[
            "ros config export",
            "ros config export --private -o backup.yml",
        ],
    ),
    ("config get", &["ros config get rancher.network.dns.search"]),
    ("config images", &["ros config images"]),
    ("config revert", &["ros config revert"]),
    (
        "config validate",
        &["ros config validate -i cloud-config.yml"],
    ),
    ("console list", &["ros console list"]),
    ("dev", &["ros dev LABEL=RANCHER_STATE"]),
    ("engine list", &["ros engine list --format json"]),
    (
        "install",
        &[
            "ros install -d /dev/sda -c cloud-config.yml",
            "ros install -d smallest -c http://10.0.0.1/node.yml -f --append console=ttyS1",
        ],
    ),
    (
        "net status",
        &["ros net status", "ros net status --format json"],
    ),
    ("os cancel", &["ros os cancel"]),
    ("os check", &["ros os check"]),
    ("os commit", &["ros os commit"]),
    ("os history", &["ros os history"]),
    ("os list", &["ros os list", "ros os list -u"]),
    ("os pin", &["ros os pin", "ros os pin off"]),
    ("os policy", &["ros os policy"]),
    ("os rollback", &["ros os rollback"]),
    ("os status", &["ros os status --format json"]),
    (
        "os upgrade",
        &["ros os upgrade", "ros os upgrade -i rancheros.iso --stage"],
    ),
    ("os verify", &["ros os verify"]),
    ("os version", &["ros os version"]),
    ("service create", &["ros service create web"]),
    (
        "service delete",
        &["ros service delete /var/lib/rancher/conf/web.yml"],
    ),
    (
        "service disable",
        &["ros service disable /var/lib/rancher/conf/web.yml"],
    ),
    (
        "service down",
        &["ros service down web", "ros service down -v --rmi all web"],
    ),
    ("service kill", &["ros service kill -s SIGHUP syslog"]),
    (
        "service list",
        &["ros service list --update", "ros service list --all"],
    ),
    (
        "service logs",
        &[
            "ros service logs network",
            "ros service logs --lines 20 -f console",
        ],
    ),
    (
        "service ps",
        &["ros service ps", "ros service ps --format json"],
    ),
    ("service pull", &["ros service pull web"]),
    ("service restart", &["ros service restart network"]),
    ("service rm", &["ros service rm -f web"]),
    ("service start", &["ros service start web"]),
    (
        "service stop",
        &["ros service stop web", "ros service --debug stop"],
    ),
    (
        "service up",
        &[
            "ros service up",
            "ros service up web",
            "ros service up --force-recreate --no-build web",
        ],
    ),
    ("status", &["ros status", "ros status --problems"]),
];

/// The command line with an example for each command that brings none.
pub(crate) fn with_examples(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (words, examples)| {
        let title = if examples.len() == 1 {
            "Example"
        } else {
            "Examples"
        };
        let text = format!("{title}:\n  {}", examples.join("\n  "));
        add(command, &words.split(' ').collect::<Vec<_>>(), &text)
    })
}

fn add(command: Command, words: &[&str], text: &str) -> Command {
    match words.split_first() {
        Some((first, rest)) => command.mut_subcommand(*first, |below| add(below, rest, text)),
        None => command.after_help(text.to_owned()),
    }
}

/// Prints the completion of a shell.
pub(crate) fn complete(shell: Shell, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "ros", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    /// Every command that does something, by its words.
    fn leaves(command: &Command, words: &str, found: &mut Vec<(String, Command)>) {
        let below: Vec<&Command> = command
            .get_subcommands()
            .filter(|below| !below.is_hide_set() && below.get_name() != "help")
            .collect();
        if below.is_empty() {
            found.push((words.to_owned(), command.clone()));
        }
        for one in below {
            leaves(one, format!("{words} {}", one.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_it_takes() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        assert!(found.len() > 40, "{} commands", found.len());
        for (words, command) in &found {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.starts_with("Example"), "ros {words} has no example");
            assert!(
                help.contains(&format!("ros {words}")),
                "ros {words}: {help}"
            );
        }
        for (_, examples) in EXAMPLES {
            for line in *examples {
                let own = line.split(['>', '&']).next().unwrap_or_default();
                let parsed = command().try_get_matches_from(own.split_whitespace());
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn completions_name_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "ros", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["validate", "blame", "upgrade", "--problems"] {
                let word = if shell == Shell::Fish {
                    word.trim_start_matches("--")
                } else {
                    word
                };
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
