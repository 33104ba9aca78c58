//! Documents that are not YAML, what is read of them, and what is said.

use super::*;

fn read_json(text: &str) -> (serde_json::Value, Vec<String>) {
    let (node, problems) = read("t.yml", text);
    let problems = problems.iter().map(ToString::to_string).collect();
    (node.to_json(), problems)
}

#[test]
fn a_broken_part_costs_only_itself() {
    let text = "#cloud-config\nhostname: \"unclosed\nssh_authorized_keys:\n- ssh-ed25519 AAAA me\n- \"ssh-rsa BBBB\nrancher:\n  network:\n    interfaces:\n      eth0: {address: 10.0.0.2/24, gateway: [}\n      eth1: {dhcp: true}\n    dns:\n      nameservers: [10.0.0.1]\n  debug: true\n";
    let (json, problems) = read_json(text);
    assert_eq!(
        json,
        serde_json::json!({
            "ssh_authorized_keys": ["ssh-ed25519 AAAA me"],
            "rancher": {
                "network": {
                    "interfaces": {"eth1": {"dhcp": true}},
                    "dns": {"nameservers": ["10.0.0.1"]},
                },
                "debug": true,
            },
        })
    );
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, place) in problems.iter().zip(["t.yml:2:", "t.yml:5:", "t.yml:9:"]) {
        assert!(problem.starts_with(place), "{problem}");
        assert!(problem.ends_with("this part is left out"), "{problem}");
    }
    assert!(
        problems[2].contains("rancher.network.interfaces: "),
        "{problems:?}"
    );
}

#[test]
fn mistakes_of_real_files_are_survived() {
    for (text, want) in [
        // A tab.
        (
            "rancher:\n  network:\n\tdns:\n\t  nameservers: [1.1.1.1]\nhostname: a\n",
            serde_json::json!({"rancher": {"network": {"dns": {"nameservers": ["1.1.1.1"]}}}, "hostname": "a"}),
        ),
        // `write_files:` is missing, its entries are not.
        (
            "hostname: a\n- path: /x\n  content: y\nssh_authorized_keys: [k]\n",
            serde_json::json!({"hostname": "a", "ssh_authorized_keys": ["k"]}),
        ),
        // The same where the key above has its list: that one must hold.
        (
            "ssh_authorized_keys:\n  - k\n- path: /x\n  content: y\n- path: /z\nhostname: a\nrancher:\n  disable:\n    - password\n\n  - path: /x\n",
            serde_json::json!({"ssh_authorized_keys": ["k"], "hostname": "a", "rancher": {"disable": ["password"]}}),
        ),
        // A template that was not filled in.
        (
            "hostname: {{ .Name }}\nssh_authorized_keys:\n{{ range .Keys }}\n  - {{ . }}\n{{ end }}\nrancher: {debug: true}\n",
            serde_json::json!({"hostname": {}, "ssh_authorized_keys": null, "rancher": {"debug": true}}),
        ),
        // One of Terraform.
        (
            "hostname: a\nrancher:\n  network:\n    dns:\n      nameservers:\n%{ for a in split(\",\", dns) ~}\n        - ${a}\n%{ endfor ~}\n      search:\n        - b\n",
            serde_json::json!({"hostname": "a", "rancher": {"network": {"dns": {"nameservers": ["${a}"], "search": ["b"]}}}}),
        ),
        // Content that is not indented.
        (
            "write_files:\n- path: /a\n  content: |\n#!/bin/sh\necho: x: y\nhostname: a\n",
            serde_json::json!({"write_files": [{"path": "/a", "content": ""}], "hostname": "a"}),
        ),
        // Levels that do not line up.
        (
            "rancher:\n    debug: true\n  ssh: {port: 2222}\nhostname: a\n",
            serde_json::json!({"rancher": {"debug": true, "ssh": {"port": 2222}}, "hostname": "a"}),
        ),
    ] {
        let (json, problems) = read_json(text);
        assert_eq!(json, want, "{text}\n{problems:?}");
        assert!(!problems.is_empty(), "{text}");
    }
}

#[test]
fn a_template_that_was_not_filled_in_is_named_once() {
    let text = "keys:\n%{ for key in keys ~}\n  - ${key}\n%{~ endfor }\nb: 1\n";
    let (_, problems) = read_json(text);
    assert_eq!(
        problems,
        ["t.yml:2:1: error: a template that was not filled in: lines as this one are left out"]
    );
    let problem = parse("t.yml", text).unwrap_err().to_string();
    assert!(
        problem.contains("line 2 looks like a template"),
        "{problem}"
    );
}

#[test]
fn items_without_their_key_are_named_once() {
    let text = "keys:\n- k\n- l\nrancher:\n  disable:\n    - password\n  # a file\n  - path: /x\n    content: |\n      a\n  - path: /y\nrest: [1]\n- z\n";
    let (json, problems) = read_json(text);
    let want =
        serde_json::json!({"keys": ["k", "l"], "rancher": {"disable": ["password"]}, "rest": [1]});
    assert_eq!(json, want);
    let [file, other] = &problems[..] else {
        panic!("{problems:?}");
    };
    assert!(
        file.starts_with("t.yml:8:5: error: rancher: ")
            && file.ends_with("the line with `write_files:` is missing above it"),
        "{file}"
    );
    assert!(
        other.starts_with("t.yml:13:3: ") && other.contains("the line with its key"),
        "{other}"
    );
}

#[test]
fn good_documents_are_read_as_ever_and_rubbish_has_one_word() {
    let text = "a: 1\nb: [x]\n";
    assert_eq!(read("t", text).0, parse("t", text).unwrap().0);
    for rubbish in ["{ not: [closed", "\u{1}\u{2}: [", "- [\n- {\n", "\t\t\t["] {
        let (json, problems) = read_json(rubbish);
        assert_eq!(json, serde_json::json!({}), "{rubbish}");
        assert!(!problems.is_empty());
    }
}

#[test]
fn a_document_that_breaks_a_limit_says_which() {
    let many = (1..8).fold("a0: &a0 [x, x, x, x]\n".to_owned(), |text, level| {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        format!("{text}a{level}: &a{level} [{alias}]\n")
    });
    let (_, problems) = read_json(&many);
    assert!(
        problems[0].contains("more than 100000 values"),
        "{problems:?}"
    );
}

#[test]
fn rubbish_without_end_costs_little() {
    let start = std::time::Instant::now();
    let (_, problems) = read("t", &"a: [\n".repeat(100_000));
    assert!(problems.len() <= MAX_PARTS + 2);
    let bomb = "a0: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &(1..500)
            .map(|n| format!("b{n}: &b{n} [*a, *a, *a, *a, [{}]]\n", "y, ".repeat(500)))
            .collect::<String>()
        + "c: [\n";
    read("t", &bomb);
    // Far more than it takes, far less than a loop would.
    assert!(start.elapsed().as_secs() < 60);
}
