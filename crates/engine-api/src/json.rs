//! Helpers for Docker's dialect of JSON: null stands for "default", lists may be a single string.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares API structs: every field is optional in JSON, and null means its default.
///
/// Fields after `raw:` carry their own serde attributes (flatten, own deserializer).
macro_rules! model {
    ($(
        $(#[$outer:meta])*
        pub struct $name:ident {
            $($(#[$inner:meta])* pub $field:ident: $ty:ty,)*
            $(; $($(#[$raw:meta])* pub $raw_field:ident: $raw_ty:ty,)*)?
        }
    )*) => {$(
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        $(#[$outer])*
        pub struct $name {
            $(
                $(#[$inner])*
                #[serde(deserialize_with = "crate::json::null_default")]
                pub $field: $ty,
            )*
            $($(
                $(#[$raw])*
                pub $raw_field: $raw_ty,
            )*)?
        }
    )*};
}
pub(crate) use model;

/// Reads null as the type's default.
///
/// # Errors
/// What the type itself rejects.
pub fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a map in which null stands for a default value (and a null map for an empty one).
///
/// # Errors
/// What the value type rejects.
pub fn null_values<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    let map = Option::<BTreeMap<String, Option<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map
        .into_iter()
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect())
}

/// Writes a map or list without entries as null: Go's map or slice that nobody made.
///
/// # Errors
/// What the serializer rejects.
pub fn null_if_empty<S: Serializer, C: Serialize>(
    collection: &C,
    serializer: S,
) -> Result<S::Ok, S::Error>
where
    for<'a> &'a C: IntoIterator,
{
    let has_entries = collection.into_iter().next().is_some();
    has_entries.then_some(collection).serialize(serializer)
}

/// Reads Docker's `StrSlice`: null, one string, or a list of strings.
///
/// # Errors
/// When it is none of the three.
pub fn string_or_list<'de, D>(deserializer: D) -> Result<Option<Vec<String>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<Option<String>>),
    }
    Ok(
        Option::<Words>::deserialize(deserializer)?.map(|words| match words {
            Words::One(word) => vec![word],
            // Go reads a null among them as an empty one.
            Words::Many(words) => words.into_iter().map(Option::unwrap_or_default).collect(),
        }),
    )
}

/// True for the zero of a number or flag: Docker's `omitempty`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
