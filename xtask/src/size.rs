//! Shows the sizes of what was built against their budgets (`ci/budgets.toml`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use oci_image::media::{self, MediaIndex};
use serde::Deserialize;

use crate::workspace::{Build, VERSION};

/// Options of `cargo xtask size`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// The whole of `ci/budgets.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    file: Vec<Budget>,
}

/// What one file may weigh.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    what: String,
    path: String,
    /// Repositories of images whose own layers do not count.
    #[serde(default)]
    without: Vec<String>,
    /// Bytes that must not be exceeded.
    budget: u64,
    /// Bytes that would be good.
    aim: u64,
}

/// One line of the table.
struct Row {
    what: String,
    /// Bytes; none if it is not built.
    found: Option<u64>,
    budget: u64,
    aim: u64,
}

impl Row {
    fn verdict(&self) -> &'static str {
        match self.found {
            None => "not built",
            Some(found) if found > self.budget => "OVER BUDGET",
            Some(found) if found > self.aim => "ok",
            Some(_) => "ok, within the aim",
        }
    }
}

/// Entry point of the command: fails when something is over its budget.
pub(crate) fn run(build: &Build, _options: &Options) -> Result<()> {
    check(build)
}

/// Prints the table and fails when something is over its budget.
pub(crate) fn check(build: &Build) -> Result<()> {
    let rows = rows(build)?;
    print(&rows);
    let over: Vec<&str> = rows
        .iter()
        .filter(|row| row.found.is_some_and(|found| found > row.budget))
        .map(|row| row.what.as_str())
        .collect();
    if over.is_empty() {
        Ok(())
    } else {
        bail!("over budget (ci/budgets.toml): {}", over.join(", "))
    }
}

/// Prints the table.
pub(crate) fn show(build: &Build) -> Result<()> {
    print(&rows(build)?);
    Ok(())
}

fn rows(build: &Build) -> Result<Vec<Row>> {
    let path = build.root.join("ci/budgets.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let budgets: Budgets =
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    budgets
        .file
        .into_iter()
        .map(|budget| row(build, budget))
        .collect()
}

fn row(build: &Build, budget: Budget) -> Result<Row> {
    let arch = build.arch;
    let path = budget
        .path
        .replace("{version}", VERSION)
        .replace("{arch}", arch.name())
        .replace("{target}", arch.target());
    let mut found = fs::metadata(build.root.join(path))
        .ok()
        .map(|file| file.len());
    if !budget.without.is_empty() {
        found = match found {
            Some(size) => Some(size.saturating_sub(weight(&build.media(), &budget.without)?)),
            None => None,
        };
    }
    Ok(Row {
        what: budget.what,
        found,
        budget: budget.budget,
        aim: budget.aim,
    })
}

/// Bytes on the media that only images of these repositories need.
fn weight(media: &Path, repositories: &[String]) -> Result<u64> {
    let path = media.join(media::FILE_NAME);
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let index = MediaIndex::parse(&bytes).with_context(|| format!("parse {}", path.display()))?;
    let of = |reference: &str| {
        repositories.iter().any(|name| {
            reference
                .rsplit_once(':')
                .is_some_and(|(found, _)| found == name)
        })
    };
    let (named, others): (Vec<_>, Vec<_>) = index
        .images
        .iter()
        .partition(|image| image.references.iter().any(|reference| of(reference)));
    // Images that stand on each other share layers, and each lies there once
    let own: BTreeMap<&str, u64> = named
        .iter()
        .flat_map(|image| &image.layers)
        .filter(|layer| {
            !others
                .iter()
                .flat_map(|image| &image.layers)
                .any(|other| other.file == layer.file)
        })
        .map(|layer| (layer.file.as_str(), layer.size))
        .collect();
    let mut size: u64 = own.values().sum();
    for name in repositories {
        // An image for User Docker lies there as a separate archive
        size += fs::metadata(media.join(format!("user-images/{name}.tar")))
            .map_or(0, |file| file.len());
    }
    Ok(size)
}

fn print(rows: &[Row]) {
    println!("{:<34}{:>12}{:>12}{:>12}", "", "KiB", "budget", "aim");
    for row in rows {
        let found = row
            .found
            .map_or_else(|| "-".to_owned(), |bytes| kibibytes(bytes).to_string());
        let (budget, aim) = (kibibytes(row.budget), kibibytes(row.aim));
        println!(
            "{:<34}{found:>12}{budget:>12}{aim:>12}  {}",
            row.what,
            row.verdict()
        );
    }
}

fn kibibytes(bytes: u64) -> u64 {
    bytes / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_budget_and_aim() {
        let verdict = |found| {
            Row {
                what: String::new(),
                found,
                budget: 20,
                aim: 10,
            }
            .verdict()
        };
        assert_eq!(verdict(None), "not built");
        assert_eq!(verdict(Some(10)), "ok, within the aim");
        assert_eq!(verdict(Some(20)), "ok");
        assert_eq!(verdict(Some(21)), "OVER BUDGET");
    }
}
