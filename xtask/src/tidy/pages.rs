//! The first page of each crate, the documentation of its root module: what belongs there, what does not, what it may import.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::edges;
use crate::workspace::Build;

/// What the page must say, each in a paragraph that begins with these words.
const PARTS: [(&str, &str); 2] = [
    ("what belongs there", "**Belongs here:** "),
    ("what does not belong there", "**Not here:** "),
];
/// Fewest words of such a paragraph, its label not counted: fewer say nothing about a crate.
const WORDS_LEAST: usize = 5;

/// A complaint for each page that misses a part, or allows other imports than the table of crates.
pub(super) fn check(build: &Build) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (name, allowed) in edges::ALLOWED {
        let path = page(&build.root, name);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let shown = path.strip_prefix(&build.root).unwrap_or(&path).display();
        for complaint in missing(&text, allowed) {
            complaints.push(format!("{shown}: the first page {complaint}"));
        }
    }
    Ok(complaints)
}

/// The file of a crate's root module.
fn page(root: &Path, name: &str) -> PathBuf {
    let folder = match name {
        "xtask" => root.join("xtask"),
        "qemu-test" => root.join("qemu"),
        _ => root.join("crates").join(name),
    };
    let library = folder.join("src/lib.rs");
    if library.exists() {
        return library;
    }
    folder.join("src/main.rs")
}

fn missing(text: &str, allowed: &[&str]) -> Vec<String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let page: Vec<&str> = lines.map(str::trim).collect();
    let paragraphs: Vec<String> = page
        .split(|line| line.is_empty())
        .map(|paragraph| paragraph.join(" "))
        .collect();
    let says = |label: &str| {
        let mut found = paragraphs
            .iter()
            .filter_map(|text| text.strip_prefix(label));
        // Two of a kind would contradict each other
        let only = (found.next(), found.next());
        matches!(only, (Some(text), None) if text.split_whitespace().count() >= WORDS_LEAST)
    };
    let mut complaints: Vec<String> = PARTS
        .iter()
        .filter(|(_, label)| !says(label))
        .map(|(what, label)| {
            format!(
                "does not say {what}, in one paragraph that begins with {}",
                label.trim()
            )
        })
        .collect();
    let imports = imports(allowed);
    if !paragraphs.contains(&imports) {
        complaints.push(format!("does not say \"{imports}\""));
    }
    complaints
}

/// The sentence about imports, in alphabetical order.
fn imports(allowed: &[&str]) -> String {
    let mut names = allowed.to_vec();
    names.sort_unstable();
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "**May import:** none of our crates.".to_owned()
    } else {
        format!("**May import:** {} of our crates.", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_three_things() {
        let good = "//! A.\n//!\n//! **Belongs here:** what an a is\n//! and does.\n//!\n//! **Not here:** it does not do b.\n//!\n//! **May import:** `c`,\n//! `d` of our crates.\n\nmod x;\n";
        assert_eq!(missing(good, &["d", "c"]), Vec::<String>::new());
        assert_eq!(missing(good, &["c"]).len(), 1);
        // A paragraph, not a mention, and one that says something
        for (from, to) in [
            ("**Not here:** it does not do b.", "**Not here:** b."),
            (
                "**Not here:** it does",
                "It is written **Not here:** it does",
            ),
            ("**Not here:** it does", "This crate does"),
            (
                "**Belongs here:** what",
                "**Belongs here:** what an a is.\n//!\n//! **Belongs here:** what",
            ),
        ] {
            let bad = good.replace(from, to);
            assert_eq!(missing(&bad, &["d", "c"]).len(), 1, "{bad}");
        }
        assert_eq!(missing("//! A.\n", &[]).len(), 3);
        let late = "//! A.\n\nmod x;\n//! **May import:** none of our crates.\n";
        assert_eq!(missing(late, &[]).len(), 3);
    }
}
