//! JSON as Go's decoder reads it: names of fields match in any case, which some clients rely on (docker-py sends
//! `detachKeys` for `DetachKeys`).

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// Reads a value whose structures may be spelled in any case.
///
/// # Errors
/// As `serde_json::from_value`.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

/// Takes a field out of an object, by its exact name or else by one that differs in case only.
pub(super) fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    object.remove(name).or_else(|| {
        let other = object.keys().find(|key| key.eq_ignore_ascii_case(name))?;
        let other = other.clone();
        object.remove(&other)
    })
}

/// A value that is read leniently, at any depth.
struct Lenient(Value);

impl<'de> IntoDeserializer<'de, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(values) => {
                let mut values = SeqDeserializer::new(values.into_iter().map(Lenient));
                let value = visitor.visit_seq(&mut values)?;
                values.end().map(|()| value)
            }
            Value::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name, Lenient(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(Lenient(value)),
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

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Object(object) = self.0 else {
            return self.deserialize_any(visitor);
        };
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
        Lenient(Value::Object(named)).deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use engine_api::{ExecConfig, HostConfig};
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
    fn a_field_can_be_taken_by_another_case() {
        let mut object = json!({"hostconfig": 1, "HostConfig": 2, "x": 3});
        let object = object.as_object_mut().unwrap();
        assert_eq!(take(object, "HostConfig"), Some(json!(2)));
        assert_eq!(take(object, "HostConfig"), Some(json!(1)));
        assert_eq!(take(object, "HostConfig"), None);
    }
}
