//! Metadata services: [`table`] describes each, [`fetch()`] asks any of them.

mod fetch;
mod found;
pub mod pick;
pub mod table;

use serde_json::Value;

use crate::network::Network;

pub use fetch::{Asked, Place, fetch};

/// A metadata service.
#[derive(Debug)]
pub struct Service {
    /// Its name in `rancher.cloud_init.datasources`.
    pub name: &'static str,
    /// Addresses, tried in order; `{gateway}` and `{dhcp-server}` are filled in.
    pub bases: &'static [&'static str],
    /// What the machine needs to reach it.
    pub reach: Reach,
    /// A token to be had first.
    pub token: Option<Token>,
    /// Headers of every question.
    pub headers: &'static [(&'static str, &'static str)],
    /// A header that its answers carry; who lacks it is somebody else.
    pub sign: Option<(&'static str, &'static str)>,
    /// Pages, in the order in which they are asked for.
    pub pages: &'static [Page],
    /// Whether 404 for a page that must be there means that it is not there yet.
    pub may_come_later: bool,
}

/// How the machine gets near a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// An address by DHCP.
    Dhcp,
    /// Link-local addresses are enough: IPv6's, which the kernel makes, then DHCP for the IPv4 address of the service.
    LinkLocalIpv6,
    /// A link-local IPv4 address that is made up.
    LinkLocalIpv4,
    /// No network: a socket file.
    SocketFile(&'static str),
}

/// A token that is asked for by PUT.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// Its path.
    pub path: &'static str,
    /// Header of that question: how long the token lives, in seconds.
    pub lifetime: (&'static str, &'static str),
    /// Header that carries it afterwards.
    pub header: &'static str,
}

/// A page of a service.
#[derive(Debug)]
pub struct Page {
    /// Path below the base.
    pub path: &'static str,
    /// Its form.
    pub form: Form,
    /// Whether the service is the wrong one, or not ready, without it.
    pub required: bool,
    /// Whether it is asked for from a port below 1024.
    pub low_port: bool,
    /// What is taken from it: place in the document (JSON pointer, or "" for all of it), and what it is.
    pub gives: &'static [(&'static str, Gives)],
}

/// Form of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text, with blanks at its ends.
    Text,
    /// Bytes as they are: user data.
    Bytes,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// EC2's index of keys: lines `0=name`; each key is on `0/openssh-key` below it.
    KeyIndex,
}

/// What a place of a page is.
#[derive(Debug, Clone, Copy)]
pub enum Gives {
    /// The machine's id; without one the answer is not this service's.
    InstanceId,
    /// Host name.
    HostName,
    /// SSH keys, as text, list, or map.
    Keys,
    /// User data; an earlier place wins.
    UserData,
    /// User data in base64.
    UserDataBase64,
    /// An address that others reach the machine by.
    PublicIpv4,
    /// An address in its own network.
    PrivateIpv4,
    /// The same with IPv6.
    PublicIpv6,
    /// The same with IPv6.
    PrivateIpv6,
    /// Keys, out of something that needs more than a place.
    KeysBy(fn(&Value) -> Vec<String>),
    /// User data, the same.
    UserDataBy(fn(&Value) -> Option<String>),
    /// An address, the same.
    PublicIpv4By(fn(&Value) -> Option<String>),
    /// Links.
    NetworkBy(fn(&Value) -> Network),
    /// Another document in addition to those that were read, under this name, for a later `NetworkBy`.
    Part(&'static str),
}

#[cfg(test)]
mod tests;
