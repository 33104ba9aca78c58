//! `releases.yml`: which version each channel has, signed as versions are.

use anyhow::{Context as _, bail};

use super::super::policy::Policy;

/// The channel of a machine that names none.
const CHANNEL: &str = "stable";
/// The signature next to the file.
const SIGNATURE: &str = ".minisig";

/// The image with the newest version of a channel.
///
/// # Errors
/// When the file cannot be fetched, nobody whom this machine knows has signed it, or it does not have the channel.
pub(super) fn newest(url: &str, channel: Option<&str>, policy: &Policy) -> anyhow::Result<String> {
    let text = crate::install::fetch_text(url)?;
    let signature = crate::install::fetch_text(&format!("{url}{SIGNATURE}")).ok();
    policy.check(
        url,
        text.as_bytes(),
        signature.as_deref().map(str::as_bytes),
    )?;
    of_channel(&text, channel.unwrap_or(CHANNEL)).with_context(|| url.to_owned())
}

/// ```yaml
/// channels:
///   stable: registry.example/rancheros:v1.2.0
/// ```
fn of_channel(text: &str, channel: &str) -> anyhow::Result<String> {
    let (node, _) =
        config::parse("releases.yml", text).map_err(|error| anyhow::anyhow!("{error}"))?;
    let channels = node.get("channels").and_then(config::Node::as_map);
    let channels = channels.context("it has no channels")?;
    let image = channels.get(channel).and_then(|entry| entry.node.as_str());
    match image {
        Some(image) => Ok(image.to_owned()),
        None => bail!(
            "it has no channel {channel:?}, only {}",
            channels.keys().cloned().collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_an_image() {
        let text = "channels:\n  stable: r.example/os:v1.2.0\n  beta: r.example/os:v1.3.0-rc1\n";
        assert_eq!(of_channel(text, "beta").unwrap(), "r.example/os:v1.3.0-rc1");
        let error = of_channel(text, "edge").unwrap_err().to_string();
        assert_eq!(error, "it has no channel \"edge\", only beta, stable");
        assert!(of_channel("a: b", "stable").is_err());
        assert!(of_channel("[", "stable").is_err());
    }

    #[test]
    fn what_nobody_has_signed_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("releases.yml");
        std::fs::write(&path, "channels: {stable: 'r.example/os:v1'}").unwrap();
        let error = newest(path.to_str().unwrap(), None, &Policy::with_keys(&[])).unwrap_err();
        assert!(format!("{error:#}").contains("not signed"), "{error:#}");
    }
}
