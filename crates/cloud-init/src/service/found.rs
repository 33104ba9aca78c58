//! What the pages of a service have given so far.

use serde_json::Value;

use super::{Form, Gives, Page};
use crate::http::{self, Failure};
use crate::media::Contents;
use crate::metadata::{self, Metadata};
use crate::network::Network;
use crate::{Error, mime};

/// What has been found so far.
pub(super) struct Found {
    user_data: Option<Vec<u8>>,
    user_data_error: Option<Error>,
    pub(super) metadata: Metadata,
    network: Option<Network>,
    parts: serde_json::Map<String, Value>,
    notes: Vec<String>,
}

impl Found {
    pub(super) fn new(name: &str) -> Found {
        Found {
            user_data: None,
            user_data_error: None,
            metadata: Metadata {
                source: Some(name.to_owned()),
                ..Metadata::default()
            },
            network: None,
            parts: serde_json::Map::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Contents {
        if let Some(network) = self.network {
            self.metadata.network = network.to_json();
            self.notes
                .extend(network.notes.iter().map(|note| format!("network: {note}")));
        }
        Contents {
            user_data: match self.user_data_error {
                Some(error) if self.user_data.is_none() => Err(error),
                _ => Ok(self.user_data),
            },
            metadata: Ok(Some(self.metadata)),
            notes: self.notes,
        }
    }

    /// A page that did not come: without user data the machine is not what its owner wants.
    pub(super) fn failed(&mut self, page: &Page, failure: &Failure) {
        let is_user_data = page.form == Form::Bytes
            || page
                .gives
                .iter()
                .any(|(_, gives)| matches!(gives, Gives::UserDataBase64));
        if is_user_data {
            self.user_data_error = Some(Error::Service(failure.to_string()));
        } else {
            self.notes.push(failure.to_string());
        }
    }

    pub(super) fn user_data(&mut self, bytes: Vec<u8>) {
        if self.user_data.is_none() && !bytes.is_empty() {
            self.user_data = Some(bytes);
        }
    }

    pub(super) fn add_keys(&mut self, keys: Vec<String>) {
        let known = &mut self.metadata.ssh_authorized_keys;
        for key in keys {
            if !known.contains(&key) && known.len() < metadata::MAX_KEYS {
                known.push(key);
            }
        }
    }

    pub(super) fn take(&mut self, page: &Page, value: &Value) {
        for (pointer, gives) in page.gives {
            if let Some(inner) = value.pointer(pointer) {
                self.take_one(gives, inner);
            }
        }
    }

    fn take_one(&mut self, gives: &Gives, value: &Value) {
        let text = || match value {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let address = || {
            let text = text()?;
            // Akamai's have their prefix.
            let bare = text.split('/').next().unwrap_or("").to_owned();
            http::is_address(&bare).then_some(bare)
        };
        let metadata = &mut self.metadata;
        match gives {
            Gives::InstanceId => {
                let id = text().filter(|id| is_id(id));
                metadata.instance_id = metadata.instance_id.take().or(id);
            }
            Gives::HostName => {
                let name = text().filter(|name| !name.is_empty());
                metadata.hostname = metadata.hostname.take().or(name);
            }
            Gives::PublicIpv4 => {
                metadata.public_ipv4 = metadata.public_ipv4.take().or_else(address)
            }
            Gives::PrivateIpv4 => {
                metadata.private_ipv4 = metadata.private_ipv4.take().or_else(address)
            }
            Gives::PublicIpv6 => {
                metadata.public_ipv6 = metadata.public_ipv6.take().or_else(address)
            }
            Gives::PrivateIpv6 => {
                metadata.private_ipv6 = metadata.private_ipv6.take().or_else(address)
            }
            Gives::PublicIpv4By(pick) => {
                metadata.public_ipv4 = metadata.public_ipv4.take().or_else(|| pick(value))
            }
            Gives::Keys => self.add_keys(metadata::keys(Some(value))),
            Gives::KeysBy(pick) => self.add_keys(pick(&self.with_parts(value))),
            Gives::UserData => self.user_data(value.as_str().unwrap_or("").as_bytes().to_vec()),
            Gives::UserDataBy(pick) => self.user_data(pick(value).unwrap_or_default().into_bytes()),
            Gives::UserDataBase64 => match mime::base64(value.as_str().unwrap_or("")) {
                Some(bytes) => self.user_data(bytes),
                None => {
                    self.user_data_error =
                        Some(Error::Service("user data is not base64".to_owned()))
                }
            },
            Gives::NetworkBy(pick) => {
                let network = pick(&self.with_parts(value));
                let is_said = network.to_json().is_some() || !network.notes.is_empty();
                self.network = self.network.take().or(is_said.then_some(network));
            }
            Gives::Part(name) => {
                self.parts.insert((*name).to_owned(), value.clone());
            }
        }
    }

    /// The document, with what was put aside under `parts`.
    fn with_parts(&self, value: &Value) -> Value {
        let mut map = match value {
            Value::Object(map) => map.clone(),
            Value::Null => serde_json::Map::new(),
            other => return other.clone(),
        };
        map.insert("parts".to_owned(), self.parts.clone().into());
        map.into()
    }
}

/// What an id of a machine looks like at every provider: one word. A page for people has more.
fn is_id(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    !text.is_empty() && text.len() <= 256 && text.chars().all(good)
}
