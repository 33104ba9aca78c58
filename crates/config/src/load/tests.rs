//! Documents over each other.

use super::*;
use crate::schema::Kind;

fn load_texts(texts: &[&str], line: &str) -> Loaded {
    let names: Vec<String> = (0..texts.len()).map(|n| format!("{n}.yml")).collect();
    let sources: Vec<Source<'_>> = names
        .iter()
        .zip(texts)
        .map(|(name, text)| Source { name, text })
        .collect();
    load(&sources, &CommandLine::parse(line))
}

#[test]
fn later_documents_and_the_command_line_win() {
    let loaded = load_texts(
        &[
            "hostname: a\nrancher: {ssh: {port: 23, daemon: false}}",
            "hostname: b",
        ],
        "cc.hostname=c rancher.ssh.port=24",
    );
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    assert_eq!(loaded.config.hostname.as_deref(), Some("c"));
    assert_eq!(loaded.config.rancher.ssh.port, Some(24));
    assert_eq!(loaded.config.rancher.ssh.daemon, Some(false));
    assert_eq!(
        loaded.tree.get("hostname").unwrap().at.to_string(),
        "/proc/cmdline:1:1"
    );
}

#[test]
fn keys_of_all_documents_add_up() {
    let loaded = load_texts(
        &[
            "ssh_authorized_keys: [one, two]",
            "hostname: b",
            "ssh_authorized_keys: [two, three]",
            "ssh_authorized_keys: []",
        ],
        "cc.ssh_authorized_keys=[four]",
    );
    assert_eq!(
        loaded.config.ssh_authorized_keys,
        ["one", "two", "three", "four"]
    );
}

#[test]
fn a_broken_document_does_not_take_the_others_with_it() {
    let loaded = load_texts(
        &["hostname: a", "hostname: [", "ssh_authorized_keys: [k]"],
        "",
    );
    assert_eq!(loaded.config.hostname.as_deref(), Some("a"));
    assert_eq!(loaded.config.ssh_authorized_keys, ["k"]);
    assert_eq!(loaded.problems.len(), 1);
    assert_eq!(&*loaded.problems[0].at.file, "1.yml");
}

#[test]
fn a_wrong_value_does_not_hide_the_good_one_below() {
    let loaded = load_texts(
        &[
            "rancher: {shutdown_timeout: 60}",
            "rancher: {shutdown_timeout: soon}",
        ],
        "",
    );
    assert_eq!(loaded.config.rancher.shutdown_timeout, Some(60));
    assert_eq!(loaded.problems.len(), 1);
}

#[test]
fn services_get_their_variables_and_their_place() {
    let loaded = load_texts(
        &[
            "rancher:\n  environment: {TAG: \"7\"}\n  services:\n    a:\n      image: os:${VERSION}-${TAG}${NONE}\n",
        ],
        "",
    );
    let service = &loaded.config.rancher.services["a"];
    assert_eq!(
        service.image.as_deref(),
        Some(format!("os:{VERSION}-7").as_str())
    );
    assert_eq!(service.at.as_ref().unwrap().to_string(), "0.yml:4:5");
    assert_eq!(loaded.problems.len(), 1);
    assert!(loaded.problems[0].message.contains("${NONE}"));
}

#[test]
fn a_machine_without_the_service_ntp_gets_none_by_switching_it_off() {
    let ntp = "rancher: {services: {ntp: {image: a, labels: {b: c}}}}";
    for (texts, is_stopped) in [
        ([ntp, "ntp: {enabled: no}"], Some(true)),
        ([ntp, "ntp: {enabled: true}"], Some(false)),
        (["", "ntp: {enabled: false}"], None),
    ] {
        let loaded = load_texts(&texts, "");
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let service = loaded.config.rancher.services.get("ntp");
        assert_eq!(service.map(crate::Service::is_create_only), is_stopped);
        let labels = service.map_or(0, |service| service.labels.len());
        assert_eq!(
            labels,
            match is_stopped {
                Some(true) => 2,
                Some(false) => 1,
                None => 0,
            }
        );
    }
}

#[test]
fn unknown_rancher_parameters_are_warned_about() {
    let loaded = load_texts(&[], "rancher.debgu=true rancher.bogus.deep=1 quiet");
    let reports: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        reports,
        [
            "/proc/cmdline:1:20: warning: rancher.bogus: unknown key, it is ignored",
            "/proc/cmdline:1:1: warning: rancher.debgu: unknown key, did you mean \"rancher.debug\"? it is ignored",
        ]
    );
}

/// For every key of the schema and every odd value, the types must accept what the check lets through.
#[test]
fn whatever_passes_the_check_can_be_decoded() {
    let mut paths = Vec::new();
    collect(&CLOUD_CONFIG, "", &mut paths);
    assert!(paths.len() > 200);
    let values = [
        "yes",
        "-5",
        "99999999999",
        "1.5",
        "'x'",
        "''",
        "[a, 1, [b], {c: d}, null]",
        "{a: 1, b: [c], d: {soft: 1, hard: x}}",
        "[{path: 1}]",
        "~",
        "&x [*x]",
    ];
    for path in &paths {
        for value in values {
            let text = format!("{{ {} {value} {}", path.0, path.1);
            let loaded = load_texts(&["hostname: kept", &text], "");
            let undecoded = loaded
                .problems
                .iter()
                .find(|p| p.message.contains("cannot be decoded"));
            assert!(undecoded.is_none(), "{text}: {undecoded:?}");
        }
    }
}

/// Opening and closing text of a flow mapping around each key; free keys are called `any`.
fn collect(kind: &Kind, open: &str, paths: &mut Vec<(String, String)>) {
    let braces = open.matches('{').count() + 1;
    match kind {
        Kind::Object(fields) => {
            for field in *fields {
                let here = format!("{open}{}:", field.name);
                paths.push((here.clone(), "}".repeat(braces)));
                collect(&field.kind, &format!("{here} {{"), paths);
            }
        }
        Kind::MapOf(inner) => {
            let here = format!("{open}any:");
            paths.push((here.clone(), "}".repeat(braces)));
            collect(inner, &format!("{here} {{"), paths);
        }
        _ => {}
    }
}
