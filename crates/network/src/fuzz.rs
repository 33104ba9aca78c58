//! Entry points of the fuzz targets in `crates/fuzz` that need what is private here. Compiled for tests and with the feature
//! `fuzz`, never into the program.
//!
//! Each takes anything and must return: a panic is a defect of PID 1.

use engine_api::NetworkCreate;

use crate::dns::message::{Malformed, Query, Record, ResponseCode, UDP_MAX, refusal};
use crate::{AttachRequest, create, ports};

/// What `network create` checks before it asks the kernel for anything.
pub fn create(request: &NetworkCreate) {
    if let Ok(record) = create::fuzz_plan(request) {
        let _ = record.subnets();
    }
}

/// The ports of a container.
pub fn wishes(request: &AttachRequest) {
    let _ = ports::wishes(
        &request.port_bindings,
        &request.exposed_ports,
        request.publish_all,
    );
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("dns", super::dns);
    }
}
