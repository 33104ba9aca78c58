//! The engine's side.
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{CreateRequest, Error, ExecRequest, Process, Result, Runtime};

/// How the runtime starts its children.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The program that calls [`super::main`].
    pub program: PathBuf,
    /// Its arguments before `create` or `exec`.
    pub arguments: Vec<String>,
}

impl Default for RuntimeOptions {
    fn default() -> RuntimeOptions {
        RuntimeOptions { program: PathBuf::from("/proc/self/exe"), arguments: vec!["runtime".to_owned()] }
    }
}

#[derive(Debug)]
pub(super) struct Control(#[allow(dead_code)] OwnedFd);

/// The runtime of this crate.
#[derive(Debug, Clone, Default)]
pub struct NativeRuntime {
    #[allow(dead_code)]
    options: RuntimeOptions,
}

impl NativeRuntime {
    /// A runtime with these options.
    #[must_use]
    pub fn new(options: RuntimeOptions) -> NativeRuntime {
        NativeRuntime { options }
    }
}

impl Runtime for NativeRuntime {
    async fn create(&self, _request: CreateRequest<'_>) -> Result<Process> {
        Err(Error::other("not yet"))
    }
    async fn start(&self, _process: &mut Process) -> Result<()> {
        Err(Error::other("not yet"))
    }
    async fn exec(&self, _request: ExecRequest<'_>) -> Result<Process> {
        Err(Error::other("not yet"))
    }
    async fn delete(&self, _cgroup: &Path) -> Result<()> {
        Err(Error::other("not yet"))
    }
}
