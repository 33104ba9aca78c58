//! What is wrong with a JSON text, in the words of Go's decoder: clients and their tests match on them.

/// Deepest nesting that is looked into; Go stops at the same depth.
const MAX_DEPTH: usize = 10_000;

/// Why this text is not a JSON value; none when it is one(whatever follows it).
pub(super) fn complaint(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.document().err()
}

type Scan = Result<(), String>;

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Reads one value without recursion: the text decides how deep it goes.
    fn document(&mut self) -> Scan {
        // One entry for each open object (true) or array.
        let mut open: Vec<bool> = Vec::new();
        loop {
            let opened = self.value_begins(&mut open)?;
            if opened {
                continue;
            }
            // A value has ended: what may follow depends on what it is in.
            loop {
                let Some(object) = open.last().copied() else {
                    return Ok(());
                };
                match (self.next()?, object) {
                    (b',', true) => {
                        self.key()?;
                        break;
                    }
                    (b',', false) => break,
                    (b'}', true) | (b']', false) => {
                        open.pop();
                    }
                    (other, true) => return Err(invalid(other, "after object key:value pair")),
                    (other, false) => return Err(invalid(other, "after array element")),
                }
            }
        }
    }

    /// Reads a scalar or an empty container (false), or opens one whose first value comes next (true).
    fn value_begins(&mut self, open: &mut Vec<bool>) -> Result<bool, String> {
        const VALUE: &str = "looking for beginning of value";
        if open.len() > MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        match self.next()? {
            b'{' => {
                if self.peek()? == b'}' {
                    self.at += 1;
                    return Ok(false);
                }
                self.key()?;
                open.push(true);
                return Ok(true);
            }
            b'[' => {
                if self.peek()? == b']' {
                    self.at += 1;
                    return Ok(false);
                }
                open.push(false);
                return Ok(true);
            }
            b'"' => self.string()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            first @ (b'-' | b'0'..=b'9') => self.number(first)?,
            other => return Err(invalid(other, VALUE)),
        }
        Ok(false)
    }

    fn key(&mut self) -> Scan {
        match self.next()? {
            b'"' => self.string()?,
            other => return Err(invalid(other, "looking for beginning of object key string")),
        }
        match self.next()? {
            b':' => Ok(()),
            other => Err(invalid(other, "after object key")),
        }
    }

    fn string(&mut self) -> Scan {
        loop {
            match self.byte()? {
                b'"' => return Ok(()),
                b'\\' => match self.byte()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.byte()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(invalid(digit, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(invalid(other, "in string escape code")),
                },
                control @ 0..0x20 => return Err(invalid(control, "in string literal")),
                _ => {}
            }
        }
    }

    fn literal(&mut self, word: &str) -> Scan {
        for expected in word.bytes().skip(1) {
            let byte = self.byte()?;
            if byte != expected {
                let expected = char::from(expected);
                return Err(invalid(
                    byte,
                    &format!("in literal {word} (expecting '{expected}')"),
                ));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Scan {
        let mut first = first;
        if first == b'-' {
            first = self.byte()?;
            if !first.is_ascii_digit() {
                return Err(invalid(first, "in numeric literal"));
            }
        }
        if first != b'0' {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(())
    }

    /// One digit that must be there, and those after it.
    fn digit(&mut self, place: &str) -> Scan {
        let byte = self.byte()?;
        if !byte.is_ascii_digit() {
            return Err(invalid(byte, place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.text.get(self.at).copied();
        self.at += 1;
        byte.ok_or_else(|| "unexpected EOF".to_owned())
    }

    /// The next byte that is not white space.
    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&mut self) -> Result<u8, String> {
        loop {
            let byte = self.byte()?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                self.at -= 1;
                return Ok(byte);
            }
        }
    }
}

fn invalid(byte: u8, place: &str) -> String {
    let quoted = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        control @ (0..0x20 | 0x7f) => format!(r"'\x{control:02x}'"),
        other => format!("'{}'", char::from(other)),
    };
    format!("invalid character {quoted} {place}")
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn go_s_words_are_used() {
        for (text, words) in [
            (
                "{invalid json",
                "invalid character 'i' looking for beginning of object key string",
            ),
            (
                "hello",
                "invalid character 'h' looking for beginning of value",
            ),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (
                r#"{"a":1 "b":2}"#,
                "invalid character '\"' after object key:value pair",
            ),
            (
                r#"{"a":1,}"#,
                "invalid character '}' looking for beginning of object key string",
            ),
            ("[1 2]", "invalid character '2' after array element"),
            (
                "[1,]",
                "invalid character ']' looking for beginning of value",
            ),
            (
                "nul_",
                "invalid character '_' in literal null (expecting 'l')",
            ),
            ("-x", "invalid character 'x' in numeric literal"),
            (
                "1.x",
                "invalid character 'x' after decimal point in numeric literal",
            ),
            (
                "1ex",
                "invalid character 'x' in exponent of numeric literal",
            ),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            (r#""\x""#, "invalid character 'x' in string escape code"),
            (
                r#""\u00g0""#,
                "invalid character 'g' in \\u hexadecimal character escape",
            ),
            ("{", "unexpected EOF"),
            (r#"{"a":[1,{"b"#, "unexpected EOF"),
        ] {
            assert_eq!(complaint(text.as_bytes()).as_deref(), Some(words), "{text}");
        }
    }

    #[test]
    fn what_is_json_has_no_complaint() {
        for text in [
            "{}",
            "[]",
            "0",
            "-1.5e+3",
            r#"{"a":[{},[],null,true,false,"x\u00e9\n"],"b":{"c":1}} "#,
            "1 2",
        ] {
            assert_eq!(complaint(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(1 << 20);
        assert_eq!(
            complaint(deep.as_bytes()).as_deref(),
            Some("exceeded max depth")
        );
    }
}
