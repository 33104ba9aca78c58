//! A whole life of a note, with iptables in a network namespace of the test.

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sys::netlink::{in_netns, new_netns};

use super::*;

/// The host's, from Debian's package iptables.
const PROGRAM: &str = "/usr/sbin/xtables-nft-multi";

/// The network of a configuration with these commands.
fn network(post_cmds: &str) -> Network {
    let text = format!("rancher: {{network: {{post_cmds: {post_cmds}}}}}");
    let source = config::Source {
        name: "t.yml",
        text: &text,
    };
    let loaded = config::load(&[source], &config::CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.config.rancher.network
}

/// Runs lines of iptables, each of them in a shell.
fn run(lines: &[&str]) {
    for line in lines {
        let output = Command::new("/bin/sh").args(["-c", line]).run().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }
}

/// Rules and policies of the table `filter`, without comments and counters.
fn filter() -> Vec<String> {
    let output = Command::new(PROGRAM)
        .args(["iptables", "-S"])
        .run()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn note(&self) -> PathBuf {
        self.folder.path().join(NOTE)
    }

    /// The service starts with these commands, and runs them.
    fn starts(&self, commands: &[&str]) {
        let list = serde_json::to_string(commands).unwrap();
        let mut firewall = Firewall::start_in(self.note(), PROGRAM.into(), &network(&list));
        if !commands.is_empty() {
            firewall.around("post_cmds", || run(commands));
        }
        assert!(firewall.said.is_empty(), "{:?}", firewall.said);
    }
}

fn in_namespace(test: impl FnOnce(&Machine) + Send) {
    let machine = Machine {
        folder: tempfile::tempdir().unwrap(),
    };
    let namespace = new_netns().unwrap();
    in_netns(namespace.as_fd(), || test(&machine)).unwrap();
}

#[test]
#[ignore = "needs root, and iptables of the host: cargo test -- --include-ignored"]
fn what_commands_did_goes_with_them() {
    in_namespace(|machine| {
        run(&[
            "iptables -A INPUT -i lo -j ACCEPT",
            "iptables -A INPUT -p udp --dport 9 -j ACCEPT",
        ]);
        let own = filter();
        for commands in [
            &["iptables -I INPUT -p tcp --dport 22 -j DROP"][..],
            &["iptables -P INPUT DROP"],
            &["iptables -P INPUT DROP", "iptables -F"],
            &[
                "iptables -N MINE",
                "iptables -A MINE -m comment --comment \"it's \\\"mine\\\" \\$1\" -j DROP",
                "iptables -I INPUT 2 -g MINE",
                "ip6tables -P INPUT DROP",
                "iptables -t nat -A POSTROUTING -o eth9 -j MASQUERADE",
            ],
        ] {
            machine.starts(commands);
            let with = filter();
            assert_ne!(with, own, "{commands:?}");
            let mode = fs::metadata(machine.note()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            machine.starts(&["iptables -A INPUT -j ACCEPT"]);
            assert_eq!(
                filter().len(),
                own.len() + 1,
                "{commands:?}: {:?}",
                filter()
            );
            machine.starts(&[]);
            assert_eq!(filter(), own, "{commands:?}");
            assert!(!machine.note().exists());
        }
        let families = Command::new(PROGRAM).arg("ip6tables-save").run().unwrap();
        let text = String::from_utf8_lossy(&families.stdout);
        assert!(!text.contains("DROP"), "{text}");
        let nat = Command::new(PROGRAM).args(["iptables-save", "-t", "nat"]);
        let text = nat.run().unwrap().stdout;
        assert!(!String::from_utf8_lossy(&text).contains("eth9"));
    });
}

#[test]
#[ignore = "needs root, and iptables of the host: cargo test -- --include-ignored"]
fn a_restart_with_the_same_commands_leaves_each_rule_once() {
    in_namespace(|machine| {
        let commands = [
            "iptables -A INPUT -p tcp --dport 22 -j ACCEPT",
            "iptables -A INPUT -j DROP",
            "iptables -I FORWARD -i eth9 -j DROP",
        ];
        machine.starts(&commands);
        run(&["iptables -A INPUT -p udp --dport 9 -j ACCEPT"]);
        let once = filter();
        for _ in 0..3 {
            machine.starts(&commands);
            assert_eq!(filter(), once);
        }
        machine.starts(&[]);
        assert_eq!(filter().len(), 4, "{:?}", filter());
    });
}

#[test]
#[ignore = "needs root, and iptables of the host: cargo test -- --include-ignored"]
fn commands_in_the_middle_of_which_the_service_was_killed_are_undone() {
    in_namespace(|machine| {
        let before = filter();
        let killed = &network("[iptables -P INPUT DROP; sleep 100]");
        let mut firewall = Firewall::start_in(machine.note(), PROGRAM.into(), killed);
        let texts = firewall.look(FAMILIES);
        firewall.note.begin("post_cmds", texts);
        firewall.write();
        run(&["iptables -P INPUT DROP"]);
        drop(firewall);
        machine.starts(&[]);
        assert_eq!(filter(), before);
    });
}

#[test]
#[ignore = "needs root, and iptables of the host: cargo test -- --include-ignored"]
fn a_step_that_is_refused_keeps_no_other_from_being_made() {
    in_namespace(|machine| {
        run(&["iptables -N THEIRS", "iptables -A INPUT -j THEIRS"]);
        let commands = ["iptables -F INPUT", "iptables -A INPUT -j DROP"];
        let list = serde_json::to_string(&commands).unwrap();
        let mut firewall = Firewall::start_in(machine.note(), PROGRAM.into(), &network(&list));
        firewall.around("post_cmds", || run(&commands));
        // What went leads to a chain that is not there any more.
        run(&["iptables -X THEIRS"]);
        let firewall = Firewall::start_in(machine.note(), PROGRAM.into(), &network("[]"));
        assert_eq!(firewall.said.len(), 1, "{:?}", firewall.said);
        assert!(!filter().iter().any(|line| line.contains("DROP")));
    });
}

#[test]
fn without_commands_nothing_is_run_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NOTE);
    let firewall = Firewall::start_in(path.clone(), Path::new("/no-such").into(), &network("[]"));
    assert!(firewall.said.is_empty() && !path.exists());
}

#[test]
fn a_firewall_that_cannot_be_read_keeps_no_command_from_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NOTE);
    let start =
        |commands: &str| Firewall::start_in(path.clone(), "/no-such".into(), &network(commands));
    let mut has_run = false;
    start("[a]").around("post_cmds", || has_run = true);
    assert!(has_run);
    fs::write(&path, "{").unwrap();
    let firewall = start("[]");
    assert_eq!(firewall.said.len(), 1, "{:?}", firewall.said);
}
