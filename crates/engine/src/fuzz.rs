//! Entry points of the fuzz targets in `crates/fuzz` that need what is private here. Compiled for fuzzing and for
//! tests, which run the corpus; never into the program.
//!
//! Each takes any bytes and must return: a panic is a defect of PID 1.

use engine_api::{
    ContainerUpdate, CreateRequest, ExecConfig, ExecStartConfig, NetworkConnect, NetworkCreate,
    NetworkDisconnect, VolumeCreate,
};

use crate::network::dns::message::{Malformed, Query, Record, ResponseCode, UDP_MAX, refusal};

/// Bodies of the API, to types and through what validation needs no engine. The first byte chooses the kind.
pub fn body(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 8 {
        0..=2 => {
            if let Ok(request) = crate::api::fuzz::create_request(data) {
                create(request);
            }
        }
        3 => drop(crate::api::fuzz::parse::<ExecConfig>(data)),
        4 => drop(crate::api::fuzz::parse::<ExecStartConfig>(data)),
        5 => drop(crate::api::fuzz::parse::<ContainerUpdate>(data)),
        6 => {
            drop(crate::api::fuzz::parse::<NetworkConnect>(data));
            drop(crate::api::fuzz::parse::<NetworkDisconnect>(data));
            drop(crate::api::fuzz::parse::<VolumeCreate>(data));
        }
        _ => {
            if let Ok(request) = crate::api::fuzz::parse::<NetworkCreate>(data) {
                crate::network::fuzz_create(&request);
            }
        }
    }
}

/// What container create and start do with a request: validation, merging, ports, mounts, the specification, and the
/// filter of its system calls.
fn create(request: CreateRequest) {
    let Some(record) = crate::container::fuzz::record(request) else {
        return;
    };
    if let Some(seccomp) = crate::spec::fuzz_build(&record) {
        // A profile that is refused is as good as one that is taken.
        let _ = runtime::check_filter(&seccomp);
    }
}

/// A seccomp profile as in `--security-opt seccomp=`, to the filter.
pub fn seccomp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(seccomp) = crate::spec::security::parse_profile(text, &["CAP_SYS_ADMIN".to_owned()]) {
        // A profile that is refused is as good as one that is taken.
        let _ = runtime::check_filter(&seccomp);
    }
}

/// Query strings, filters and times.
pub fn query(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        crate::api::fuzz::query(text);
    }
}

/// A DNS message from a container, and an answer from a server.
pub fn dns(data: &[u8]) {
    match Query::parse(data) {
        Ok(query) => {
            let address = query.reverse_address();
            let records = [
                Record::Name(query.name.clone()),
                Record::Address(address.unwrap_or([10, 0, 0, 1].into())),
            ];
            let answer = query.answer(ResponseCode::NoError, &records, UDP_MAX);
            assert!(answer.len() <= UDP_MAX);
            assert!(query.is_answered_by(&answer));
        }
        Err(Malformed::Refuse(id, code)) => assert_eq!(refusal(id, code).len(), 12),
        Err(Malformed::Ignore) => {}
    }
}

/// The log file of a container, read as `docker logs` does; the first byte is the tail.
pub fn log(data: &[u8]) {
    let Some((tail, content)) = data.split_first() else {
        return;
    };
    crate::logs::fuzz_read(*tail, content);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs a target on every file of its corpus.
    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let mut count = 0;
        for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }

    #[test]
    fn the_corpus_is_survived() {
        replay("body", super::body);
        replay("seccomp", super::seccomp);
        replay("query", super::query);
        replay("dns", super::dns);
        replay("log", super::log);
    }
}
