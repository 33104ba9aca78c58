//! Entry points of the fuzz targets in `crates/fuzz` that need what is private here. Compiled for tests and with the feature
//! `fuzz`, never into the program.
//!
//! Each takes anything and must return: a panic is a defect of PID 1.

use engine_api::{CreateRequest, NetworkCreate};

/// What container create and start do with a request: validation, merging, ports, mounts, the specification, and the
/// filter of its system calls.
pub fn create(request: CreateRequest) {
    let Some(record) = crate::container::fuzz::record(request) else {
        return;
    };
    if let Some(seccomp) = crate::spec::fuzz_build(&record) {
        // A profile that is refused is as good as one that is taken.
        let _ = runtime::check_filter(&seccomp);
    }
}

/// What `network create` checks before it asks the kernel for anything.
pub fn network(request: &NetworkCreate) {
    network::fuzz::create(request);
}

/// A seccomp profile as in `--security-opt seccomp=`, to the filter.
pub fn seccomp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(seccomp) =
        crate::spec::seccomp_profile::parse_profile(text, &["CAP_SYS_ADMIN".to_owned()])
    {
        // A profile that is refused is as good as one that is taken.
        let _ = runtime::check_filter(&seccomp);
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
    #[test]
    fn the_corpus_is_survived() {
        corpus::replay("seccomp", super::seccomp);
        corpus::replay("log", super::log);
    }
}
