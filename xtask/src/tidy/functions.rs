//! Rules that a function keeps or breaks: its length, and whether it says how it fails. Clippy knows both, too (`too_many_lines`,
//! `missing_errors_doc`), after it has compiled everything; this takes no compiler.
//!
//! Functions are found by the shape that rustfmt gives every file, which CI checks before: a function ends with the first `}` that
//! stands as far to the right as the function's first word.

use std::path::Path;

/// Most lines of code between a function's braces: one screen. Comments and empty lines do not count, as for clippy (`clippy.toml`).
const MAX_LINES: usize = 70;
/// What a longer function has above it, with its reason: a test that is a table, or one story.
const LONG_BY_INTENT: &str = "expect(clippy::too_many_lines";
/// What comes before `fn` in its line.
const QUALIFIERS: [&str; 5] = ["default ", "const ", "async ", UNSAFE, "extern \"C\" "];
/// Written apart, because tidy looks for the word.
const UNSAFE: &str = concat!("un", "safe ");

/// A function of a file.
struct Function<'t> {
    name: &'t str,
    /// Counted from 1.
    line: usize,
    /// Whether other crates may call it, as far as its own line and its trait's say, and the trait says nothing of errors.
    is_public: bool,
    /// What stands above it: docs and attributes.
    above: Vec<&'t str>,
    /// From `fn` to the opening brace, in one line.
    signature: String,
    /// Lines of code between the braces.
    lines: usize,
}

/// A complaint for each function of a Rust file that breaks a rule.
pub(super) fn check(file: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for function in functions(text) {
        let mut complain = |what: String| {
            complaints.push(format!(
                "{}: line {}: function {} {what}",
                file.display(),
                function.line,
                function.name
            ));
        };
        let above = &function.above;
        let is_long_by_intent = above.iter().any(|line| line.contains(LONG_BY_INTENT));
        if function.lines > MAX_LINES && !is_long_by_intent {
            complain(format!(
                "has {} lines of code, more than {MAX_LINES}",
                function.lines
            ));
        }
        let can_fail = function.is_public && fails(&function.signature);
        if can_fail && !above.iter().any(|line| says_errors(line)) {
            complain("is public and can fail, and does not say when: `/// # Errors`".to_owned());
        }
    }
    complaints
}

fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    // The public trait that a line is in, by the indentation of its end. One may say for all its methods how they fail
    let mut in_trait: Option<usize> = None;
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        let code = line.trim_start();
        if in_trait == Some(indentation) && code == "}" {
            in_trait = None;
        }
        let begins = code.starts_with("pub trait ") && code.ends_with('{');
        if begins && !above(&lines[..index]).iter().any(|line| says_errors(line)) {
            in_trait = Some(indentation);
        }
        let Some((is_public, name)) = head(code) else {
            continue;
        };
        let (signature, body) = signature(&lines[index..]);
        let rest = lines.get(index + body..).unwrap_or_default();
        found.push(Function {
            name,
            line: index + 1,
            is_public: is_public || in_trait.is_some(),
            above: above(&lines[..index]),
            lines: if signature.ends_with('{') {
                code_lines(rest, indentation)
            } else {
                0
            },
            signature,
        });
    }
    found
}

fn says_errors(line: &str) -> bool {
    line.trim() == "/// # Errors"
}

/// Whether the function that begins in this line is public, and its name.
fn head(code: &str) -> Option<(bool, &str)> {
    let (is_public, mut rest) = match code.strip_prefix("pub ") {
        Some(rest) => (true, rest),
        None if code.starts_with("pub(") => (false, code.split_once(") ")?.1),
        None => (false, code),
    };
    while let Some(shorter) = QUALIFIERS
        .iter()
        .find_map(|qualifier| rest.strip_prefix(qualifier))
    {
        rest = shorter;
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    // A type of functions, `fn (u8)`, has no name
    (end > 0).then(|| (is_public, &rest[..end]))
}

/// Docs and attributes that stand directly above: back to an empty line, or to the end of what comes before.
fn above<'t>(before: &[&'t str]) -> Vec<&'t str> {
    let ends = |line: &str| {
        let line = line.trim();
        line.is_empty() || (!line.starts_with("//") && line.ends_with(['{', '}', ';']))
    };
    let back = before.iter().rev();
    back.take_while(|line| !ends(line)).copied().collect()
}

/// The signature in one line, up to the brace or semicolon, and how many lines it has.
fn signature(lines: &[&str]) -> (String, usize) {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.split(" // ").next().unwrap_or_default().trim();
        text.push_str(code);
        if code.ends_with(['{', ';', '}']) {
            return (text, index + 1);
        }
        text.push(' ');
    }
    (text, lines.len())
}

/// Lines of code up to the closing brace at this indentation.
fn code_lines(lines: &[&str], indentation: usize) -> usize {
    let body = lines.iter().take_while(|line| {
        line.trim() != "}" || line.len() - line.trim_start().len() != indentation
    });
    body.map(|line| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

/// Whether what a function returns is a `Result`.
fn fails(signature: &str) -> bool {
    let path = returned(signature).split(['<', ' ', '{', ';']).next();
    path.is_some_and(|path| path.rsplit("::").next() == Some("Result"))
}

/// What stands behind the arrow of the function itself, and not of a closure among its parameters or bounds.
fn returned(signature: &str) -> &str {
    let mut depth = 0_i32;
    for (index, letter) in signature.char_indices() {
        let is_arrow = letter == '-' && signature[index..].starts_with("->");
        match letter {
            '(' | '[' | '<' => depth += 1,
            ')' | ']' => depth -= 1,
            '>' if !signature[..index].ends_with('-') => depth -= 1,
            _ if is_arrow && depth == 0 => return signature[index + 2..].trim_start(),
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        check(Path::new("a.rs"), text)
    }

    #[test]
    fn the_limit_is_clippys() {
        let clippy = include_str!("../../../clippy.toml");
        assert!(clippy.contains(&format!("too-many-lines-threshold = {MAX_LINES}\n")));
    }

    #[test]
    fn a_long_function_is_told_and_comments_do_not_count() {
        let body = |code: usize, rest: usize| {
            let (code, rest) = ("    f();\n".repeat(code), "    // why\n\n".repeat(rest));
            format!("fn long() {{\n{code}{rest}}}\n")
        };
        assert!(complaints(&body(MAX_LINES, 9)).is_empty());
        let told = complaints(&body(MAX_LINES + 1, 0));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("a.rs: line 1: function long has 71 lines"));
        let intended = "#[expect(clippy::too_many_lines, reason = \"a table\")]\n";
        assert!(complaints(&format!("{intended}{}", body(MAX_LINES + 1, 0))).is_empty());
        // Of a method, too, and behind a signature of several lines
        let method = format!(
            "impl A {{\n    fn long(\n        &self,\n    ) {{\n{}    }}\n}}\n",
            "        f();\n".repeat(MAX_LINES + 1)
        );
        assert_eq!(complaints(&method).len(), 1);
    }

    #[test]
    fn a_public_function_that_fails_says_when() {
        for bad in [
            "/// Does.\npub fn a() -> Result<()> {\n}\n",
            "pub async fn a(\n    x: u8,\n) -> std::io::Result<()>\nwhere\n    A: B,\n{\n}\n",
            "pub const fn a() -> Result<(), E> {}\n",
            "pub trait T {\n    /// Does.\n    fn a(&self) -> Result;\n}\n",
        ] {
            let told = complaints(bad);
            assert_eq!(told.len(), 1, "{bad}");
            assert!(told[0].contains("function a is public and can fail"));
        }
        for good in [
            "/// Does.\n///\n/// # Errors\n/// Never.\n#[inline]\npub fn a() -> Result<()> {\n}\n",
            "pub(crate) fn a() -> Result<()> {\n}\n",
            "pub fn a(f: impl Fn(&str) -> Result<(), E>) -> Option<u8> {\n}\n",
            "pub fn a<F: FnOnce() -> Result<()>>(f: F) {\n}\n",
            "pub fn a() -> Vec<Result<()>> {\n}\n",
            "trait T {\n    fn a() -> Result<()>;\n}\n",
            "pub trait T {}\n\nfn a() -> Result<()> {\n}\n",
            "/// # Errors\n/// Never.\n#[allow(x)]\npub trait T {\n    fn a() -> Result<()>;\n}\n",
            "pub type A = fn() -> Result<()>;\n",
        ] {
            assert_eq!(complaints(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn docs_of_the_function_before_are_not_those_of_the_next() {
        let text =
            "/// # Errors\n/// Never.\npub fn a() -> Result<()> {}\npub fn b() -> Result<()> {}\n";
        assert_eq!(complaints(text).len(), 1);
    }
}
