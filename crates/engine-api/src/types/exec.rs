//! Processes started in a running container.

use crate::json::model;

model! {
    /// Body of `POST /containers/{id}/exec`.
    #[serde(rename_all = "PascalCase")]
    pub struct ExecConfig {
        /// `user[:group]`.
        pub user: String,
        /// All capabilities, no confinement.
        pub privileged: bool,
        /// Give it a terminal.
        pub tty: bool,
        /// Terminal size, `[height, width]`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<[u32; 2]>,
        /// Attach standard input.
        pub attach_stdin: bool,
        /// Attach standard error.
        pub attach_stderr: bool,
        /// Attach standard output.
        pub attach_stdout: bool,
        /// Run in the background (a client's affair).
        pub detach: bool,
        /// Keys that detach.
        pub detach_keys: String,
        /// `NAME=value`.
        pub env: Vec<String>,
        /// Working directory.
        pub working_dir: String,
        ;
        /// Command.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub cmd: Option<Vec<String>>,
    }

    /// Body of `POST /exec/{id}/start`.
    #[serde(rename_all = "PascalCase")]
    pub struct ExecStartConfig {
        /// Do not attach.
        pub detach: bool,
        /// Give it a terminal.
        pub tty: bool,
        /// Terminal size, `[height, width]`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<[u32; 2]>,
    }

    /// Answer of `GET /exec/{id}/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct ExecInspect {
        /// 64 hexadecimal digits.
        #[serde(rename = "ID")]
        pub id: String,
        /// Its process exists.
        pub running: bool,
        /// Exit code; null while it runs.
        pub exit_code: Option<i32>,
        /// What runs.
        pub process_config: ExecProcessConfig,
        /// Standard input attached.
        pub open_stdin: bool,
        /// Standard error attached.
        pub open_stderr: bool,
        /// Standard output attached.
        pub open_stdout: bool,
        /// May be removed.
        pub can_remove: bool,
        /// Container's id.
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        /// Keys that detach.
        pub detach_keys: String,
        /// Host pid; 0 before its start.
        pub pid: i32,
    }

    /// What an exec process is.
    #[serde(rename_all = "camelCase")]
    pub struct ExecProcessConfig {
        /// Has a terminal.
        pub tty: bool,
        /// Program.
        pub entrypoint: String,
        /// Its arguments.
        pub arguments: Vec<String>,
        /// All capabilities.
        pub privileged: bool,
        /// `user[:group]`.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub user: String,
    }
}
