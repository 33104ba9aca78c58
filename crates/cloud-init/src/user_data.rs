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
        let note = format!(
            "the first line is {shown:?}, it should be \"#cloud-config\"; it is taken as that"
        );
        return UserData::CloudConfig {
            text: text.to_owned(),
            note: Some(note),
        };
    }
    UserData::Unsupported(format!(
        "user data that begins with {shown:?} is not supported, expected \"#cloud-config\", \"#!\" or a multi-part message"
    ))
}

/// Whether it is a YAML map with a key of cloud-config, broken as the rest may be.
fn has_known_keys(text: &str) -> bool {
    let fields = config::schema::CLOUD_CONFIG.fields();
    let is_key = |key: &str| fields.iter().any(|field| field.name == key);
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
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn one(bytes: &[u8]) -> UserData {
        let documents = documents(bytes).unwrap();
        assert_eq!(documents.len(), 1);
        documents[0].clone()
    }

    fn cloud_config(text: &str) -> UserData {
        UserData::CloudConfig {
            text: text.to_owned(),
            note: None,
        }
    }

    #[test]
    fn the_first_line_decides() {
        let config = "#cloud-config\nhostname: a\n";
        for (bytes, want) in [
            (b"".to_vec(), UserData::Empty),
            (b" \n".to_vec(), UserData::Empty),
            (config.into(), cloud_config(config)),
            (gzip(config.as_bytes()), cloud_config(config)),
            (
                b"\xef\xbb\xbf#cloud-config\n".to_vec(),
                cloud_config("#cloud-config\n"),
            ),
            (
                b"#cloud-config\r\na: b".to_vec(),
                cloud_config("#cloud-config\r\na: b"),
            ),
            (
                b"#!/bin/sh\n".to_vec(),
                UserData::Script("#!/bin/sh\n".into()),
            ),
            (
                b"#include\nhttp://x".to_vec(),
                UserData::Include(vec!["http://x".into()]),
            ),
            (
                b"## template: jinja\n#cloud-config\nhostname: a".to_vec(),
                UserData::Unsupported(JINJA.into()),
            ),
            (
                b"\xff\xfe\x00".to_vec(),
                UserData::Unsupported("it is binary data".into()),
            ),
        ] {
            assert_eq!(one(&bytes), want);
        }
        assert!(
            matches!(one(b"#cloud-configuration"), UserData::Unsupported(words) if words.contains("#cloud-configuration"))
        );
    }

    /// First lines of real files: 24 of 100 do not begin as they should.
    #[test]
    fn a_missing_or_misspelt_first_line_is_forgiven_with_a_word() {
        for first in [
            "",
            "\n#cloud-config\n",
            "# cloud-config\n",
            "#cloud-init\n",
            "---\n",
            "#Cloud-Config\n",
        ] {
            let text = format!("{first}hostname: a\nssh_authorized_keys: [\n");
            let UserData::CloudConfig { note, .. } = one(text.as_bytes()) else {
                panic!("{text:?} is not taken");
            };
            assert!(
                note.unwrap().contains("should be \"#cloud-config\""),
                "{text:?}"
            );
        }
    }

    #[test]
    fn parts_of_a_message_are_documents_of_their_own() {
        let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n\nhostname: a\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b\nContent-Type: text/x-include-url\n\nhttp://x\n--b--\n";
        assert_eq!(
            documents(message.as_bytes()).unwrap(),
            [
                cloud_config("hostname: a\n"),
                UserData::Script("#!/bin/sh\n".into()),
                UserData::Include(vec!["http://x".into()]),
            ]
        );
    }

    #[test]
    fn a_cloud_config_in_latin_1_is_taken_with_a_word() {
        let data = one(b"#cloud-config\n# Gr\xf6\xdfe\nhostname: a\n");
        assert!(
            matches!(&data, UserData::CloudConfig { text, note: Some(_) } if text.contains("hostname: a")),
            "{data:?}"
        );
    }

    #[test]
    fn included_documents_take_the_place_of_their_include() {
        let include =
            |urls: &[&str]| UserData::Include(urls.iter().map(|url| (*url).to_owned()).collect());
        let (documents, errors) = expand(
            vec![cloud_config("a"), include(&["b", "gone", "again"])],
            |url| match url {
                "b" => Ok(b"#cloud-config\nhostname: b\n".to_vec()),
                "again" => Ok(b"#include\nhttp://x\n".to_vec()),
                other => Err(Error::Service(format!("{other}: 404"))),
            },
        );
        assert_eq!(
            documents[..2],
            [
                cloud_config("a"),
                cloud_config("#cloud-config\nhostname: b\n")
            ]
        );
        assert!(
            matches!(&documents[2], UserData::Unsupported(words) if words.contains("not followed"))
        );
        assert_eq!(errors, ["#include: gone: 404"]);
    }

    #[test]
    fn a_gzip_bomb_and_broken_gzip_are_refused() {
        let bomb = gzip(&vec![b' '; usize::try_from(MAX_BYTES).unwrap() + 1]);
        assert!(matches!(documents(&bomb), Err(Error::Gzip(_))));
        assert!(matches!(
            documents(&[0x1f, 0x8b, 8, 0]),
            Err(Error::Gzip(_))
        ));
    }
}
