//! User data by its first line, and by what it has in place of one.

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

/// The reader of the configuration knows where they belong.
#[test]
fn misplaced_keys_without_a_first_line_are_a_cloud_config() {
    for text in [
        "services_include:\n  volume-efs: true\n",
        "docker:\n  tls: false\n",
    ] {
        assert!(
            matches!(
                one(text.as_bytes()),
                UserData::CloudConfig { note: Some(_), .. }
            ),
            "{text}"
        );
    }
    let foreign = one(b"providers:\n  docker: x\n");
    assert!(matches!(foreign, UserData::Unsupported(_)), "{foreign:?}");
}

#[test]
fn blanks_before_the_first_line_are_named() {
    for before in ["\n", "  ", " \n\n "] {
        let text = format!("{before}#cloud-config\nhostname: a\n");
        let UserData::CloudConfig { note, .. } = one(text.as_bytes()) else {
            panic!("{text:?} is not taken");
        };
        assert!(
            note.unwrap()
                .starts_with("blanks or empty lines stand before"),
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
