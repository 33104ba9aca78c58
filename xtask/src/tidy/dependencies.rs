//! Crates of others: each has a licence that we may pass on, and each line of a manifest is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use duct::cmd;
use serde::Deserialize;

use crate::workspace::Build;

/// Licences that ask for no more than the notice to be kept (SPDX identifiers).
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Dependencies that no code names, and why they are there.
const UNNAMED: &[(&str, &str)] = &[];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None for ours.
    source: Option<String>,
    manifest_path: std::path::PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    rename: Option<String>,
    optional: bool,
}

/// A complaint for each licence that is not known to be harmless, and each dependency that is not used.
pub(super) fn check(build: &Build) -> Result<Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let text = cmd!(cargo, "metadata", "--format-version", "1")
        .dir(&build.root)
        .read()
        .context("run cargo metadata")?;
    let metadata: Metadata = serde_json::from_str(&text).context("parse cargo metadata")?;
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        if package.source.is_some() {
            complaints.extend(licence(package));
        } else {
            complaints.extend(unused(package)?);
        }
    }
    Ok(complaints)
}

fn licence(package: &Package) -> Option<String> {
    let expression = package.license.as_deref().unwrap_or_default();
    (!is_allowed(expression)).then(|| {
        format!(
            "{} {} has the licence {expression:?}, which is not in the list (xtask/src/tidy/dependencies.rs)",
            package.name, package.version
        )
    })
}

/// Whether an SPDX expression can be met with [`LICENCES`] alone. Exceptions only give more rights, so `X WITH Y` counts as `X`;
/// a slash is what old manifests write for `OR`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut words = tokens(&expression);
    let allowed = either(&mut words);
    allowed && words.is_empty()
}

/// The words and parentheses of an expression, the first one last.
fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    words.reverse();
    words
}

/// `A OR B`: one suffices.
fn either(words: &mut Vec<String>) -> bool {
    let mut allowed = both(words);
    while words.last().is_some_and(|word| word == "OR") {
        words.pop();
        allowed |= both(words);
    }
    allowed
}

/// `A AND B` binds more tightly (SPDX specification, annex on licence expressions).
fn both(words: &mut Vec<String>) -> bool {
    let mut allowed = one(words);
    while words.last().is_some_and(|word| word == "AND") {
        words.pop();
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Vec<String>) -> bool {
    let Some(word) = words.pop() else {
        return false;
    };
    if word == "(" {
        let allowed = either(words);
        return words.pop().is_some_and(|word| word == ")") && allowed;
    }
    if words.last().is_some_and(|word| word == "WITH") {
        words.pop();
        words.pop();
    }
    LICENCES.contains(&word.as_str())
}

fn unused(package: &Package) -> Result<Vec<String>> {
    let folder = package
        .manifest_path
        .parent()
        .with_context(|| format!("{} has no folder", package.manifest_path.display()))?;
    let mut code = String::new();
    read_code(folder, &mut code)?;
    let names: BTreeSet<String> = package
        .dependencies
        .iter()
        .filter(|dependency| !dependency.optional)
        .map(|dependency| {
            dependency
                .rename
                .as_ref()
                .unwrap_or(&dependency.name)
                .clone()
        })
        .collect();
    Ok(names
        .into_iter()
        .filter(|name| !UNNAMED.iter().any(|(known, _)| known == name) && !is_named(&code, name))
        .map(|name| {
            format!(
                "crate {} has the dependency {name}, which its code does not name",
                package.name
            )
        })
        .collect())
}

/// Whether code has the crate's name as a whole word.
fn is_named(code: &str, name: &str) -> bool {
    let name = name.replace('-', "_");
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(&name).any(|(at, _)| {
        !code[..at].ends_with(is_part) && !code[at + name.len()..].starts_with(is_part)
    })
}

/// Appends the Rust files below `folder`, comments left out.
fn read_code(folder: &Path, code: &mut String) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("list {}", folder.display()))?
            .path();
        if path.is_dir() && !path.ends_with("target") {
            read_code(&path, code)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            for line in text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                code.push_str(line);
                code.push('\n');
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_says() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR GPL-3.0-only",
            "(MIT OR GPL-2.0-only) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "GPL-3.0-only OR AGPL-3.0-only AND MIT",
            "(MIT",
            "MIT)",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_dependency_is_named_as_a_word() {
        assert!(is_named("use serde_json::Value;", "serde-json"));
        assert!(is_named("serde::de", "serde"));
        assert!(!is_named("use serde_json::Value;", "serde"));
    }
}
