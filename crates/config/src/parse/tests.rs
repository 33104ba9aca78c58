//! Texts, and what is read of them.

use super::*;

fn json(text: &str) -> serde_json::Value {
    parse("t.yml", text).unwrap().0.to_json()
}

#[test]
fn documents_become_trees() {
    for (text, want) in [
        ("", serde_json::json!({})),
        ("#cloud-config\n", serde_json::json!({})),
        ("#cloud-config\n---\na: b\n", serde_json::json!({"a": "b"})),
        (
            "a: [1, yes, \"yes\", null]",
            serde_json::json!({"a": [1, true, "yes", null]}),
        ),
        (
            "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2",
            serde_json::json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ),
        (
            "a: &x {b: 1}\nc: {<<: *x, b: 2}",
            serde_json::json!({"a": {"b": 1}, "c": {"b": 2}}),
        ),
        ("a: |\n  x\n  y\n", serde_json::json!({"a": "x\ny\n"})),
        ("a: !!str 12", serde_json::json!({"a": "12"})),
        ("a: 1\r\nb: 2\r\n", serde_json::json!({"a": 1, "b": 2})),
    ] {
        assert_eq!(json(text), want, "{text}");
    }
}

#[test]
fn syntax_errors_name_file_line_and_column() {
    let problem = parse("x.yml", "a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
    assert_eq!(&*problem.at.file, "x.yml");
    assert!(problem.at.line >= 2, "{problem}");
    assert!(problem.to_string().starts_with("x.yml:"), "{problem}");
}

#[test]
fn duplicate_keys_are_reported_and_the_last_counts() {
    let (node, problems) = parse("x.yml", "a: 1\na: 2\n").unwrap();
    assert_eq!(node.to_json(), serde_json::json!({"a": 2}));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].at.to_string(), "x.yml:2:1");
}

#[test]
fn an_alias_bomb_is_stopped() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let previous = format!("*a{}", i - 1);
        text.push_str(&format!(
            "a{i}: &a{i} [{}]\n",
            vec![previous; 10].join(", ")
        ));
    }
    let problem = parse("bomb.yml", &text).unwrap_err();
    assert!(problem.message.contains("more than"), "{problem}");
}

#[test]
fn deep_nesting_and_long_documents_are_refused() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(parse("deep.yml", &deep).is_err());
    let long = "#".repeat(MAX_DOCUMENT_BYTES + 1);
    assert!(parse("long.yml", &long).is_err());
}

#[test]
fn alias_chains_cannot_exceed_the_depth() {
    let mut text = String::from("a0: &a0 [x]\n");
    for i in 1..200 {
        text.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert!(parse("chain.yml", &text).is_err());
}

#[test]
fn arbitrary_text_never_panics() {
    for text in [
        "\u{0}",
        "a: *b",
        "? [1]\n: 2",
        "%YAML 9.9\n---\n",
        "- - -",
        "&a *a",
        "a: &x [*x]",
        "\t a",
        "{",
        "}",
    ] {
        let _ = parse("odd.yml", text);
    }
}

#[test]
fn causes_are_named_that_yaml_does_not_explain() {
    for (text, cause) in [
        (
            "write_files:\n  - path: /a\n\tcontent: b\n",
            "line 3 is indented with a tab",
        ),
        ("hostname: {{ name }}\n", "line 1 looks like a template"),
        ("runcmd:\n- echo a: b: c\n  - x\n", ""),
        (
            "hostname: a: b\n",
            "the value of \"hostname\" in line 1 has a colon",
        ),
    ] {
        if let Err(problem) = parse("t", text) {
            assert!(problem.message.contains(cause), "{text}: {problem}");
        } else {
            assert!(cause.is_empty() || cause.contains("template"), "{text}");
        }
    }
    assert!(parse("t", "\u{feff}hostname: a\r\nruncmd:\r\n- b\r\n").is_ok());
}

/// In a document as a whole, and in the parts of one that is not YAML.
#[test]
fn a_key_that_stands_twice_is_named_with_its_path() {
    let text = "rancher:\n  docker: {tls: true}\n  list: [{a: 1, a: 2}]\n  docker:\n    log_opts: {b: 1, b: 2}\n";
    let (_, problems) = parse("t", text).unwrap();
    let places = |problems: &[Problem]| {
        let places = problems
            .iter()
            .map(|found| format!("{}:{}", found.at.line, found.key));
        places.collect::<Vec<_>>()
    };
    let want = [
        "3:rancher.list.a",
        "5:rancher.docker.log_opts.b",
        "4:rancher.docker",
    ];
    assert_eq!(places(&problems), want);
    let (_, problems) = crate::read("t", &format!("{text}  bad: [\n"));
    assert_eq!(places(&problems[..3]), want);
}

#[test]
fn messages_do_not_repeat_a_long_key() {
    let text = format!("? {}\n: {{{}}}", "k".repeat(100_000), "a: 1, ".repeat(1000));
    let (_, problems) = parse("t", &text).unwrap();
    let bytes: usize = problems.iter().map(|found| found.key.len()).sum();
    assert!(problems.len() == 999 && bytes < 100_000, "{bytes}");
}
