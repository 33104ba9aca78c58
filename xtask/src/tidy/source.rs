//! Rules that a single file keeps or breaks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{functions, words};

/// Lines of the longest Rust file: one that is longer has two subjects.
const MAX_LINES: usize = 400;

/// The one shell file: it starts the build.
const SHELL: &str = ".ci/run";

/// What a test prints that returns early and passes. Written apart, so that this file does not break its own rule.
const SKIPPED: &str = concat!("println!(\"skip", "ped");

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 4] = ["utils", "util", "common", "helpers"];

/// First labels of hosts that serve Debian's archive. None may stand in the repository: the mirror is the host's own.
const MIRRORS: [&str; 7] = [
    "deb",
    "ftp",
    "security",
    "snapshot",
    "archive",
    "httpredir",
    "cdn-fastly",
];

/// The domain that makes one of [`MIRRORS`] a mirror's name.
const MIRROR_DOMAIN: &str = ".debian.org";

/// Checks one file, named relative to `root`.
pub(super) fn check(root: &Path, file: &Path) -> Result<Vec<String>> {
    let path = root.join(file);
    if fs::symlink_metadata(&path)
        .with_context(|| format!("stat {}", path.display()))?
        .is_symlink()
    {
        return Ok(Vec::new());
    }
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    // What is not text has none of these rules
    let mut found = String::from_utf8(bytes)
        .map(|text| {
            let mut found = [complaints(file, &text), words::check(file, &text)].concat();
            if file.extension().is_some_and(|extension| extension == "rs") {
                found.extend(functions::check(file, &text));
            }
            found
        })
        .unwrap_or_default();
    found.extend(spelling(file, |folder| holds_modules(&root.join(folder))));
    Ok(found)
}

/// Whether a folder is there with Rust files in it.
fn holds_modules(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "rs")
        })
    })
}

/// A module with modules below it is `NAME/mod.rs`, so that a folder holds all that a room has.
fn spelling(file: &Path, is_room: impl Fn(&Path) -> bool) -> Option<String> {
    let folder = file.with_extension("");
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    (is_rust && is_room(&folder)).then(|| {
        format!(
            "{}: stands next to its folder; it must be {}",
            file.display(),
            folder.join("mod.rs").display()
        )
    })
}

fn complaints(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |what: &str| found.push(format!("{}: {what}", file.display()));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let rust = file.extension().is_some_and(|extension| extension == "rs");
    if is_shell(file, text) && file != Path::new(SHELL) {
        complain("is a shell script; xtask does such work");
    }
    if name == "build.rs" {
        complain("is a build script; xtask does such work");
    }
    if MIRRORS
        .iter()
        .any(|label| text.contains(&format!("{label}{MIRROR_DOMAIN}")))
    {
        complain("names a package mirror; the host's own is used");
    }
    if !rust {
        return found;
    }
    if file
        .with_extension("")
        .components()
        .any(|part| EMPTY_NAMES.iter().any(|name| part.as_os_str() == *name))
    {
        complain("has a name that says nothing about its subject");
    }
    if text.contains(SKIPPED) {
        complain(
            "has a test that passes without a test; such a one is ignored: `#[ignore = \"needs ...\"]`",
        );
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        complain(&format!("has {lines} lines, more than {MAX_LINES}"));
    }
    if !text.trim_start().starts_with("//!") {
        complain("does not begin with //! and what it is for");
    }
    if !file.starts_with("crates/sys") {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| has_unsafe(line));
        lines.for_each(|(index, _)| {
            complain(&format!(
                "line {} is unsafe code, which only crates/sys has",
                index + 1
            ))
        });
    }
    found
}

fn is_shell(file: &Path, text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first
        .strip_prefix("#!")
        .and_then(|rest| rest.split(['/', ' ']).rfind(|part| part.ends_with("sh")));
    let shebang = interpreter.is_some() && !file.starts_with("rootfs/files");
    shebang || file.extension().is_some_and(|extension| extension == "sh")
}

/// Whether a line of code opens an unsafe block, function, implementation or trait.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["{", "fn", "impl", "trait", "extern"]
        .iter()
        .any(|next| code.contains(&format!("{KEYWORD} {next}")))
        || code.contains(&format!("allow({KEYWORD}_code)"))
}

/// Written apart, so that this file does not break its own rule.
const KEYWORD: &str = concat!("un", "safe");

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str) -> Vec<String> {
        complaints(Path::new(file), text)
    }

    #[test]
    fn a_good_file_has_no_complaint() {
        assert!(check("crates/init/src/main.rs", "//! PID 1.\nfn main() {}\n").is_empty());
    }

    #[test]
    fn a_module_stands_in_its_folder() {
        let rooms = |folder: &Path| folder == Path::new("crates/a/src/b");
        assert!(spelling(Path::new("crates/a/src/b.rs"), rooms).is_some());
        assert!(spelling(Path::new("crates/a/src/b/mod.rs"), rooms).is_none());
        assert!(spelling(Path::new("crates/a/src/c.rs"), rooms).is_none());
        assert!(spelling(Path::new("crates/a/src/b.md"), rooms).is_none());
    }

    #[test]
    fn each_rule_is_told_when_broken() {
        let block = format!("//! Subject.\nfn f() {{ {KEYWORD} {{ g() }} }}\n");
        assert_eq!(check("crates/init/src/main.rs", &block).len(), 1);
        assert!(check("crates/sys/src/lib.rs", &block).is_empty());
        assert_eq!(check("crates/a/src/utils.rs", "//! x\n").len(), 1);
        assert_eq!(check("crates/a/src/utils/b.rs", "//! x\n").len(), 1);
        assert_eq!(check("crates/a/src/b.rs", "fn f() {}\n").len(), 1);
        let passes = format!("//! x\n{SKIPPED}: needs root\");\n");
        assert_eq!(check("crates/a/src/b.rs", &passes).len(), 1);
        assert_eq!(
            check(
                "crates/a/src/b.rs",
                &format!("//! x\n{}", "\n".repeat(MAX_LINES))
            )
            .len(),
            1
        );
        assert_eq!(check("crates/a/build.rs", "//! x\n").len(), 1);
        assert_eq!(check("tools/x", "#!/bin/bash\n").len(), 1);
        assert_eq!(check("tools/x.sh", "").len(), 1);
        assert_eq!(
            check(
                "docs/x.md",
                &format!("see http://{}{MIRROR_DOMAIN}/", MIRRORS[0])
            )
            .len(),
            1
        );
        assert!(check(SHELL, "#!/bin/sh\n").is_empty());
    }
}
