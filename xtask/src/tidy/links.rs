//! Links of the documentation to files of the repository: each must lead to a file, and to a heading of it where it names one. Links to
//! other places are not followed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A complaint for each link of this file that leads to no file or to no heading. Only Markdown has links; a part of a page is checked
/// as the page that `cargo xtask docs` makes with it.
pub(super) fn check(root: &Path, file: &Path) -> Result<Vec<String>> {
    if !is_markdown(file) || file.starts_with("xtask/src") {
        return Ok(Vec::new());
    }
    let path = root.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let broken = targets(&text).filter(|(_, target)| !leads_somewhere(&path, &text, target));
    Ok(broken
        .map(|(line, target)| {
            format!(
                "{}:{line}: the link to {target} leads nowhere",
                file.display()
            )
        })
        .collect())
}

fn is_markdown(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

/// Whether the file of a link is there, and its heading. `path` and `text` are the page that has the link.
fn leads_somewhere(path: &Path, text: &str, target: &str) -> bool {
    let (name, place) = target.split_once('#').unwrap_or((target, ""));
    let file = match name {
        "" => path.to_owned(),
        name => path.with_file_name(name),
    };
    if place.is_empty() || !is_markdown(&file) {
        return file.exists();
    }
    let other = if name.is_empty() {
        Ok(text.to_owned())
    } else {
        fs::read_to_string(&file)
    };
    other.is_ok_and(|text| places(&text).iter().any(|known| known == place))
}

/// What inline links name, `[words](file#place)`, with the number of the line.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        line.split("](").skip(1).filter_map(move |rest| {
            let target = rest.split(')').next()?;
            let is_here = !target.is_empty() && !target.contains(':');
            is_here.then_some((index + 1, target))
        })
    })
}

/// The names by which GitHub's pages link to the headings of a page. The second heading of one name has `-1` after it.
fn places(text: &str) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut is_code = false;
    let mut places = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        let words = line.trim_start_matches('#');
        let level = line.len() - words.len();
        if is_code || !(1..=6).contains(&level) || !words.starts_with(' ') {
            continue;
        }
        let name = slug(words.trim());
        let count = counts.entry(name.clone()).or_default();
        places.push(match *count {
            0 => name,
            count => format!("{name}-{count}"),
        });
        *count += 1;
    }
    places
}

/// Lower case, without punctuation, and with hyphens for blanks.
fn slug(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let page = "[a](there.md), [b](https://example.org/x)\n[c](#place) and [d](gone.md#place)\n\
            # Two words\n[e](#two-words), [f](there.md#there), [g](there.md#gone), [h](code.rs#L1)\n";
        fs::write(folder.path().join("page.md"), page).unwrap();
        fs::write(folder.path().join("there.md"), "# There\n[x](none)").unwrap();
        fs::write(folder.path().join("code.rs"), "").unwrap();
        let complaints = check(folder.path(), Path::new("page.md")).unwrap();
        assert_eq!(
            complaints,
            [
                "page.md:2: the link to #place leads nowhere",
                "page.md:2: the link to gone.md#place leads nowhere",
                "page.md:4: the link to there.md#gone leads nowhere",
            ]
        );
        assert!(
            check(folder.path(), Path::new("page.rs"))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn headings_have_the_names_that_github_gives_them() {
        let page = "# What PID 1 *reads*\n## `ros os`: a, b -- c_d\n```sh\n# no heading\n```\n#none\n## Twice\n### Twice\n";
        assert_eq!(
            places(page),
            ["what-pid-1-reads", "ros-os-a-b----c_d", "twice", "twice-1"]
        );
    }
}
