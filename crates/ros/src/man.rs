//! Manual pages of `ros` and each of its commands, from the same description as `--help`. They are for people who read on
//! their own machine: the system itself has no `man`, so this is not a part of its program.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Writes a page for each command, `ros-config-apply.1`; how many.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write(folder: &Path) -> anyhow::Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let pages = pages()?;
    for (name, text) in &pages {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(pages.len())
}

/// File names with their text.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = crate::cli::command().disable_help_subcommand(true);
    // Gives commands their whole names.
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        add(below, pages)?;
    }
    let man = Man::new(command.clone())
        .source(format!("RancherOS {}", env!("CARGO_PKG_VERSION")))
        .manual("RancherOS");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command
        .get_arguments()
        .any(|argument| !argument.is_hide_set())
    {
        man.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    examples(command).to_writer(&mut text)?;
    pages.push((man.get_filename(), text));
    Ok(())
}

/// The lines below the help's "Example:"; those of a group are on the pages of its commands.
fn examples(command: &Command) -> Roff {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let lines: Vec<&str> = help.lines().skip(1).map(str::trim).collect();
    let mut roff = Roff::default();
    if lines.is_empty() {
        return roff;
    }
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let pages = pages().unwrap();
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write(folder.path()).unwrap(), pages.len());
        let on_disk = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(on_disk, pages.len(), "two pages have one name");
        let text = |name: &str| {
            let page = pages.iter().find(|(file, _)| file == name);
            String::from_utf8(page.unwrap_or_else(|| panic!("no {name}")).1.clone()).unwrap()
        };
        let mut missing = Vec::new();
        for (file, content) in &pages {
            let content = String::from_utf8_lossy(content);
            // A group is only its commands.
            let is_group = content.contains(".SH SUBCOMMANDS");
            if !is_group && !content.contains(".SH EXAMPLES") {
                missing.push(file);
            }
        }
        assert!(pages.len() > 50 && missing.is_empty(), "{missing:?}");
        let apply = text("ros-config-apply.1");
        for words in [
            "ros config apply",
            "\\-\\-confirm",
            "ros config apply \\-\\-dry\\-run",
        ] {
            assert!(apply.contains(words), "{words}: {apply}");
        }
        assert!(text("ros.1").contains("ros\\-config(1)"));
        assert!(!pages.iter().any(|(file, _)| file.contains("netconf")));
    }
}
