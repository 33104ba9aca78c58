//! `ros boot blame`: how long each phase of the boot took and what each service waited for, from the traces that PID 1
//! leaves.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::cli::Format;

/// Where PID 1 leaves its trace.
const TRACE: &str = "/run/rancher/boot.json";
/// And that of the services, by name.
const SERVICES: &str = "/run/rancher/services.json";

/// One phase; seconds after kernel start (crate init, phase.rs).
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) start_s: f64,
    pub(crate) duration_s: f64,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

impl Record {
    /// When it ended.
    pub(crate) fn end_s(&self) -> f64 {
        self.start_s + self.duration_s
    }
}

/// One service; seconds after kernel start (crate init, timeline.rs).
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Service {
    after: Vec<String>,
    pub(crate) made_s: Option<f64>,
    pub(crate) started_s: Option<f64>,
    healthy_s: Option<f64>,
    pub(crate) ended_s: Option<f64>,
    pub(crate) exit_code: Option<String>,
}

/// Prints the phases, the longest first, and the services in the order of their starts.
pub(crate) fn main(as_json: Format) -> anyhow::Result<ExitCode> {
    let (records, services) = traces()?;
    if as_json == Format::Json {
        let both = serde_json::json!({"phases": records, "services": services});
        println!("{}", serde_json::to_string_pretty(&both)?);
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", format(records));
    print!("{}", format_services(&services));
    Ok(ExitCode::SUCCESS)
}

/// What PID 1 has left.
///
/// # Errors
/// A trace that is not there, or not one.
pub(crate) fn traces() -> anyhow::Result<(Vec<Record>, BTreeMap<String, Service>)> {
    let text = fs::read_to_string(TRACE).with_context(|| format!("cannot read {TRACE}"))?;
    let records =
        serde_json::from_str(&text).with_context(|| format!("{TRACE} is not a boot trace"))?;
    let text = fs::read_to_string(SERVICES).with_context(|| format!("cannot read {SERVICES}"))?;
    let services =
        serde_json::from_str(&text).with_context(|| format!("{SERVICES} is not a trace"))?;
    Ok((records, services))
}

/// The phases that PID 1 has left, in their order; none before it has left any.
pub(crate) fn phases() -> Option<Vec<Record>> {
    serde_json::from_str(&fs::read_to_string(TRACE).ok()?).ok()
}

/// When the boot was ready, in seconds after the kernel's start; none while it goes on.
pub(crate) fn ready() -> Option<f64> {
    let records = phases()?;
    let ready = records.iter().find(|record| record.name == "ready")?;
    Some(ready.end_s())
}

/// The phases in a line, for `ros status`.
pub(crate) fn summary() -> String {
    phases().map_or_else(|| "no trace of it".to_owned(), summary_of)
}

/// `15 phases, ready after 9.2 s; longest: mount state 2.1 s, find media 0.9 s; failed: NAME: ERROR`.
fn summary_of(mut records: Vec<Record>) -> String {
    const SHOWN: usize = 3;
    let ready = records.iter().find(|record| record.name == "ready");
    let ready = ready.map_or_else(
        || "not ready yet".to_owned(),
        |record| format!("ready after {:.1} s", record.end_s()),
    );
    let failed: Vec<String> = records
        .iter()
        .filter_map(|record| Some(format!("{}: {}", record.name, record.error.as_ref()?)))
        .collect();
    records.sort_by(|a, b| b.duration_s.total_cmp(&a.duration_s));
    let longest = records.iter().take(SHOWN);
    let longest: Vec<String> = longest
        .map(|record| format!("{} {:.1} s", record.name, record.duration_s))
        .collect();
    let mut line = format!(
        "{} phases, {ready}; longest: {}",
        records.len(),
        longest.join(", ")
    );
    if !failed.is_empty() {
        line.push_str(&format!("; failed: {}", failed.join(", ")));
    }
    line
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

fn format_services(services: &BTreeMap<String, Service>) -> String {
    let mut order: Vec<(&String, &Service)> = services.iter().collect();
    let time = |service: &Service| service.started_s.or(service.made_s).unwrap_or(f64::MAX);
    order.sort_by(|(_, a), (_, b)| time(a).total_cmp(&time(b)));
    let mut out = String::from("services, seconds after the kernel started:\n");
    for (name, service) in order {
        out.push_str(&format!("{name:>20}  {}\n", describe(service, services)));
    }
    out
}

/// `made 1.00, started 2.50 after cloud-init (ended 2.40), healthy 3.00`.
fn describe(service: &Service, services: &BTreeMap<String, Service>) -> String {
    let at = |word: &str, time: Option<f64>| time.map(|time| format!("{word} {time:.2}"));
    let started =
        at("started", service.started_s).map(|text| match waited_for(service, services) {
            Some(whom) => format!("{text} after {whom}"),
            None => text,
        });
    let ended = at("ended", service.ended_s).map(|text| match service.exit_code.as_deref() {
        None | Some("0") => text,
        Some(code) => format!("{text} with exit code {code}"),
    });
    let parts = [
        at("made", service.made_s),
        Some(started.unwrap_or_else(|| "not started".to_owned())),
        at("healthy", service.healthy_s),
        ended,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Of the services that it comes after, the one that let it go last: by its end if that was before, else by its start.
fn waited_for(service: &Service, services: &BTreeMap<String, Service>) -> Option<String> {
    let own = service.started_s?;
    let before = service.after.iter().filter_map(|name| {
        let other = services.get(name)?;
        let ended = other.ended_s.filter(|ended| *ended <= own);
        let (word, time) = match ended {
            Some(ended) => ("ended", ended),
            None => ("started", other.started_s.filter(|time| *time <= own)?),
        };
        Some((time, format!("{name} ({word} {time:.2})")))
    });
    before
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, text)| text)
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

    #[test]
    fn the_boot_is_one_line() {
        let records = |text: &str| serde_json::from_str(text).unwrap();
        assert_eq!(
            summary_of(records(
                r#"[{"name":"a","start_s":1.0,"duration_s":0.25},{"name":"b","start_s":1.25,"duration_s":2.0,"error":"no disk"},
                    {"name":"c","start_s":3.25,"duration_s":0.1},{"name":"ready","start_s":3.35,"duration_s":0.45}]"#
            )),
            "4 phases, ready after 3.8 s; longest: b 2.0 s, ready 0.5 s, a 0.2 s; failed: b: no disk"
        );
        let early = records(r#"[{"name":"a","start_s":1.0,"duration_s":0.25}]"#);
        assert_eq!(
            summary_of(early),
            "1 phases, not ready yet; longest: a 0.2 s"
        );
    }

    #[test]
    fn a_service_says_whom_it_waited_for() {
        let services: BTreeMap<String, Service> = serde_json::from_str(
            r#"{"cloud-init":{"made_s":1.0,"started_s":1.5,"ended_s":2.4,"exit_code":"0"},
                "udev":{"made_s":1.1,"started_s":1.2},
                "console":{"after":["udev","cloud-init","gone"],"made_s":1.9,"started_s":2.5,"healthy_s":3.0},
                "web":{"after":["console"],"made_s":2.0},
                "bad":{"after":["console"],"started_s":4.0,"ended_s":4.5,"exit_code":"3"}}"#,
        )
        .unwrap();
        let text = format_services(&services);
        let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "udev  made 1.10, started 1.20",
                "cloud-init  made 1.00, started 1.50, ended 2.40",
                "web  made 2.00, not started",
                "console  made 1.90, started 2.50 after cloud-init (ended 2.40), healthy 3.00",
                "bad  started 4.00 after console (started 2.50), ended 4.50 with exit code 3",
            ]
        );
    }
}
