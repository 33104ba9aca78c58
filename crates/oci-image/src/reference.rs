//! Image references as people write them (`busybox`, `ghcr.io/a/b:1`, `x@sha256:..`) and their normal form.
//!
//! Source: the grammar of distribution/reference (reference.go, normalize.go): a name is at most 255 characters, a tag
//! 128, a missing registry means `docker.io`, a missing owner there means `library`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// Longest repository name, registry included, in characters.
pub const NAME_MAX: usize = 255;
/// Longest tag, in characters.
pub const TAG_MAX: usize = 128;
/// Longest reference text that is looked at, in bytes.
const TEXT_MAX: usize = 1024;
/// Registry of names that carry none.
pub const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
/// Tag of references that carry neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// A normalised reference: registry, repository path, and perhaps a tag and a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses and normalises what a user wrote. No tag is added; see [`Reference::or_latest`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(Error::Reference(String::new()));
        }
        if is_hex_id(text) {
            return Err(Error::Reference(format!(
                ": invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, remainder) = split_domain(text);
        let name_end = remainder.find([':', '@']).unwrap_or(remainder.len());
        let (path, suffix) = remainder.split_at(name_end);
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(Error::Reference(format!(
                ": repository name ({path}) must be lowercase"
            )));
        }
        let (tag, digest) = parse_suffix(suffix)?;
        if !is_domain(&domain) || !is_path(path) {
            return Err(Error::Reference(String::new()));
        }
        if domain.len() + 1 + path.len() > NAME_MAX {
            return Err(Error::Reference(format!(
                ": repository name must not be more than {NAME_MAX} characters"
            )));
        }
        Ok(Self {
            domain,
            path: path.to_owned(),
            tag,
            digest,
        })
    }

    /// The reference with tag `latest` when it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        if !is_tag(tag) {
            return Err(Error::Reference(String::new()));
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The repository alone.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self {
            tag: None,
            digest: None,
            ..self.clone()
        }
    }

    /// Registry host, perhaps with a port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Repository path inside the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `registry/path`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as Docker shows it: `docker.io/` and `library/` left out. Unlike Docker, `docker.io/` stays where the
    /// rest would name another registry when it is read again.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            // A name that looks like an image's id is refused when it is read alone.
            Some(rest) if !rest.contains('/') && !is_hex_id(rest) => rest.to_owned(),
            _ if self.path.split('/').next().is_some_and(names_registry) => self.name(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as Docker shows it.
    pub fn familiar(&self) -> String {
        self.suffixed(self.familiar_name())
    }

    fn suffixed(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.suffixed(self.name()))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

fn split_domain(text: &str) -> (String, String) {
    let (domain, remainder) = match text.split_once('/') {
        Some((first, rest)) if names_registry(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = match domain {
        LEGACY_DEFAULT_DOMAIN => DEFAULT_DOMAIN,
        other => other,
    };
    if domain == DEFAULT_DOMAIN && !remainder.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL_PREFIX}{remainder}"));
    }
    (domain.to_owned(), remainder.to_owned())
}

/// Whether the part before the first slash is a registry and not an owner.
fn names_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
}

fn parse_suffix(suffix: &str) -> Result<(Option<String>, Option<Digest>)> {
    let invalid = || Error::Reference(String::new());
    let (tag_part, digest) = match suffix.split_once('@') {
        Some((tag_part, digest)) => (tag_part, Some(digest)),
        None => (suffix, None),
    };
    let tag = match tag_part.strip_prefix(':') {
        Some(tag) if is_tag(tag) => Some(tag.to_owned()),
        Some(_) => return Err(invalid()),
        None if tag_part.is_empty() => None,
        None => return Err(invalid()),
    };
    let digest = digest
        .map(|text| text.parse::<Digest>().map_err(|_| invalid()))
        .transpose()?;
    Ok((tag, digest))
}

/// Whether `text` is a full image id: 64 lower-case hexadecimal characters.
pub fn is_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `tag` is a valid tag.
pub fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) => {
                if v6.parse::<std::net::Ipv6Addr>().is_err() {
                    return false;
                }
                (None, port)
            }
            None => return false,
        },
        None => match domain.find(':') {
            Some(colon) => (Some(&domain[..colon]), &domain[colon..]),
            None => (Some(domain), ""),
        },
    };
    let port_ok = match port.strip_prefix(':') {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
        None => port.is_empty(),
    };
    port_ok && host.is_none_or(|host| host.split('.').all(is_domain_label))
}

fn is_domain_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

/// Lower-case words joined by one dot, one or two underscores, or any number of dashes.
fn is_path_component(component: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !word(first) || !word(last) {
        return false;
    }
    bytes
        .split(word)
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        Reference::parse(text).unwrap().to_string()
    }

    #[test]
    fn a_shown_name_is_never_another_registry_s() {
        let text = "docker.io/quay.io/team/app";
        let reference = Reference::parse(text).unwrap();
        assert_eq!(reference.familiar(), text);
        assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
    }

    #[test]
    fn short_names_get_registry_and_owner() {
        assert_eq!(normal("busybox"), "docker.io/library/busybox");
        assert_eq!(
            normal("rancher/os-base:0.1"),
            "docker.io/rancher/os-base:0.1"
        );
        assert_eq!(
            normal("index.docker.io/busybox"),
            "docker.io/library/busybox"
        );
        assert_eq!(normal("docker.io/a/b/c"), "docker.io/a/b/c");
        assert_eq!(normal("localhost/x"), "localhost/x");
        assert_eq!(normal("localhost:5000/x:1"), "localhost:5000/x:1");
        assert_eq!(normal("[::1]:5000/x"), "[::1]:5000/x");
        assert_eq!(normal("UPPER.example/x"), "UPPER.example/x");
        assert_eq!(normal("Host/x"), "Host/x");
        assert_eq!(normal("a__b-----c.d_e"), "docker.io/library/a__b-----c.d_e");
    }

    #[test]
    fn familiar_forms_are_what_the_user_wrote() {
        let digest = Digest::sha256(b"x");
        for text in [
            "busybox",
            "busybox:1.36",
            "rancher/os-base:0.1.0",
            "localhost:5000/a/b:c",
            "library/a/b",
            &format!("busybox@{digest}"),
            &format!("busybox:1@{digest}"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().familiar(), text);
        }
        assert_eq!(
            Reference::parse("docker.io/library/x").unwrap().familiar(),
            "x"
        );
    }

    #[test]
    fn latest_is_added_only_where_nothing_is() {
        let latest = |text: &str| Reference::parse(text).unwrap().or_latest().familiar();
        assert_eq!(latest("busybox"), "busybox:latest");
        assert_eq!(latest("busybox:1"), "busybox:1");
        let pinned = format!("busybox@{}", Digest::sha256(b"x"));
        assert_eq!(latest(&pinned), pinned);
    }

    #[test]
    fn what_the_grammar_forbids_is_refused() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = "a/".repeat(130) + "b";
        let hex = "a".repeat(64);
        for bad in [
            "",
            ":",
            "@",
            "a:",
            "a@",
            "a@sha256:1",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "..",
            "a b",
            "a:b:c",
            "a:b/c",
            "-a",
            "a-",
            "a_.b",
            "a___b",
            "a..b",
            "Busybox",
            "é",
            "a:é",
            "[::1",
            "[zz]/a",
            "x.:5/a",
            "localhost:/a",
            "a\0b",
            "a:-b",
            &long_tag,
            &long_name,
            &hex,
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn upper_case_repository_is_named_in_the_error() {
        let error = Reference::parse("Busybox").unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid reference format: repository name (library/Busybox) must be lowercase"
        );
    }

    #[test]
    fn every_accepted_reference_survives_a_round_trip() {
        // every string up to four characters over the grammar's alphabet
        let alphabet = ['a', 'A', '0', '.', '_', '-', '/', ':', '@'];
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            texts = texts
                .iter()
                .flat_map(|text| alphabet.iter().map(move |c| format!("{text}{c}")))
                .collect();
            for text in &texts {
                if let Ok(reference) = Reference::parse(text) {
                    assert_eq!(
                        Reference::parse(&reference.to_string()).unwrap(),
                        reference,
                        "{text}"
                    );
                    assert_eq!(
                        Reference::parse(&reference.familiar()).unwrap(),
                        reference,
                        "{text}"
                    );
                }
            }
        }
    }
}
