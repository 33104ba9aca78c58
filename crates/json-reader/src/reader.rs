//! The reader: serde's `Deserializer` over a JSON value.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

/// How exactly a value must be what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Names as they are, and `null` only where nothing may be.
    Exact,
    /// [`crate::lenient`].
    Lenient,
}

/// A value that is read, at any depth.
///
/// What does not depend on the type is in functions and structures that are compiled once ([`Fields`], [`Items`], [`spelled`]), and a
/// type is never offered what it cannot take: no sequence to a structure, no map to a number.
pub(crate) struct Reader {
    value: Value,
    manner: Manner,
}

/// The fields of an object.
struct Fields {
    rest: serde_json::map::IntoIter,
    value: Option<Value>,
    manner: Manner,
}

/// The elements of an array.
struct Items {
    rest: std::vec::IntoIter<Value>,
    manner: Manner,
}

/// A variant of an enumeration, with what it holds.
struct Variant {
    name: String,
    content: Option<Value>,
    manner: Manner,
}

impl Fields {
    fn new(object: Map<String, Value>, manner: Manner) -> Self {
        Self {
            rest: object.into_iter(),
            value: None,
            manner,
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
        seed.deserialize(Reader::new(Value::String(name), self.manner))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Reader::new(
            self.value.take().unwrap_or_default(),
            self.manner,
        ))
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
        let value = self.rest.next();
        value
            .map(|value| seed.deserialize(Reader::new(value, self.manner)))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

impl Variant {
    /// A variant is a name, or an object with the name as its only key.
    fn new(reader: Reader) -> Result<Self, Error> {
        let (name, content) = match reader.value {
            Value::String(name) => (name, None),
            Value::Object(object) if object.len() == 1 => {
                let only = object.into_iter().next().unwrap_or_default();
                (only.0, Some(only.1))
            }
            Value::Object(_) => {
                let expected = &"map with a single key";
                return Err(Error::invalid_value(Unexpected::Map, expected));
            }
            other => return Err(wrong(&other, &"string or map")),
        };
        Ok(Self {
            name,
            content,
            manner: reader.manner,
        })
    }

    /// What the variant holds; an error if it is a name alone.
    fn content(self, expected: &dyn Expected) -> Result<Reader, Error> {
        match self.content {
            Some(value) => Ok(Reader::new(value, self.manner)),
            None => Err(Error::invalid_type(Unexpected::UnitVariant, expected)),
        }
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = Value::String(std::mem::take(&mut self.name));
        let known = seed.deserialize(Reader::new(name, self.manner))?;
        Ok((known, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            None | Some(Value::Null) => Ok(()),
            Some(other) => Err(wrong(&other, &"unit")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content(&"newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(&"tuple variant")?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content(&"struct variant")?
            .deserialize_struct("", fields, visitor)
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

impl Reader {
    pub(crate) fn new(value: Value, manner: Manner) -> Self {
        Self { value, manner }
    }

    /// Whether this is the `null` that stands for the empty value.
    fn is_empty_value(&self) -> bool {
        self.manner == Manner::Lenient && self.value.is_null()
    }

    /// What is neither an array nor an object.
    fn plain<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
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
            if self.is_empty_value() {
                return visitor.$visit($empty);
            }
            self.plain(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(fields) => visitor.visit_map(Fields::new(fields, self.manner)),
            _ => self.plain(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
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
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Variant::new(self)?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match self.value {
            Value::Array(items) => items,
            Value::Null if self.manner == Manner::Lenient => Vec::new(),
            other => return Err(wrong(&other, &visitor)),
        };
        let count = items.len();
        let mut items = Items {
            rest: items.into_iter(),
            manner: self.manner,
        };
        let value = visitor.visit_seq(&mut items)?;
        if items.rest.len() == 0 {
            return Ok(value);
        }
        Err(Error::invalid_length(count, &"fewer elements in array"))
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
        match self.value {
            Value::Object(fields) => visitor.visit_map(Fields::new(fields, self.manner)),
            Value::Null if self.manner == Manner::Lenient => {
                visitor.visit_map(Fields::new(Map::new(), self.manner))
            }
            other => Err(wrong(&other, &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(object) => {
                let object = match self.manner {
                    Manner::Exact => object,
                    Manner::Lenient => spelled(object, fields),
                };
                visitor.visit_map(Fields::new(object, self.manner))
            }
            Value::Null if self.manner == Manner::Lenient => {
                visitor.visit_map(Fields::new(Map::new(), self.manner))
            }
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
