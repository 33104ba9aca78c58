//! Multi-part user data (RFC 2046, as `cloud-init devel make-mime` writes it): several documents in one.

/// Most parts, those inside parts included.
const MAX_PARTS: usize = 64;
/// Deepest nesting of multi-parts.
const MAX_DEPTH: usize = 4;

/// One part: what its header calls it, and its bytes after the transfer encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `Content-Type` without its parameters, in lower case.
    pub kind: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Whether a text is a MIME message: header lines, a content type among them, before the first empty line.
pub fn is_mime(text: &str) -> bool {
    let mut headers = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .take(32);
    headers.any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("content-type: multipart/") || line.starts_with("mime-version:")
    })
}

/// The parts of a message in order.
///
/// # Errors
/// What makes it no message, in words.
pub fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut found = Vec::new();
    collect(text, &mut found, 0)?;
    Ok(found)
}

fn collect(text: &str, found: &mut Vec<Part>, depth: usize) -> Result<(), String> {
    let (headers, body) = split_headers(text);
    let kind = header(&headers, "content-type").unwrap_or_else(|| "text/plain".to_owned());
    let kind_word = kind
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    if !kind_word.starts_with("multipart/") {
        if found.len() >= MAX_PARTS {
            return Err(format!("more than {MAX_PARTS} parts"));
        }
        let encoding = header(&headers, "content-transfer-encoding").unwrap_or_default();
        let bytes = decode(body, encoding.trim())?;
        found.push(Part {
            kind: kind_word,
            bytes,
        });
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        return Err(format!("multi-parts nested deeper than {MAX_DEPTH}"));
    }
    let boundary = parameter(&kind, "boundary").ok_or("the multi-part names no boundary")?;
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut current: Option<String> = None;
    for line in body.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == open || bare == close {
            if let Some(part) = current.take() {
                collect(&part, found, depth + 1)?;
            }
            if bare == close {
                return Ok(());
            }
            current = Some(String::new());
        } else if let Some(part) = &mut current {
            part.push_str(line);
        }
    }
    match current {
        // A message that was cut off still has its last part.
        Some(part) => collect(&part, found, depth + 1),
        None => Err(format!("the multi-part has no line {open}")),
    }
}

/// Header lines, continued ones joined, and what follows the empty line.
fn split_headers(text: &str) -> (Vec<String>, &str) {
    let mut headers: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(line) = rest.split_inclusive('\n').next() {
        rest = &rest[line.len()..];
        let bare = line.trim_end();
        if bare.is_empty() {
            break;
        }
        match headers.last_mut() {
            Some(last) if bare.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(bare.trim_start());
            }
            _ => headers.push(bare.to_owned()),
        }
    }
    (headers, rest)
}

fn header(headers: &[String], name: &str) -> Option<String> {
    headers.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// A parameter of a header, quoted or not.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then(|| value.to_owned())
    })
}

fn decode(body: &str, encoding: &str) -> Result<Vec<u8>, String> {
    match encoding.to_ascii_lowercase().as_str() {
        "base64" => base64(body).ok_or_else(|| "a part is not base64".to_owned()),
        "quoted-printable" => Ok(quoted_printable(body)),
        _ => Ok(body.as_bytes().to_vec()),
    }
}

/// RFC 4648, white space ignored.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
    {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// RFC 2045, section 6.7.
fn quoted_printable(body: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (
            first,
            hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()),
        ) {
            (b'=', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'=', None) if after.starts_with(b"\r\n") => rest = &after[2..],
            (b'=', None) if after.starts_with(b"\n") => rest = &after[1..],
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Content-Type: multipart/mixed;\n boundary=\"==B==\"\nMIME-Version: 1.0\n\npreamble\n--==B==\nContent-Type: text/cloud-config; charset=\"us-ascii\"\nMIME-Version: 1.0\n\n#cloud-config\nhostname: a\n--==B==\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\nIyEvYmluL3No\nCg==\n--==B==\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\na=3Db=\nc\n--==B==--\nepilogue\n";

    #[test]
    fn parts_come_in_order_and_decoded() {
        assert!(is_mime(MESSAGE));
        let parts = parts(MESSAGE).unwrap();
        let shown: Vec<(&str, String)> = parts
            .iter()
            .map(|part| {
                (
                    part.kind.as_str(),
                    String::from_utf8(part.bytes.clone()).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (
                    "text/cloud-config",
                    "#cloud-config\nhostname: a\n".to_owned()
                ),
                ("text/x-shellscript", "#!/bin/sh\n".to_owned()),
                ("text/plain", "a=bc\n".to_owned()),
            ]
        );
        let crlf = MESSAGE.replace('\n', "\r\n");
        assert_eq!(super::parts(&crlf).unwrap().len(), 3);
    }

    #[test]
    fn what_is_no_message_is_an_error_and_ends() {
        assert!(!is_mime("#cloud-config\nhostname: a\n"));
        assert!(parts("Content-Type: multipart/mixed\n\nx\n").is_err());
        assert!(parts("Content-Type: multipart/mixed; boundary=a\n\nx\n").is_err());
        let many = format!(
            "Content-Type: multipart/mixed; boundary=a\n\n{}",
            "--a\n\nx\n".repeat(MAX_PARTS + 1)
        );
        assert!(parts(&many).is_err());
        let mut deep = String::from("x\n");
        for _ in 0..MAX_DEPTH + 2 {
            deep = format!("Content-Type: multipart/mixed; boundary=a\n\n--a\n{deep}");
        }
        assert!(parts(&deep).is_err());
    }
}
