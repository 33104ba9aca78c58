//! The verbs that move whole archives: export, save, load and import.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};

use anyhow::{Context, bail};
use bytes::Bytes;
use engine_api::Client;
use engine_api::body::Body;
use engine_api::client::{ByteStream, ImportQuery};
use tokio::sync::mpsc;

use super::arguments::{Archive, Import, Load, Save};
use super::images;

/// Read at once from a file.
const BUFFER_BYTES: usize = 64 << 10;
/// Pieces on their way to the engine.
const DEPTH: usize = 4;

/// `export`
pub(crate) async fn export(client: &Client, options: &Archive) -> anyhow::Result<()> {
    let archive = client.container_export(&options.container).await?;
    receive(archive, options.output.as_deref()).await
}

/// `save`
pub(crate) async fn save(client: &Client, options: &Save) -> anyhow::Result<()> {
    let names: Vec<&str> = options.images.iter().map(String::as_str).collect();
    receive(client.image_save(&names).await?, options.output.as_deref()).await
}

/// `load`
pub(crate) async fn load(client: &Client, options: &Load) -> anyhow::Result<()> {
    let archive: Box<dyn Read + Send> = match &options.input {
        Some(path) => Box::new(File::open(path).with_context(|| format!("cannot open {path}"))?),
        None if std::io::stdin().is_terminal() => {
            bail!("name a file with -i, or send the archive to standard input")
        }
        None => Box::new(std::io::stdin()),
    };
    images::progress(client.image_load(body(archive)).await?, options.quiet).await
}

/// `import`
pub(crate) async fn import(client: &Client, options: &Import) -> anyhow::Result<()> {
    let source = options.source.as_str();
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let archive = match source {
        _ if is_url => Body::Empty,
        "-" => body(Box::new(std::io::stdin())),
        path => {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            body(Box::new(file))
        }
    };
    let name = options.name.as_deref().unwrap_or_default();
    let (repository, tag) = images::repository_and_tag(name);
    let query = ImportQuery {
        source: if is_url { source } else { "-" }.to_owned(),
        repository: repository.to_owned(),
        tag: tag.unwrap_or_default().to_owned(),
        message: options.message.clone(),
        changes: options.changes.clone(),
        platform: options.platform.clone(),
    };
    images::progress(client.image_import(&query, archive).await?, false).await
}

/// Writes an archive to a file, or to standard output unless that is a terminal.
pub(crate) async fn receive(mut archive: ByteStream, output: Option<&str>) -> anyhow::Result<()> {
    let mut file: Box<dyn Write> = match output {
        Some(path) => {
            Box::new(File::create(path).with_context(|| format!("cannot create {path}"))?)
        }
        None if std::io::stdout().is_terminal() => {
            bail!("refusing to write an archive to a terminal: name a file with -o")
        }
        None => Box::new(std::io::stdout()),
    };
    while let Some(piece) = archive.next().await? {
        file.write_all(&piece).context("cannot write the archive")?;
    }
    file.flush().context("cannot write the archive")
}

/// A body that is read from a file while it is sent.
#[must_use]
pub fn body(mut archive: Box<dyn Read + Send>) -> Body {
    let (sender, receiver) = mpsc::channel(DEPTH);
    std::thread::spawn(move || {
        loop {
            let mut buffer = vec![0; BUFFER_BYTES];
            let piece = match archive.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    buffer.truncate(count);
                    Ok(Bytes::from(buffer))
                }
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    Body::Stream(receiver)
}
