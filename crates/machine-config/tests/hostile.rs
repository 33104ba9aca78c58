//! Configurations that nobody in their right mind writes: whatever they hold, they are read, what can be used of them
//! reads back the same after it is printed, and the good files next to them count.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use config::schema::{CLOUD_CONFIG, Field, Kind};
use config::{CommandLine, Config, Loaded, Source, emit, load};
use machine_config::{MachineConfig, Places};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const GOOD: &str = "#cloud-config\nhostname: good\nssh_authorized_keys: [ssh-ed25519 AAAA owner]\n";

/// Real files that are damaged below.
const REAL: &[&str] = &[
    include_str!("../../../examples/files-and-services.yml"),
    include_str!("../../../examples/network.yml"),
    include_str!("../../../examples/simple.yml"),
    include_str!("../../../examples/users.yml"),
    include_str!("../../../rootfs/os-config.yml"),
    include_str!("../../../qemu/src/tests/user_data/big.yml"),
    include_str!("../../../qemu/src/tests/user_data/broken.yml"),
];

fn loaded(text: &str) -> Loaded {
    let source = |name, text| Source { name, text };
    load(
        &[source("hostile.yml", text), source("good.yml", GOOD)],
        &CommandLine::default(),
    )
}

/// What counts for the machine: places are not part of it.
fn without_places(mut config: Config) -> Config {
    for service in config.rancher.services.values_mut() {
        service.at = None;
    }
    config
}

/// Reads `text` next to a good file, and what comes of it once more after it was printed.
fn survives(text: &str) {
    let first = loaded(text);
    assert_eq!(first.config.hostname.as_deref(), Some("good"), "{text}");
    let keys = &first.config.ssh_authorized_keys;
    assert!(
        keys.iter().any(|key| key == "ssh-ed25519 AAAA owner"),
        "{text}: {keys:?}"
    );
    let undecoded = first
        .problems
        .iter()
        .find(|p| p.message.contains("cannot be decoded"));
    assert!(undecoded.is_none(), "{text}: {undecoded:?}");
    for problem in &first.problems {
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
    let printed = emit::to_yaml(&first.tree);
    let again = loaded(&printed);
    assert_eq!(
        first.tree.to_json(),
        again.tree.to_json(),
        "{text}\n->\n{printed}"
    );
    assert_eq!(
        without_places(first.config),
        without_places(again.config),
        "{text}\n->\n{printed}"
    );
}

/// Values of every kind, the odd ones of each among them.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        select(vec![
            "yes",
            "~",
            "''",
            "-1",
            "0x1f",
            "1e999",
            "99999999999999999999",
            ".5",
            "2001-01-01",
            "&a [*a]",
            "*nowhere",
            "!!binary aGVsbG8=",
            "!!python/object:x {}",
            "<<",
            "{{ x }}",
            "${HOME}",
            "$$",
            "'\u{0}'",
            "\"\\0\"",
            "- - -",
            "? x",
            "| \n x",
            "\t",
            "#",
            "%",
            "10.0.0.1/33",
            "::1/129",
            "eth*",
            "mac=zz",
            "../../etc/shadow",
            "[[[[[[[[]]]]]]]]",
            "{a: {a: {a: {a: {a: {a: 1}}}}}}",
            "[a, 1, ~, {b: c}]",
            "{<<: [{a: 1}, 2]}",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
        "[ -~äß€\u{85}\u{2028}\u{feff}\u{1f600}\\n\\t]{0,40}".prop_map(|text| format!("{text:?}")),
        "[ -~]{0,20}",
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(", "))),
            prop::collection::vec(("[a-z<-]{1,6}", inner), 0..4).prop_map(|all| {
                let pairs: Vec<String> = all.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }),
        ]
    })
}

/// A line for every key of the schema, as a flow map that reaches it: what stands before and after its value.
fn places() -> Vec<(String, String)> {
    let mut places = Vec::new();
    of_fields(CLOUD_CONFIG.fields(), "", "", &mut places);
    places
}

fn of_fields(fields: &[Field], before: &str, after: &str, places: &mut Vec<(String, String)>) {
    for field in fields {
        let before = format!("{before}{}: ", field.name);
        places.push((before.clone(), after.to_owned()));
        of_kind(&field.kind, &before, after, places);
    }
}

fn of_kind(kind: &Kind, before: &str, after: &str, places: &mut Vec<(String, String)>) {
    match kind {
        Kind::Object(fields) => {
            of_fields(
                fields,
                &format!("{before}{{"),
                &format!("}}{after}"),
                places,
            );
        }
        Kind::MapOf(inner) => of_kind(
            inner,
            &format!("{before}{{x: "),
            &format!("}}{after}"),
            places,
        ),
        Kind::ListOf(inner) => of_kind(inner, &format!("{before}["), &format!("]{after}"), places),
        Kind::Either(first, second) => {
            of_kind(first, before, after, places);
            of_kind(second, before, after, places);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_at_any_key_is_survived(entries in prop::collection::vec((any::<Index>(), value()), 1..6)) {
        let places = places();
        let lines: Vec<String> = entries
            .iter()
            .map(|(index, value)| {
                let (before, after) = index.get(&places);
                format!("{before}{value}{after}\n")
            })
            .collect();
        survives(&lines.concat());
    }

    #[test]
    fn any_bytes_are_survived(text in "\\PC*") {
        survives(&text);
    }

    #[test]
    fn real_files_that_are_damaged_are_survived(
        text in select(REAL),
        cuts in prop::collection::vec((any::<Index>(), select(vec!["", "\t", "\n", ":", "- ", "\"", "{", "]", "|", "\u{0}", "*", "# ", "  "])), 1..5),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (index, piece) in cuts {
            let at = index.index(characters.len());
            characters.splice(at..(at + 1).min(characters.len()), piece.chars());
        }
        survives(&characters.into_iter().collect::<String>());
    }
}

/// A file of any bytes in the machine's directory costs nothing but itself.
#[test]
fn files_of_any_bytes_do_not_hide_the_others() {
    let root = tempfile::tempdir().unwrap();
    let conf = root.path().join("conf");
    let directory = conf.join("cloud-config.d");
    fs::create_dir_all(&directory).unwrap();
    let deep = format!("rancher: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let files: [(&str, Vec<u8>); 7] = [
        ("00-binary.yml", (0..=255).cycle().take(70_000).collect()),
        (
            "01-latin-1.yml",
            b"# Gr\xf6\xdfe\nhostname: taken\n".to_vec(),
        ),
        ("02-huge.yml", vec![b'#'; config::MAX_DOCUMENT_BYTES + 10]),
        ("03-deep.yml", deep.into_bytes()),
        ("04-nothing.yml", Vec::new()),
        (
            "05-utf-16.yml",
            "\u{feff}hostname: a\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        (
            "06-good.yml",
            b"ssh_authorized_keys: [ssh-ed25519 AAAA owner]\n".to_vec(),
        ),
    ];
    for (name, bytes) in &files {
        fs::write(directory.join(name), bytes).unwrap();
    }
    // Neither a directory nor a pipe is read, and nobody waits for one.
    fs::create_dir(directory.join("07-directory.yml")).unwrap();
    let machine = MachineConfig::load_from(&Places {
        built_in: root.path().join("none"),
        oem: root.path().join("none"),
        conf,
        command_line: root.path().join("none"),
        leases: root.path().join("none"),
    });
    assert_eq!(machine.hostname(), "taken");
    assert_eq!(
        machine.loaded.config.ssh_authorized_keys,
        ["ssh-ed25519 AAAA owner"]
    );
    let said: Vec<String> = machine.errors().map(ToString::to_string).collect();
    for name in ["00-binary", "01-latin-1", "02-huge", "03-deep", "05-utf-16"] {
        assert!(
            said.iter().any(|line| line.contains(name)),
            "{name}: {said:?}"
        );
    }
}
