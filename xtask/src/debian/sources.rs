//! The package sources of the host's apt: one-line `.list` and deb822 `.sources` files (sources.list(5)).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::control;

/// One archive that apt would ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Base address without a slash at the end.
    pub(crate) uri: String,
    /// Suites taken from it.
    pub(crate) suites: Vec<String>,
}

/// All enabled binary sources below `/etc/apt`, in apt's order.
pub(crate) fn read(apt: &Path) -> Result<Vec<Source>> {
    let mut files = vec![apt.join("sources.list")];
    let mut parts: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .collect()
        })
        .unwrap_or_default();
    parts.sort();
    files.extend(parts);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let sources = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => parse_list(&read_text(file)?),
            Some("sources") => parse_deb822(&read_text(file)?),
            _ => continue,
        };
        for source in sources {
            found.extend(expand(source)?);
        }
    }
    Ok(found)
}

fn read_text(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

/// Lines `deb [options] uri suite component...`.
pub(crate) fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line
        .strip_prefix("deb")
        .filter(|rest| rest.starts_with(char::is_whitespace))?
        .trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let uri = words.next()?;
    let suite = words.next()?;
    Some(Source {
        uri: trim(uri),
        suites: vec![suite.to_owned()],
    })
}

/// Stanzas with `Types`, `URIs`, `Suites`; `Enabled: no` switches one off.
pub(crate) fn parse_deb822(text: &str) -> Vec<Source> {
    // Comment lines may stand between the lines of a stanza, and even of a field
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = Vec::new();
    for stanza in control::stanzas(&text) {
        let words = |field| stanza.get(field).unwrap_or_default().split_whitespace();
        let off = stanza
            .get("Enabled")
            .is_some_and(|value| matches!(value, "no" | "false" | "off" | "without" | "disable"));
        if off || !words("Types").any(|kind| kind == "deb") {
            continue;
        }
        let suites: Vec<String> = words("Suites").map(str::to_owned).collect();
        found.extend(words("URIs").map(|uri| Source {
            uri: trim(uri),
            suites: suites.clone(),
        }));
    }
    found
}

fn trim(uri: &str) -> String {
    uri.trim_end_matches('/').to_owned()
}

/// Replaces `mirror+file:` (used by cloud images) by the addresses in that file; leaves out what is not HTTP.
fn expand(source: Source) -> Result<Vec<Source>> {
    if let Some(path) = source.uri.strip_prefix("mirror+file:") {
        let path = format!("/{}", path.trim_start_matches('/'));
        let text = read_text(Path::new(&path))?;
        let uris = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        return Ok(uris
            .filter(|uri| uri.starts_with("http"))
            .map(|uri| Source {
                uri: trim(uri),
                suites: source.suites.clone(),
            })
            .collect());
    }
    let http = source.uri.starts_with("http://") || source.uri.starts_with("https://");
    Ok(if http { vec![source] } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_entries_are_read() {
        let text = "# deb http://no/ x main\ndeb [arch=amd64 signed-by=/k] http://mirror.test/debian/ trixie main # why\n\
                    deb-src http://mirror.test/debian trixie main\ndeb http://mirror.test/security trixie-security main\n";
        let found = parse_list(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            Source {
                uri: "http://mirror.test/debian".into(),
                suites: vec!["trixie".into()]
            }
        );
        assert_eq!(found[1].suites, ["trixie-security"]);
    }

    #[test]
    fn deb822_entries_are_read() {
        let text = "Types: deb\n# a comment inside\nURIs: http://a.test/debian/ http://b.test/debian\nSuites: bookworm\n bookworm-updates\n\
                    Components: main\n\nTypes: deb\nEnabled: no\nURIs: http://c.test\nSuites: x\n\nTypes: deb-src\nURIs: http://d.test\nSuites: y\n";
        let found = parse_deb822(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].uri, "http://a.test/debian");
        assert_eq!(found[1].suites, ["bookworm", "bookworm-updates"]);
    }

    #[test]
    fn other_transports_are_left_out() {
        let source = Source {
            uri: "cdrom:[Debian]".into(),
            suites: vec![],
        };
        assert!(expand(source).unwrap().is_empty());
    }
}
