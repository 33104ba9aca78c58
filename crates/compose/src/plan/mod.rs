//! The plan: which container is made from what, and what each waits for.

use std::collections::{BTreeMap, BTreeSet};

use config::cloud_config::Rancher;
use config::service::{AFTER, BEFORE, HASH, REBUILD};
use config::{Location, Problem, Service};
use engine_api::CreateRequest;
use sha2::{Digest as _, Sha256};

use crate::account::Account;
use crate::convert::{self, Around};
use crate::environment;
use crate::key::path;
use crate::order::{Edges, order};

/// The service that user-scope services wait for: User Docker.
const DOCKER: &str = "docker";
/// The service that services with the syslog log driver wait for.
const SYSLOG: &str = "syslog";

/// Which Docker runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// System Docker.
    System,
    /// User Docker.
    User,
}

/// One service of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The service's name; [`Step::container_name`] may differ.
    pub name: String,
    /// Name of the container.
    pub container_name: String,
    /// Where the definition stands.
    pub at: Location,
    /// Which Docker runs it.
    pub scope: Scope,
    /// Names of the steps that come first: started, or ended if they are [`Step::wait_for_exit`].
    pub after: Vec<String>,
    /// Steps after this one wait until its container has ended.
    pub wait_for_exit: bool,
    /// The container is created and not started.
    pub create_only: bool,
    /// The configuration is read again when it has started, or ended if it is [`Step::wait_for_exit`].
    pub reloads_config: bool,
    /// When an existing container is replaced.
    pub rebuild: Rebuild,
    /// What the container is made from, [`HASH`] label included.
    pub request: CreateRequest,
    /// What its image is pulled with; not a part of the definition.
    pub account: Option<Account>,
}

/// When an existing container of a service is replaced by a new one (label `io.docker.compose.rebuild`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// At every start of the project.
    Always,
    /// When its definition or its image has changed.
    OnChange,
    /// Never.
    Never,
}

/// The steps in an order that can be executed one by one; steps without an edge between them may run at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Steps; each stands after everything in its [`Step::after`].
    pub steps: Vec<Step>,
    /// What was wrong with definitions, each located.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// The steps in groups: each group needs only earlier groups.
    pub fn waves(&self) -> Vec<Vec<&Step>> {
        let mut wave_of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut waves: Vec<Vec<&Step>> = Vec::new();
        for step in &self.steps {
            let wave = step
                .after
                .iter()
                .filter_map(|name| wave_of.get(name.as_str()))
                .max()
                .map_or(0, |last| last + 1);
            wave_of.insert(&step.name, wave);
            if waves.len() == wave {
                waves.push(Vec::new());
            }
            waves[wave].push(step);
        }
        waves
    }
}

impl Step {
    /// The hash of the definition, as in the container's [`HASH`] label.
    pub fn hash(&self) -> &str {
        self.request
            .config
            .labels
            .get(HASH)
            .map_or("", String::as_str)
    }

    /// Whether a container with these labels was made from this very definition.
    pub fn has_hash(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(HASH).is_some_and(|hash| hash == self.hash())
    }
}

/// Plans all `services`; `rancher` has what they refer to: variables, proxies and accounts.
///
/// A service without an image is left out with an error; unknown names in ordering labels and broken cycles are
/// reported and cost only that edge.
pub fn plan(services: &BTreeMap<String, Service>, rancher: &Rancher) -> Plan {
    let mut problems = Vec::new();
    let mut requests = BTreeMap::new();
    let around = Around {
        variables: environment::variables(rancher),
        services,
    };
    for (name, service) in services {
        let converted = convert::create_request(name, service, &around);
        problems.extend(converted.problems);
        if let Some(request) = converted.request {
            requests.insert(name.clone(), request);
        }
    }
    let mut edges = edges(services, &requests, &mut problems);
    let (names, cycles) = order(&mut edges);
    for cycle in cycles {
        problems.push(cycle_problem(services, &cycle));
    }
    let steps = names
        .into_iter()
        .filter_map(|name| {
            let service = services.get(&name)?;
            let request = requests.remove(&name)?;
            let after = edges
                .remove(&name)
                .unwrap_or_default()
                .into_iter()
                .collect();
            let account = Account::of(&request.config.image, &rancher.registry_auths);
            let step = step(name, service, request, after);
            Some(Step { account, ..step })
        })
        .collect();
    Plan { steps, problems }
}

fn step(name: String, service: &Service, mut request: CreateRequest, after: Vec<String>) -> Step {
    let hash = definition_hash(&request);
    request.config.labels.insert(HASH.to_owned(), hash);
    Step {
        container_name: service
            .container_name
            .clone()
            .unwrap_or_else(|| name.clone()),
        at: place(service),
        scope: if service.is_system() {
            Scope::System
        } else {
            Scope::User
        },
        after,
        wait_for_exit: service.waits_for_exit(),
        create_only: service.is_create_only(),
        reloads_config: service.reloads_config(),
        rebuild: match service.label(REBUILD) {
            Some("always") => Rebuild::Always,
            Some("false") => Rebuild::Never,
            _ => Rebuild::OnChange,
        },
        request,
        account: None,
        name,
    }
}

/// SHA-256 of the request as JSON, whose keys are in a fixed order.
fn definition_hash(request: &CreateRequest) -> String {
    let json = serde_json::to_vec(request).unwrap_or_default();
    Sha256::digest(&json)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn place(service: &Service) -> Location {
    service.at.clone().unwrap_or_else(Location::built_in)
}

fn edges(
    services: &BTreeMap<String, Service>,
    requests: &BTreeMap<String, CreateRequest>,
    problems: &mut Vec<Problem>,
) -> Edges {
    let mut edges: Edges = requests
        .keys()
        .map(|name| (name.clone(), BTreeSet::new()))
        .collect();
    for (name, service) in services
        .iter()
        .filter(|(name, _)| requests.contains_key(*name))
    {
        let mut named = |label: &str, other: &str| {
            let known = services.contains_key(other);
            if !known {
                let message =
                    format!("{label} names {other:?}, which is not a service; it is ignored");
                problems.push(Problem::warning(&place(service), path(name), message));
            }
            known && requests.contains_key(other)
        };
        let after = service.label_list(AFTER).into_iter();
        let after = after.map(|other| (format!("label {AFTER}"), other));
        let dependencies = service.dependencies().into_iter();
        let dependencies = dependencies.map(|other| ("depends_on".to_owned(), other));
        for (by, other) in after.chain(dependencies) {
            if named(&by, other) {
                edges
                    .entry(name.clone())
                    .or_default()
                    .insert(other.to_owned());
            }
        }
        for other in service.label_list(BEFORE) {
            if named(&format!("label {BEFORE}"), other) {
                edges
                    .entry(other.to_owned())
                    .or_default()
                    .insert(name.clone());
            }
        }
        for other in implicit(name, service) {
            if requests.contains_key(&other) {
                edges.entry(name.clone()).or_default().insert(other);
            }
        }
    }
    edges
}

/// Services whose namespaces, volumes or function this one uses.
fn implicit(name: &str, service: &Service) -> Vec<String> {
    let mut others: Vec<String> = service
        .volumes_from
        .iter()
        .chain(&service.links)
        .map(|entry| entry.strip_prefix("container:").unwrap_or(entry))
        .map(|entry| entry.split(':').next().unwrap_or("").to_owned())
        .collect();
    let modes = [
        service.network(),
        service.pid.as_deref(),
        service.ipc.as_deref(),
    ];
    others.extend(modes.into_iter().flatten().filter_map(|mode| {
        let other = mode
            .strip_prefix("container:")
            .or_else(|| mode.strip_prefix("service:"))?;
        Some(other.to_owned())
    }));
    if !service.is_system() {
        others.push(DOCKER.to_owned());
    }
    if service.logs_by() == Some("syslog") {
        others.push(SYSLOG.to_owned());
    }
    others.retain(|other| other != name);
    others
}

fn cycle_problem(services: &BTreeMap<String, Service>, cycle: &[String]) -> Problem {
    let first = cycle.first().map_or("", String::as_str);
    let at = services.get(first).map_or_else(Location::built_in, place);
    let mut round = cycle.join(" after ");
    if cycle.len() > 1 && cycle.first() != cycle.last() {
        round = format!("{round} after {first}");
    }
    let second = cycle.get(1).map_or(first, String::as_str);
    let message = format!(
        "services wait for each other: {round}; {first} starts without waiting for {second}"
    );
    Problem::error(&at, path(first), message)
}

#[cfg(test)]
mod tests;
