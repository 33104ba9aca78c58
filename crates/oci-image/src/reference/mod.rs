//! Image references as people write them (`busybox`, `ghcr.io/a/b:1`, `x@sha256:..`) and their normal form.
//!
//! Source: the grammar of distribution/reference (reference.go, normalize.go): a name is at most 255 characters, a tag
//! 128, a missing registry means `docker.io`, a missing owner there means `library`.

mod grammar;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, Result};
use grammar::{is_domain, is_path};
pub use grammar::{is_hex_id, is_tag};

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
    ///
    /// # Errors
    /// When it is not a reference.
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
    ///
    /// # Errors
    /// When it is not a tag.
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
