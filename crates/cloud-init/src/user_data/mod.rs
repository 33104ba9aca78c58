//! What user data is: a cloud-config, a script, or something this system does not take.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result, compose, mime};

/// Most bytes of user data, unpacked; OpenStack allows 64 KiB, a hand-made drive may carry more.
pub const MAX_BYTES: u64 = 4 << 20;

/// First bytes of gzip data (RFC 1952).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// One document of user data, by its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserData {
    /// Nothing but white space.
    Empty,
    /// `#cloud-config`, or YAML that has keys of one; then the note says what its first line should be.
    CloudConfig {
        /// The text as it was written.
        text: String,
        /// What its owner should know, though it is taken.
        note: Option<String>,
    },
    /// `#!`.
    Script(String),
    /// `#include`: addresses of user data, one a line. [`expand`] puts what they have in its place.
    Include(Vec<String>),
    /// Known to other systems and not taken here, in words.
    Unsupported(String),
}

/// The documents of user data in order: one, or the parts of a multi-part message. Gzip is unpacked first.
///
/// # Errors
/// Gzip that does not unpack, or to more than [`MAX_BYTES`].
pub fn documents(bytes: &[u8]) -> Result<Vec<UserData>> {
    let bytes = unpacked(bytes)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(vec![not_utf_8(&bytes)]);
    };
    if !mime::is_mime(text) {
        return Ok(vec![classify(text)]);
    }
    let parts = match mime::parts(text) {
        Ok(parts) => parts,
        Err(error) => {
            return Ok(vec![UserData::Unsupported(format!(
                "it is not a multi-part message: {error}"
            ))]);
        }
    };
    parts.iter().map(part).collect()
}

/// A cloud-config in an older encoding is taken: keys and most else are ASCII.
fn not_utf_8(bytes: &[u8]) -> UserData {
    if !bytes.starts_with(b"#cloud-config") {
        return UserData::Unsupported("it is binary data".to_owned());
    }
    let note = "it is not UTF-8: save it in that encoding; other characters are replaced";
    UserData::CloudConfig {
        text: String::from_utf8_lossy(bytes).into_owned(),
        note: Some(note.to_owned()),
    }
}

fn part(part: &mime::Part) -> Result<UserData> {
    let bytes = unpacked(&part.bytes)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(UserData::Unsupported(format!(
            "its part {} is binary data",
            part.kind
        )));
    };
    // The header wins over the first line, as in cloud-init.
    Ok(match part.kind.as_str() {
        "text/cloud-config" if !text.trim().is_empty() && !is_jinja(text) => {
            UserData::CloudConfig {
                text: text.to_owned(),
                note: None,
            }
        }
        "text/x-shellscript" | "text/x-shellscript-per-boot" if text.starts_with("#!") => {
            UserData::Script(text.to_owned())
        }
        "text/x-include-url" | "text/x-include-once-url" => include(text),
        "text/jinja2" => UserData::Unsupported(JINJA.to_owned()),
        _ => classify(text),
    })
}

/// Most addresses of one document.
const MAX_INCLUDES: usize = 16;

/// Addresses, one a line; other lines that begin with `#` are comments.
fn include(text: &str) -> UserData {
    let lines = text.lines().map(str::trim);
    let urls = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    UserData::Include(urls.take(MAX_INCLUDES).map(str::to_owned).collect())
}

/// Puts the documents at included addresses in the place of their `#include`; what could not be had, in words. One that
/// includes others is not followed.
pub fn expand(
    documents: Vec<UserData>,
    mut fetch: impl FnMut(&str) -> Result<Vec<u8>>,
) -> (Vec<UserData>, Vec<String>) {
    let (mut expanded, mut errors) = (Vec::new(), Vec::new());
    for document in documents {
        let UserData::Include(urls) = document else {
            expanded.push(document);
            continue;
        };
        for url in urls {
            let included = fetch(&url).and_then(|bytes| self::documents(&bytes));
            match included {
                Ok(included) => {
                    expanded.extend(included.into_iter().map(|document| match document {
                        UserData::Include(_) => UserData::Unsupported(format!(
                            "{url}: an #include inside an #include is not followed"
                        )),
                        document => document,
                    }))
                }
                Err(error) => errors.push(format!("#include: {error}")),
            }
        }
    }
    (expanded, errors)
}

const JINJA: &str =
    "jinja templates are not supported: fill the template in before the machine gets it";

fn is_jinja(text: &str) -> bool {
    text.trim_start()
        .to_ascii_lowercase()
        .starts_with("## template:")
}

/// What a document is. One whose first line is missing or misspelt is a cloud-config too when it has keys of one: the
/// machine's owner wants in.
fn classify(text: &str) -> UserData {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(first) = text
        .lines()
        .map(str::trim_end)
        .find(|line| !line.is_empty())
    else {
        return UserData::Empty;
    };
    let is_first = text.starts_with(first);
    if is_first && (first == "#cloud-config" || first.starts_with("#cloud-config ")) {
        return UserData::CloudConfig {
            text: text.to_owned(),
            note: None,
        };
    }
    if is_first && first.starts_with("#!") {
        return UserData::Script(text.to_owned());
    }
    if is_jinja(text) {
        return UserData::Unsupported(JINJA.to_owned());
    }
    if first.starts_with("#include") {
        return include(text);
    }
    if is_first && first == compose::FIRST_LINE {
        return match compose::cloud_config(text) {
            Ok(text) => UserData::CloudConfig { text, note: None },
            Err(words) => UserData::Unsupported(words),
        };
    }
    let shown: String = first.chars().take(80).filter(|c| !c.is_control()).collect();
    if has_known_keys(text) {
        let note = if first.trim_start() == "#cloud-config" {
            "blanks or empty lines stand before \"#cloud-config\", which should be all of the first line; it is taken as that".to_owned()
        } else {
            format!(
                "the first line is {shown:?}, it should be \"#cloud-config\"; it is taken as that"
            )
        };
        return UserData::CloudConfig {
            text: text.to_owned(),
            note: Some(note),
        };
    }
    UserData::Unsupported(format!(
        "user data that begins with {shown:?} is not supported, expected \"#cloud-config\", \"#!\" or a multi-part message"
    ))
}

/// Whether it is a YAML map with a key of cloud-config, broken as the rest may be. One of `rancher` at the beginning of a line
/// is in the wrong place, which its reader says.
fn has_known_keys(text: &str) -> bool {
    let (top, below) = (config::schema::CLOUD_CONFIG, config::schema::RANCHER);
    let is_key = |key: &str| {
        let mut fields = top.fields().iter().chain(below.fields());
        fields.any(|field| field.name == key)
    };
    text.lines().any(|line| {
        line.split_once(':')
            .is_some_and(|(key, _)| !key.contains(' ') && is_key(key))
    })
}

fn unpacked(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if bytes.starts_with(GZIP_MAGIC) {
        return gunzip(bytes, MAX_BYTES).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(bytes))
}

/// Unpacks gzip.
///
/// # Errors
/// Data that does not unpack, or to more than `limit` bytes.
pub fn gunzip(bytes: &[u8], limit: u64) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| Error::Gzip(error.to_string()))?;
    if unpacked.len() as u64 > limit {
        return Err(Error::Gzip(format!("more than {limit} bytes")));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests;
