//! The tables of docs/testing.md, of RancherOS's tests and of broken versions: each row names tests that there are, or says why
//! there is none.

use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../docs/testing.md");

/// Every file of Rust below a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}

/// Whether the test of this name is there: `crate::function`, or the name of one of the guests' tests.
fn is_there(name: &str) -> bool {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    match name.split_once("::") {
        Some((name, test)) => {
            sources(&root.join("crates").join(name)).contains(&format!("fn {test}()"))
        }
        None => sources(&root.join("qemu/src/tests")).contains(&format!("\"{name}\"")),
    }
}

#[test]
fn every_row_has_tests_that_are_there_or_a_reason() {
    let rows: Vec<(u32, &str)> = PAGE
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
            let (_, ours) = rest.split_once(" | ")?;
            Some((number.parse().ok()?, ours))
        })
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
    let wanted: Vec<u32> = (1..=11)
        .chain(17..=19)
        .chain(25..=52)
        .chain(64..=66)
        .collect();
    assert_eq!(numbers, wanted, "the rows of the table");
    for (number, ours) in rows {
        check(&format!("row {number}"), ours);
    }
}

#[test]
fn every_kind_of_broken_version_has_tests_that_are_there() {
    let page = PAGE.split_once(BROKEN).unwrap().1;
    let rows: Vec<(&str, &str)> = page
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with("| "))
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ");
            (cells.next().unwrap(), cells.last().unwrap())
        })
        .collect();
    assert!(rows.len() >= LEAST_KINDS, "{} kinds", rows.len());
    for (kind, ours) in &rows {
        check(kind, ours);
    }
    // Each kind that is booted stands there by its name
    for kind in super::broken::kinds::all() {
        let row = rows.iter().find(|(known, _)| known.trim() == kind.name);
        assert!(row.is_some(), "the page does not have {:?}", kind.name);
    }
}

/// The heading of the table of broken versions.
const BROKEN: &str = "## Broken versions";
/// What was promised.
const LEAST_KINDS: usize = 24;

/// A cell names tests that are there, or a reason.
fn check(row: &str, ours: &str) {
    let names: Vec<&str> = ours
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_'))
        .collect();
    let has_reason = ours.starts_with("no test: ");
    assert!(has_reason || !names.is_empty(), "{row}: {ours}");
    for name in names {
        assert!(is_there(name), "{row}: there is no test {name}");
    }
}
