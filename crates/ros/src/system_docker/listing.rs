//! Lists: docker's table, ids only, or a template for each row.

use serde_json::{Map, Value};

use super::table;
use super::template::Template;

/// A row: what a template can ask for, by docker's names.
pub(crate) type Row = Map<String, Value>;

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
    cells
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Value::String(text)))
        .collect()
}

/// Prints `rows`; `columns` pairs a heading with the name of its field.
///
/// # Errors
/// When the template is wrong.
pub(crate) fn print(rows: &[Row], columns: &[(&str, &str)], show: &Show<'_>) -> anyhow::Result<()> {
    print!("{}", text(rows, columns, show)?);
    Ok(())
}

fn text(rows: &[Row], columns: &[(&str, &str)], show: &Show<'_>) -> anyhow::Result<String> {
    let cell = |row: &Row, name: &str| {
        row.get(name)
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
            .map(|row| Value::Object(row.clone()).to_string() + "\n")
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
    let template = Template::parse(format)?;
    let mut lines = Vec::new();
    for row in rows {
        lines.push(template.render(&Value::Object(row.clone()))?);
    }
    if !with_headings {
        return Ok(lines.into_iter().map(|line| line + "\n").collect());
    }
    let names: Row = rows
        .iter()
        .flat_map(Row::keys)
        .map(|name| (name.clone(), Value::String(name.to_uppercase())))
        .chain(
            columns
                .iter()
                .map(|(heading, name)| ((*name).to_owned(), Value::String((*heading).to_owned()))),
        )
        .collect();
    let headings = template.render(&Value::Object(names))?;
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
        ])];
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
    }
}
