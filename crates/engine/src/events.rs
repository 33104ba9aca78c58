//! The event bus behind `GET /events`: a ring of the recent past and bounded queues to those who listen.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use engine_api::Timestamp;
use engine_api::options::{EventsQuery, STREAM_DEPTH};
use engine_api::{EventActor, EventMessage, Filters};
use tokio::sync::{broadcast, mpsc};

/// Events kept for `since`, as many as Docker keeps.
const RING: usize = 256;
/// Events a listener may be behind before it loses some; a listener that is slower than this is not worth memory.
const LISTENER_DEPTH: usize = 1024;

/// Publishes events and keeps the last few.
#[derive(Debug)]
pub struct EventBus {
    ring: RefCell<VecDeque<Rc<EventMessage>>>,
    /// It has all its places from the start: of whole events they would be 250 kB.
    sender: broadcast::Sender<Rc<EventMessage>>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self {
            ring: RefCell::default(),
            sender: broadcast::channel(LISTENER_DEPTH).0,
        }
    }
}

impl EventBus {
    /// Publishes that `action` happened to the object `id` of type `kind` (`container`, `image`, `network`, `volume`).
    pub fn publish(
        &self,
        kind: &str,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let now = Timestamp::now();
        let legacy = kind == "container" || kind == "image";
        let from = attributes
            .get("image")
            .filter(|_| kind == "container")
            .cloned()
            .unwrap_or_default();
        let event = Rc::new(EventMessage {
            typ: kind.to_owned(),
            action: action.to_owned(),
            actor: EventActor {
                id: id.to_owned(),
                attributes,
            },
            scope: "local".to_owned(),
            time: now.unix(),
            time_nano: now.unix_nanos(),
            status: if legacy {
                action.to_owned()
            } else {
                String::new()
            },
            id: if legacy { id.to_owned() } else { String::new() },
            from,
        });
        let mut ring = self.ring.borrow_mut();
        if ring.len() == RING {
            ring.pop_front();
        }
        ring.push_back(event.clone());
        drop(ring);
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// Events of the ring and from now on that pass the query, until `until` or until the receiver is dropped.
    #[must_use]
    pub fn subscribe(&self, query: EventsQuery) -> mpsc::Receiver<EventMessage> {
        let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
        let live = self.sender.subscribe();
        let past = self.past(&query);
        engine_api::tasks::spawn(forward(past, live, query, sender));
        receiver
    }

    /// The recent past, for the next program.
    pub(crate) fn history(&self) -> Vec<EventMessage> {
        let ring = self.ring.borrow();
        ring.iter().map(|event| (**event).clone()).collect()
    }

    /// Goes on after the past of an earlier program.
    pub(crate) fn set_history(&self, events: Vec<EventMessage>) {
        let surplus = events.len().saturating_sub(RING);
        let events = events.into_iter().skip(surplus);
        *self.ring.borrow_mut() = events.map(Rc::new).collect();
    }

    /// How many listeners there are.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    fn past(&self, query: &EventsQuery) -> Vec<Rc<EventMessage>> {
        // Docker replays nothing unless `since` is given; `until` alone in the past means "the past until then".
        if query.since.is_none() && query.until.is_none_or(|until| until > Timestamp::now()) {
            return Vec::new();
        }
        let since = query.since.map_or(i64::MIN, Timestamp::unix_nanos);
        let until = query.until.map_or(i64::MAX, Timestamp::unix_nanos);
        let ring = self.ring.borrow();
        ring.iter()
            .filter(|event| {
                (since..=until).contains(&event.time_nano) && matches(event, &query.filters)
            })
            .cloned()
            .collect()
    }
}

async fn forward(
    past: Vec<Rc<EventMessage>>,
    mut live: broadcast::Receiver<Rc<EventMessage>>,
    query: EventsQuery,
    sender: mpsc::Sender<EventMessage>,
) {
    for event in past {
        if sender.send((*event).clone()).await.is_err() {
            return;
        }
    }
    let end = async {
        match query.until {
            Some(until) => tokio::time::sleep(until.since(Timestamp::now())).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            biased;
            event = live.recv() => event,
            () = &mut end => return,
            () = sender.closed() => return,
        };
        match event {
            Ok(event) if !matches(&event, &query.filters) => {}
            Ok(event) => {
                if sender.send((*event).clone()).await.is_err() {
                    return;
                }
            }
            // What was lost is lost; the listener goes on with what is there.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Whether an event passes the filters: values of one key are alternatives, all keys must agree. Keys that
/// nobody knows are passed over, as in Docker.
#[must_use]
pub fn matches(event: &EventMessage, filters: &Filters) -> bool {
    filters.0.iter().all(|(key, values)| {
        values.is_empty() || values.iter().any(|value| matches_one(event, key, value))
    })
}

fn matches_one(event: &EventMessage, key: &str, value: &str) -> bool {
    let attributes = &event.actor.attributes;
    let name = attributes.get("name").map_or("", String::as_str);
    match key {
        "event" => match event.action.split_once(':') {
            // `exec_create: sh -c ..` and `health_status: healthy` are asked for by their first word too.
            Some((verb, _)) => value == event.action || value == verb,
            None => value == event.action,
        },
        "type" => value == event.typ,
        "scope" => value == event.scope,
        "label" => match value.split_once('=') {
            Some((label, wanted)) => attributes.get(label).is_some_and(|actual| actual == wanted),
            None => attributes.contains_key(value),
        },
        "image" => {
            let image = if event.typ == "image" {
                name
            } else {
                attributes.get("image").map_or("", String::as_str)
            };
            let id = if event.typ == "image" {
                event.actor.id.as_str()
            } else {
                image
            };
            id == value || image == value || without_tag(image) == value || without_tag(id) == value
        }
        "container" | "network" | "volume" | "daemon" | "plugin" | "service" | "node"
        | "secret" | "config" => {
            event.typ == key && (event.actor.id.starts_with(value) || name.starts_with(value))
        }
        _ => true,
    }
}

fn without_tag(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_filter_means_the_container_s_own_events() {
        let filters = Filters([("container".to_owned(), vec!["web".to_owned()])].into());
        let event = |kind: &str, attribute: &str| EventMessage {
            typ: kind.to_owned(),
            actor: EventActor {
                id: "0a".to_owned(),
                attributes: [(attribute.to_owned(), "web".to_owned())].into(),
            },
            ..EventMessage::default()
        };
        assert!(matches(&event("container", "name"), &filters));
        assert!(!matches(&event("network", "container"), &filters));
        let unknown = Filters([("nope".to_owned(), vec!["web".to_owned()])].into());
        assert!(matches(&event("container", "name"), &unknown));
    }
}
