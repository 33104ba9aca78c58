//! The key sequence that detaches a client from a terminal without ending the process (`ctrl-p,ctrl-q`).

use crate::{Error, Result};

/// Docker's default sequence: Ctrl-P, Ctrl-Q.
const DEFAULT: [u8; 2] = [16, 17];

/// Finds the sequence in what a client types, however it is cut into pieces.
#[derive(Debug)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

/// What to do with a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Give these bytes to the process.
    Input(Vec<u8>),
    /// Give these bytes to the process, then detach.
    Detach(Vec<u8>),
}

impl DetachKeys {
    /// Parses `ctrl-p,ctrl-q` or `a,b`; none or empty means the default.
    ///
    /// # Errors
    /// When a key is neither one character nor `ctrl-` and one of `a` to `z`, `@`, `[`, `\\`, `]`, `^`, `_`.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self {
                keys: DEFAULT.to_vec(),
                matched: 0,
            });
        };
        let keys = text
            .split(',')
            .map(|key| match key.as_bytes() {
                [single] => Ok(*single),
                [b'c', b't', b'r', b'l', b'-', control] => control_key(*control).ok_or(key),
                _ => Err(key),
            })
            .collect::<std::result::Result<_, _>>()
            .map_err(|key| {
                Error::bad_parameter(format!(
                    "Invalid detach keys ({text}) provided: unknown character: '{key}'"
                ))
            })?;
        Ok(Self { keys, matched: 0 })
    }

    /// Takes what was typed; keys that may begin the sequence are held back until it is clear that they do not.
    pub fn feed(&mut self, typed: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(typed.len());
        for &byte in typed {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return Typed::Detach(input);
                }
                continue;
            }
            input.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(byte == self.keys[0]);
            if self.matched == 0 {
                input.push(byte);
            }
        }
        Typed::Input(input)
    }
}

fn control_key(letter: u8) -> Option<u8> {
    match letter {
        b'a'..=b'z' => Some(letter - b'a' + 1),
        b'@' => Some(0),
        b'[' => Some(27),
        b'\\' => Some(28),
        b']' => Some(29),
        b'^' => Some(30),
        b'_' => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_sequence_detaches_even_in_pieces() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(keys.feed(b"ls\x10"), Typed::Input(b"ls".to_vec()));
        assert_eq!(keys.feed(b"\x11rest"), Typed::Detach(Vec::new()));
    }

    #[test]
    fn a_sequence_that_is_not_finished_reaches_the_process() {
        let mut keys = DetachKeys::parse(Some("ctrl-a,d")).unwrap();
        assert_eq!(keys.feed(b"\x01\x01x"), Typed::Input(b"\x01\x01x".to_vec()));
        assert_eq!(keys.feed(b"\x01d"), Typed::Detach(Vec::new()));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(DetachKeys::parse(Some("ctrl-")).is_err());
        assert!(DetachKeys::parse(Some("shift-a")).is_err());
    }
}
