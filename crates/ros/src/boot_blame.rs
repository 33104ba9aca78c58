//! `ros boot blame`: how long each phase of the boot took, from the trace that PID 1 leaves.

use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize;

/// Where PID 1 leaves its trace.
const TRACE: &str = "/run/rancher/boot.json";

#[derive(Debug, Deserialize)]
struct Record {
    name: String,
    start_s: f64,
    duration_s: f64,
    #[serde(default)]
    error: Option<String>,
}

/// Prints the phases, the longest first.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(TRACE).with_context(|| format!("cannot read {TRACE}"))?;
    let records: Vec<Record> =
        serde_json::from_str(&text).with_context(|| format!("{TRACE} is not a boot trace"))?;
    print!("{}", format(records));
    Ok(ExitCode::SUCCESS)
}

/// When the boot was ready, in seconds after the kernel's start; none while it goes on.
pub(crate) fn ready() -> Option<f64> {
    let text = fs::read_to_string(TRACE).ok()?;
    let records: Vec<Record> = serde_json::from_str(&text).ok()?;
    let ready = records.iter().find(|record| record.name == "ready")?;
    Some(ready.start_s + ready.duration_s)
}

fn format(mut records: Vec<Record>) -> String {
    let end = records
        .iter()
        .map(|r| r.start_s + r.duration_s)
        .fold(0.0, f64::max);
    records.sort_by(|a, b| b.duration_s.total_cmp(&a.duration_s));
    let mut out = String::new();
    for record in &records {
        let error = record
            .error
            .as_ref()
            .map(|error| format!("  failed: {error}"))
            .unwrap_or_default();
        out.push_str(&format!(
            "{:>8.3} s  at {:>8.3} s  {}{error}\n",
            record.duration_s, record.start_s, record.name
        ));
    }
    out.push_str(&format!("ready {end:.3} s after the kernel started\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_phase_comes_first() {
        let records = serde_json::from_str(
            r#"[{"name":"a","start_s":1.0,"duration_s":0.25},
                {"name":"b","start_s":1.25,"duration_s":2.0,"error":"no disk"}]"#,
        )
        .unwrap();
        assert_eq!(
            format(records),
            "   2.000 s  at    1.250 s  b  failed: no disk\n   0.250 s  at    1.000 s  a\nready 3.250 s after the kernel started\n"
        );
    }
}
