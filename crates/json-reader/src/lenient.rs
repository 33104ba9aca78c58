//! JSON as Go's decoder reads it: names of fields match in any case, which some clients rely on (docker-py sends
//! `detachKeys` for `DetachKeys`), and `null` is the empty value of whatever is expected, at any depth.

use serde::de::DeserializeOwned;
use serde_json::{Error, Map, Value};

use crate::reader::{Manner, Reader};

/// Reads a value whose structures may be spelled in any case.
///
/// # Errors
/// As [`crate::from_value`].
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Reader::new(value, Manner::Lenient))
}

/// Reads JSON text whose structures may be spelled in any case.
///
/// # Errors
/// As [`crate::from_slice`].
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(text)?)
}

/// Takes a field out of an object, by its exact name or else by one that differs in case only.
pub fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    object.remove(name).or_else(|| {
        let other = object.keys().find(|key| key.eq_ignore_ascii_case(name))?;
        let other = other.clone();
        object.remove(&other)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct ExecConfig {
        cmd: Option<Vec<String>>,
        detach_keys: String,
        tty: bool,
        env: Vec<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct RestartPolicy {
        name: String,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct HostConfig {
        memory: i64,
        restart_policy: RestartPolicy,
        sysctls: BTreeMap<String, String>,
        mounts: Vec<RestartPolicy>,
        port_bindings: BTreeMap<String, Vec<RestartPolicy>>,
    }

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
            "invalid length 3, expected fewer elements in array"
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
