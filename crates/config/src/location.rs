//! Where a value stands, and what is wrong with it: the located reports every consumer prints.

use std::fmt;
use std::sync::Arc;

/// Position of a node in its document; lines and columns count from 1.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    /// Name of the document, usually a path.
    pub file: Arc<str>,
    /// Line, from 1; 0 where the document has no lines.
    pub line: u32,
    /// Column in characters, from 1; 0 where unknown.
    pub column: u32,
}

impl Location {
    /// A position in `file`.
    pub fn new(file: &Arc<str>, line: usize, column: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file: Arc::clone(file),
            line: clamp(line),
            column: clamp(column),
        }
    }

    /// The place of values that no document wrote, such as defaults computed by a program.
    pub fn built_in() -> Self {
        Self {
            file: Arc::from("built-in defaults"),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            f.write_str(&self.file)
        } else {
            write!(f, "{}:{}:{}", self.file, self.line, self.column)
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much a problem costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The value is ignored or accepted with a doubt; everything else holds.
    Warning,
    /// A value, or a whole document, was dropped.
    Error,
}

/// One finding about a document: printable as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Weight of the finding.
    pub severity: Severity,
    /// Where it is.
    pub at: Location,
    /// Dotted path of the key, empty for the document itself.
    pub key: String,
    /// What is wrong, in one line.
    pub message: String,
}

impl Problem {
    /// A finding that costs a value or a document.
    pub fn error(at: &Location, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            at: at.clone(),
            key: key.into(),
            message: message.into(),
        }
    }

    /// A finding that costs nothing but deserves a look.
    pub fn warning(at: &Location, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(at, key, message)
        }
    }

    /// Whether it is about a key that the schema does not know: a machine goes on without it, and a person has perhaps misspelt it.
    #[must_use]
    pub fn is_unknown_key(&self) -> bool {
        self.message.starts_with(UNKNOWN_KEY)
    }
}

/// How every such message begins.
const UNKNOWN_KEY: &str = "unknown key";

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        if self.key.is_empty() {
            write!(f, "{}: {word}: {}", self.at, self.message)
        } else {
            write!(f, "{}: {word}: {}: {}", self.at, self.key, self.message)
        }
    }
}

impl std::error::Error for Problem {}
