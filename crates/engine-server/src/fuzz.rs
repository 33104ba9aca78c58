//! Entry points of the fuzz targets in `crates/fuzz` that need what is private here. Compiled for tests and with the feature
//! `fuzz`, never into the program.
//!
//! Each takes any bytes and must return: a panic is a defect of PID 1.

use engine_api::{
    ContainerUpdate, ExecConfig, ExecStartConfig, NetworkConnect, NetworkCreate, NetworkDisconnect,
    VolumeCreate,
};

use super::query::Query;
use super::{call, containers};

/// Bodies of the API, to types and through what validation needs no engine. The first byte chooses the kind.
pub fn body(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 8 {
        0..=2 => {
            if let Ok(request) = containers::create_request(Some(data)) {
                engine::fuzz::create(request);
            }
        }
        3 => drop(call::parse::<ExecConfig>(data)),
        4 => drop(call::parse::<ExecStartConfig>(data)),
        5 => drop(call::parse::<ContainerUpdate>(data)),
        6 => {
            drop(call::parse::<NetworkConnect>(data));
            drop(call::parse::<NetworkDisconnect>(data));
            drop(call::parse::<VolumeCreate>(data));
        }
        _ => {
            if let Ok(request) = call::parse::<NetworkCreate>(data) {
                engine::fuzz::network(&request);
            }
        }
    }
}

/// Reads a query in every way that a handler does.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(query) = Query::parse(text) else {
        return;
    };
    drop(query.filters());
    for key in ["all", "since", "until", "limit", "tail", "name", "t"] {
        let _ = query.flag(key);
        drop((query.time(key), query.number::<i64>(key), query.all(key)));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("body", super::body);
        corpus::replay("query", super::query);
    }
}
