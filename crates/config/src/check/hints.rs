//! What to say about a key that is in the wrong place, misspelt, or of another system: the mistakes that real files have.

use std::collections::BTreeMap;

use super::join;
use crate::schema::{CLOUD_CONFIG, Field, Kind, SERVICE};
use crate::{Entry, Location, Node};

/// Mistakes that real files have (found in 27 of 82 repositories), each with its mending. A path that ends with the first
/// word is meant.
const KNOWN: &[(&str, &str)] = &[
    (
        "dns.override",
        "it is gone: name servers that are given always replace those of DHCP",
    ),
    (
        "dns.domain",
        "a resolver has a list of them: use `search` in its place",
    ),
    (
        "rancher.dev",
        "use rancher.state.dev, on the kernel command line",
    ),
    (
        "state.formatzero",
        "use rancher.state.autoformat on the kernel command line, which formats blank disks",
    ),
    ("system_containers", "use rancher.services"),
    ("user_docker", "use rancher.docker"),
    (
        "docker.insecure_registries",
        "it is daemon.json's word: use rancher.docker.insecure_registry",
    ),
    (
        "docker.registry_mirrors",
        "it is daemon.json's word: use rancher.docker.registry_mirror",
    ),
    (
        "docker.hosts",
        "it is daemon.json's word: use rancher.docker.host",
    ),
    ("docker.storage_opt", "use rancher.docker.storage_opts"),
    ("docker.log_opt", "use rancher.docker.log_opts"),
    (
        "docker.pidfile",
        "it is daemon.json's word: use rancher.docker.pid_file",
    ),
    (
        "docker.userns_remap",
        "it is daemon.json's word: use rancher.docker.userns_enabled",
    ),
    (
        "coreos",
        "it belongs to CoreOS: units become services in rancher.services",
    ),
    ("write_file", "did you mean \"write_files\"?"),
    (
        "name_servers",
        "did you mean \"rancher.network.dns.nameservers\"?",
    ),
    ("image_overrides", "it is not a key of RancherOS"),
];

/// What to say about a key the schema does not know: the nearest one it knows, or where the key belongs.
pub(super) fn unknown_key(key: &str, value: &Node, fields: &'static [Field], path: &str) -> String {
    let here = join(path, key);
    let folded = here.replace('-', "_");
    let known = KNOWN.iter().find(|(name, _)| {
        folded == *name
            || folded
                .strip_suffix(name)
                .is_some_and(|before| before.ends_with('.'))
    });
    let known = known.map(|(_, hint)| *hint);
    if let Some(hint) = known.or_else(|| of_cloud_init(&here, value)) {
        return format!("unknown key: {hint}. It is ignored");
    }
    if is_interface(key) && !path.starts_with("rancher.network.interfaces") {
        return format!(
            "unknown key, did you mean \"rancher.network.interfaces.{key}\"? it is ignored"
        );
    }
    // The same word elsewhere is a key one level too high or too low; a similar one here is a typing error.
    let elsewhere = places(key, path);
    let near = nearest(key, fields.iter().map(|field| field.name));
    match (near, elsewhere) {
        (Some(known), None) => {
            format!(
                "unknown key, did you mean {:?}? it is ignored",
                join(path, known)
            )
        }
        (_, Some(place)) => format!("unknown key here, did you mean {place:?}? it is ignored"),
        (None, None) => "unknown key, it is ignored".to_owned(),
    }
}

/// cloud-init's own keys whose names are those of other keys here.
fn of_cloud_init(path: &str, value: &Node) -> Option<&'static str> {
    let has = |key: &str| value.as_map().is_some_and(|map| map.contains_key(key));
    match path {
        "network" if has("config") || has("version") => {
            Some("it is cloud-init's: use rancher.network")
        }
        "debug" if has("verbose") => {
            Some("it steers cloud-init itself, which this system does not have")
        }
        _ => None,
    }
}

/// What to say about a wrong type, beyond what was expected.
pub(super) fn wrong_type(path: &str, found: &str) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path);
    match (name, found) {
        ("services_include", "a list") => Some("write `NAME: true` for each"),
        ("interfaces", "a list") => Some("write `eth0: {dhcp: true}`, one entry a link"),
        ("sysctl", "a list") => Some("write `NAME: VALUE` lines"),
        ("write_files" | "runcmd" | "bootcmd" | "mounts", "a string") => {
            Some("begin each entry with `- `")
        }
        ("dns", "a list") => Some("write `nameservers:` and the list below it"),
        _ => None,
    }
}

/// A key below `rancher.network.interfaces` that belongs next to it.
pub(super) fn not_a_link(key: &str, path: &str) -> Option<String> {
    let network = CLOUD_CONFIG
        .fields()
        .iter()
        .find(|field| field.name == "rancher")?;
    let network = network
        .kind
        .fields()
        .iter()
        .find(|field| field.name == "network")?;
    let is_key = network.kind.fields().iter().any(|field| field.name == key);
    (path == "rancher.network.interfaces" && is_key).then(|| {
        format!("this is not a link: did you mean \"rancher.network.{key}\"? it is ignored")
    })
}

/// A key of `rancher.services` that cannot be the name of a container (Docker's rule for names).
pub(super) fn not_a_service_name(key: &str, path: &str) -> Option<String> {
    let is_good = key.starts_with(|c: char| c.is_ascii_alphanumeric())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (path == "rancher.services" && !is_good).then(|| {
        "the name of a service has letters, digits, `_`, `.` and `-`, and begins with a letter or digit: it is ignored".to_owned()
    })
}

/// Takes the body of a service out of `rancher.services` that stands there in place of a service: where it begins, and what to do.
pub(super) fn take_body(
    map: &mut BTreeMap<String, Entry>,
    path: &str,
) -> Option<(Location, String)> {
    let image = map.get("image").filter(|_| path == "rancher.services")?;
    if image.node.as_map().is_some() {
        return None;
    }
    let line = image.key_at.line;
    let above = map
        .iter()
        .filter(|(_, entry)| entry.node.value.is_nothing());
    let above = above.filter(|(_, entry)| entry.key_at.line < line);
    let name = above
        .max_by_key(|(_, entry)| entry.key_at.line)
        .map_or("its name", |(name, _)| name);
    let message =
        format!("the keys of a service stand here in place of services: indent them below {name}");
    let mut first = image.key_at.clone();
    map.retain(|key, entry| {
        let is_service = entry
            .node
            .as_map()
            .is_some_and(|map| map.contains_key("image"));
        let stays = is_service || !SERVICE.fields().iter().any(|field| field.name == key);
        if !stays && entry.key_at.line < first.line {
            first = entry.key_at.clone();
        }
        stays
    });
    Some((first, message))
}

/// Names that the kernel and udev give to links.
fn is_interface(key: &str) -> bool {
    let digits = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit()) || rest == "*";
    key.starts_with("mac=")
        || ["eth", "ens", "eno", "enp", "bond", "br", "wlan"]
            .iter()
            .any(|prefix| key.strip_prefix(prefix).is_some_and(digits))
}

/// Where the schema has a key of this name: the place nearest to `path`.
fn places(key: &str, path: &str) -> Option<String> {
    let mut found = Vec::new();
    collect(&CLOUD_CONFIG, "", key, &mut found);
    let common = |place: &String| {
        place
            .split('.')
            .zip(path.split('.'))
            .take_while(|(a, b)| a == b)
            .count()
    };
    // A word such as `image` or `password` that many maps have tells nothing.
    if found.len() > 2 {
        found.retain(|place| common(place) > 0 || !place.contains('.'));
    }
    found
        .into_iter()
        .max_by_key(|place| (common(place), usize::MAX - place.len()))
}

fn collect(kind: &Kind, path: &str, key: &str, found: &mut Vec<String>) {
    for field in kind.fields() {
        let place = join(path, field.name);
        // Keys of services do not belong here, and a key that is not applied helps nobody.
        if place.starts_with("rancher.services") && path != "rancher"
            || place.starts_with("rancher.defaults")
            || place.starts_with("rancher.bootstrap_docker.")
            || place.starts_with("rancher.system_docker.")
        {
            continue;
        }
        if field.name == key {
            found.push(place.clone());
        }
        match field.kind {
            Kind::MapOf(inner) | Kind::ListOf(inner) => {
                collect(inner, &format!("{place}.NAME"), key, found)
            }
            _ => collect(&field.kind, &place, key, found),
        }
    }
}

/// The known name closest to `key`, if it is close enough to be a typing error.
pub(crate) fn nearest<'n>(key: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Longer input cannot be within the distance of any known name; the bound keeps the cost flat.
    const LONGEST: usize = 64;
    if key.len() > LONGEST {
        return None;
    }
    let allowed = (key.len() / 3).clamp(1, 3);
    names
        .map(|name| (distance(key, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Optimal string alignment distance in bytes: insertions, deletions, substitutions and swaps of neighbours each cost
/// one; `-` and `_` are the same, and so are the cases.
fn distance(a: &str, b: &str) -> usize {
    let fold = |byte: u8| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_lowercase(),
    };
    let a: Vec<u8> = a.bytes().map(fold).collect();
    let b: Vec<u8> = b.bytes().map(fold).collect();
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let substituted = above[j] + usize::from(a[i] != b[j]);
            row[j + 1] = substituted.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}
