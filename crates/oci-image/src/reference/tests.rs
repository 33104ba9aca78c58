//! References that people write, and those that nobody may.

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
