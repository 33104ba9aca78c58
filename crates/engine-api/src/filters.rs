//! The `filters` query parameter: which objects a list, prune or event stream is about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Filters by key; values of one key are alternatives, keys are all required.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

impl Filters {
    /// Reads both forms: `{"name":["a"]}` and the current `{"name":{"a":true}}`.
    ///
    /// # Errors
    /// 400 when the text is neither.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let map: Option<BTreeMap<String, Values>> = json_reader::from_str(text)
            .map_err(|error| Error::bad_parameter(format!("invalid filter: {error}")))?;
        let pairs = map.unwrap_or_default().into_iter();
        Ok(Self(
            pairs
                .map(|(key, values)| {
                    let values = match values {
                        Values::List(list) => list,
                        Values::Set(set) => set
                            .into_iter()
                            .filter(|(_, on)| *on)
                            .map(|(v, _)| v)
                            .collect(),
                    };
                    (key, values)
                })
                .collect(),
        ))
    }

    /// Adds one value to a key.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.0
            .entry(key.to_owned())
            .or_default()
            .push(value.to_owned());
        self
    }

    /// Keys with their values.
    pub fn iter(&self) -> std::collections::btree_map::Iter<'_, String, Vec<String>> {
        self.0.iter()
    }

    /// True when nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// The values of a key; none when the key is absent.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// True when the key is given with at least one value.
    pub fn contains(&self, key: &str) -> bool {
        !self.get(key).is_empty()
    }

    /// True when the key is absent or one of its values is exactly `value`.
    pub fn matches_exact(&self, key: &str, value: &str) -> bool {
        !self.contains(key) || self.get(key).iter().any(|v| v == value)
    }

    /// True when `label=key` and `label=key=value` filters all hold for these labels, and no `label!=` does.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
            None => labels.contains_key(wanted),
        };
        self.get("label").iter().all(holds) && !self.get("label!").iter().any(holds)
    }

    /// A yes/no filter such as `dangling`; `None` when absent.
    ///
    /// # Errors
    /// 400 when its value is not a truth value, or both are given.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let values = self.get(key);
        let truth = |value: &String| match value.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        };
        match values {
            [] => Ok(None),
            [one] => truth(one).map(Some).ok_or_else(|| self.invalid(key)),
            _ => Err(self.invalid(key)),
        }
    }

    /// Refuses keys that the endpoint does not know.
    ///
    /// # Errors
    /// 400 `invalid filter 'key'`.
    pub fn validate(&self, accepted: &[&str]) -> Result<()> {
        match self.0.keys().find(|key| !accepted.contains(&key.as_str())) {
            Some(key) => Err(Error::bad_parameter(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// The 400 for a key whose values make no sense.
    pub fn invalid(&self, key: &str) -> Error {
        Error::bad_parameter(format!(
            "invalid filter '{key}=[{}]'",
            self.get(key).join(" ")
        ))
    }

    /// The text of the query parameter, in the form current clients send.
    pub fn to_json(&self) -> String {
        let sets: BTreeMap<&String, BTreeMap<&String, bool>> = self
            .0
            .iter()
            .map(|(key, values)| (key, values.iter().map(|v| (v, true)).collect()))
            .collect();
        serde_json::to_string(&sets).unwrap_or_default()
    }
}

impl<'a> IntoIterator for &'a Filters {
    type Item = (&'a String, &'a Vec<String>);
    type IntoIter = std::collections::btree_map::Iter<'a, String, Vec<String>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Filters {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let list = Filters::parse(r#"{"label":["a","b=c"]}"#).unwrap();
        let set = Filters::parse(r#"{"label":{"a":true,"b=c":true,"off":false}}"#).unwrap();
        assert_eq!(list, set);
        assert!(Filters::parse("").unwrap().is_empty());
        assert!(Filters::parse("null").unwrap().is_empty());
    }

    #[test]
    fn garbage_is_a_bad_parameter() {
        for text in ["[", "[]", "7", r#"{"a":7}"#, r#"{"a":{"b":"c"}}"#] {
            assert_eq!(Filters::parse(text).unwrap_err().status, 400, "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_bad_flags_are_named() {
        let filters = Filters::default().with("dangling", "perhaps");
        assert_eq!(
            filters.validate(&["name"]).unwrap_err().message,
            "invalid filter 'dangling'"
        );
        assert_eq!(
            filters.flag("dangling").unwrap_err().message,
            "invalid filter 'dangling=[perhaps]'"
        );
        assert_eq!(
            Filters::default().with("d", "1").flag("d").unwrap(),
            Some(true)
        );
    }

    #[test]
    fn labels_must_all_hold() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert!(
            Filters::default()
                .with("label", "a")
                .matches_labels(&labels)
        );
        assert!(
            !Filters::default()
                .with("label", "a=2")
                .matches_labels(&labels)
        );
        let both = Filters::default().with("label", "a=1").with("label", "b");
        assert!(!both.matches_labels(&labels));
        assert!(
            !Filters::default()
                .with("label!", "a")
                .matches_labels(&labels)
        );
    }
}
