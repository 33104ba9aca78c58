//! One line of a json-file log: `{"log":"text\n","stream":"stdout","attrs":{..},"time":"..."}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine_api::Timestamp;
use engine_api::options::StreamKind;
use serde::{Deserialize, Serialize};

/// Log attributes: chosen labels and variables of the container.
pub(super) type Attributes = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    stream: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attrs: Option<Cow<'a, Attributes>>,
    time: Cow<'a, str>,
}

/// A decoded line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) text: String,
    pub(super) stream: StreamKind,
    pub(super) time: Timestamp,
    pub(super) attributes: Attributes,
}

/// Appends the encoded line to `out`. Bytes that are not UTF-8 are replaced, as JSON cannot carry them.
pub(super) fn encode(
    out: &mut Vec<u8>,
    text: &[u8],
    stream: StreamKind,
    attributes: &Attributes,
    time: Timestamp,
) {
    let line = Json {
        log: String::from_utf8_lossy(text),
        stream: Cow::Borrowed(if stream == StreamKind::Stderr {
            "stderr"
        } else {
            "stdout"
        }),
        attrs: (!attributes.is_empty()).then_some(Cow::Borrowed(attributes)),
        time: Cow::Owned(time.to_string()),
    };
    // Strings and maps of strings always have a JSON form, and a vector takes every byte.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

/// Decodes one line; none when it is damaged (the last one after a power cut).
pub(super) fn decode(line: &[u8]) -> Option<Record> {
    let json: Json<'_> = serde_json::from_slice(line).ok()?;
    Some(Record {
        text: json.log.into_owned(),
        stream: if json.stream == "stderr" {
            StreamKind::Stderr
        } else {
            StreamKind::Stdout
        },
        time: Timestamp::parse_rfc3339(&json.time)?,
        attributes: json.attrs.map(Cow::into_owned).unwrap_or_default(),
    })
}
