//! `ros service ps`: the containers of System Docker's services.

use std::process::ExitCode;

use anyhow::Context as _;
use compose::Scope;
use engine_api::{Client, ContainerSummary, Engine, Filters, Timestamp};
use serde_json::{Value, json};

use super::{docker, socket, with_flags};
use crate::cli::Format;

/// The label of these containers.
const PROJECT: &str = "com.docker.compose.project=os";

/// Prints docker's table, or the same as JSON.
///
/// # Errors
/// When System Docker does not answer.
pub(super) fn main(quiet: bool, format: Format) -> anyhow::Result<ExitCode> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(&rows(&containers()?)).context("not JSON")?;
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let filter = format!("label={PROJECT}");
    let words = ["ps", "--all", "--filter", &filter];
    let words = with_flags(&words, &[(quiet, "--quiet")]);
    Ok(docker(Scope::System, &words))
}

fn containers() -> anyhow::Result<Vec<ContainerSummary>> {
    let runtime = system_docker::event_loop()?;
    let filters = Filters::default().with("label", PROJECT);
    let client = Client::new(socket(Scope::System));
    let listed = runtime.block_on(Engine::container_list(&client, true, &filters));
    listed.context("cannot list the containers of services")
}

/// The columns of the table, with nothing cut off.
fn rows(containers: &[ContainerSummary]) -> Value {
    let row = |container: &ContainerSummary| {
        let names = container.names.iter();
        let names: Vec<&str> = names.map(|name| name.trim_start_matches('/')).collect();
        let ports = container.ports.iter().map(|port| {
            json!({
                "ip": port.ip,
                "port": port.public_port,
                "container_port": port.private_port,
                "protocol": port.typ,
            })
        });
        json!({
            "id": container.id,
            "name": names.first(),
            "names": names,
            "image": container.image,
            "command": container.command,
            "created": Timestamp::from_unix(container.created, 0).fixed(),
            "state": container.state,
            "status": container.status,
            "ports": ports.collect::<Vec<_>>(),
        })
    };
    containers.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use engine_api::Port;

    use super::*;

    #[test]
    fn a_row_has_what_the_table_has() {
        let container = ContainerSummary {
            id: "0123456789abcdef".into(),
            names: vec!["/web".into()],
            image: "nginx:1".into(),
            command: "nginx -g 'daemon off;' and more".into(),
            created: 86_400,
            state: "running".into(),
            status: "Up 3 minutes".into(),
            ports: vec![Port {
                ip: "0.0.0.0".into(),
                private_port: 80,
                public_port: Some(8080),
                typ: "tcp".into(),
            }],
            ..ContainerSummary::default()
        };
        let rows = rows(&[container]);
        let row = &rows[0];
        for (key, wanted) in [
            ("id", "0123456789abcdef"),
            ("name", "web"),
            ("image", "nginx:1"),
            ("command", "nginx -g 'daemon off;' and more"),
            ("state", "running"),
            ("status", "Up 3 minutes"),
        ] {
            assert_eq!(row[key], wanted, "{key}");
        }
        let created = row["created"].as_str().unwrap();
        assert!(created.starts_with("1970-01-02T00:00:00"), "{created}");
        let port = json!({"ip": "0.0.0.0", "port": 8080, "container_port": 80, "protocol": "tcp"});
        assert_eq!(row["ports"], json!([port]));
        assert_eq!(super::rows(&[]), json!([]));
    }
}
