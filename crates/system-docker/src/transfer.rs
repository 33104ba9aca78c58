//! The verbs that move archives: cp, export, save and load.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use engine_api::Client;
use engine_api::body::Body;
use engine_api::client::{ByteStream, ImportQuery};
use tokio::sync::mpsc;

use super::arguments::{Archive, Cp, Import, Load, Save};
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

/// `cp`
pub(crate) async fn copy(client: &Client, options: &Cp) -> anyhow::Result<()> {
    match (
        container_path(&options.source),
        container_path(&options.target),
    ) {
        (Some((container, path)), None) => {
            from_container(client, container, path, &options.target).await
        }
        (None, Some((container, path))) => {
            to_container(client, &options.source, container, path).await
        }
        (Some(_), Some(_)) => bail!("copying between containers is not supported"),
        (None, None) => bail!("one of the two must be CONTAINER:PATH"),
    }
}

/// `CONTAINER:PATH`; a path that begins with `/` or `.` is local whatever colons it has.
fn container_path(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    text.split_once(':')
        .filter(|(container, _)| !container.is_empty())
}

async fn from_container(
    client: &Client,
    container: &str,
    path: &str,
    target: &str,
) -> anyhow::Result<()> {
    let (stat, archive) = client.archive_get(container, path).await?;
    if target == "-" {
        return receive(archive, None).await;
    }
    let target = Path::new(target);
    // Like cp: into a directory that exists, else under the new name.
    let (folder, name) = match target.is_dir() {
        true => (target, None),
        false => (
            target
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
            target.file_name(),
        ),
    };
    let mut command = sys::process::Command::new("tar")
        .args(["-x", "-f", "-", "-C"])
        .arg(folder);
    if let Some(name) = name {
        let rename = format!("s|^{}|{}|", stat.name, name.to_string_lossy());
        command = command.args(["--transform", &rename]);
    }
    let mut bytes = Vec::new();
    let mut archive = archive;
    while let Some(piece) = archive.next().await? {
        bytes.extend_from_slice(&piece);
    }
    tar(command.stdin(bytes)).map(drop)
}

async fn to_container(
    client: &Client,
    source: &str,
    container: &str,
    path: &str,
) -> anyhow::Result<()> {
    if source == "-" {
        return Ok(client
            .archive_put(container, path, false, body(Box::new(std::io::stdin())))
            .await?);
    }
    let source = Path::new(source);
    let parent = source
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = source
        .file_name()
        .with_context(|| format!("{} has no name", source.display()))?;
    let is_directory = client
        .archive_stat(container, path)
        .await
        .is_ok_and(|stat| stat.mode & GO_MODE_DIRECTORY != 0);
    let (folder, new_name) = match path.rsplit_once('/') {
        _ if is_directory => (path, name.to_string_lossy().into_owned()),
        Some(("", new_name)) => ("/", new_name.to_owned()),
        Some((folder, new_name)) => (folder, new_name.to_owned()),
        None => ("/", path.to_owned()),
    };
    let rename = format!("s|^{}|{new_name}|", name.to_string_lossy());
    let command = sys::process::Command::new("tar")
        .args(["-c", "-f", "-", "--transform", &rename, "-C"])
        .arg(parent)
        .arg(name);
    let archive = tar(command)?;
    Ok(client
        .archive_put(container, folder, false, Body::Full(archive.into()))
        .await?)
}

/// The bit of a directory in Go's os.FileMode, which the stat header carries.
const GO_MODE_DIRECTORY: u32 = 1 << 31;

/// Runs the machine's tar and returns its output.
fn tar(command: sys::process::Command) -> anyhow::Result<Vec<u8>> {
    let output = command.run()?;
    if output.status.code() != Some(0) {
        bail!("tar: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Writes an archive to a file, or to standard output unless that is a terminal.
async fn receive(mut archive: ByteStream, output: Option<&str>) -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::container_path;

    #[test]
    fn a_container_path_is_told_from_a_local_one() {
        assert_eq!(container_path("web:/etc"), Some(("web", "/etc")));
        for local in ["/tmp/a:b", "./a:b", "../a:b", "plain", "-", ":/x"] {
            assert_eq!(container_path(local), None, "{local}");
        }
    }
}
