//! Events.

use std::collections::BTreeMap;

use crate::json::{is_default, model};

/// The contract's short name.
pub type Event = EventMessage;

model! {
    /// One line of `GET /events`.
    pub struct EventMessage {
        /// Deprecated copy of the action (containers and images).
        #[serde(skip_serializing_if = "String::is_empty")]
        pub status: String,
        /// Deprecated copy of the actor's id.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub id: String,
        /// Deprecated copy of the container's image.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub from: String,
        /// `container`, `image`, `network`, `volume`, `daemon`, ...
        #[serde(rename = "Type")]
        pub typ: String,
        /// `start`, `die`, `exec_create: ls`, ...
        #[serde(rename = "Action")]
        pub action: String,
        /// What it is about.
        #[serde(rename = "Actor")]
        pub actor: EventActor,
        /// `local`.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub scope: String,
        /// Unix seconds.
        #[serde(skip_serializing_if = "is_default")]
        pub time: i64,
        /// Unix nanoseconds.
        #[serde(rename = "timeNano", skip_serializing_if = "is_default")]
        pub time_nano: i64,
    }

    /// What an event is about.
    #[serde(rename_all = "PascalCase")]
    pub struct EventActor {
        /// Its id or name.
        #[serde(rename = "ID")]
        pub id: String,
        /// Name, image, labels, exit code, ...
        pub attributes: BTreeMap<String, String>,
    }
}
