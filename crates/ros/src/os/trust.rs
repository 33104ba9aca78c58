//! Whose versions this machine takes: signatures of a manifest in minisign's form, checked with keys of the initrd and of
//! `rancher.upgrade.keys`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use minisign_verify::{PublicKey, Signature};

use super::failure::fail;

/// Public keys that the build has put into the initrd (`rootfs/keys`), one behind the other.
const BUILT_IN: &str = "/usr/share/ros/upgrade-keys";
/// Lines of one signature (minisign(1)).
const LINES: usize = 4;
/// Most signatures of a manifest that are tried.
const MOST_SIGNATURES: usize = 16;

/// Keys, each with where it is from.
#[derive(Default)]
pub(crate) struct Keys(Vec<(String, PublicKey)>);

impl Keys {
    /// Those of the initrd, and `configured` ones, each in the one line of minisign's `.pub`.
    ///
    /// # Errors
    /// When one of them is not a key: a machine that silently had one key less would refuse its next version.
    pub(crate) fn of_machine(configured: &[String]) -> anyhow::Result<Self> {
        Self::of_file(Path::new(BUILT_IN), configured)
    }

    /// The same with another file in place of the initrd's.
    pub(crate) fn of_file(file: &Path, configured: &[String]) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let mut keys = Vec::new();
        for line in key_lines(&text) {
            let key = parse(line).with_context(|| file.display().to_string())?;
            keys.push(("a key of the system".to_owned(), key));
        }
        for text in configured {
            for line in key_lines(text) {
                let key = parse(line).with_context(|| format!("rancher.upgrade.keys: {line:?}"))?;
                keys.push(("a key of rancher.upgrade.keys".to_owned(), key));
            }
        }
        Ok(Self(keys))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the key is from that has signed `manifest`.
    ///
    /// # Errors
    /// When nobody has, or somebody whom this machine does not know, or what was signed is something else.
    pub(crate) fn check(&self, manifest: &[u8], signatures: Option<&[u8]>) -> anyhow::Result<&str> {
        let Some(signatures) = signatures else {
            fail!(Verification, "it is not signed");
        };
        if self.is_empty() {
            fail!(
                Verification,
                "this machine has no key to check its signature with: set rancher.upgrade.keys"
            );
        }
        let text = String::from_utf8_lossy(signatures);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let mut readable = 0;
        for lines in lines.chunks(LINES).take(MOST_SIGNATURES) {
            let Ok(signature) = Signature::decode(&lines.join("\n")) else {
                continue;
            };
            readable += 1;
            let good =
                |(_, key): &&(String, PublicKey)| key.verify(manifest, &signature, false).is_ok();
            if let Some((from, _)) = self.0.iter().find(good) {
                return Ok(from);
            }
        }
        if readable == 0 {
            fail!(Verification, "its signature cannot be read");
        }
        fail!(
            Verification,
            "it is changed, or signed with none of the {} keys that this machine knows",
            self.0.len()
        );
    }
}

/// The lines of minisign's `.pub` files that are not comments.
fn key_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))
}

fn parse(line: &str) -> anyhow::Result<PublicKey> {
    match PublicKey::from_base64(line) {
        Ok(key) => Ok(key),
        Err(error) => bail!("not a public key of minisign: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::failure::Failure;

    /// What is signed is `manifest`.
    const KEY: &str = include_str!("trust/key.pub");
    const SIGNATURE: &str = include_str!("trust/manifest.minisig");
    const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn why(result: anyhow::Result<&str>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Failure::Verification));
        format!("{error:#}")
    }

    #[test]
    fn one_of_several_signatures_by_one_of_several_keys_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let key = KEY.lines().last().unwrap().to_owned();
        let both = Keys::of_file(&file, &[OTHER.to_owned(), key]).unwrap();
        let from = both.check(b"manifest", Some(SIGNATURE.as_bytes()));
        assert_eq!(from.unwrap(), "a key of rancher.upgrade.keys");
        // Two keys of the build, as two files of minisign
        fs::write(&file, format!("untrusted comment: next\n{OTHER}\n{KEY}")).unwrap();
        let built_in = Keys::of_file(&file, &[]).unwrap();
        let doubled = format!("junk\njunk\njunk\njunk\n{SIGNATURE}");
        let from = built_in.check(b"manifest", Some(doubled.as_bytes()));
        assert_eq!(from.unwrap(), "a key of the system");
    }

    #[test]
    fn every_refusal_says_why() {
        let folder = Path::new("/nonexistent");
        let known = Keys::of_file(folder, &[KEY.to_owned()]).unwrap();
        let signature = Some(SIGNATURE.as_bytes());
        for (result, words) in [
            (known.check(b"manifest", None), "it is not signed"),
            (
                known.check(b"Manifest", signature),
                "it is changed, or signed with none of the 1 keys",
            ),
            (
                known.check(b"manifest", Some(b"nonsense")),
                "its signature cannot be read",
            ),
            (
                Keys::default().check(b"manifest", signature),
                "has no key to check",
            ),
        ] {
            let said = why(result);
            assert!(said.contains(words), "{said}");
        }
        let stranger = Keys::of_file(folder, &[OTHER.to_owned()]).unwrap();
        assert!(why(stranger.check(b"manifest", signature)).contains("signed with none"));
        let error = Keys::of_file(folder, &["short".to_owned()]).err().unwrap();
        assert!(
            format!("{error:#}").starts_with("rancher.upgrade.keys: \"short\""),
            "{error:#}"
        );
    }
}
