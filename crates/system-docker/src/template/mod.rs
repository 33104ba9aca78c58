//! `--format` templates: what people use of Go's text/template with docker's functions.
//!
//! Fields and variables, pipes and parentheses, `if`, `range`, `with`, `else`, `break` and `continue`, `{{-` and `-}}`,
//! comments, and the functions of [`functions`]. Anything else is an error that names it, never a wrong output: there are
//! no `define`, `template` and `block`, and a whole structure is not printed, because Go's order of fields is not known here.

mod functions;
mod lex;
mod parse;
mod printf;
mod render;
mod value;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;

/// Why a template is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// `{{` without `}}`, a string without its end, or a block without `{{end}}`.
    #[error("template parsing error: unclosed {0}")]
    Unclosed(&'static str),
    /// Something in the wrong place.
    #[error("template parsing error: unexpected {0}")]
    Unexpected(String),
    /// A function that is not there.
    #[error("template parsing error: function {0:?} not defined")]
    Unknown(String),
    /// A variable that is not there.
    #[error("template parsing error: undefined variable \"${0}\"")]
    NoVariable(String),
    /// A part of Go's language that is not there.
    #[error("template parsing error: {0:?} is not supported by system-docker")]
    NotHere(String),
    /// A block inside too many others.
    #[error("template parsing error: more than {MOST_DEEP} nested blocks or parentheses")]
    TooDeep,
    /// A field that the object does not have.
    #[error("template: <{0}>: map has no entry for key {0:?}")]
    NoField(String),
    /// A structure as a whole.
    #[error(
        "template: a whole structure is not printed by system-docker: use {{{{json ...}}}} or name a field"
    )]
    Structure,
    /// A function's arguments, a field of what has none.
    #[error("template: {0}")]
    Failed(String),
}

type Result<T> = std::result::Result<T, TemplateError>;

/// Nobody nests by hand this deep; the parser recurses.
const MOST_DEEP: usize = 16;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template(Vec<parse::Node>);

impl Template {
    /// Parses a template.
    pub(crate) fn parse(text: &str) -> Result<Template> {
        parse::parse(lex::pieces(text)?).map(Template)
    }

    /// Fills the template in with `value`.
    pub(crate) fn render(&self, value: &Value) -> Result<String> {
        render::render(&self.0, value.clone(), None)
    }

    /// Fills the template in with a row of a list, whose labels `.Label "key"` finds.
    pub(crate) fn render_row(
        &self,
        cells: &Map<String, Value>,
        labels: &BTreeMap<String, String>,
    ) -> Result<String> {
        render::render(
            &self.0,
            Value::Object(cells.clone()),
            Some(Row::Labels(labels)),
        )
    }

    /// The headings of a table: functions that change how a text looks leave a heading as it is, as in docker.
    pub(crate) fn headings(&self, names: Map<String, Value>) -> Result<String> {
        render::render(&self.0, Value::Object(names), Some(Row::Heading))
    }
}

/// What a template of a list is filled in with.
#[derive(Clone, Copy, Debug)]
enum Row<'a> {
    /// A row with these labels.
    Labels(&'a BTreeMap<String, String>),
    /// The line above all rows.
    Heading,
}

#[cfg(test)]
mod tests;
