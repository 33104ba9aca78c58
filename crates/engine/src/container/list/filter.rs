//! The filters of `docker ps` and of prune.

use std::rc::Rc;

use engine_api::Timestamp;
use objects::Patterns;

use engine_api::{Error, Filters, Result};

use crate::Engine;
use crate::container::{Container, Record, Status};

/// Filters that `GET /containers/json` knows.
const LIST: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
/// Filters that `POST /containers/prune` knows.
const PRUNE: &[&str] = &["label", "label!", "until"];

/// Filters of a list, checked and with references looked up once.
pub(in crate::container) struct ListFilter<'a> {
    filters: &'a Filters,
    names: Patterns,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    /// Identifiers of the images that `ancestor` names.
    ancestors: Vec<String>,
    /// Whether a filter asks for stopped containers too.
    pub(in crate::container) all: bool,
}

impl<'a> ListFilter<'a> {
    /// Checks the filters.
    ///
    /// # Errors
    /// 400 for unknown filters and values, 404 when `before` or `since` names nothing.
    pub(in crate::container) fn new(engine: &Engine, filters: &'a Filters) -> Result<Self> {
        filters.validate(LIST)?;
        for state in filters.get("status") {
            if !Status::ALL.iter().any(|status| status.word() == state) {
                return Err(Error::bad_parameter(format!(
                    "invalid filter 'status={state}'"
                )));
            }
        }
        for health in filters.get("health") {
            if !matches!(
                health.as_str(),
                "none" | "starting" | "healthy" | "unhealthy"
            ) {
                return Err(Error::bad_parameter(format!(
                    "unrecognized filter value for health: {health}"
                )));
            }
        }
        for code in filters.get("exited") {
            code.parse::<i32>().map_err(|_| {
                Error::bad_parameter(format!(
                    "invalid filter 'exited={code}': strconv.Atoi: parsing {code:?}: invalid syntax"
                ))
            })?;
        }
        filters.flag("is-task")?;
        for port in filters.get("publish").iter().chain(filters.get("expose")) {
            crate::container::networks::ports::parse_exposed(port)
                .map_err(|_| Error::bad_parameter(format!("invalid port in filter: {port}")))?;
        }
        let created = |key: &str| -> Result<Option<Timestamp>> {
            let found: Result<Vec<_>> = filters
                .get(key)
                .iter()
                .map(|name| engine.find(name).map(|one| one.record().created))
                .collect();
            Ok(found?.into_iter().max())
        };
        let ancestors = filters
            .get("ancestor")
            .iter()
            .filter_map(|name| engine.0.images.resolve(name).ok())
            .map(|image| image.id);
        Ok(Self {
            filters,
            names: Patterns::new(filters.get("name")),
            before: created("before")?,
            since: created("since")?,
            ancestors: ancestors.collect(),
            all: filters.contains("status"),
        })
    }

    /// Whether the container passes all filters.
    pub(in crate::container) fn passes(&self, container: &Rc<Container>) -> bool {
        let record = container.record();
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = self.filters.get(key);
            values.is_empty() || values.iter().any(|value| test(value))
        };
        let ended = record.state.status == Status::Exited;
        self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self.filters.matches_labels(&record.config.labels)
            && (self.names.match_any(&record.name)
                || self.names.match_any(&format!("/{}", record.name)))
            && any("id", &|id| record.id.starts_with(id))
            && any("status", &|status| record.state.status.word() == status)
            && any("exited", &|code| {
                ended && code.parse() == Ok(record.state.exit_code)
            })
            && any("health", &|health| {
                record
                    .health
                    .as_ref()
                    .map_or("none", |found| found.status.as_str())
                    == health
            })
            && (any("ancestor", &|name| record.config.image == name)
                || self.ancestors.contains(&record.image_id))
            && any("isolation", &|value| record.host_config.isolation == value)
            && any("is-task", &|value| matches!(value, "0" | "false"))
            && any("network", &|network| on_network(&record, network))
            && any("volume", &|volume| {
                record.mounts.iter().any(|mount| {
                    [&mount.name, &mount.source, &mount.destination]
                        .iter()
                        .any(|own| *own == volume)
                })
            })
            && self.has_port(container)
    }

    /// Ports of a container that runs: one on the host that `publish` names, or one inside the container that `expose` names.
    fn has_port(&self, container: &Container) -> bool {
        let (publish, expose) = (self.filters.get("publish"), self.filters.get("expose"));
        if publish.is_empty() && expose.is_empty() {
            return true;
        }
        let live = container.live.borrow();
        let ports = live.iter().flat_map(|live| &live.ports);
        let names = |wanted: &[String], port: &str| wanted.iter().any(|one| exposes(one, port));
        ports.into_iter().any(|(port, bindings)| {
            let protocol = port.split('/').nth(1).unwrap_or("tcp");
            let mut bindings = bindings.iter().flatten();
            names(expose, port)
                || bindings.any(|one| names(publish, &format!("{}/{protocol}", one.host_port)))
        })
    }
}

fn on_network(record: &Record, wanted: &str) -> bool {
    record.endpoints.iter().any(|(name, endpoint)| {
        name == wanted
            || (!endpoint.network_id.is_empty() && endpoint.network_id.starts_with(wanted))
    })
}

/// Whether a port or a range of ports has this port.
fn exposes(wanted: &str, port: &str) -> bool {
    let (wanted, port) = (
        crate::container::networks::ports::parse_exposed(wanted),
        crate::container::networks::ports::parse_exposed(port),
    );
    match (wanted, port) {
        (Ok((wanted, protocol)), Ok((mut range, other))) => {
            other == protocol && range.any(|port| wanted.contains(&port))
        }
        _ => false,
    }
}

/// The filters of prune, checked.
pub(in crate::container) struct PruneFilter<'a> {
    filters: &'a Filters,
    until: Option<Timestamp>,
}

impl<'a> PruneFilter<'a> {
    /// Checks the filters.
    ///
    /// # Errors
    /// 400 for unknown filters and times.
    pub(in crate::container) fn new(filters: &'a Filters) -> Result<Self> {
        filters.validate(PRUNE)?;
        let until = match filters.get("until") {
            [] => None,
            [text] => Some(
                Timestamp::parse_any(text, Timestamp::now())
                    .ok_or_else(|| filters.invalid("until"))?,
            ),
            _ => return Err(Error::bad_parameter("more than one until filter specified")),
        };
        Ok(Self { filters, until })
    }

    /// Whether the container is one to remove.
    pub(in crate::container) fn passes(&self, record: &Record) -> bool {
        self.until.is_none_or(|until| record.created < until)
            && self.filters.matches_labels(&record.config.labels)
    }
}
