//! `rancher.services_include`: files of services that are added to the configuration's own.

use std::collections::BTreeMap;

use crate::schema::{Kind, SERVICE};
use crate::{Entry, Loaded, Node, Problem, Service, Value, check, parse};

/// RancherOS's catalogue, and what stands for each service of it here.
const CATALOGUE: &[(&str, &str)] = &[
    ("amazon-metadata", "tags of EC2 are not read"),
    ("container-cron", "run cron in a container"),
    (
        "crontab",
        "the label cron.schedule starts services with io.rancher.os.scope: system without it",
    ),
    ("hyperv-vm-tools", "this version has no VM tools"),
    (
        "kernel-extras",
        "it is not needed: the image has all kernel modules",
    ),
    ("kernel-headers", "this version has no kernel headers"),
    (
        "kernel-headers-system-docker",
        "this version has no kernel headers",
    ),
    ("open-iscsi", "this version has no iSCSI tools"),
    ("open-vm-tools", "this version has no VM tools"),
    ("qemu-guest-agent", "this version has no VM tools"),
    ("virtualbox-tools", "this version has no VM tools"),
    ("volume-cifs", "mount it: `mounts` with file system cifs"),
    ("volume-efs", "mount it: `mounts` with file system nfs4"),
    ("volume-nfs", "mount it: `mounts` with file system nfs4"),
    ("nfs", "mount it: `mounts` with file system nfs4"),
    ("waagent", "this version has no VM tools"),
    ("zfs", "this version has no ZFS"),
];

/// Services that every machine knows by name, and that are off unless they are included.
const BUILT_IN: &[(&str, &str)] = &[("wifi", include_str!("../../../rootfs/catalogue/wifi.yml"))];

/// The file of a service that every machine knows.
pub fn built_in(name: &str) -> Option<&'static str> {
    let mut services = BUILT_IN.iter();
    services.find_map(|(known, text)| (*known == name).then_some(*text))
}

/// Names of the services that every machine knows.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Names of services in a repository's `index.yml`: the list below `services:`. Names that cannot be those of a file are left
/// out.
///
/// # Errors
/// A text that is not YAML.
pub fn index(name: &str, text: &str) -> Result<Vec<String>, Problem> {
    let (node, _) = parse(name, text)?;
    let Some(Value::List(services)) = node.get("services").map(|node| &node.value) else {
        return Ok(Vec::new());
    };
    let names = services.iter().filter_map(|service| match &service.value {
        Value::Plain(name) | Value::String(name) if is_catalogue_name(name) => Some(name.clone()),
        _ => None,
    });
    Ok(names.collect())
}

/// An entry of `services_include` that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Include {
    /// A file of this machine.
    File(String),
    /// A service that every machine knows, by its name, and its file. A catalogue's of the same name does not count.
    BuiltIn(String, &'static str),
    /// A service of a catalogue, by its name or its address.
    Catalogue(String),
    /// Something that this version does not fetch, with the reason.
    Refused(String, String),
}

/// What `services_include` turns on.
pub fn includes(loaded: &Loaded) -> Vec<Include> {
    let all = &loaded.config.rancher.services_include;
    all.iter()
        .filter(|(_, on)| **on)
        .map(|(name, _)| include(name, !loaded.config.rancher.repositories.is_empty()))
        .collect()
}

fn include(name: &str, has_repositories: bool) -> Include {
    if name.starts_with('/') {
        return Include::File(name.to_owned());
    }
    if let Some(text) = built_in(name) {
        return Include::BuiltIn(name.to_owned(), text);
    }
    if name.contains("://") || (has_repositories && is_catalogue_name(name)) {
        return Include::Catalogue(name.to_owned());
    }
    Include::Refused(name.to_owned(), reason(name).to_owned())
}

/// Whether a name can be that of a file of a catalogue: it leads nowhere else.
pub fn is_catalogue_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Why a name that is not a path is not taken.
pub fn reason(name: &str) -> &'static str {
    if let Some((_, reason)) = CATALOGUE.iter().find(|(known, _)| *known == name) {
        reason
    } else if name.ends_with("-console") {
        "this version has one console, the media's"
    } else {
        "it is in no catalogue that rancher.repositories names: name the path of a file below /var/lib/rancher/conf, or add a repository"
    }
}

/// What is said of a service of a catalogue whose file is not here.
pub const NOT_FETCHED: &str = "its file is not here: a boot fetches it when the repository answers, and tries for an hour; ros service enable fetches it now";

/// Adds the services of a file in compose's form, with or without `services:` around them. The configuration's own
/// services of the same names stay; wrong parts are reported and left out.
pub fn add(loaded: &mut Loaded, name: &str, text: &str) {
    let node = match parse(name, text) {
        Ok((node, problems)) => {
            loaded.problems.extend(problems);
            node
        }
        Err(problem) => return loaded.problems.push(problem),
    };
    let Some(services) = services_of(node, &mut loaded.problems) else {
        return;
    };
    let variables = crate::load::variables(&loaded.tree);
    for (service, mut entry) in services {
        if loaded.config.rancher.services.contains_key(&service) {
            continue;
        }
        let path = format!("rancher.services.{service}");
        crate::load::substitute(&mut entry.node, &variables, &path, &mut loaded.problems);
        match json_reader::from_value::<Service>(entry.node.to_json()) {
            Ok(mut decoded) => {
                decoded.at = Some(entry.key_at.clone());
                loaded
                    .config
                    .rancher
                    .services
                    .insert(service.clone(), decoded);
                loaded.tree.set(
                    &["rancher", "services", &service],
                    &entry.key_at,
                    entry.node,
                );
            }
            Err(error) => {
                let message = format!("cannot be decoded: {error}");
                loaded
                    .problems
                    .push(Problem::error(&entry.key_at, path, message));
            }
        }
    }
}

/// Says where an entry that is not taken stands.
pub fn refuse(loaded: &mut Loaded, name: &str, reason: &str) {
    let problem = refusal(loaded, name, reason);
    loaded.problems.push(problem);
}

/// What [`refuse`] says.
pub fn refusal(loaded: &Loaded, name: &str, reason: &str) -> Problem {
    let include = loaded
        .tree
        .get("rancher.services_include")
        .and_then(Node::as_map);
    let at = include
        .and_then(|map| map.get(name))
        .map(|entry| entry.key_at.clone());
    let at = at.unwrap_or_else(crate::Location::built_in);
    let path = format!("rancher.services_include.{name}");
    let message = format!("not applied: {reason}");
    Problem::warning(&at, path, message)
}

/// The map of services: below `services:` in today's compose files, the document itself in old ones.
fn services_of(node: Node, problems: &mut Vec<Problem>) -> Option<BTreeMap<String, Entry>> {
    const ALL: Kind = Kind::MapOf(&SERVICE);
    let Value::Map(mut map) = node.value else {
        problems.push(Problem::error(
            &node.at,
            "",
            "expected services, found something else",
        ));
        return None;
    };
    let inner = match map.remove("services") {
        Some(entry) => entry.node,
        None => Node::new(node.at, Value::Map(map)),
    };
    match check(inner, &ALL, problems)?.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandLine, Source, load};

    fn loaded(text: &str) -> Loaded {
        load(
            &[Source {
                name: "c.yml",
                text,
            }],
            &CommandLine::default(),
        )
    }

    #[test]
    fn an_index_names_services_and_nothing_that_leads_elsewhere() {
        let text =
            "services:\n- web\n- \"a-b\"\n- ../../etc/passwd\n- {map: 1}\nconsoles: [ubuntu]\n";
        assert_eq!(index("index.yml", text).unwrap(), ["web", "a-b"]);
        assert!(index("index.yml", "consoles: [x]").unwrap().is_empty());
        assert!(index("index.yml", "services: text").unwrap().is_empty());
        assert!(index("index.yml", "[").is_err());
    }

    #[test]
    fn both_forms_of_a_file_are_added_and_own_services_stay() {
        let mut loaded =
            loaded("rancher: {environment: {TAG: \"1\"}, services: {own: {image: mine}}}");
        add(
            &mut loaded,
            "a.yml",
            "one: {image: 'a:${TAG}'}\nown: {image: other}\n",
        );
        add(
            &mut loaded,
            "b.yml",
            "version: '2'\nservices:\n  two: {image: b, imge: c}\n",
        );
        let services = &loaded.config.rancher.services;
        assert_eq!(services["one"].image.as_deref(), Some("a:1"));
        assert_eq!(services["own"].image.as_deref(), Some("mine"));
        assert_eq!(
            services["two"].at.as_ref().unwrap().to_string(),
            "b.yml:3:3"
        );
        assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
        assert!(loaded.tree.get("rancher.services.two.image").is_some());
    }

    #[test]
    fn what_is_not_fetched_is_named_with_its_place() {
        let mut loaded = loaded(
            "rancher:\n  services_include:\n    zfs: true\n    volume-nfs: false\n    /a.yml: true\n    odd: true\n",
        );
        let includes = includes(&loaded);
        assert_eq!(includes.len(), 3);
        assert!(includes.contains(&Include::File("/a.yml".into())));
        for include in includes {
            if let Include::Refused(name, reason) = include {
                refuse(&mut loaded, &name, &reason);
            }
        }
        assert!(loaded.problems.iter().any(|p| p.to_string() == "c.yml:3:5: warning: rancher.services_include.zfs: not applied: this version has no ZFS"), "{:?}", loaded.problems);
    }
}
