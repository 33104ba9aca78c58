//! From words to a tree.

use serde_json::Value;

use super::functions;
use super::lex::{Piece, Token};
use super::{MOST_DEEP, Result, TemplateError};

/// A part of the tree.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    /// `$x := ...`, or `$x = ...` for one that is there.
    Set {
        name: String,
        declares: bool,
        value: Pipeline,
    },
    Block(Block),
    Break,
    Continue,
}

/// `range`, `if` or `with`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// What it declares: `$x`, or `$key, $value` of a range.
    pub(super) variables: Vec<String>,
    pub(super) subject: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Range,
    If,
    With,
}

/// Commands, each of which gets the value before it as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline(pub(super) Vec<Vec<Operand>>);

#[derive(Debug)]
pub(super) enum Operand {
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Constant(Value),
    Function(String),
    Nested(Pipeline, Vec<String>),
}

/// How a sequence of nodes ended.
enum Stop {
    Text,
    End,
    /// `else`, and what follows it (`if ...`).
    Else(Vec<Token>),
}

/// Makes the tree.
pub(super) fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>> {
    let mut parser = Parser {
        pieces: pieces.into_iter(),
        variables: vec![String::new()],
    };
    match parser.nodes(0, false)? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::End) => Err(TemplateError::Unexpected("{{end}}".to_owned())),
        (_, Stop::Else(_)) => Err(TemplateError::Unexpected("{{else}}".to_owned())),
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    /// Those that are declared here.
    variables: Vec<String>,
}

impl Parser {
    fn nodes(&mut self, depth: usize, in_range: bool) -> Result<(Vec<Node>, Stop)> {
        if depth > MOST_DEEP {
            return Err(TemplateError::TooDeep);
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let first = match tokens.first() {
                Some(Token::Word(word)) => word.as_str(),
                Some(_) => "",
                None => return Err(TemplateError::Unexpected("{{}}".to_owned())),
            };
            match first {
                "end" if tokens.len() == 1 => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(tokens[1..].to_vec()))),
                "break" if in_range => nodes.push(Node::Break),
                "continue" if in_range => nodes.push(Node::Continue),
                "end" | "break" | "continue" => {
                    return Err(TemplateError::Unexpected(format!("{{{{{first}}}}}")));
                }
                "define" | "template" | "block" => {
                    return Err(TemplateError::NotHere(first.to_owned()));
                }
                _ => nodes.push(match kind(first) {
                    Some(kind) => self.block(kind, &tokens[1..], depth, in_range)?,
                    None => self.action(&tokens)?,
                }),
            }
        }
        Ok((nodes, Stop::Text))
    }

    /// `{{...}}` that prints, or sets a variable.
    fn action(&mut self, tokens: &[Token]) -> Result<Node> {
        let [
            Token::Variable(name, fields),
            set @ (Token::Declare | Token::Assign),
            value @ ..,
        ] = tokens
        else {
            return self.pipeline(tokens).map(Node::Print);
        };
        if !fields.is_empty() {
            return Err(TemplateError::Unexpected(format!("{:?}", fields.join("."))));
        }
        let value = self.pipeline(value)?;
        let declares = *set == Token::Declare;
        if declares {
            self.variables.push(name.clone());
        } else {
            self.check(name)?;
        }
        Ok(Node::Set {
            name: name.clone(),
            declares,
            value,
        })
    }

    fn block(
        &mut self,
        kind: Kind,
        tokens: &[Token],
        depth: usize,
        in_range: bool,
    ) -> Result<Node> {
        let (variables, subject) = declared(kind, tokens)?;
        let subject = self.pipeline(subject)?;
        let outside = self.variables.len();
        self.variables.extend(variables.iter().cloned());
        let (body, end) = self.nodes(depth + 1, in_range || kind == Kind::Range)?;
        self.variables.truncate(outside + variables.len());
        let otherwise = self.otherwise(end, depth, in_range)?;
        self.variables.truncate(outside);
        Ok(Node::Block(Block {
            kind,
            variables,
            subject,
            body,
            otherwise,
        }))
    }

    /// What follows `{{else}}`, up to `{{end}}`.
    fn otherwise(&mut self, end: Stop, depth: usize, in_range: bool) -> Result<Vec<Node>> {
        match end {
            Stop::End => Ok(Vec::new()),
            Stop::Text => Err(TemplateError::Unclosed("block")),
            Stop::Else(tokens) => match tokens.as_slice() {
                [] => match self.nodes(depth + 1, in_range)? {
                    (nodes, Stop::End) => Ok(nodes),
                    (_, Stop::Text) => Err(TemplateError::Unclosed("block")),
                    (_, Stop::Else(_)) => Err(TemplateError::Unexpected("{{else}}".to_owned())),
                },
                // `{{else if}}` has the end of its `if`.
                [Token::Word(word), tokens @ ..]
                    if kind(word).is_some_and(|kind| kind != Kind::Range) =>
                {
                    let kind = kind(word).unwrap_or(Kind::If);
                    Ok(vec![self.block(kind, tokens, depth + 1, in_range)?])
                }
                _ => Err(TemplateError::Unexpected("words after {{else".to_owned())),
            },
        }
    }

    fn pipeline(&self, tokens: &[Token]) -> Result<Pipeline> {
        let mut rest = tokens;
        let pipeline = self.commands(&mut rest, 0)?;
        match rest {
            [] => Ok(pipeline),
            _ => Err(TemplateError::Unexpected("\")\"".to_owned())),
        }
    }

    /// Reads commands up to the end or a closing parenthesis.
    fn commands(&self, rest: &mut &[Token], depth: usize) -> Result<Pipeline> {
        if depth > MOST_DEEP {
            return Err(TemplateError::TooDeep);
        }
        let mut commands = vec![Vec::new()];
        while let Some((token, after)) = rest.split_first() {
            if matches!(token, Token::Close(_)) {
                break;
            }
            *rest = after;
            let operand = match token {
                Token::Pipe => {
                    commands.push(Vec::new());
                    continue;
                }
                Token::Dot(fields) => Operand::Dot(fields.clone()),
                Token::Variable(name, fields) => {
                    self.check(name)?;
                    Operand::Variable(name.clone(), fields.clone())
                }
                Token::Constant(value) => Operand::Constant(value.clone()),
                Token::Word(name) if functions::is_known(name) => Operand::Function(name.clone()),
                Token::Word(name) if functions::NOT_HERE.contains(&name.as_str()) => {
                    return Err(TemplateError::NotHere(name.clone()));
                }
                Token::Word(name) => return Err(TemplateError::Unknown(name.clone())),
                Token::Open => {
                    let nested = self.commands(rest, depth + 1)?;
                    let Some((Token::Close(fields), after)) = rest.split_first() else {
                        return Err(TemplateError::Unclosed("parenthesis"));
                    };
                    *rest = after;
                    Operand::Nested(nested, fields.clone())
                }
                other => return Err(TemplateError::Unexpected(format!("{other:?}"))),
            };
            if let Some(command) = commands.last_mut() {
                command.push(operand);
            }
        }
        if commands.iter().any(Vec::is_empty) {
            return Err(TemplateError::Unexpected("end of a command".to_owned()));
        }
        Ok(Pipeline(commands))
    }

    fn check(&self, name: &String) -> Result<()> {
        if self.variables.contains(name) {
            return Ok(());
        }
        Err(TemplateError::NoVariable(name.clone()))
    }
}

fn kind(word: &str) -> Option<Kind> {
    match word {
        "range" => Some(Kind::Range),
        "if" => Some(Kind::If),
        "with" => Some(Kind::With),
        _ => None,
    }
}

/// The variables before `:=`, and what follows it.
fn declared(kind: Kind, tokens: &[Token]) -> Result<(Vec<String>, &[Token])> {
    match tokens {
        [Token::Variable(name, fields), Token::Declare, subject @ ..] if fields.is_empty() => {
            Ok((vec![name.clone()], subject))
        }
        [
            Token::Variable(key, none),
            Token::Comma,
            Token::Variable(value, fields),
            Token::Declare,
            subject @ ..,
        ] if kind == Kind::Range && none.is_empty() && fields.is_empty() => {
            Ok((vec![key.clone(), value.clone()], subject))
        }
        subject => Ok((Vec::new(), subject)),
    }
}
