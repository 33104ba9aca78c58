//! `inspect`, of whatever has the name.

use anyhow::bail;
use engine_api::Client;
use serde_json::Value;

use super::arguments::Inspect;
use super::template::Template;

/// The order in which docker tries the kinds.
const KINDS: [&str; 4] = ["container", "image", "network", "volume"];

/// Shows all details of each name; of one kind only when `kind` or `--type` says so.
pub(crate) async fn inspect(
    client: &Client,
    options: &Inspect,
    kind: Option<&str>,
) -> anyhow::Result<()> {
    let template = options
        .format
        .as_deref()
        .filter(|format| *format != "json")
        .map(Template::parse)
        .transpose()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &options.names {
        match find(client, name, kind.or(options.kind.as_deref()), options.size).await? {
            Some(value) => found.push(value),
            None => missing.push(format!(
                "Error: No such {}: {name}",
                kind.or(options.kind.as_deref()).unwrap_or("object")
            )),
        }
    }
    match template {
        Some(template) => {
            for value in &found {
                println!("{}", template.render(value)?);
            }
        }
        None => println!("{}", serde_json::to_string_pretty(&Value::Array(found))?),
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{}", missing.join("\n"))
}

async fn find(
    client: &Client,
    name: &str,
    kind: Option<&str>,
    size: bool,
) -> anyhow::Result<Option<Value>> {
    for candidate in KINDS
        .into_iter()
        .filter(|candidate| kind.is_none_or(|kind| kind == *candidate))
    {
        let result = match candidate {
            "container" => client
                .container_inspect(name, size)
                .await
                .map(serde_json::to_value),
            "image" => client.image_inspect(name).await.map(serde_json::to_value),
            "network" => client.network_inspect(name).await.map(serde_json::to_value),
            _ => client.volume_inspect(name).await.map(serde_json::to_value),
        };
        match result {
            Ok(value) => return Ok(Some(value?)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
