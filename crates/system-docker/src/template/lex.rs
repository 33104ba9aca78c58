//! From text to pieces: what is printed as it is, and actions as words.

use serde_json::Value;

use super::{Result, TemplateError};

/// A part of a template.
#[derive(Debug)]
pub(super) enum Piece {
    /// Printed as it is.
    Text(String),
    /// What stands between the braces.
    Action(Vec<Token>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `.A.B`, or `.` alone.
    Dot(Vec<String>),
    /// `$x.A.B`; without a name the whole value.
    Variable(String, Vec<String>),
    /// A keyword or a function.
    Word(String),
    /// A string, a number, `true`, `false`, `nil`.
    Constant(Value),
    Open,
    /// `)` and the fields behind it.
    Close(Vec<String>),
    Pipe,
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// Cuts a template up; `{{-` and `-}}` take the white space next to them away.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trims = false;
    while let Some(start) = rest.find("{{") {
        let (before, action) = (&rest[..start], &rest[start + 2..]);
        let (action, trims_before) = match action.strip_prefix('-') {
            Some(after) if after.starts_with(char::is_whitespace) => (after, true),
            _ => (action, false),
        };
        push_text(&mut pieces, before, trims, trims_before);
        let mut lexer = Lexer { rest: action };
        let tokens = lexer.action()?;
        trims = lexer.trims();
        rest = lexer.rest.strip_prefix("}}").unwrap_or(lexer.rest);
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action(tokens));
        }
    }
    push_text(&mut pieces, rest, trims, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Lexer<'_> {
    /// The words up to the closing braces, which stay; none for a comment.
    fn action(&mut self) -> Result<Option<Vec<Token>>> {
        self.rest = self.rest.trim_start();
        if let Some(comment) = self.rest.strip_prefix("/*") {
            let end = comment
                .find("*/")
                .ok_or(TemplateError::Unclosed("comment"))?;
            self.rest = comment[end + 2..].trim_start();
            return if self.ends() {
                Ok(None)
            } else {
                Err(TemplateError::Unclosed("comment"))
            };
        }
        let mut tokens = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return Err(TemplateError::Unclosed("action"));
            }
            if self.ends() {
                return Ok(Some(tokens));
            }
            tokens.push(self.token()?);
        }
    }

    fn ends(&self) -> bool {
        self.rest.starts_with("}}") || self.rest.starts_with("-}}")
    }

    /// Takes the mark of trimming before the closing braces.
    fn trims(&mut self) -> bool {
        let after = self.rest.strip_prefix('-');
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn token(&mut self) -> Result<Token> {
        for (sign, token) in [
            (":=", Token::Declare),
            ("=", Token::Assign),
            ("|", Token::Pipe),
            (",", Token::Comma),
            ("(", Token::Open),
        ] {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return Ok(token);
            }
        }
        let first = self.rest.chars().next().unwrap_or_default();
        match first {
            ')' => {
                self.rest = &self.rest[1..];
                Ok(Token::Close(self.fields()))
            }
            '"' | '\'' => self.quoted(first),
            '`' => {
                let raw = &self.rest[1..];
                let end = raw.find('`').ok_or(TemplateError::Unclosed("string"))?;
                self.rest = &raw[end + 1..];
                Ok(Token::Constant(raw[..end].into()))
            }
            '$' => {
                self.rest = &self.rest[1..];
                let name = self.name();
                Ok(Token::Variable(name, self.fields()))
            }
            '.' if !self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let fields = self.fields();
                if fields.is_empty() {
                    self.rest = &self.rest[1..];
                }
                Ok(Token::Dot(fields))
            }
            '0'..='9' | '-' | '+' | '.' => self.number(),
            _ => {
                let word = self.name();
                match word.as_str() {
                    "" => Err(TemplateError::Unexpected(format!("{first:?}"))),
                    "true" => Ok(Token::Constant(true.into())),
                    "false" => Ok(Token::Constant(false.into())),
                    "nil" => Ok(Token::Constant(Value::Null)),
                    _ => Ok(Token::Word(word)),
                }
            }
        }
    }

    fn name(&mut self) -> String {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }

    /// `.A.B` without a space between.
    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(rest) = self.rest.strip_prefix('.') {
            if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                break;
            }
            self.rest = rest;
            fields.push(self.name());
        }
        fields
    }

    /// A string, or the number of a character.
    fn quoted(&mut self, quote: char) -> Result<Token> {
        let mut text = String::new();
        let mut letters = self.rest[1..].char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                _ if letter == quote => {
                    self.rest = &self.rest[at + 2..];
                    let mut all = text.chars();
                    return match (quote, all.next(), all.next()) {
                        ('"', ..) => Ok(Token::Constant(text.into())),
                        (_, Some(only), None) => Ok(Token::Constant(u32::from(only).into())),
                        _ => Err(TemplateError::Unexpected(format!("{text:?}"))),
                    };
                }
                '\\' => {
                    let (_, escaped) = letters.next().ok_or(TemplateError::Unclosed("string"))?;
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        '\\' | '"' | '\'' => escaped,
                        other => return Err(TemplateError::NotHere(format!("\\{other}"))),
                    });
                }
                _ => text.push(letter),
            }
        }
        Err(TemplateError::Unclosed("string"))
    }

    fn number(&mut self) -> Result<Token> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        // `{{1 -}}`: the mark has a space before it.
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let whole = word.parse::<i64>().map(Value::from);
        whole
            .or_else(|_| word.parse::<f64>().map(Value::from))
            .map(Token::Constant)
            .map_err(|_| TemplateError::Unexpected(format!("{word:?}")))
    }
}
