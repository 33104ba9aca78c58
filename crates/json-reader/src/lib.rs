//! JSON into types, by one reader for all of PID 1.
//!
//! Serde compiles a reader for each pair of type and source. PID 1 has some hundred large types, and its program is in RAM for
//! as long as the machine runs; so JSON is parsed into a [`Value`] first, and types are read from that by one [`reader`]. Read
//! through serde_json's own sources the program was 0.2 MB larger.
//!
//! **Belongs here:** how a JSON value becomes a type: exactly, or as leniently as Go does it.
//!
//! **Not here:** types; parsing and writing of JSON text, which serde_json does. And what strangers wrote at any length, such as manifests
//! of images: a value can need 130 times the memory of its text, and serde_json's own sources skip what no type has.
//!
//! **May import:** none of our crates.

pub mod lenient;
mod reader;

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

use reader::{Manner, Reader};

/// Reads a value. As serde_json does it, except that an array is not taken for a structure, and that the keys of a map are texts: none
/// is read as a number.
///
/// # Errors
/// When the type cannot be made from it; the text says what was found and what is expected.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Reader::new(value, Manner::Exact))
}

/// Reads JSON text. Of a field that comes twice the last one counts; an error of a type has no place in the text.
///
/// # Errors
/// For what is not JSON, with its place, and as [`from_value`].
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(text)?)
}

/// Reads JSON text, as [`from_slice`].
///
/// # Errors
/// As [`from_slice`].
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    from_slice(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Nothing,
        Number(u32),
        Pair(u8, u8),
        Named { width: u32 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Exact {
        name: String,
        #[serde(default)]
        size: Option<i64>,
        #[serde(default)]
        shapes: Vec<Shape>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }

    /// What serde_json makes of the same value, errors as text.
    fn both<T: DeserializeOwned>(value: &Value) -> [Result<T, String>; 2] {
        [
            from_value(value.clone()).map_err(|error| error.to_string()),
            serde_json::from_value(value.clone()).map_err(|error| error.to_string()),
        ]
    }

    #[test]
    fn values_are_read_as_serde_json_reads_them() {
        for value in [
            json!({"name": "a", "size": -4, "shapes": ["Nothing", {"Number": 7}, {"Pair": [1, 2]}, {"Named": {"width": 3}}], "labels": {"a": "b"}}),
            json!({"name": "a", "size": null}),
            json!({"name": "a", "size": 1.5}),
            json!({"name": null}),
            json!({"name": 1}),
            json!({"Name": "a"}),
            json!({"name": "a", "more": 1}),
            json!({"name": "a", "labels": null}),
            json!({"name": "a", "labels": {"a": null}}),
            json!({"name": "a", "shapes": {}}),
            json!({"name": "a", "shapes": ["Number"]}),
            json!({"name": "a", "shapes": ["Other"]}),
            json!({"name": "a", "shapes": [{"Number": 1, "Nothing": null}]}),
            json!({"name": "a", "shapes": [{"Number": -1}]}),
            json!({"name": "a", "shapes": [{"Pair": [1, 2, 3]}]}),
            json!({"name": "a", "shapes": [7]}),
            json!(null),
            json!("a"),
        ] {
            let [ours, theirs] = both::<Exact>(&value);
            assert_eq!(ours, theirs, "{value}");
        }
        assert_eq!(
            from_value::<Exact>(json!(["a"])).unwrap_err().to_string(),
            "invalid type: sequence, expected struct Exact"
        );
    }

    #[test]
    fn text_that_is_not_json_has_its_place_in_the_error() {
        let error = from_str::<Exact>("{\"name\": \"a\",}").unwrap_err();
        assert_eq!((error.line(), error.column()), (1, 14), "{error}");
    }
}
