//! `system df`: what takes disk space, and how much of it nobody uses.

use engine_api::units::precise_size;
use engine_api::{Client, DiskUsage};

use super::arguments::Formatted;
use super::listing::{self, Row, Show, row};

/// States of a container that is used.
const ACTIVE: [&str; 3] = ["running", "paused", "restarting"];

/// `system df`
pub(crate) async fn show(client: &Client, options: &Formatted) -> anyhow::Result<()> {
    let columns = [
        ("TYPE", "Type"),
        ("TOTAL", "TotalCount"),
        ("ACTIVE", "Active"),
        ("SIZE", "Size"),
        ("RECLAIMABLE", "Reclaimable"),
    ];
    let show = Show {
        only: None,
        format: options.format.as_deref(),
    };
    listing::print(&rows(&client.disk_usage().await?), &columns, &show)
}

/// Docker's rows and its sums: of an image that is used, layers that others have too count as reclaimable.
fn rows(usage: &DiskUsage) -> [Row; 4] {
    let images = &usage.images;
    let used = images.iter().filter(|image| image.containers != 0);
    let known = used
        .clone()
        .filter(|image| image.size >= 0 && image.shared_size >= 0);
    let own: i64 = known.map(|image| image.size - image.shared_size).sum();

    let containers = &usage.containers;
    let size_of = |active: Option<bool>| -> i64 {
        let wanted = containers.iter().filter(|container| {
            active.is_none_or(|active| ACTIVE.contains(&container.state.as_str()) == active)
        });
        wanted.filter_map(|container| container.size_rw).sum()
    };
    let active = containers
        .iter()
        .filter(|container| ACTIVE.contains(&container.state.as_str()));

    let volumes: Vec<_> = usage
        .volumes
        .iter()
        .filter_map(|volume| volume.usage_data.as_ref())
        .collect();
    let idle = volumes.iter().filter(|usage| usage.ref_count == 0);
    let bytes: i64 = volumes.iter().map(|usage| usage.size.max(0)).sum();
    [
        kind(
            "Images",
            images.len(),
            used.count(),
            usage.layers_size,
            usage.layers_size - own,
        ),
        kind(
            "Containers",
            containers.len(),
            active.count(),
            size_of(None),
            size_of(Some(false)),
        ),
        kind(
            "Local Volumes",
            usage.volumes.len(),
            volumes.iter().filter(|usage| usage.ref_count > 0).count(),
            bytes,
            idle.map(|usage| usage.size.max(0)).sum(),
        ),
        // There is none: building is User Docker's.
        kind("Build Cache", 0, 0, 0, 0),
    ]
}

fn kind(name: &str, total: usize, active: usize, size: i64, reclaimable: i64) -> Row {
    let words = |bytes: i64| precise_size(u64::try_from(bytes).unwrap_or(0));
    let share = match size {
        ..=0 => String::new(),
        size => format!(" ({}%)", reclaimable * 100 / size),
    };
    row([
        ("Type", name.to_owned()),
        ("TotalCount", total.to_string()),
        ("Active", active.to_string()),
        ("Size", words(size)),
        ("Reclaimable", words(reclaimable) + &share),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_reclaimable_as_docker_counts_it() {
        let usage: DiskUsage = serde_json::from_value(serde_json::json!({
            "LayersSize": 1000,
            "Images": [
                {"Id": "a", "Size": 600, "SharedSize": 100, "Containers": 1},
                {"Id": "b", "Size": 400, "SharedSize": 100, "Containers": 0},
            ],
            "Containers": [
                {"Id": "c", "State": "running", "SizeRw": 30},
                {"Id": "d", "State": "exited", "SizeRw": 10},
            ],
            "Volumes": [
                {"Name": "e", "UsageData": {"RefCount": 1, "Size": 5}},
                {"Name": "f", "UsageData": {"RefCount": 0, "Size": 15}},
            ],
        }))
        .unwrap();
        let shown = listing::text(
            &rows(&usage),
            &[],
            &Show {
                only: None,
                format: Some("{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}"),
            },
        );
        assert_eq!(
            shown.unwrap(),
            "Images: 2 1 1kB 500B (50%)\nContainers: 2 1 40B 10B (25%)\nLocal Volumes: 2 1 20B 15B (75%)\nBuild Cache: 0 0 0B 0B\n"
        );
    }
}
