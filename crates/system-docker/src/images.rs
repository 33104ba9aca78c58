//! The verbs about images.

use engine_api::client::{CommitQuery, JsonLines};
use engine_api::{Client, HistoryItem, ImageSummary, ProgressMessage, Timestamp, units};

use super::arguments::{Commit, History, Images, Pull, Rmi};
use super::containers::since;
use super::listing::{self, Row, Show, row};
use super::{credentials, filters, table};

/// What docker shows in place of a name or tag that is not there.
const NONE: &str = "<none>";

/// `images`
pub(crate) async fn list(client: &Client, options: &Images) -> anyhow::Result<()> {
    let mut filters = filters(&options.filters)?;
    if let Some(repository) = &options.repository {
        filters = filters.with("reference", repository);
    }
    let images = client.image_list(options.all, &filters).await?;
    let rows: Vec<Row> = images
        .iter()
        .flat_map(|image| rows(image, options.no_trunc))
        .collect();
    let columns = [
        ("REPOSITORY", "Repository"),
        ("TAG", "Tag"),
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
    ];
    listing::print(
        &rows,
        &columns,
        &Show {
            only: options.quiet.then_some("ID"),
            format: options.format.as_deref(),
        },
    )
}

/// One row a tag; an image without any has one row.
fn rows(image: &ImageSummary, whole: bool) -> Vec<Row> {
    let id = if whole {
        image.id.clone()
    } else {
        table::short_id(&image.id)
    };
    let digest = image
        .repo_digests
        .first()
        .and_then(|name| name.split_once('@'))
        .map_or(NONE, |(_, digest)| digest);
    let names: Vec<&str> = match image.repo_tags.as_slice() {
        [] => vec!["<none>:<none>"],
        tags => tags.iter().map(String::as_str).collect(),
    };
    names
        .into_iter()
        .map(|name| {
            let (repository, tag) = name.rsplit_once(':').unwrap_or((name, NONE));
            row([
                ("Repository", repository.to_owned()),
                ("Tag", tag.to_owned()),
                ("Digest", digest.to_owned()),
                ("ID", id.clone()),
                ("CreatedAt", units::utc(image.created)),
                ("CreatedSince", format!("{} ago", since(image.created))),
                ("Size", units::size(u64::try_from(image.size).unwrap_or(0))),
            ])
        })
        .collect()
}

/// `history`
pub(crate) async fn history(client: &Client, options: &History) -> anyhow::Result<()> {
    let steps = client.image_history(&options.image).await?;
    let rows: Vec<Row> = steps.iter().map(|step| step_row(step, options)).collect();
    let created = match options.human {
        true => ("CREATED", "CreatedSince"),
        false => ("CREATED AT", "CreatedAt"),
    };
    let columns = [
        ("IMAGE", "ID"),
        created,
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ];
    let show = Show {
        only: options.quiet.then_some("ID"),
        format: options.format.as_deref(),
    };
    listing::print(&rows, &columns, &show)
}

fn step_row(step: &HistoryItem, options: &History) -> Row {
    let whole = options.no_trunc || step.id == "<missing>";
    let id = match whole {
        true => step.id.clone(),
        false => table::short_id(&step.id),
    };
    let by = match options.no_trunc {
        true => step.created_by.clone(),
        false => table::ellipsis(&step.created_by, 45),
    };
    let size = match options.human {
        true => units::size(u64::try_from(step.size).unwrap_or(0)),
        false => step.size.to_string(),
    };
    row([
        ("ID", id),
        (
            "CreatedAt",
            Timestamp::from_unix(step.created, 0).to_string(),
        ),
        ("CreatedSince", format!("{} ago", since(step.created))),
        ("CreatedBy", by),
        ("Size", size),
        ("Comment", step.comment.clone()),
    ])
}

/// `pull`
pub(crate) async fn pull(client: &Client, options: &Pull) -> anyhow::Result<()> {
    let image = if options.all_tags {
        options.image.clone()
    } else {
        with_tag(&options.image)
    };
    if image != options.image && !options.quiet {
        println!("Using default tag: latest");
    }
    let auth = credentials::for_image(&image)?;
    let messages = client
        .image_create(&image, options.platform.as_deref(), auth.as_ref())
        .await?;
    progress(messages, options.quiet).await?;
    println!("{}", whole_name(&image));
    Ok(())
}

/// The reference with a tag: without one the engine pulls every tag that the repository has.
pub(crate) fn with_tag(image: &str) -> String {
    // A colon before the last slash belongs to the registry's port.
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    if name.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// The reference with the registry and library that Docker leaves out.
pub(super) fn whole_name(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// `rmi`
pub(crate) async fn remove(client: &Client, options: &Rmi) -> anyhow::Result<()> {
    for image in &options.images {
        for item in client
            .image_remove(image, options.force, options.no_prune)
            .await?
        {
            if !item.untagged.is_empty() {
                println!("Untagged: {}", item.untagged);
            }
            if !item.deleted.is_empty() {
                println!("Deleted: {}", item.deleted);
            }
        }
    }
    Ok(())
}

/// `tag`
pub(crate) async fn tag(client: &Client, source: &str, target: &str) -> anyhow::Result<()> {
    let (repository, tag) = repository_and_tag(target);
    let tag = tag.unwrap_or("latest");
    Ok(client.image_tag(source, repository, tag).await?)
}

/// `REPOSITORY[:TAG]`.
pub(super) fn repository_and_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

/// `commit`
pub(super) async fn commit(client: &Client, options: &Commit) -> anyhow::Result<()> {
    let name = options.name.as_deref().unwrap_or_default();
    let (repository, tag) = repository_and_tag(name);
    let query = CommitQuery {
        repository: repository.to_owned(),
        tag: tag.unwrap_or_default().to_owned(),
        comment: options.message.clone(),
        author: options.author.clone(),
        pause: options.pause,
        changes: options.changes.clone(),
        ..CommitQuery::default()
    };
    let made = client.container_commit(&options.container, &query).await?;
    println!("{}", made.id);
    Ok(())
}

/// Shows a transfer line by line: what changes many times a second only when it has ended.
///
/// # Errors
/// With the engine's own words when the transfer failed.
pub(crate) async fn progress(
    mut messages: JsonLines<ProgressMessage>,
    quiet: bool,
) -> anyhow::Result<()> {
    while let Some(message) = messages.next().await? {
        if !message.error.is_empty() {
            anyhow::bail!("{}", message.error);
        }
        print!("{}", message.stream);
        let moves = message
            .progress_detail
            .as_ref()
            .is_some_and(|detail| detail.total > 0);
        if message.status.is_empty() || moves || quiet {
            continue;
        }
        match message.id.as_str() {
            "" => println!("{}", message.status),
            id => println!("{id}: {}", message.status),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_is_pulled_and_named_in_full() {
        for (image, tagged, whole) in [
            (
                "busybox",
                "busybox:latest",
                "docker.io/library/busybox:latest",
            ),
            ("a/b:1", "a/b:1", "docker.io/a/b:1"),
            ("host:5000/a", "host:5000/a:latest", "host:5000/a:latest"),
            ("a@sha256:0", "a@sha256:0", "docker.io/library/a@sha256:0"),
        ] {
            assert_eq!(with_tag(image), tagged);
            assert_eq!(whole_name(tagged), whole);
        }
    }
}
