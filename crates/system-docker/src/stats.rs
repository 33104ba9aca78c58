//! `stats`

use engine_api::{Client, Stats, units};

use super::arguments::Stats as Options;
use super::listing::{self, Row, Show, row};
use super::table;

/// Clears the screen before the next round, as docker does.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows what containers use, again and again unless `--no-stream`.
pub(crate) async fn stats(client: &Client, options: &Options) -> anyhow::Result<()> {
    let columns = [
        ("CONTAINER ID", "ID"),
        ("NAME", "Name"),
        ("CPU %", "CPUPerc"),
        ("MEM USAGE / LIMIT", "MemUsage"),
        ("MEM %", "MemPerc"),
        ("NET I/O", "NetIO"),
        ("PIDS", "PIDs"),
    ];
    loop {
        let names = match options.containers.as_slice() {
            [] => client
                .container_list(false, false, &engine_api::Filters::default())
                .await?
                .into_iter()
                .map(|c| c.id)
                .collect(),
            names => names.to_vec(),
        };
        // All at once: each answer takes the second between two readings.
        let answers =
            futures_util::future::join_all(names.iter().map(|name| one(client, name))).await;
        let rows: Vec<Row> = answers
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        if !options.no_stream {
            print!("{CLEAR}");
        }
        listing::print(
            &rows,
            &columns,
            &Show {
                only: None,
                format: options.format.as_deref(),
            },
        )?;
        if options.no_stream {
            return Ok(());
        }
    }
}

async fn one(client: &Client, name: &str) -> anyhow::Result<Option<Row>> {
    Ok(client
        .container_stats(name, false, false)
        .await?
        .next()
        .await?
        .map(|stats| figures(&stats)))
}

fn figures(stats: &Stats) -> Row {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = now
        .cpu_usage
        .total_usage
        .saturating_sub(before.cpu_usage.total_usage) as f64;
    let passed = now.system_cpu_usage.saturating_sub(before.system_cpu_usage) as f64;
    let cpu = if passed > 0.0 {
        used / passed * f64::from(now.online_cpus.max(1)) * 100.0
    } else {
        0.0
    };
    let memory = &stats.memory_stats;
    // Docker's rule for cgroup v2: what can be dropped at once is not counted.
    let usage = memory
        .usage
        .saturating_sub(memory.stats.get("inactive_file").copied().unwrap_or(0));
    let share = if memory.limit > 0 {
        usage as f64 / memory.limit as f64 * 100.0
    } else {
        0.0
    };
    let received: u64 = stats
        .networks
        .values()
        .map(|network| network.rx_bytes)
        .sum();
    let sent: u64 = stats
        .networks
        .values()
        .map(|network| network.tx_bytes)
        .sum();
    row([
        ("ID", table::short_id(&stats.id)),
        ("Container", table::short_id(&stats.id)),
        ("Name", stats.name.trim_start_matches('/').to_owned()),
        ("CPUPerc", format!("{cpu:.2}%")),
        (
            "MemUsage",
            format!(
                "{} / {}",
                table::binary_size(usage),
                table::binary_size(memory.limit)
            ),
        ),
        ("MemPerc", format!("{share:.2}%")),
        (
            "NetIO",
            format!("{} / {}", units::size(received), units::size(sent)),
        ),
        ("PIDs", stats.pids_stats.current.to_string()),
    ])
}
