//! Checks the layout rules of the workspace (ARCHITECTURE.md), which no compiler knows.

mod closure;
mod commits;
mod dependencies;
pub(crate) mod edges;
mod functions;
mod links;
mod pages;
mod source;
mod words;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::workspace::{Build, VERSION};
use crate::{docs, progress};

/// Options of `cargo xtask tidy`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Check the titles of commits, too
    #[arg(long)]
    commits: bool,
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    if options.commits {
        titles(build)?;
    }
    check(build)
}

/// Fails with every title of a commit that breaks the rule.
fn titles(build: &Build) -> Result<()> {
    let complaints = commits::check(build)?;
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{}", complaints.join("\n"))
}

/// Fails with every rule that is broken, and where.
pub(crate) fn check(build: &Build) -> Result<()> {
    let files = files(build)?;
    let mut complaints = edges::check(build)?;
    complaints.extend(closure::check(build)?);
    complaints.extend(pages::check(build)?);
    complaints.extend(dependencies::check(build)?);
    for file in &files {
        complaints.extend(source::check(&build.root, file)?);
    }
    complaints.extend(broken_links(build)?);
    complaints.extend(changelog(build)?);
    complaints.extend(docs::check(&build.root)?);
    if complaints.is_empty() {
        progress::note("tidy", &format!("{} files keep the rules", files.len()));
        return Ok(());
    }
    bail!(
        "{} rules are broken:\n  {}",
        complaints.len(),
        complaints.join("\n  ")
    )
}

/// A complaint for each link of the documentation that leads nowhere.
pub(crate) fn broken_links(build: &Build) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in &files(build)? {
        complaints.extend(links::check(&build.root, file)?);
    }
    Ok(complaints)
}

/// Every file that is in the repository or would be with the next commit, relative to its top.
fn files(build: &Build) -> Result<Vec<PathBuf>> {
    let listing = cmd!(
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate"
    )
    .dir(&build.root)
    .read()
    .context("list the repository's files with git")?;
    // A file that is deleted but not yet committed is listed too
    Ok(listing
        .lines()
        .map(PathBuf::from)
        .filter(|path| build.root.join(path).exists())
        .collect())
}

/// The version that is built has one heading in the change log.
fn changelog(build: &Build) -> Result<Option<String>> {
    let path = build.root.join("CHANGELOG.md");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(match headings(&text, VERSION) {
        1 => None,
        count => Some(format!(
            "CHANGELOG.md: version {VERSION} has {count} headings, it must have one"
        )),
    })
}

fn headings(text: &str, version: &str) -> usize {
    let names = |line: &&str| {
        line.split_whitespace()
            .any(|word| word.trim_matches(['[', ']', ',']) == version)
    };
    text.lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(names)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_headings_only() {
        let text = "# Changes\n## [0.1.0] - 2026-11-21\nSee 0.1.0\n## 0.1.01\n### 0.1.0\n";
        assert_eq!(headings(text, "0.1.0"), 1);
        assert_eq!(headings(text, "0.2.0"), 0);
    }
}
