//! Which versions there are for this machine: the tags of `rancher.upgrade.image`, or what `releases.yml` names for each channel,
//! signed as versions are.

use anyhow::{Context as _, bail};
use config::{Node, VERSION};
use oci_image::Reference;

use super::failure::{Failure, fail};
use super::policy::Policy;
use super::{freshness, source};

/// The channel of a machine that names none.
const CHANNEL: &str = "stable";
/// The signature next to the file.
const SIGNATURE: &str = ".minisig";

/// A version that somebody offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release {
    /// Without a `v`.
    pub(super) version: String,
    /// The image's name, with the tag.
    pub(super) image: String,
    /// Its channel, when it comes from `releases.yml`.
    pub(super) channel: Option<String>,
    /// Whether it is the one that this machine takes when nobody names another one.
    pub(super) latest: bool,
}

impl Release {
    /// Whether it is newer than what runs.
    pub(super) fn is_newer(&self) -> bool {
        install::compare(&self.version, VERSION).is_gt()
    }
}

/// All of them, the newest first; of `releases.yml` one for each channel.
///
/// # Errors
/// When nobody says which there are, or nobody whom this machine knows has signed that.
pub(super) fn all(policy: &Policy) -> anyhow::Result<Vec<Release>> {
    let upgrade = &policy.rancher.upgrade;
    let mut found = match &upgrade.url {
        Some(url) => of_file(url, upgrade.channel.as_deref().unwrap_or(CHANNEL), policy)?,
        None => of_registry(policy)?,
    };
    found.sort_by(|one, other| install::compare(&other.version, &one.version));
    Ok(found)
}

/// The one that this machine takes when nobody names another one.
///
/// # Errors
/// As [`all`]; and when there is none.
pub(super) fn newest(policy: &Policy) -> anyhow::Result<Release> {
    let latest = all(policy)?.into_iter().find(|release| release.latest);
    match latest {
        Some(release) => Ok(release),
        None => fail!(
            Download,
            "{} has no tag that is a version",
            policy.image().unwrap_or("releases.yml")
        ),
    }
}

/// The version that an image is called after, without a `v`; none for a file, and for a tag such as `latest`.
pub(super) fn version_of(image: &str) -> Option<String> {
    let reference = Reference::parse(image).ok()?;
    let tag = reference.tag().filter(|tag| source::is_version(tag))?;
    Some(tag.trim_start_matches('v').to_owned())
}

fn of_registry(policy: &Policy) -> anyhow::Result<Vec<Release>> {
    let image = policy.image()?;
    let tags = source::versions(image, policy)?;
    let newest = source::newest(&tags);
    let release = |tag: &String| Release {
        version: tag.trim_start_matches('v').to_owned(),
        image: format!("{image}:{tag}"),
        channel: None,
        latest: newest == Some(tag),
    };
    Ok(tags.iter().map(release).collect())
}

fn of_file(url: &str, channel: &str, policy: &Policy) -> anyhow::Result<Vec<Release>> {
    let text = crate::install::fetch_text(url).context(Failure::Download)?;
    let signature = crate::install::fetch_text(&format!("{url}{SIGNATURE}")).ok();
    policy.check(
        url,
        text.as_bytes(),
        signature.as_deref().map(str::as_bytes),
    )?;
    let what = || url.to_owned();
    let (list, _) = config::parse("releases.yml", &text)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(what)?;
    freshness::check(url, &list).with_context(what)?;
    of_list(&list, channel).with_context(what)
}

/// ```yaml
/// version: 12
/// expires: 2027-01-31
/// channels:
///   stable: registry.example/rancheros:v1.2.0
/// ```
/// or, as RancherOS has it, `current:` with an image and `available:` with a list of them.
fn of_list(list: &Node, own: &str) -> anyhow::Result<Vec<Release>> {
    let channels = list.get("channels").and_then(Node::as_map);
    if channels.is_none()
        && let Some(current) = list.get("current").and_then(Node::as_str)
    {
        return of_current(current, list.get("available"));
    }
    let channels = channels.context("it has no channels")?;
    if !channels.contains_key(own) {
        bail!(
            "it has no channel {own:?}, only {}",
            channels.keys().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    let mut found = Vec::new();
    for (channel, entry) in channels {
        let image = entry.node.as_str().unwrap_or_default();
        let Some(version) = version_of(image) else {
            // Another channel's is not this machine's affair
            if channel == own {
                bail!("channel {own:?}: {image:?} does not name a version");
            }
            continue;
        };
        found.push(Release {
            version,
            image: image.to_owned(),
            channel: Some(channel.clone()),
            latest: channel == own,
        });
    }
    Ok(found)
}

fn of_current(current: &str, available: Option<&Node>) -> anyhow::Result<Vec<Release>> {
    let release = |image: &str| {
        Some(Release {
            version: version_of(image)?,
            image: image.to_owned(),
            channel: None,
            latest: image == current,
        })
    };
    let latest = release(current);
    let latest = latest.with_context(|| format!("current: {current:?} does not name a version"))?;
    let all = match available.map(|list| &list.value) {
        Some(config::Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    let others = all.iter().filter_map(Node::as_str);
    let others = others.filter(|image| *image != current);
    Ok(std::iter::once(latest)
        .chain(others.filter_map(release))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str, own: &str) -> anyhow::Result<Vec<Release>> {
        of_list(&config::parse("releases.yml", text).unwrap().0, own)
    }

    #[test]
    fn rancheros_names_one_image_and_others() {
        let text = "current: r.example/os:v1.5.8\navailable:\n  - r.example/os:v1.5.8\n  - r.example/os:v1.5.7\n  - r.example/os\n";
        let found = of_text(text, "stable").unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|release| (&*release.version, release.latest))
            .collect();
        assert_eq!(found, [("1.5.8", true), ("1.5.7", false)]);
        assert!(of_text("current: r.example/os:latest", "stable").is_err());
    }

    #[test]
    fn a_channel_names_an_image() {
        let text = "channels:\n  stable: r.example/os:v1.2.0\n  beta: r.example/os:v1.3.0-rc1\n  odd: r.example/os\n";
        let found = of_text(text, "beta").unwrap();
        let latest: Vec<_> = found.iter().filter(|release| release.latest).collect();
        assert_eq!(latest.len(), 1);
        assert_eq!(
            (&*latest[0].version, &*latest[0].image),
            ("1.3.0-rc1", "r.example/os:v1.3.0-rc1")
        );
        let error = of_text(text, "edge").unwrap_err().to_string();
        assert_eq!(error, "it has no channel \"edge\", only beta, odd, stable");
        let error = of_text(text, "odd").unwrap_err().to_string();
        assert!(error.contains("does not name a version"), "{error}");
        assert!(of_text("a: b", "stable").is_err());
    }

    /// A machine whose `rancher.upgrade.url` is a file.
    fn policy(path: &std::path::Path, insecure: bool) -> Policy {
        let mut policy = Policy::with_keys(&[]);
        policy.rancher.upgrade.url = path.to_str().map(str::to_owned);
        policy.rancher.upgrade.channel = Some("beta".to_owned());
        policy.insecure = insecure;
        policy
    }

    #[test]
    fn whoever_asks_for_versions_is_told_those_of_the_channel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("releases.yml");
        let text = "channels: {stable: 'r.example/os:v1.0.0', beta: 'r.example/os:v9.0.0'}";
        std::fs::write(&path, text).unwrap();
        let error = newest(&policy(&path, false)).unwrap_err();
        assert!(format!("{error:#}").contains("not signed"), "{error:#}");
        let policy = policy(&path, true);
        let release = newest(&policy).unwrap();
        assert_eq!(release.image, "r.example/os:v9.0.0");
        assert!(release.is_newer());
        let images: Vec<_> = all(&policy).unwrap().into_iter().map(|r| r.image).collect();
        assert_eq!(images, ["r.example/os:v9.0.0", "r.example/os:v1.0.0"]);
    }
}
