//! Titles of commits: `area: what and why`, short enough for every list that shows them.

use anyhow::{Context, Result};
use duct::cmd;

use crate::workspace::Build;

/// Longest title, in characters: `git log --oneline` on a terminal of 80 columns.
const TITLE_MOST: usize = 72;
/// From when on titles are checked. A date, since a hash can change on the way to another repository. Nobody can change a title of
/// the branch that everybody has: nine from before this time, when the rule was new and no job read them, are longer.
const SINCE: &str = "--since=2026-11-30T02:30:00Z";

/// A complaint for each title since then that breaks the rule.
pub(super) fn check(build: &Build) -> Result<Vec<String>> {
    let text = cmd!("git", "log", "--no-merges", "--format=%h %s", SINCE)
        .dir(&build.root)
        .read()
        .context("list the commits with git")?;
    Ok(text.lines().filter_map(complaint).collect())
}

/// What is wrong with a line of a commit's short hash and its title.
fn complaint(line: &str) -> Option<String> {
    let (hash, title) = line.split_once(' ')?;
    let length = title.chars().count();
    if length > TITLE_MOST {
        return Some(format!(
            "commit {hash}: its title has {length} characters, more than {TITLE_MOST}: {title}"
        ));
    }
    let has_area = title
        .split_once(": ")
        .is_some_and(|(area, what)| !area.is_empty() && !what.is_empty());
    (!has_area)
        .then(|| format!("commit {hash}: its title names no area (`area: what and why`): {title}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_short_and_names_an_area() {
        assert_eq!(complaint("1234567 init: say why a phase failed"), None);
        let long = format!("1234567 init: {}", "x".repeat(TITLE_MOST));
        assert!(complaint(&long).is_some_and(|told| told.contains("78 characters")));
        assert!(complaint("1234567 say why a phase failed").is_some());
        // Characters count, not bytes
        assert_eq!(complaint(&format!("1234567 a: {}", "ä".repeat(69))), None);
    }
}
