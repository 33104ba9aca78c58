//! What a change of the configuration does to a running machine: which keys change, and when each change holds.

use std::collections::BTreeSet;

use config::schema::{CLOUD_CONFIG, Effect, Field, Kind};
use config::{Location, Node, Value};
use serde::Serialize;

/// Keys that hold at once though the boot applies them, with everything below them.
const LIVE: &[&str] = &[
    "fqdn",
    "hostname",
    "ntp.enabled",
    "prefer_fqdn_over_hostname",
    "rancher.defaults.hostname",
    "rancher.environment",
    "rancher.bootstrap_docker",
    "rancher.modules",
    "rancher.repositories",
    "rancher.services",
    "rancher.services_include",
    "rancher.shutdown_timeout",
    "rancher.sysctl",
    "rancher.system_docker",
    "rancher.watchdog",
    "ssh_authorized_keys",
];

/// Services that read the configuration when they start, in the order in which they are restarted: what others need
/// comes first.
const RESTARTS: &[&str] = &["network", "syslog", "ntp", "console", "docker"];

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was not set before.
    Added,
    /// It has another value.
    Changed,
    /// It is not set any more: its effect goes.
    Removed,
}

/// When a change holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// At once, without an outage.
    Live,
    /// After a restart of these services, which is part of the apply.
    Restart(Vec<String>),
    /// At the next boot.
    Reboot,
    /// With the next use of a command.
    Command(String),
    /// Never, for a reason.
    Nothing(String),
}

/// One key that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its dotted path.
    pub key: String,
    /// Where its value stands, or stood.
    #[serde(serialize_with = "place")]
    pub at: Location,
    /// What happens to it.
    pub what: What,
    /// When that holds.
    pub when: When,
}

fn place<S: serde::Serializer>(at: &Location, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// What changes between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In order of their keys.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Compares two merged, checked trees. Equal ones give an empty plan.
    pub fn new(before: &Node, after: &Node) -> Plan {
        let mut plan = Plan::default();
        let root = Key {
            path: String::new(),
            effect: Effect::Inside,
            kind: CLOUD_CONFIG,
        };
        plan.compare(&root, Some(before), Some(after));
        plan
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Services to restart, in order. User Docker runs in the console's view of files and follows it.
    pub fn restarts(&self) -> Vec<&'static str> {
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for change in &self.changes {
            if let When::Restart(services) = &change.when {
                named.extend(services.iter().map(String::as_str));
            }
        }
        if named.contains("console") {
            named.insert("docker");
        }
        RESTARTS
            .iter()
            .filter(|name| named.contains(**name))
            .copied()
            .collect()
    }

    /// Whether some of it holds only after a reboot.
    pub fn needs_reboot(&self) -> bool {
        !self.after_reboot().is_empty()
    }

    /// The keys that hold only after a reboot.
    pub fn after_reboot(&self) -> Vec<&str> {
        let changes = self.changes.iter();
        let later = changes.filter(|change| change.when == When::Reboot);
        later.map(|change| change.key.as_str()).collect()
    }

    /// Whether a key, or one below it, changes.
    pub fn touches(&self, key: &str) -> bool {
        self.changes.iter().any(|change| {
            change
                .key
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Whether links are made or taken away, which takes switches some time (spanning tree).
    pub fn rebuilds_links(&self) -> bool {
        let words = [".bond", ".bond_opts", ".bridge", ".vlans"];
        self.changes.iter().any(|change| {
            change.key.starts_with("rancher.network.interfaces.")
                && words.iter().any(|word| change.key.contains(word))
        })
    }

    /// What whoever uses the machine will notice, one sentence each; nothing when all is live.
    pub fn outage(&self) -> Vec<&'static str> {
        let sentence = |service: &&str| match *service {
            "network" => {
                "network: addresses and routes are set again: a few seconds; connections to an address that goes are lost"
            }
            "syslog" => "syslog: a few seconds in which the kernel's log keeps what is logged",
            "ntp" => "ntp: the time runs on and is not compared for a few seconds",
            "console" => {
                "console: it starts from its image again: logins and what was started from them end; new ones are taken after some 10 seconds"
            }
            "docker" => {
                "docker: dockerd does not answer for some 10 seconds; containers run on, unless live_restore is off"
            }
            _ => "a service restarts",
        };
        let mut sentences: Vec<&str> = self.restarts().iter().map(sentence).collect();
        if self.runs_commands() {
            sentences.push("network: its commands are run; what they do to the firewall by iptables is undone when the change is taken back or its keys are removed, everything else only by a reboot");
        }
        sentences
    }

    /// Whether commands of the network change: `ros netconf` knows what they did to the firewall, and nobody knows the rest.
    fn runs_commands(&self) -> bool {
        let words = ["pre_cmds", "post_cmds", "pre_up", "post_up"];
        self.changes.iter().any(|change| {
            let rest = change.key.strip_prefix("rancher.network.");
            rest.is_some_and(|rest| words.iter().any(|word| rest.ends_with(word)))
        })
    }

    fn compare(&mut self, key: &Key, before: Option<&Node>, after: Option<&Node>) {
        if json(before) == json(after) {
            return;
        }
        let names = match (key.has_keys(), names(before), names(after)) {
            (true, Some(mut names), Some(more)) => {
                names.extend(more);
                names
            }
            _ => return self.leaf(key, before, after),
        };
        for name in names {
            self.compare(&key.below(name), entry(before, name), entry(after, name));
        }
    }

    fn leaf(&mut self, key: &Key, before: Option<&Node>, after: Option<&Node>) {
        let what = match (before, after) {
            (None, _) => What::Added,
            (_, None) => What::Removed,
            _ => What::Changed,
        };
        let Some(node) = after.or(before) else { return };
        self.changes.push(Change {
            key: key.path.clone(),
            at: node.at.clone(),
            what,
            when: key.when(what),
        });
    }
}

/// A key on the way down.
struct Key {
    path: String,
    effect: Effect,
    kind: Kind,
}

impl Key {
    /// Whether its keys change each for itself.
    fn has_keys(&self) -> bool {
        self.is_services()
            || matches!(
                self.kind,
                Kind::Object(_) | Kind::MapOf(_) | Kind::StringMap
            )
    }

    /// A service is made of its whole definition.
    fn is_services(&self) -> bool {
        self.path == "rancher.services"
    }

    fn below(&self, name: &str) -> Key {
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        let (effect, kind) = match self.kind {
            _ if self.is_services() => (self.effect, Kind::Any),
            Kind::Object(fields) => fields.iter().find(|field| field.name == name).map_or(
                (Effect::Given("it is not known"), Kind::Any),
                |field: &Field| (field.effect, field.kind),
            ),
            Kind::MapOf(inner) => (self.effect, *inner),
            _ => (self.effect, Kind::Any),
        };
        Key { path, effect, kind }
    }

    fn when(&self, what: What) -> When {
        let is_live = LIVE.iter().any(|live| {
            let rest = self.path.strip_prefix(live);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        // What the kernel has loaded stays until the next boot.
        let stays = self.path == "rancher.modules" && what == What::Removed;
        if is_live && !stays {
            return When::Live;
        }
        match self.effect {
            Effect::Service(names) => When::Restart(names.split(", ").map(str::to_owned).collect()),
            Effect::Boot | Effect::EarlyBoot | Effect::Inside => When::Reboot,
            Effect::Command(command) => When::Command(command.to_owned()),
            // An engine, a console: the one that there is.
            Effect::Only(_, reason)
            | Effect::Given(reason)
            | Effect::Never(reason)
            | Effect::Always(reason)
            | Effect::NotDone(reason)
            | Effect::CommandLine(reason) => When::Nothing(reason.to_owned()),
        }
    }
}

fn json(node: Option<&Node>) -> Option<serde_json::Value> {
    node.map(Node::to_json).filter(|json| !json.is_null())
}

fn entry<'n>(node: Option<&'n Node>, name: &str) -> Option<&'n Node> {
    let entry = node?.as_map()?.get(name)?;
    Some(&entry.node)
}

/// The keys of a map; none of what is absent, and `None` for anything that has no keys.
fn names(node: Option<&Node>) -> Option<BTreeSet<&str>> {
    match node {
        None => Some(BTreeSet::new()),
        Some(node) if node.value.is_nothing() => Some(BTreeSet::new()),
        Some(Node {
            value: Value::Map(map),
            ..
        }) => Some(map.keys().map(String::as_str).collect()),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
