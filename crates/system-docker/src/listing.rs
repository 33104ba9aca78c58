//! Lists: docker's table, ids only, or a template for each row.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::table;
use super::template::Template;

/// A row: what a template can ask for, by docker's names.
#[derive(Debug, Default)]
pub(crate) struct Row {
    cells: Map<String, Value>,
    /// For `.Label "key"`.
    labels: BTreeMap<String, String>,
}

impl Row {
    /// The same with labels, which are a cell too.
    pub(crate) fn with_labels(mut self, labels: &BTreeMap<String, String>) -> Self {
        let pairs: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.cells
            .insert("Labels".to_owned(), pairs.join(",").into());
        self.labels.clone_from(labels);
        self
    }
}

/// How a list is shown.
#[derive(Debug, Default)]
pub(crate) struct Show<'a> {
    /// Only this column, and no heading (`-q`).
    pub(crate) only: Option<&'a str>,
    /// `--format`.
    pub(crate) format: Option<&'a str>,
}

/// Makes a row from names and texts.
pub(crate) fn row<const N: usize>(cells: [(&str, String); N]) -> Row {
    let cells = cells
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Value::String(text)));
    Row {
        cells: cells.collect(),
        ..Row::default()
    }
}

/// Prints `rows`; `columns` pairs a heading with the name of its field.
///
/// # Errors
/// When the template is wrong.
pub(crate) fn print(rows: &[Row], columns: &[(&str, &str)], show: &Show<'_>) -> anyhow::Result<()> {
    print!("{}", text(rows, columns, show)?);
    Ok(())
}

pub(super) fn text(
    rows: &[Row],
    columns: &[(&str, &str)],
    show: &Show<'_>,
) -> anyhow::Result<String> {
    let cell = |row: &Row, name: &str| {
        row.cells
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if let Some(only) = show.only {
        return Ok(rows.iter().map(|row| cell(row, only) + "\n").collect());
    }
    match show.format {
        None | Some("table") => {
            let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
            let cells: Vec<Vec<String>> = rows
                .iter()
                .map(|row| columns.iter().map(|(_, name)| cell(row, name)).collect())
                .collect();
            Ok(table::format(&headings, &cells))
        }
        Some("json") => Ok(rows
            .iter()
            .map(|row| Value::Object(row.cells.clone()).to_string() + "\n")
            .collect()),
        Some(format) => templated(rows, columns, format),
    }
}

/// `table {{.A}}\t{{.B}}` has headings, anything else has none.
fn templated(rows: &[Row], columns: &[(&str, &str)], format: &str) -> anyhow::Result<String> {
    let (format, with_headings) = match format.strip_prefix("table ") {
        Some(rest) => (rest, true),
        None => (format, false),
    };
    // In the format of a list docker takes these two for what they stand for, in that of one object it does not.
    let template = Template::parse(&format.replace("\\t", "\t").replace("\\n", "\n"))?;
    let mut lines = Vec::new();
    for row in rows {
        lines.push(template.render_row(&row.cells, &row.labels)?);
    }
    if !with_headings {
        return Ok(lines.into_iter().map(|line| line + "\n").collect());
    }
    let names: Map<String, Value> = rows
        .iter()
        .flat_map(|row| row.cells.keys())
        .map(|name| (name.clone(), Value::String(name.to_uppercase())))
        .chain(
            columns
                .iter()
                .map(|(heading, name)| ((*name).to_owned(), Value::String((*heading).to_owned()))),
        )
        .collect();
    let headings = template.headings(names)?;
    let headings: Vec<&str> = headings.split('\t').collect();
    let cells: Vec<Vec<String>> = lines
        .iter()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect();
    Ok(table::format(&headings, &cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(show: &Show<'_>) -> String {
        let rows = [row([
            ("ID", "abc".to_owned()),
            ("Names", "web".to_owned()),
            ("Ports", String::new()),
        ])
        .with_labels(&[("a.my-key".to_owned(), "x".to_owned())].into())];
        text(&rows, &[("CONTAINER ID", "ID"), ("NAMES", "Names")], show).expect("a list")
    }

    #[test]
    fn a_list_has_dockers_four_forms() {
        assert_eq!(
            show(&Show::default()),
            "CONTAINER ID   NAMES\nabc            web\n"
        );
        assert_eq!(
            show(&Show {
                only: Some("ID"),
                format: None
            }),
            "abc\n"
        );
        assert_eq!(
            show(&Show {
                only: None,
                format: Some("{{.Names}}!")
            }),
            "web!\n"
        );
        assert_eq!(
            show(&Show {
                only: None,
                format: Some("table {{.Names}}\t{{.ID}}")
            }),
            "NAMES   CONTAINER ID\nweb     abc\n"
        );
        for (format, expected) in [
            (r"{{.Names}}\t{{.Label `a.my-key`}}", "web\tx\n"),
            ("{{.Label \"none\"}}.{{.Labels}}", ".a.my-key=x\n"),
            ("{{if eq .Names \"web\"}}{{.ID}}{{end}}", "abc\n"),
            (
                "{{json .}}",
                "{\"ID\":\"abc\",\"Labels\":\"a.my-key=x\",\"Names\":\"web\",\"Ports\":\"\"}\n",
            ),
            // Functions that change how a text looks leave headings alone.
            (
                "table {{upper .Names}}\t{{json .ID}}\t{{.Label \"a.my-key\"}}",
                "NAMES   CONTAINER ID   my key\nWEB     \"abc\"          x\n",
            ),
        ] {
            let shown = show(&Show {
                only: None,
                format: Some(format),
            });
            assert_eq!(shown, expected, "{format}");
        }
    }
}
