//! Values as Go sees them: fields, truth, and how they are printed.

use serde_json::Value;

use super::{Result, TemplateError};

/// How fields of Docker's structures are printed that are null, or left out of the JSON because they are empty.
const EMPTY: &[(&str, &str)] = &[
    ("Aliases", "[]"),
    ("Annotations", "map[]"),
    ("Binds", "[]"),
    ("CapAdd", "[]"),
    ("CapDrop", "[]"),
    ("Cmd", "[]"),
    ("Containers", "map[]"),
    ("DeviceRequests", "[]"),
    ("Devices", "[]"),
    ("Dns", "[]"),
    ("DnsOptions", "[]"),
    ("DnsSearch", "[]"),
    ("DriverOpts", "map[]"),
    ("Entrypoint", "[]"),
    ("Env", "[]"),
    ("ExecIDs", "[]"),
    ("ExposedPorts", "map[]"),
    ("ExtraHosts", "[]"),
    ("GroupAdd", "[]"),
    ("Health", "<nil>"),
    ("Healthcheck", "<nil>"),
    ("Init", "<nil>"),
    ("Labels", "map[]"),
    ("Links", "[]"),
    ("MacAddress", ""),
    ("MaskedPaths", "[]"),
    ("Mounts", "[]"),
    ("Networks", "map[]"),
    ("OnBuild", "[]"),
    ("Options", "map[]"),
    ("PortBindings", "map[]"),
    ("Ports", "map[]"),
    ("ReadonlyPaths", "[]"),
    ("SecurityOpt", "[]"),
    ("Shell", "[]"),
    ("SizeRootFs", "<nil>"),
    ("SizeRw", "<nil>"),
    ("StopSignal", ""),
    ("StopTimeout", "<nil>"),
    ("StorageOpt", "map[]"),
    ("Sysctls", "map[]"),
    ("Tmpfs", "map[]"),
    ("Ulimits", "[]"),
    ("UsageData", "<nil>"),
    ("Volumes", "map[]"),
    ("VolumesFrom", "[]"),
    ("Warnings", "[]"),
];
/// Further fields that are maps: what is missing in one is not a mistake.
const MAPS: &[&str] = &["Attributes", "Data"];
/// How a pointer to nothing is printed.
const NIL: &str = "<nil>";
/// What is printed in the place of a missing entry.
const NO_VALUE: &str = "<no value>";

/// A value, and what Go knows of it by its type.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) value: Value,
    /// The field it came from; empty for what came from none.
    name: String,
    /// What is printed if it is null.
    empty: &'static str,
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        Self {
            value,
            name: String::new(),
            empty: NIL,
        }
    }
}

impl Item {
    fn named(value: Value, name: &str) -> Self {
        let known = EMPTY.iter().find(|(known, _)| *known == name);
        Self {
            value,
            name: name.to_owned(),
            empty: known.map_or(NIL, |(_, text)| text),
        }
    }

    /// One that is not there.
    fn absent(name: &str, empty: &'static str) -> Self {
        Self {
            value: Value::Null,
            name: name.to_owned(),
            empty,
        }
    }

    /// A field below; the names of Go's structures differ from JSON's in capitals (`ID`, `CPUShares`).
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn field(&self, name: &str) -> Result<Item> {
        let object = match &self.value {
            Value::Object(object) => object,
            _ if self.empty == NO_VALUE => {
                return Err(TemplateError::Failed(format!(
                    "nil data; no entry for key {:?}",
                    self.name
                )));
            }
            Value::Null => {
                return Err(TemplateError::Failed(format!(
                    "nil pointer evaluating .{name}"
                )));
            }
            other => {
                let kind = kind(other);
                return Err(TemplateError::Failed(format!(
                    "can't evaluate field {name} in type {kind}"
                )));
            }
        };
        if let Some(value) = object.get(name) {
            // A container's `Config` is a structure, that of its log a map.
            let is_log = self.name == "LogConfig" && name == "Config";
            let known = if is_log { "Options" } else { name };
            return Ok(Self::named(value.clone(), known));
        }
        if is_map(&self.name) {
            return Ok(Self::absent(name, NO_VALUE));
        }
        let alike = object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        if let Some((key, value)) = alike
            && name.starts_with(|first: char| first.is_ascii_uppercase())
        {
            return Ok(Self::named(value.clone(), key));
        }
        match EMPTY.iter().any(|(known, _)| *known == name) {
            true => Ok(Self::named(Value::Null, name)),
            false => Err(TemplateError::NoField(name.to_owned())),
        }
    }

    /// An element, as `index` finds it; what a map does not have is the empty value of its kind.
    ///
    /// # Errors
    /// When it is out of range, or there can be none.
    pub(super) fn element(&self, key: &Value) -> Result<Item> {
        let failed = |what: String| TemplateError::Failed(format!("error calling index: {what}"));
        match (&self.value, key) {
            (Value::Object(object), Value::String(key)) => Ok(match object.get(key) {
                Some(value) => Self::from(value.clone()),
                None if is_map_of_lists(&self.name) => Self::absent(key, "[]"),
                None => Self::absent(key, ""),
            }),
            (Value::Array(items), Value::Number(at)) => {
                let item = at
                    .as_u64()
                    .and_then(|at| items.get(usize::try_from(at).ok()?));
                let out = || failed(format!("index out of range: {at}"));
                item.cloned().map(Self::from).ok_or_else(out)
            }
            (Value::Null, Value::Number(at)) if self.empty == "[]" => {
                Err(failed(format!("index out of range: {at}")))
            }
            (Value::Null, Value::String(_)) if self.empty == "map[]" => Ok(Self::absent("", "")),
            (Value::Null, _) => Err(failed("index of untyped nil".to_owned())),
            (other, key) => Err(failed(format!(
                "cannot index {} with {}",
                kind(other),
                kind(key)
            ))),
        }
    }

    /// Go's truth: not the zero value of its kind.
    pub(super) fn truth(&self) -> bool {
        match &self.value {
            Value::Null => false,
            Value::Bool(set) => *set,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            // A structure is always true; of a map it depends.
            Value::Object(entries) => !entries.is_empty(),
        }
    }

    /// How Go prints it with `%v`.
    ///
    /// # Errors
    /// For a structure.
    pub(super) fn print(&self) -> Result<String> {
        match &self.value {
            Value::Null => Ok(self.empty.to_owned()),
            Value::String(text) => Ok(text.clone()),
            Value::Array(items) => {
                let items: Result<Vec<String>> = items
                    .iter()
                    .map(|item| Self::from(item.clone()).print())
                    .collect();
                Ok(format!("[{}]", items?.join(" ")))
            }
            Value::Object(entries) if is_map(&self.name) => {
                let empty = if is_map_of_lists(&self.name) {
                    "[]"
                } else {
                    NIL
                };
                let mut pairs = Vec::new();
                for (key, value) in entries {
                    let value = Self {
                        empty,
                        ..Self::from(value.clone())
                    };
                    pairs.push(format!("{key}:{}", value.print()?));
                }
                Ok(format!("map[{}]", pairs.join(" ")))
            }
            Value::Object(entries) if entries.is_empty() => Ok("{}".to_owned()),
            Value::Object(entries) => match (entries.get("HostIp"), entries.get("HostPort")) {
                (Some(Value::String(ip)), Some(Value::String(port))) if entries.len() == 2 => {
                    Ok(format!("{{{ip} {port}}}"))
                }
                _ => Err(TemplateError::Structure),
            },
            other => Ok(other.to_string()),
        }
    }
}

fn is_map(name: &str) -> bool {
    MAPS.contains(&name) || EMPTY.contains(&(name, "map[]"))
}

fn is_map_of_lists(name: &str) -> bool {
    matches!(name, "Ports" | "PortBindings")
}

/// Go's name of a value's type.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}
