//! Keys that the kernel command line alone can set: they are read before the machine's files are there.

use crate::schema::{CLOUD_CONFIG, Effect, Kind};
use crate::{Location, Node, Problem};

/// Where the kernel command line is written, for messages.
const WHERE: &str =
    "ros install --append, ros os upgrade --append, or `e` in the boot menu for one boot";

/// What is so when nobody says anything, as JSON: a file that asks for it is obeyed.
#[rustfmt::skip] // one line a key, so that it can be read as a table
const DEFAULTS: &[(&str, &str)] = &[
    ("rancher.install.force",      "false"),
    ("rancher.install.keep_state", "false"),
    ("rancher.install.no_reboot",  "false"),
    ("rancher.recovery",           "false"),
    ("rancher.state.autoformat",   "[]"),
    ("rancher.state.dev",          "\"LABEL=RANCHER_STATE\""),
    ("rancher.state.fstype",       "\"auto\""),
    ("rancher.state.required",     "false"),
    ("rancher.state.wait",         "false"),
];

/// What the boot knows of these keys.
pub(crate) struct Early {
    keys: Vec<Key>,
}

struct Key {
    path: String,
    reason: &'static str,
    /// The value that holds, as JSON.
    held: Option<String>,
}

impl Early {
    /// What holds by the kernel command line.
    pub(crate) fn new(command_line: Option<&Node>) -> Self {
        let mut early = Self { keys: Vec::new() };
        collect(&CLOUD_CONFIG, "", &mut early.keys);
        if let Some(node) = command_line {
            early.hold(node);
        }
        early
    }

    /// What holds by another document that the boot has so early; the earlier one wins.
    pub(crate) fn hold(&mut self, node: &Node) {
        for key in self.keys.iter_mut().filter(|key| key.held.is_none()) {
            key.held = node.get(&key.path).map(|node| node.to_json().to_string());
        }
    }

    /// What a document asks for that comes too late with it: not what holds anyway.
    pub(crate) fn too_late(&self, node: &Node) -> Vec<Problem> {
        let late = |key: &Key| {
            let value = node.get(&key.path)?.to_json().to_string();
            let defaults = DEFAULTS.iter().find(|(path, _)| *path == key.path);
            let held = key.held.as_deref().or(defaults.map(|(_, value)| *value));
            if held == Some(&value) {
                return None;
            }
            let message = format!(
                "not applied: {}: give it on the kernel command line ({WHERE})",
                key.reason
            );
            Some(Problem::warning(
                place(node, &key.path)?,
                &key.path,
                message,
            ))
        };
        self.keys.iter().filter_map(late).collect()
    }
}

/// Passwords of the command line that are not hashes: every container reads /proc/cmdline.
pub(crate) fn readable_passwords(command_line: &Node) -> Vec<Problem> {
    let keys = ["rancher.password", "password"].into_iter();
    let plain = keys.filter_map(|key| {
        let node = command_line.get(key)?;
        let is_plain = node.as_str().is_some_and(|text| !text.is_empty() && !text.starts_with('$'));
        let message = "it stands in plain text on the kernel command line, which every container can read in /proc/cmdline: give its hash (`openssl passwd -6`), or give it in user data";
        is_plain.then(|| Problem::warning(&node.at, key, message))
    });
    plain.collect()
}

fn place<'n>(node: &'n Node, path: &str) -> Option<&'n Location> {
    let (parent, name) = path.rsplit_once('.')?;
    Some(&node.get(parent)?.as_map()?.get(name)?.key_at)
}

fn collect(kind: &Kind, path: &str, keys: &mut Vec<Key>) {
    let Kind::Object(fields) = kind else {
        return;
    };
    for field in *fields {
        let path = if path.is_empty() {
            field.name.to_owned()
        } else {
            format!("{path}.{}", field.name)
        };
        if let Effect::CommandLine(reason) = field.effect {
            keys.push(Key {
                path: path.clone(),
                reason,
                held: None,
            });
        }
        collect(&field.kind, &path, keys);
    }
}

#[cfg(test)]
mod tests {
    use crate::{CommandLine, Source, load};

    fn warnings(name: &str, text: &str, line: &str) -> Vec<String> {
        let source = Source { name, text };
        let loaded = load(&[source], &CommandLine::parse(line));
        let problems = loaded.problems.iter();
        problems.map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_that_comes_too_late_is_told_where_the_key_belongs() {
        let text = "rancher:\n  recovery: true\n  state:\n    dev: LABEL=MINE\n    autoformat: [/dev/sda]\n    required: true\n  install:\n    device: /dev/sda\n";
        let said = warnings("user.yml", text, "quiet");
        for (line, key) in [
            ("8:5", "install.device"),
            ("2:3", "recovery"),
            ("5:5", "state.autoformat"),
            ("4:5", "state.dev"),
            ("6:5", "state.required"),
        ] {
            let start = format!("user.yml:{line}: warning: rancher.{key}: not applied: ");
            assert!(
                said.iter()
                    .any(|said| said.starts_with(&start) && said.contains("--append")),
                "{key}: {said:?}"
            );
        }
        assert_eq!(said.len(), 5, "{said:?}");
    }

    #[test]
    fn a_password_that_every_container_reads_is_named() {
        for (line, key) in [
            (
                "quiet rancher.password=secret",
                "/proc/cmdline:1:7: warning: rancher.password: it stands in plain text",
            ),
            (
                "cc.password=12",
                "/proc/cmdline:1:1: warning: password: it stands in plain text",
            ),
        ] {
            let said = warnings("user.yml", "", line);
            assert!(said.len() == 1 && said[0].starts_with(key), "{said:?}");
            assert!(!said[0].contains("secret"), "{said:?}");
        }
        assert!(warnings("user.yml", "", "rancher.password=$6$a$b").is_empty());
        assert!(warnings("user.yml", "rancher: {password: secret}", "").is_empty());
    }

    #[test]
    fn what_holds_anyway_is_not_a_problem() {
        let usual =
            "rancher: {recovery: no, state: {dev: LABEL=RANCHER_STATE, fstype: auto, wait: false}}";
        assert!(warnings("user.yml", usual, "").is_empty());
        let text =
            "rancher: {state: {dev: LABEL=A, oem_dev: LABEL=O}, cloud_init: {datasources: [ec2]}}";
        let line = "rancher.state.dev=LABEL=A";
        assert!(warnings("user.yml", text, line).is_empty());
        assert_eq!(
            warnings("user.yml", text, "rancher.state.dev=LABEL=B").len(),
            1
        );
        assert!(warnings(crate::BUILT_IN, text, "").is_empty());
    }
}
