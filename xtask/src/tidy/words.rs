//! Plain words: phrases that readers who did not grow up with English, or with the author, stop at.
//!
//! The list is small on purpose. A phrase belongs here when it was found in this repository again and again, and when another
//! one says the same and is understood at once (CONTRIBUTING.md, **plain-words**).

use std::path::Path;

/// Words in a row, and what to write in their place.
const REFUSED: [(&[&str], &str); 8] = [
    (&["anew"], "again, or what happens"),
    (&["beside"], "next to, in addition to, or compared with"),
    (&["but", "for"], "except"),
    (&["for", "want", "of"], "because ... is missing"),
    (&["gone", "back", "from"], "what happens then"),
    (&["of", "its", "own"], "its own X, or a separate X"),
    (&["of", "their", "own"], "their own X, or separate X"),
    (&["who", "has", "not"], "unless ... has"),
];

/// This file, which has to name them.
const OWN: &str = "xtask/src/tidy/words.rs";

/// Words after "is no" with which it is good English: "it is no longer there".
const AFTER_IS_NO: [&str; 5] = ["better", "less", "longer", "more", "worse"];

/// A word of prose, in lower case and without punctuation, and the line that it is in, counted from 1.
struct Word {
    line: usize,
    text: String,
    /// Whether a sentence or a part of one ends with it.
    ends: bool,
}

/// A complaint for each refused phrase in a file's prose: its text, or the comments and messages of a program.
pub(super) fn check(file: &Path, text: &str) -> Vec<String> {
    if file == Path::new(OWN) {
        return Vec::new();
    }
    let prose: fn(&str) -> Vec<&str> = match file.extension().and_then(|name| name.to_str()) {
        Some("md" | "yml" | "toml" | "cfg" | "conf") => |line| vec![line],
        Some("rs") => spoken,
        _ => return Vec::new(),
    };
    let words: Vec<Word> = text
        .lines()
        .enumerate()
        .flat_map(|(index, line)| words(index + 1, &prose(line)))
        .collect();
    let refused = (0..words.len()).filter_map(|at| refused(&words, at));
    refused
        .map(|(line, phrase, better)| {
            format!(
                "{}: line {line} has \"{phrase}\"; write: {better}",
                file.display()
            )
        })
        .collect()
}

/// What of a line of Rust is for people: its comment and its string literals.
fn spoken(line: &str) -> Vec<&str> {
    let (code, comment) = match line.find("//") {
        // An address in a literal has two slashes, too.
        Some(at) if !line[..at].ends_with(':') => {
            (&line[..at], Some(line[at..].trim_start_matches(['/', '!'])))
        }
        _ => (line, None),
    };
    code.split('"').skip(1).step_by(2).chain(comment).collect()
}

fn words(line: usize, prose: &[&str]) -> Vec<Word> {
    let words = prose.iter().flat_map(|part| part.split_whitespace());
    words
        .map(|word| Word {
            line,
            text: word
                .trim_matches(|letter: char| !letter.is_alphanumeric())
                .to_lowercase(),
            ends: word.ends_with(['.', ',', ';', ':', ')']),
        })
        .filter(|word| !word.text.is_empty())
        .collect()
}

/// The refused phrase that begins at a word: its line, its words, and what is better.
fn refused(words: &[Word], at: usize) -> Option<(usize, String, &'static str)> {
    let begins = |phrase: &[&str]| {
        let rest = &words[at..];
        rest.len() >= phrase.len()
            && phrase
                .iter()
                .zip(rest)
                .all(|(wanted, word)| *wanted == word.text)
            && rest[..phrase.len() - 1].iter().all(|word| !word.ends)
    };
    let line = words[at].line;
    if let Some((phrase, better)) = REFUSED.iter().find(|(phrase, _)| begins(phrase)) {
        return Some((line, phrase.join(" "), better));
    }
    let is_no = begins(&["is", "no"]) || begins(&["are", "no"]);
    let there = at > 0 && words[at - 1].text == "there";
    let next = words.get(at + 2)?;
    if is_no && !there && !words[at + 1].ends && !AFTER_IS_NO.contains(&&*next.text) {
        let phrase = format!("{} no {}", words[at].text, next.text);
        return Some((line, phrase, "is not a, or does not"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> usize {
        check(Path::new(file), text).len()
    }

    #[test]
    fn refused_phrases_are_found_in_prose_only() {
        assert_eq!(found("a.md", "A tree beside a house,\nmade anew.\n"), 2);
        assert_eq!(found("a.rs", "let beside = anew(); // beside it\n"), 1);
        assert_eq!(found("a.rs", "bail!(\"made anew\");\n"), 1);
        assert_eq!(found("a.txt", "anew"), 0);
        assert_eq!(found(OWN, "// anew\n"), 0);
    }

    #[test]
    fn a_phrase_may_go_on_in_the_next_line() {
        let text = "/// A thread of\n/// its own.\nfn f() {}\n";
        assert_eq!(
            check(Path::new("a.rs"), text),
            ["a.rs: line 1 has \"of its own\"; write: its own X, or a separate X"]
        );
    }

    #[test]
    fn a_noun_after_is_no_wants_not_a() {
        assert_eq!(found("a.md", "This is no disk."), 1);
        assert_eq!(found("a.md", "They are no disks."), 1);
        for good in [
            "There is no disk.",
            "It is no longer there.",
            "Anything but yes is no.",
            "Where there are no disks",
        ] {
            assert_eq!(found("a.md", good), 0, "{good}");
        }
    }
}
