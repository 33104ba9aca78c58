//! Which versions there are for this machine: the tags of `rancher.upgrade.image`, or what `releases.yml` names for each channel,
//! signed as versions are.

use anyhow::{Context as _, bail};
use config::VERSION;
use oci_image::Reference;

use super::failure::{Failure, fail};
use super::policy::Policy;
use super::source;

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
    let tags = source::versions(image, &policy.rancher)?;
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
    of_channels(&text, channel).with_context(|| url.to_owned())
}

/// ```yaml
/// channels:
///   stable: registry.example/rancheros:v1.2.0
/// ```
fn of_channels(text: &str, own: &str) -> anyhow::Result<Vec<Release>> {
    let (node, _) =
        config::parse("releases.yml", text).map_err(|error| anyhow::anyhow!("{error}"))?;
    let channels = node.get("channels").and_then(config::Node::as_map);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_an_image() {
        let text = "channels:\n  stable: r.example/os:v1.2.0\n  beta: r.example/os:v1.3.0-rc1\n  odd: r.example/os\n";
        let found = of_channels(text, "beta").unwrap();
        let latest: Vec<_> = found.iter().filter(|release| release.latest).collect();
        assert_eq!(latest.len(), 1);
        assert_eq!(
            (&*latest[0].version, &*latest[0].image),
            ("1.3.0-rc1", "r.example/os:v1.3.0-rc1")
        );
        let error = of_channels(text, "edge").unwrap_err().to_string();
        assert_eq!(error, "it has no channel \"edge\", only beta, odd, stable");
        let error = of_channels(text, "odd").unwrap_err().to_string();
        assert!(error.contains("does not name a version"), "{error}");
        assert!(of_channels("a: b", "stable").is_err());
        assert!(of_channels("[", "stable").is_err());
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
