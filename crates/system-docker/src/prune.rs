//! The prunes: each asks before it removes anything, as docker's do, and shows what is gone.

use std::io::{BufRead, Write};

use engine_api::{Client, Filters, units};

use super::arguments::{Prune, PruneAll, PruneSystem};
use super::filters;

/// `container prune`
pub(super) async fn containers(client: &Client, options: &Prune) -> anyhow::Result<()> {
    confirm("container prune", options, &["all stopped containers"])?;
    let space = remove_containers(client, &filters(&options.filters)?).await?;
    total(space);
    Ok(())
}

/// `image prune`
pub(super) async fn images(client: &Client, options: &PruneAll) -> anyhow::Result<()> {
    confirm("image prune", &options.prune, &[images_meant(options.all)])?;
    let filters = filters(&options.prune.filters)?;
    let space = remove_images(client, filters, options.all).await?;
    total(space);
    Ok(())
}

/// `network prune`
pub(super) async fn networks(client: &Client, options: &Prune) -> anyhow::Result<()> {
    confirm(
        "network prune",
        options,
        &["all networks not used by at least one container"],
    )?;
    remove_networks(client, &filters(&options.filters)?).await
}

/// `volume prune`
pub(super) async fn volumes(client: &Client, options: &PruneAll) -> anyhow::Result<()> {
    confirm(
        "volume prune",
        &options.prune,
        &[volumes_meant(options.all)],
    )?;
    let filters = filters(&options.prune.filters)?;
    let space = remove_volumes(client, filters, options.all).await?;
    total(space);
    Ok(())
}

/// `system prune`
pub(super) async fn system(client: &Client, options: &PruneSystem) -> anyhow::Result<()> {
    let filters = filters(&options.images.prune.filters)?;
    // Refused before anything is gone: a volume has no such time.
    if options.volumes && filters.contains("until") {
        anyhow::bail!("the \"until\" filter is not supported with \"--volumes\"");
    }
    let mut meant = vec![
        "all stopped containers",
        "all networks not used by at least one container",
        images_meant(options.images.all),
    ];
    if options.volumes {
        meant.push(volumes_meant(false));
    }
    confirm("system prune", &options.images.prune, &meant)?;
    let mut space = remove_containers(client, &filters).await?;
    remove_networks(client, &filters).await?;
    if options.volumes {
        space += remove_volumes(client, filters.clone(), false).await?;
    }
    space += remove_images(client, filters, options.images.all).await?;
    total(space);
    Ok(())
}

fn images_meant(all: bool) -> &'static str {
    if all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    }
}

fn volumes_meant(all: bool) -> &'static str {
    if all {
        "all local volumes not used by at least one container"
    } else {
        "anonymous local volumes not used by at least one container"
    }
}

/// Returns when the answer is yes, or was given by `--force`.
///
/// # Errors
/// When it is anything else: docker's exit code for a prune that is not wanted is 1.
fn confirm(verb: &str, options: &Prune, meant: &[&str]) -> anyhow::Result<()> {
    if options.force {
        return Ok(());
    }
    println!("WARNING! This will remove:");
    meant.iter().for_each(|what| println!("  - {what}"));
    print!("\nAre you sure you want to continue? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        return Ok(());
    }
    anyhow::bail!("{verb} has been cancelled")
}

async fn remove_containers(client: &Client, filters: &Filters) -> anyhow::Result<u64> {
    let report = client.containers_prune(filters).await?;
    list("Containers", report.containers_deleted);
    Ok(report.space_reclaimed)
}

async fn remove_images(client: &Client, mut filters: Filters, all: bool) -> anyhow::Result<u64> {
    if all {
        filters = filters.with("dangling", "false");
    }
    let report = client.images_prune(&filters).await?;
    let mut lines = Vec::new();
    for item in report.images_deleted.unwrap_or_default() {
        if !item.untagged.is_empty() {
            lines.push(format!("untagged: {}", item.untagged));
        }
        if !item.deleted.is_empty() {
            lines.push(format!("deleted: {}", item.deleted));
        }
    }
    list("Images", Some(lines));
    Ok(report.space_reclaimed)
}

async fn remove_networks(client: &Client, filters: &Filters) -> anyhow::Result<()> {
    let report = client.networks_prune(filters).await?;
    list("Networks", report.networks_deleted);
    Ok(())
}

async fn remove_volumes(client: &Client, mut filters: Filters, all: bool) -> anyhow::Result<u64> {
    if all {
        filters = filters.with("all", "true");
    }
    let report = client.volumes_prune(&filters).await?;
    list("Volumes", report.volumes_deleted);
    Ok(report.space_reclaimed)
}

fn list(kind: &str, removed: Option<Vec<String>>) {
    let removed = removed.unwrap_or_default();
    if !removed.is_empty() {
        println!("Deleted {kind}:\n{}\n", removed.join("\n"));
    }
}

fn total(space: u64) {
    println!("Total reclaimed space: {}", units::size(space));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: PruneSystem,
    }

    /// Nobody answers on the client's socket: an error of another kind would mean that something was asked for already.
    #[test]
    fn volumes_by_age_are_refused_before_anything_is_removed() {
        let line = Line::parse_from(["prune", "--force", "--volumes", "--filter", "until=1h"]);
        let runtime = crate::event_loop().unwrap();
        let client = Client::new("/nonexistent/socket");
        let refused = runtime.block_on(system(&client, &line.options));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the \"until\" filter is not supported with \"--volumes\""
        );
    }
}
