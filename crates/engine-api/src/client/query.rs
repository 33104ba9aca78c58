//! Builds request targets: path segments and query parameters, percent-encoded.

use std::fmt::Write;

/// A path with its query.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// A path that needs no encoding.
    pub(crate) fn new(path: &str) -> Self {
        Self {
            text: path.to_owned(),
            has_query: false,
        }
    }

    /// `/{collection}/{name}{rest}` with the name encoded (slashes stay: image names have them).
    pub(crate) fn of(collection: &str, name: &str, rest: &str) -> Self {
        let mut text = format!("/{collection}/");
        encode(&mut text, name, true);
        text.push_str(rest);
        Self {
            text,
            has_query: false,
        }
    }

    /// Adds a parameter.
    pub(crate) fn with(mut self, key: &str, value: impl AsRef<str>) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        encode(&mut self.text, key, false);
        self.text.push('=');
        encode(&mut self.text, value.as_ref(), false);
        self
    }

    /// Adds a parameter when it has a value.
    pub(crate) fn with_some(self, key: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds `key=1` when true.
    pub(crate) fn flag(self, key: &str, on: bool) -> Self {
        if on { self.with(key, "1") } else { self }
    }

    /// The text for the request line.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

fn encode(text: &mut String, part: &str, slash: bool) {
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                text.push(char::from(byte))
            }
            b'/' if slash => text.push('/'),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_encoded() {
        let target = Target::of("images", "reg:5000/a b", "/json")
            .with("filters", r#"{"a":1}"#)
            .flag("all", true)
            .flag("x", false);
        assert_eq!(
            target.as_str(),
            "/images/reg:5000/a%20b/json?filters=%7B%22a%22:1%7D&all=1"
        );
    }
}
