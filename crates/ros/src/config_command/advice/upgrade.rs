//! `rancher.upgrade`: words that the policy refuses, and places that have another system.

use config::cloud_config::Upgrade;
use config::{Node, Problem};

/// Hosts and folders of RancherOS and BurmillaOS: neither has this system, nor signs for it.
const OTHERS: &[&str] = &[
    "releases.rancher.com",
    "github.com/rancher/os",
    "githubusercontent.com/rancher/",
    "githubusercontent.com/burmilla/",
    "github.com/burmilla/",
];

pub(super) fn add(upgrade: &Upgrade, tree: &Node, problems: &mut Vec<Problem>) {
    let mut said = crate::os::mistakes(upgrade);
    let image = upgrade.image.as_deref().unwrap_or_default();
    if let Some(owner @ ("rancher" | "burmilla")) = owner(image) {
        let system = if owner == "rancher" {
            "RancherOS"
        } else {
            "BurmillaOS"
        };
        let words = format!(
            "it is an image of {system}, which is not taken: name the registry that has this system's versions, as registry.example/rancheros"
        );
        said.push(("image", words));
    }
    let url = upgrade.url.as_deref().unwrap_or_default();
    if OTHERS.iter().any(|other| url.contains(other)) {
        let words = "it has versions of another system, which are not taken: name a releases.yml of this one, or leave it out";
        said.push(("url", words.to_owned()));
    }
    for (name, words) in said {
        let key = format!("rancher.upgrade.{name}");
        problems.push(Problem::warning(&super::place(tree, &key), key, words));
    }
}

/// The owner of an image of Docker Hub.
fn owner(image: &str) -> Option<&str> {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    image.split_once('/').map(|(owner, _)| owner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn an_upgrade_that_cannot_come_is_named() {
        for (upgrade, words) in [
            ("policy: automatic", "policy: \"automatic\" is not known"),
            ("policy: auto, window: Sometime", "window: "),
            ("image: rancher/os", "an image of RancherOS"),
            (
                "image: 'docker.io/burmilla/os:v2'",
                "an image of BurmillaOS",
            ),
            (
                "url: 'https://releases.rancher.com/os/releases.yml'",
                "url: it has versions of another system",
            ),
            (
                "url: 'https://raw.githubusercontent.com/burmilla/releases/v2.0.x/releases.yml'",
                "url: ",
            ),
        ] {
            let said = said(&format!("rancher: {{upgrade: {{{upgrade}}}}}"));
            assert!(
                said.len() == 1 && said[0].contains(words),
                "{upgrade}: {said:?}"
            );
            assert!(said[0].starts_with("t:1:"), "{said:?}");
        }
        let good = "rancher: {upgrade: {policy: auto, window: 'Sat,Sun 02:00-04:30', image: registry.example/rancher/os, url: 'https://foo.example/os/releases.yml'}}";
        assert_eq!(said(good), Vec::<String>::new());
    }
}
