//! Regular expressions in `name=` filters: what Docker's lists of containers, networks and volumes take.

use regex_lite::{Regex, RegexBuilder};

/// Most bytes of a compiled pattern, which the engine holds while it makes a list: a strangers' `(a{1000}){1000}` would be
/// hundreds of megabytes. `[a-z0-9]{63}` takes a tenth of it.
const COMPILED_MOST: usize = 256 << 10;

/// The values of one filter, compiled.
#[derive(Debug)]
pub struct Patterns(Vec<(String, Option<Regex>)>);

impl Patterns {
    /// Compiles the values. Docker's rule: what is not a regular expression matches itself only. So do classes of Unicode
    /// (`\p{L}`), which are not known here: names are ASCII.
    pub fn new(values: &[String]) -> Self {
        let compile = |value: &String| {
            let regex = RegexBuilder::new(value).size_limit(COMPILED_MOST).build();
            (value.clone(), regex.ok())
        };
        Self(values.iter().map(compile).collect())
    }

    /// Whether one of the values matches anywhere in `text`, or there is no value at all.
    pub fn match_any(&self, text: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|(value, regex)| {
                value == text || regex.as_ref().is_some_and(|regex| regex.is_match(text))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Patterns::new(&[pattern.to_owned()]).match_any(text)
    }

    #[test]
    fn patterns_match_as_docker_s_do() {
        for (pattern, text) in [
            ("we", "web"),
            ("^web$", "web"),
            ("^(a|b)$", "b"),
            ("^/?web", "web"),
            ("^web-[0-9]+$", "web-12"),
            ("a|^b$", "b"),
            ("", "anything"),
            ("w.b", "web"),
            ("w{1}eb", "web"),
            ("(?i)WEB", "web"),
            (r"\bweb\b", "a-web-b"),
            (r"\Aweb\z", "web"),
            ("[[:alpha:]]b", "web"),
            ("(?P<name>web)$", "web"),
            (r"^db\.local$", "db.local"),
            ("(", "("),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("^web$", "web-1"),
            ("^(a|b)$", "ab"),
            ("web+$", "we"),
            ("(", "x"),
            ("web(", "web"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn no_value_matches_everything_and_one_of_several_is_enough() {
        assert!(Patterns::new(&[]).match_any("web"));
        let two = Patterns::new(&["^a$".to_owned(), "^b$".to_owned()]);
        assert!(two.match_any("b") && !two.match_any("ab"));
    }

    #[test]
    fn hostile_patterns_are_cheap() {
        let long = "a".repeat(255);
        for pattern in [
            ".*".repeat(1000) + "x",
            "(".repeat(100_000),
            "((a{1000}){1000}){1000}".to_owned(),
            "(a*)*".repeat(50) + "b",
        ] {
            assert!(!matches(&pattern, &long));
        }
    }
}
