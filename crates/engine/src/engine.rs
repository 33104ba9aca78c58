//! The engine as its callers see it. Each group of methods is in the module that does the work:
//! `container/*`, `exec`, `events`, `stats`, `storage`, `system`. The signatures, in one place:
//!
//! ```text
//! Engine::new(EngineOptions) -> Result<Engine>                        async; inside a LocalSet
//! shutdown(Vec<String>, Duration) -> Vec<String>                      async; names to stop last..first; errors collected
//! images() -> &Images   volumes() -> &Volumes   networks() -> &Networks
//!
//! version() -> SystemVersion                                          sync
//! info() -> Result<SystemInfo>                                        async
//! disk_usage() -> Result<DiskUsage>                                   async
//! events(EventsQuery) -> mpsc::Receiver<EventMessage>                 sync
//!
//! containers_list(ListOptions) -> Result<Vec<ContainerSummary>>       async, as all below unless noted
//! container_create(Option<&str>, CreateRequest) -> Result<ContainerCreateResponse>
//! container_inspect(&str, size: bool) -> Result<ContainerInspect>
//! container_top(&str, ps_args: &str) -> Result<ContainerTop>
//! container_logs(&str, LogsOptions) -> Result<LogSession>
//! container_changes(&str) -> Result<Vec<engine_api::FilesystemChange>>
//! container_export(&str) -> Result<ByteStream>
//! container_stats(&str, stream: bool, one_shot: bool) -> Result<mpsc::Receiver<Stats>>
//! container_resize(&str, height: u16, width: u16) -> Result<()>
//! container_start(&str, detach_keys: Option<&str>) -> Result<()>      Err(not_modified) when it runs
//! container_stop(&str, signal: Option<&str>, timeout: Option<i64>) -> Result<()>   Err(not_modified) when stopped; -1: no limit
//! container_restart(&str, signal: Option<&str>, timeout: Option<i64>) -> Result<()>
//! container_kill(&str, signal: Option<&str>) -> Result<()>
//! container_update(&str, ContainerUpdate) -> Result<Vec<String>>      warnings
//! container_rename(&str, new: &str) -> Result<()>
//! container_pause(&str) -> Result<()>     container_unpause(&str) -> Result<()>
//! container_attach(&str, AttachOptions) -> Result<AttachSession>
//! container_wait(&str, WaitCondition) -> Result<LocalBoxFuture<'static, Result<WaitResponse>>>   sync; send the headers, then await
//! container_remove(&str, RemoveOptions) -> Result<()>
//! containers_prune(&Filters) -> Result<ContainersPruneReport>
//! archive_stat(&str, path: &str) -> Result<engine_api::PathStat>
//! archive_get(&str, path: &str) -> Result<(PathStat, ByteStream)>
//! archive_put(&str, ArchivePutOptions, ByteStream) -> Result<()>
//!
//! exec_create(&str, ExecConfig) -> Result<String>                     the exec's id
//! exec_start(&str, ExecStartConfig) -> Result<Option<AttachSession>>  none when detached
//! exec_resize(&str, height: u16, width: u16) -> Result<()>
//! exec_inspect(&str) -> Result<ExecInspect>
//! ```
