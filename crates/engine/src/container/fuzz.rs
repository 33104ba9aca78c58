//! What [`crate::fuzz`] needs of container create.

use std::collections::BTreeMap;

use engine_api::Timestamp;
use network::NetworkMode;

use engine_api::{ContainerConfig, CreateRequest};

use super::create::{self, logging, merge, validate};
use super::networks::ports;
use super::record::Record;
use super::stop::signals;
use super::{mounts, state};

/// The record of a request that passes validation.
pub(crate) fn record(mut request: CreateRequest) -> Option<Record> {
    drop(validate::config(&request.config).ok()?);
    drop(validate::host(&mut request.host_config).ok()?);
    crate::spec::choose_capabilities(&request.host_config).ok()?;
    let image = ContainerConfig {
        cmd: Some(vec!["sh".to_owned()]),
        ..ContainerConfig::default()
    };
    merge::complete(&mut request.config, &image).ok()?;
    ports::parse_bindings(&request.host_config.port_bindings).ok()?;
    let attach = create::attach_request(
        &request.config,
        &request.host_config,
        &request.networking_config.endpoints_config,
    );
    network::fuzz::wishes(&attach);
    let _ = NetworkMode::parse(&attach.network_mode);
    let _ = signals::parse(&request.config.stop_signal);
    let _ = logging::limits(&request.host_config.log_config);
    let _ = logging::attributes(&request.host_config.log_config, &request.config);
    let mounts = mounts::collect(&request.config, &request.host_config, Vec::new()).ok()?;
    let (path, args) = merge::command_line(&request.config);
    Some(Record {
        version: Record::version(),
        id: "f".repeat(64),
        name: "fuzz".to_owned(),
        created: Timestamp::now(),
        image_id: String::new(),
        layers: Vec::new(),
        path,
        args,
        config: request.config,
        host_config: request.host_config,
        endpoints: BTreeMap::new(),
        mounts,
        state: state::State::default(),
        restart_count: 0,
        manually_stopped: false,
        start_order: 0,
        health: None,
    })
}
