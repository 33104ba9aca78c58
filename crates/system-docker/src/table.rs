//! Docker's output tables: columns as wide as their widest cell, three spaces apart.

/// Space between two columns, as in docker's tables.
const GAP: usize = 3;

/// Formats rows below their headings; every row has one cell a heading.
#[must_use]
pub fn format(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain([headings[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let heading = headings
        .iter()
        .map(|heading| (*heading).to_owned())
        .collect();
    let mut output = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}", width = width + GAP));
        }
        output.push_str(line.trim_end());
        output.push('\n');
    }
    output
}

/// Shortens a command or a name to `length` characters, as docker does without `--no-trunc`.
#[must_use]
pub fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars()
        .take(length.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// The 12 characters of an id that docker shows.
pub(crate) fn short_id(id: &str) -> String {
    id.strip_prefix("sha256:")
        .unwrap_or(id)
        .chars()
        .take(12)
        .collect()
}

/// A size in powers of 1024, as `stats` shows memory: `12.5MiB`.
pub(crate) fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    let number = format!("{value:.digits$}", digits = if unit == 0 { 0 } else { 2 });
    format!("{number}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".to_owned(), "long one".to_owned()],
            vec!["bbbb".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            format(&["ID", "NAME"], &rows),
            "ID     NAME\na      long one\nbbbb   x\n"
        );
    }

    #[test]
    fn sizes_are_dockers() {
        assert_eq!(binary_size(13_107_200), "12.50MiB");
        assert_eq!(ellipsis("\"abcdef\"", 5), "\"abc…");
    }
}
