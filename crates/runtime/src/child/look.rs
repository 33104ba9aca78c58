//! Looking at paths of the machine that a request names: done in its own process, because a file system may never
//! answer (a server of FUSE or NFS that is gone), and whoever asks it waits.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Engine, Role};
use crate::error::Result;
use crate::protocol::{Found, LookAt, Report};

pub(super) fn run(engine: &Engine, paths: &[LookAt]) -> Result<Role> {
    for wanted in paths {
        engine.report(&Report::Found(look(wanted)), &[])?;
    }
    Ok(Role::Helper)
}

/// Reads files: one that cannot be read is an empty one.
pub(super) fn read(engine: &Engine, paths: &[String]) -> Result<Role> {
    for path in paths {
        let content = fs::read(path).unwrap_or_default();
        engine.parts(&content)?;
    }
    Ok(Role::Helper)
}

fn look(wanted: &LookAt) -> Found {
    let path = Path::new(&wanted.path);
    let failed = |error: std::io::Error| {
        let error = sys::Error::new("", error).to_string();
        Found::Failed(error.trim_start_matches(": ").to_owned())
    };
    match fs::metadata(path) {
        Ok(_) => Found::There,
        Err(error) if error.kind() != ErrorKind::NotFound => failed(error),
        Err(_) if !wanted.make => Found::Missing,
        Err(_) => fs::create_dir_all(path).map_or_else(failed, |()| Found::There),
    }
}
