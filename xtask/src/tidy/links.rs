//! Links of the documentation to files of the repository: each must lead somewhere. Links to other places are not followed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A complaint for each link of this file that leads to no file. Only Markdown has links; a part of a page is checked as the page
/// that `cargo xtask docs` makes with it.
pub(super) fn check(root: &Path, file: &Path) -> Result<Vec<String>> {
    if file.extension().is_none_or(|extension| extension != "md") || file.starts_with("xtask/src") {
        return Ok(Vec::new());
    }
    let path = root.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let folder = path.parent().unwrap_or(root);
    Ok(targets(&text)
        .filter(|(_, target)| !folder.join(target).exists())
        .map(|(line, target)| {
            format!(
                "{}:{line}: the link to {} leads nowhere",
                file.display(),
                target.display()
            )
        })
        .collect())
}

/// Files that inline links name, with the number of the line: `[words](file#place)`.
fn targets(text: &str) -> impl Iterator<Item = (usize, PathBuf)> + '_ {
    text.lines().enumerate().flat_map(|(index, line)| {
        line.split("](").skip(1).filter_map(move |rest| {
            let target = rest.split(')').next()?.split('#').next()?;
            let is_file = !target.is_empty() && !target.contains(':');
            is_file.then(|| (index + 1, PathBuf::from(target)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let page =
            "[a](there.md), [b](https://example.org/x)\n[c](#place) and [d](gone.md#place)\n";
        fs::write(folder.path().join("page.md"), page).unwrap();
        fs::write(folder.path().join("there.md"), "[x](none)").unwrap();
        let complaints = check(folder.path(), Path::new("page.md")).unwrap();
        assert_eq!(complaints, ["page.md:2: the link to gone.md leads nowhere"]);
        assert!(
            check(folder.path(), Path::new("page.rs"))
                .unwrap()
                .is_empty()
        );
    }
}
