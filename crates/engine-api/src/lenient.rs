//! JSON as Go's decoder reads it: names of fields match in any case, which some clients rely on (docker-py sends
//! `detachKeys` for `DetachKeys`), and `null` is the empty value of whatever is expected, at any depth.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor,
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

/// Methods of a deserializer to which `null` is the empty value of a kind.
macro_rules! empty_when_null {
    ($($method:ident => $visit:ident($empty:expr);)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.$visit($empty),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
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
        let object = match self.0 {
            Value::Object(object) => object,
            Value::Null => Map::new(),
            // Serde would take its elements for the fields in their order.
            Value::Array(_) => return Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => return self.deserialize_any(visitor),
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

    empty_when_null! {
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
        deserialize_seq => visit_seq(SeqDeserializer::new(std::iter::empty::<Lenient>()));
        deserialize_map => visit_map(MapDeserializer::new(std::iter::empty::<(String, Lenient)>()));
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
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
        assert!(from_value::<HostConfig>(json!({"Memory": "1"})).is_err());
        assert!(from_value::<HostConfig>(json!([])).is_err());
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
