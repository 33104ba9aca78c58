//! Whether a list of releases is the newest that its publisher has signed. An old one is signed as well, and would keep machines on
//! versions with holes for ever: what The Update Framework calls a rollback and a freeze.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use config::Node;
use engine_api::Timestamp;

use super::failure::fail;

/// The largest `version` that was seen of each list, by its address; on the state disk.
const SEEN: &str = "/var/lib/rancher/releases-seen.json";
/// It has a line for each list that was ever asked.
const LONGEST_BYTES: u64 = 64 << 10;

/// Checks `expires`, a day or a time, and `version`, a number that never becomes smaller; a list may have neither.
///
/// # Errors
/// When the list is not fresh, or says it in a way that nobody understands.
pub(super) fn check(url: &str, list: &Node) -> anyhow::Result<()> {
    check_at(url, list, Timestamp::now(), Path::new(SEEN))
}

fn check_at(url: &str, list: &Node, now: Timestamp, seen: &Path) -> anyhow::Result<()> {
    if let Some(text) = list.get("expires").and_then(Node::as_str) {
        let end = Timestamp::parse_rfc3339(text);
        let end =
            end.with_context(|| format!("expires: {text:?} is not a day such as 2027-01-31"))?;
        if end < now {
            fail!(
                Verification,
                "it was good until {text}: its publisher has signed no newer one, or somebody keeps that back"
            );
        }
    }
    let Some(text) = list.get("version").and_then(Node::as_str) else {
        return Ok(());
    };
    let version: u64 = text
        .parse()
        .with_context(|| format!("version: {text:?} is not a number"))?;
    let mut all = read(seen);
    match all.get(url) {
        Some(last) if *last > version => fail!(
            Verification,
            "it has the version {version}, and this machine has seen {last}: somebody gives an old one"
        ),
        Some(last) if *last == version => return Ok(()),
        _ => {}
    }
    all.insert(url.to_owned(), version);
    let text = serde_json::to_vec(&all)?;
    // A disk that takes no write keeps nobody from asking
    if let Err(error) = cloud_init::store::write_atomic(seen, &text, 0o600) {
        eprintln!("warning: {}: {error}", seen.display());
    }
    Ok(())
}

/// What is damaged is as good as none.
fn read(seen: &Path) -> BTreeMap<String, u64> {
    let text = sys::regular::read(seen, LONGEST_BYTES).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::failure::Failure;
    use super::*;

    #[test]
    fn an_old_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let now = Timestamp::parse_rfc3339("2026-06-01T00:00:00Z").unwrap();
        let ask = |url: &str, text: &str| {
            let (node, _) = config::parse("releases.yml", text).unwrap();
            let checked = check_at(url, &node, now, &seen);
            checked.err().map(|error| {
                (
                    error.downcast_ref() == Some(&Failure::Verification),
                    error.to_string(),
                )
            })
        };
        for text in [
            "a: b",
            "expires: 2026-06-02",
            "version: 7",
            "version: 7",
            "version: 8",
        ] {
            assert_eq!(ask("http://a", text), None, "{text}");
        }
        for text in [
            "version: 7",
            "expires: 2026-05-31",
            "expires: 2026-05-31T23:59:59Z",
        ] {
            let refused = ask("http://a", text).unwrap();
            assert!(refused.0, "{text}: {refused:?}");
        }
        // Another publisher counts by itself
        assert_eq!(ask("http://b", "version: 1"), None);
        for text in ["version: x", "expires: tomorrow"] {
            assert!(ask("http://a", text).is_some(), "{text}");
        }
        std::fs::write(&seen, "half").unwrap();
        assert_eq!(ask("http://a", "version: 1"), None);
    }
}
