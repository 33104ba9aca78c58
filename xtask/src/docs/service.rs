//! The rights of one service, and the comments that give their reasons.

use anyhow::{Context, Result, bail, ensure};
use config::{Location, Node, Value};

/// A right and why it is given.
#[derive(Debug)]
pub(super) struct Reasoned {
    pub(super) what: String,
    pub(super) why: String,
}

/// A service as far as its rights go.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    /// The comment above it.
    pub(super) about: String,
    /// The reason, when it is privileged.
    pub(super) privileged: Option<String>,
    pub(super) capabilities: Vec<Reasoned>,
    /// Namespaces of the host that it is in.
    pub(super) namespaces: Vec<Reasoned>,
    pub(super) devices: Vec<Reasoned>,
    pub(super) mounts: Vec<Reasoned>,
    pub(super) read_only: bool,
    /// `security_opt`.
    pub(super) security: Vec<Reasoned>,
}

impl Service {
    /// Its filter of system calls.
    pub(super) fn seccomp(&self) -> &str {
        match self.option("seccomp") {
            Some("unconfined") => "none",
            Some(_) => "own profile",
            None if self.privileged.is_some() => "none",
            None => "default",
        }
    }

    /// Its AppArmor profile.
    pub(super) fn apparmor(&self) -> &str {
        match self.option("apparmor") {
            _ if self.privileged.is_some() => "unconfined",
            Some(profile) => profile,
            None => "docker-default",
        }
    }

    /// The value of one of `security_opt`.
    fn option(&self, key: &str) -> Option<&str> {
        let options = self.security.iter().map(|option| option.what.as_str());
        options
            .filter_map(|option| option.strip_prefix(key)?.strip_prefix(['=', ':']))
            .next_back()
    }
}

/// All services of a configuration, or of a catalogue's file, in its order.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<Service>> {
    let (tree, _) = config::parse(name, text).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    let lines: Vec<&str> = text.lines().collect();
    let services = tree
        .get("rancher.services")
        .unwrap_or(&tree)
        .as_map()
        .with_context(|| format!("{name} has no services"))?;
    let mut entries: Vec<_> = services.iter().collect();
    entries.sort_by_key(|(_, entry)| entry.key_at.line);
    entries
        .into_iter()
        .map(|(service, entry)| {
            let source = Source {
                lines: &lines,
                node: &entry.node,
            };
            source
                .service(service, &entry.key_at)
                .with_context(|| format!("{name}: service {service}"))
        })
        .collect()
}

struct Source<'a> {
    lines: &'a [&'a str],
    node: &'a Node,
}

impl Source<'_> {
    fn service(&self, name: &str, at: &Location) -> Result<Service> {
        let service = Service {
            name: name.to_owned(),
            about: self.above(at),
            privileged: self
                .is_true("privileged")
                .then(|| self.reason("privileged")),
            capabilities: self.list("cap_add")?,
            namespaces: self.namespaces(),
            devices: [self.list("devices")?, self.list("device_cgroup_rules")?]
                .into_iter()
                .flatten()
                .collect(),
            mounts: [self.list("volumes")?, self.tmpfs()?]
                .into_iter()
                .flatten()
                .collect(),
            read_only: self.is_true("read_only"),
            security: self.list("security_opt")?,
        };
        if let Some(reason) = &service.privileged {
            ensure!(!reason.is_empty(), "is privileged without a reason");
        } else {
            let dropped = self.list("cap_drop")?;
            ensure!(
                dropped.iter().any(|item| item.what == "ALL"),
                "does not drop all capabilities first"
            );
        }
        let mut exceptions = service.capabilities.iter().chain(&service.security);
        if let Some(item) = exceptions.find(|item| item.why.is_empty()) {
            bail!("{} has no reason", item.what);
        }
        Ok(service)
    }

    fn tmpfs(&self) -> Result<Vec<Reasoned>> {
        let mut items = self.list("tmpfs")?;
        for item in &mut items {
            item.what.insert_str(0, "tmpfs ");
        }
        Ok(items)
    }

    fn is_true(&self, key: &str) -> bool {
        self.node.get(key).and_then(Node::as_str) == Some("true")
    }

    fn namespaces(&self) -> Vec<Reasoned> {
        ["cgroup", "ipc", "net", "pid", "userns_mode", "uts"]
            .into_iter()
            .filter(|key| self.node.get(key).and_then(Node::as_str) == Some("host"))
            .map(|key| Reasoned {
                what: key.to_owned(),
                why: self.reason(key),
            })
            .collect()
    }

    /// A key's items with the comments next to them; one without has the reason of the item before it.
    fn list(&self, key: &str) -> Result<Vec<Reasoned>> {
        let Some(node) = self.node.get(key) else {
            return Ok(Vec::new());
        };
        let Value::List(nodes) = &node.value else {
            bail!("{key} is not a list");
        };
        let mut items: Vec<Reasoned> = Vec::new();
        for node in nodes {
            let what = node
                .as_str()
                .with_context(|| format!("{key} has an item that is not text"))?;
            let mut why = self.next_to(&node.at);
            if why.is_empty()
                && key == "cap_add"
                && let Some(before) = items.last()
            {
                why.clone_from(&before.why);
            }
            let what = what.to_owned();
            items.push(Reasoned { what, why });
        }
        Ok(items)
    }

    /// The comment next to a key, or else those above it.
    fn reason(&self, key: &str) -> String {
        let entry = self.node.as_map().and_then(|map| map.get(key));
        let Some(entry) = entry else {
            return String::new();
        };
        let same_line = self.next_to(&entry.key_at);
        if same_line.is_empty() {
            self.above(&entry.key_at)
        } else {
            same_line
        }
    }

    /// The comment behind a value: YAML begins one with a space and `#`.
    fn next_to(&self, at: &Location) -> String {
        let line = self
            .lines
            .get(at.line as usize - 1)
            .copied()
            .unwrap_or_default();
        let comment = line.split_once(" # ").map_or("", |(_, comment)| comment);
        comment.trim().to_owned()
    }

    /// The lines of comment just above.
    fn above(&self, at: &Location) -> String {
        let before = self.lines.get(..at.line as usize - 1).unwrap_or_default();
        let comments: Vec<&str> = before
            .iter()
            .rev()
            .map_while(|line| line.trim().strip_prefix('#'))
            .map(str::trim)
            .collect();
        comments.into_iter().rev().collect::<Vec<_>>().join(" ")
    }
}
