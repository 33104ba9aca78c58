//! Containers of the tests and what is asked of them.

use engine_api::client::LogsQuery;
use engine_api::framing::Decoder;
use engine_api::{
    ContainerConfig, ContainerInspect, CreateRequest, ExecConfig, HostConfig, RestartPolicy,
    StreamKind, Ulimit,
};

use crate::fixture::{Engine, IMAGE, until};

/// Counts on standard output, each line in two writes; every tenth also on standard error.
pub(crate) const COUNT: &str = "i=0; while :; do printf 'n '; usleep 2000; echo $i; \
     case $i in *0) echo e $i >&2;; esac; i=$((i+1)); done";

/// A container of the image that runs a script without a network.
pub(crate) fn script(text: &str) -> CreateRequest {
    CreateRequest {
        config: ContainerConfig {
            image: IMAGE.to_owned(),
            cmd: Some(["sh", "-c", text].map(str::to_owned).to_vec()),
            // A first process without a handler does not hear SIGTERM: the engine need not wait at its end.
            stop_timeout: Some(0),
            ..ContainerConfig::default()
        },
        host_config: HostConfig {
            network_mode: "none".to_owned(),
            // Where the tests run, the hard limit may be lower than the engine's default.
            ulimits: vec![Ulimit {
                name: "nofile".to_owned(),
                soft: 256,
                hard: 256,
            }],
            ..HostConfig::default()
        },
        ..CreateRequest::default()
    }
}

pub(crate) fn restarting(mut request: CreateRequest) -> CreateRequest {
    request.host_config.restart_policy = RestartPolicy {
        name: "always".to_owned(),
        maximum_retry_count: 0,
    };
    request
}

impl Engine {
    pub(crate) async fn run(&self, name: &str, request: CreateRequest) -> String {
        let created = self
            .client
            .container_create(Some(name), None, &request)
            .await;
        let id = created.unwrap().id;
        self.client.container_start(&id).await.unwrap();
        id
    }

    pub(crate) async fn inspect(&self, name: &str) -> ContainerInspect {
        self.client.container_inspect(name, false).await.unwrap()
    }

    pub(crate) async fn pid_of(&self, name: &str) -> i32 {
        self.inspect(name).await.state.pid
    }

    /// Runs a command in a container to its end; its exit code.
    pub(crate) async fn exec(&self, name: &str, command: &str) -> i32 {
        let id = self.begin_exec(name, command).await;
        self.exec_code(&id).await
    }

    pub(crate) async fn begin_exec(&self, name: &str, command: &str) -> String {
        let config = ExecConfig {
            cmd: Some(["sh", "-c", command].map(str::to_owned).to_vec()),
            attach_stdout: true,
            ..ExecConfig::default()
        };
        let id = self.client.exec_create(name, &config).await.unwrap();
        self.client.exec_start_detached(&id).await.unwrap();
        id
    }

    pub(crate) async fn exec_code(&self, id: &str) -> i32 {
        until("the exec ends", || async {
            let exec = self.client.exec_inspect(id).await.unwrap();
            exec.exit_code.filter(|_| !exec.running)
        })
        .await
    }

    /// What a container has written, standard output and standard error.
    pub(crate) async fn logs(&self, name: &str) -> (String, String) {
        let tty = self.inspect(name).await.config.tty;
        let query = LogsQuery {
            stdout: true,
            stderr: true,
            ..LogsQuery::default()
        };
        let mut stream = self.client.container_logs(name, &query).await.unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut decoder = Decoder::default();
        while let Some(bytes) = stream.next().await.unwrap() {
            if tty {
                stdout.extend_from_slice(&bytes);
                continue;
            }
            decoder.push(&bytes);
            while let Some((kind, text)) = decoder.next_frame().unwrap() {
                let to = if kind == StreamKind::Stderr {
                    &mut stderr
                } else {
                    &mut stdout
                };
                to.extend_from_slice(&text);
            }
        }
        (
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        )
    }

    /// Checks that a counting container's log has every number once, and tells how many.
    pub(crate) async fn check_count(&self, name: &str) -> usize {
        let (stdout, stderr) = self.logs(name).await;
        let mut lines: Vec<&str> = stdout.lines().collect();
        lines.pop(); // it may be half a line
        let is_stdout = |line: &&&str| !line.starts_with('e'); // a terminal has both
        let numbers = lines.iter().filter(is_stdout).enumerate();
        for (number, line) in numbers {
            assert_eq!(line.trim_end(), format!("n {number}"), "{name}");
        }
        for (number, line) in stderr.lines().enumerate() {
            assert_eq!(line, format!("e {}", number * 10), "{name}");
        }
        lines.len()
    }
}
