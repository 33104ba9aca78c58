//! JSON as Go's decoder reads it: names of fields match in any case, which some clients rely on (docker-py sends
//! `detachKeys` for `DetachKeys`), and `null` is the empty value of whatever is expected, at any depth.

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// Reads a value whose structures may be spelled in any case.
///
/// # Errors
/// As `serde_json::from_value`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

/// Takes a field out of an object, by its exact name or else by one that differs in case only.
pub fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    object.remove(name).or_else(|| {
        let other = object.keys().find(|key| key.eq_ignore_ascii_case(name))?;
        let other = other.clone();
        object.remove(&other)
    })
}

/// A value that is read leniently, at any depth.
///
/// Serde compiles a reader for each pair of type and deserializer. The types of the API are large, so all that does not
/// depend on the type is in functions and structures that are compiled once ([`Fields`], [`Items`], [`spelled`]), and a type
/// is never offered what it cannot take: no sequence to a structure, no map to a number.
struct Lenient(Value);

/// The fields of an object.
struct Fields {
    rest: serde_json::map::IntoIter,
    value: Option<Value>,
}

/// The elements of an array.
struct Items(std::vec::IntoIter<Value>);

impl Fields {
    fn new(object: Map<String, Value>) -> Self {
        Self {
            rest: object.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(Lenient(Value::String(name))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Lenient(self.value.take().unwrap_or_default()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let value = self.0.next();
        value
            .map(|value| seed.deserialize(Lenient(value)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Gives the fields of an object the names that the structure has for them.
fn spelled(object: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let mut named = Map::new();
    for (name, value) in object {
        let known = fields.iter().find(|field| **field == name).or_else(|| {
            fields
                .iter()
                .find(|field| field.eq_ignore_ascii_case(&name))
        });
        // A field that comes twice has its last value, as in Go.
        named.insert(known.map_or(name, |field| (*field).to_owned()), value);
    }
    named
}

/// The error for a value of the wrong kind.
#[cold]
fn wrong(value: &Value, expected: &dyn Expected) -> Error {
    let found = match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => Unexpected::Unsigned(number),
            (_, Some(number), _) => Unexpected::Signed(number),
            (_, _, number) => Unexpected::Float(number.unwrap_or_default()),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    };
    Error::invalid_type(found, expected)
}

impl Lenient {
    /// What is neither an array nor an object.
    fn plain<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => number.deserialize_any(visitor),
            Value::String(text) => visitor.visit_string(text),
            other => Err(wrong(&other, &visitor)),
        }
    }
}

/// Methods of a deserializer for plain values, with the empty value that stands for `null`.
macro_rules! plain {
    ($($method:ident => $visit:ident($empty:expr);)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.$visit($empty),
                _ => self.plain(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(fields) => visitor.visit_map(Fields::new(fields)),
            _ => self.plain(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match self.0 {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            other => return Err(wrong(&other, &visitor)),
        };
        let count = items.len();
        let mut items = Items(items.into_iter());
        let value = visitor.visit_seq(&mut items)?;
        if items.0.len() == 0 {
            return Ok(value);
        }
        Err(Error::invalid_length(count, &"fewer elements in sequence"))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(fields) => visitor.visit_map(Fields::new(fields)),
            Value::Null => visitor.visit_map(Fields::new(Map::new())),
            other => Err(wrong(&other, &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(object) => visitor.visit_map(Fields::new(spelled(object, fields))),
            Value::Null => visitor.visit_map(Fields::new(Map::new())),
            // Serde would take an array's elements for the fields in their order.
            other => Err(wrong(&other, &visitor)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.plain(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    plain! {
        deserialize_bool => visit_bool(false);
        deserialize_i8 => visit_i8(0);
        deserialize_i16 => visit_i16(0);
        deserialize_i32 => visit_i32(0);
        deserialize_i64 => visit_i64(0);
        deserialize_u8 => visit_u8(0);
        deserialize_u16 => visit_u16(0);
        deserialize_u32 => visit_u32(0);
        deserialize_u64 => visit_u64(0);
        deserialize_f32 => visit_f32(0.0);
        deserialize_f64 => visit_f64(0.0);
        deserialize_str => visit_str("");
        deserialize_string => visit_str("");
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct
    }
}

#[cfg(test)]
mod tests {
    use crate::{ExecConfig, HostConfig};
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_in_any_case() {
        let exec: ExecConfig =
            from_value(json!({"detachKeys": "ctrl-p", "CMD": ["a"], "tty": true})).unwrap();
        assert_eq!(exec.detach_keys, "ctrl-p");
        assert_eq!(exec.cmd, Some(vec!["a".to_owned()]));
        assert!(exec.tty);
    }

    #[test]
    fn keys_of_maps_keep_their_case_and_depth_does_not_matter() {
        let host: HostConfig = from_value(json!({
            "restartpolicy": {"name": "always"},
            "SYSCTLS": {"Net.A": "1"},
        }))
        .unwrap();
        assert_eq!(host.restart_policy.name, "always");
        assert_eq!(host.sysctls.get("Net.A").map(String::as_str), Some("1"));
    }

    #[test]
    fn null_is_the_empty_value_at_any_depth() {
        assert_eq!(
            from_value::<ExecConfig>(Value::Null).unwrap(),
            ExecConfig::default()
        );
        let exec: ExecConfig =
            from_value(json!({"Cmd": ["a", null], "Tty": null, "DetachKeys": null, "Env": null}))
                .unwrap();
        assert_eq!(exec.cmd, Some(vec!["a".to_owned(), String::new()]));
        let host: HostConfig = from_value(json!({
            "Memory": null, "RestartPolicy": null, "Sysctls": {"a": null}, "Mounts": [null],
            "PortBindings": {"80/tcp": [null], "81/tcp": null},
        }))
        .unwrap();
        assert_eq!(host.sysctls.get("a").map(String::as_str), Some(""));
        assert_eq!(host.mounts.len(), 1);
        assert_eq!(host.port_bindings.len(), 2);
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        for (value, words) in [
            (
                json!({"Memory": "1"}),
                "invalid type: string \"1\", expected i64",
            ),
            (json!({"Memory": {}}), "invalid type: map, expected i64"),
            (
                json!({"Sysctls": []}),
                "invalid type: sequence, expected a map",
            ),
            (
                json!({"Mounts": 1}),
                "invalid type: integer `1`, expected a sequence",
            ),
            (
                json!([]),
                "invalid type: sequence, expected struct HostConfig",
            ),
            (
                json!("x"),
                "invalid type: string \"x\", expected struct HostConfig",
            ),
        ] {
            let error = from_value::<HostConfig>(value).unwrap_err();
            assert_eq!(error.to_string(), words);
        }
        let pair = from_value::<(u8, u8)>(json!([1, 2, 3])).unwrap_err();
        assert_eq!(
            pair.to_string(),
            "invalid length 3, expected fewer elements in sequence"
        );
    }

    #[test]
    fn a_field_can_be_taken_by_another_case() {
        let mut object = json!({"hostconfig": 1, "HostConfig": 2, "x": 3});
        let object = object.as_object_mut().unwrap();
        assert_eq!(take(object, "HostConfig"), Some(json!(2)));
        assert_eq!(take(object, "HostConfig"), Some(json!(1)));
        assert_eq!(take(object, "HostConfig"), None);
    }
}
