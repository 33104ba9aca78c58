//! Walks the tree and prints.

use serde_json::Value;

use super::functions;
use super::parse::{Block, Kind, Node, Operand, Pipeline};
use super::value::{Item, kind};
use super::{Result, Row, TemplateError};

/// Most text of one template: nested ranges over a long list would print for ever.
const MOST_OUTPUT: usize = 16 << 20;

/// Fills the tree in. `row`: in a list.
pub(super) fn render(nodes: &[Node], value: Value, row: Option<Row<'_>>) -> Result<String> {
    let dot = Item::from(value);
    let mut renderer = Renderer {
        variables: vec![(String::new(), dot.clone())],
        row,
        output: String::new(),
    };
    renderer.nodes(nodes, &dot)?;
    Ok(renderer.output)
}

/// What comes after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Renderer<'a> {
    /// Those in sight, the innermost last.
    variables: Vec<(String, Item)>,
    row: Option<Row<'a>>,
    output: String,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Item) -> Result<Flow> {
        for node in nodes {
            if self.output.len() > MOST_OUTPUT {
                return Err(TemplateError::Failed(format!(
                    "prints more than {MOST_OUTPUT} bytes"
                )));
            }
            match node {
                Node::Text(text) => self.output.push_str(text),
                Node::Print(pipeline) => {
                    let text = self.evaluate(pipeline, dot)?.print()?;
                    self.output.push_str(&text);
                }
                Node::Set {
                    name,
                    declares,
                    value,
                } => {
                    let value = self.evaluate(value, dot)?;
                    let known = self.variables.iter_mut().rfind(|(known, _)| known == name);
                    match known {
                        Some(known) if !declares => known.1 = value,
                        _ => self.variables.push((name.clone(), value)),
                    }
                }
                Node::Block(block) => {
                    let outside = self.variables.len();
                    let flow = self.block(block, dot);
                    self.variables.truncate(outside);
                    match flow? {
                        Flow::Next => {}
                        leaves => return Ok(leaves),
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Next)
    }

    fn block(&mut self, block: &Block, dot: &Item) -> Result<Flow> {
        let subject = self.evaluate(&block.subject, dot)?;
        if block.kind == Kind::Range {
            return self.range(block, &subject, dot);
        }
        if let [name] = block.variables.as_slice() {
            self.variables.push((name.clone(), subject.clone()));
        }
        match (subject.truth(), block.kind) {
            (true, Kind::With) => self.nodes(&block.body, &subject),
            (true, _) => self.nodes(&block.body, dot),
            (false, _) => self.nodes(&block.otherwise, dot),
        }
    }

    fn range(&mut self, block: &Block, subject: &Item, dot: &Item) -> Result<Flow> {
        let elements: Vec<(Value, Value)> = match &subject.value {
            Value::Array(items) => (0..)
                .map(|at: usize| at.into())
                .zip(items.clone())
                .collect(),
            // Go ranges over a map by its keys in order, and so does this kind of map.
            Value::Object(items) => {
                let items = items.iter();
                items
                    .map(|(key, value)| (key.as_str().into(), value.clone()))
                    .collect()
            }
            Value::Null => Vec::new(),
            other => {
                let kind = kind(other);
                return Err(TemplateError::Failed(format!(
                    "range can't iterate over a {kind}"
                )));
            }
        };
        if elements.is_empty() {
            return self.nodes(&block.otherwise, dot);
        }
        for (key, value) in elements {
            let outside = self.variables.len();
            let element = Item::from(value);
            match block.variables.as_slice() {
                [name] => self.variables.push((name.clone(), element.clone())),
                [first, second] => {
                    self.variables.push((first.clone(), key.into()));
                    self.variables.push((second.clone(), element.clone()));
                }
                _ => {}
            }
            let flow = self.nodes(&block.body, &element)?;
            self.variables.truncate(outside);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn evaluate(&self, pipeline: &Pipeline, dot: &Item) -> Result<Item> {
        let mut last = None;
        for command in &pipeline.0 {
            last = Some(self.command(command, last, dot)?);
        }
        last.ok_or_else(|| TemplateError::Unexpected("end of a command".to_owned()))
    }

    /// One command; the value before it comes after its arguments.
    fn command(&self, command: &[Operand], piped: Option<Item>, dot: &Item) -> Result<Item> {
        let Some((first, arguments)) = command.split_first() else {
            return Err(TemplateError::Unexpected("end of a command".to_owned()));
        };
        let name = match first {
            Operand::Function(name) => name.as_str(),
            Operand::Dot(fields) if *fields == ["Label"] && self.row.is_some() => {
                return self.label(arguments, piped, dot);
            }
            _ if arguments.is_empty() && piped.is_none() => return self.operand(first, dot),
            _ => {
                return Err(TemplateError::Failed(
                    "can't give argument to what is not a function".to_owned(),
                ));
            }
        };
        if matches!(name, "and" | "or") && !arguments.is_empty() {
            return self.decide(name == "or", arguments, piped, dot);
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.operand(argument, dot)?);
        }
        values.extend(piped);
        match values.first() {
            Some(heading)
                if matches!(self.row, Some(Row::Heading)) && functions::keeps_headings(name) =>
            {
                Ok(heading.clone())
            }
            _ => functions::call(name, &values),
        }
    }

    /// `and` and `or`: the first value that decides, and no look at those after it.
    fn decide(
        &self,
        wanted: bool,
        arguments: &[Operand],
        piped: Option<Item>,
        dot: &Item,
    ) -> Result<Item> {
        let mut last = Item::from(Value::Null);
        for argument in arguments {
            last = self.operand(argument, dot)?;
            if last.truth() == wanted {
                return Ok(last);
            }
        }
        Ok(piped.unwrap_or(last))
    }

    /// `.Label "key"` of a row: the value of one label; its heading is the last part of the key.
    fn label(&self, arguments: &[Operand], piped: Option<Item>, dot: &Item) -> Result<Item> {
        let argument = match arguments {
            [one] => Some(self.operand(one, dot)?),
            _ => piped,
        };
        let key = argument
            .as_ref()
            .and_then(|argument| argument.value.as_str());
        let key = key.ok_or_else(|| {
            TemplateError::Failed("wrong number of args for Label: want 1".to_owned())
        })?;
        let shown = match self.row {
            Some(Row::Labels(labels)) => labels.get(key).cloned().unwrap_or_default(),
            _ => {
                let last = key.rsplit('.').next().unwrap_or_default();
                last.replace(['-', '_'], " ")
            }
        };
        Ok(Value::from(shown).into())
    }

    fn operand(&self, operand: &Operand, dot: &Item) -> Result<Item> {
        let (base, fields) = match operand {
            Operand::Dot(fields) => (dot.clone(), fields.as_slice()),
            Operand::Variable(name, fields) => {
                let known = self.variables.iter().rfind(|(known, _)| known == name);
                let (_, value) = known.ok_or_else(|| TemplateError::NoVariable(name.clone()))?;
                (value.clone(), fields.as_slice())
            }
            Operand::Constant(value) => (value.clone().into(), &[][..]),
            // A function among arguments is called without any.
            Operand::Function(name) => (functions::call(name, &[])?, &[][..]),
            Operand::Nested(pipeline, fields) => (self.evaluate(pipeline, dot)?, fields.as_slice()),
        };
        fields
            .iter()
            .try_fold(base, |item, field| item.field(field))
    }
}
