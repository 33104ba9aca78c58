//! `ros boot plot`: the boot as a picture (SVG): a bar for each phase and service, the time to the right.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::boot_blame::{self, Record, Service};

/// Height of a line, width of the names, and most of the bars, in pixels.
const LINE: f64 = 20.0;
const NAMES: f64 = 190.0;
const WIDTH: f64 = 900.0;
/// Colours: phases, services while they are made, while they run, and what failed.
const PHASE: &str = "#4878a8";
const MADE: &str = "#c8c8c8";
const RUNS: &str = "#6aa84f";
const FAILED: &str = "#c0392b";
/// What is left of the end of the boot, in seconds, for services that start after it.
const AFTER_S: f64 = 1.0;

/// A bar of the picture.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    name: String,
    /// From, to, in seconds after the kernel's start, and the colour.
    parts: Vec<(f64, f64, &'static str)>,
    /// What stands at its end.
    note: String,
}

/// Prints the picture of the last boot.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let (records, services) = boot_blame::traces()?;
    print!("{}", picture(&records, &services));
    Ok(ExitCode::SUCCESS)
}

fn picture(records: &[Record], services: &BTreeMap<String, Service>) -> String {
    let ready = records.iter().map(Record::end_s).fold(0.0, f64::max);
    let started = services.values().filter_map(|service| service.started_s);
    let end = started.fold(ready, f64::max) + AFTER_S;
    let mut bars: Vec<Bar> = records.iter().map(of_phase).collect();
    let mut order: Vec<(&String, &Service)> = services.iter().collect();
    let first = |service: &Service| service.made_s.or(service.started_s).unwrap_or(f64::MAX);
    order.sort_by(|(_, a), (_, b)| first(a).total_cmp(&first(b)));
    bars.extend(
        order
            .iter()
            .map(|(name, service)| of_service(name, service, end)),
    );
    draw(&bars, ready, end)
}

fn of_phase(record: &Record) -> Bar {
    let colour = if record.error.is_some() {
        FAILED
    } else {
        PHASE
    };
    Bar {
        name: record.name.clone(),
        parts: vec![(record.start_s, record.end_s(), colour)],
        note: format!("{:.2} s", record.duration_s),
    }
}

fn of_service(name: &str, service: &Service, end: f64) -> Bar {
    let mut parts = Vec::new();
    let started = service.started_s;
    if let Some(made) = service.made_s {
        parts.push((made, started.unwrap_or(end), MADE));
    }
    let code = service.exit_code.as_deref().unwrap_or("0");
    if let Some(started) = started {
        let colour = if code == "0" { RUNS } else { FAILED };
        parts.push((started, service.ended_s.unwrap_or(end), colour));
    }
    let note = match (started, code) {
        (None, _) => "not started".to_owned(),
        (Some(started), "0") => format!("started {started:.2} s"),
        (Some(started), code) => format!("started {started:.2} s, exit code {code}"),
    };
    Bar {
        name: name.to_owned(),
        parts,
        note,
    }
}

fn draw(bars: &[Bar], ready: f64, end: f64) -> String {
    let scale = WIDTH / end;
    let x = |seconds: f64| NAMES + seconds.clamp(0.0, end) * scale;
    let (width, height) = (NAMES + WIDTH + 160.0, (bars.len() as f64 + 2.0) * LINE);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Writing to a string cannot fail.
    let step = if end > 40.0 { 5.0 } else { 1.0 };
    let mut second = 0.0;
    while second <= end {
        let at = x(second);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{LINE}\" x2=\"{at:.1}\" y2=\"{height:.0}\" stroke=\"#e0e0e0\"/><text x=\"{at:.1}\" y=\"14\" fill=\"#808080\">{second:.0} s</text>"
        );
        second += step;
    }
    for (index, bar) in bars.iter().enumerate() {
        let top = (index as f64 + 1.0) * LINE;
        let text = top + LINE * 0.7;
        let _ = writeln!(
            out,
            "<text x=\"4\" y=\"{text:.1}\">{}</text>",
            escape(&bar.name)
        );
        for (from, to, colour) in &bar.parts {
            let wide = (x(*to) - x(*from)).max(1.0);
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                x(*from),
                top + 3.0,
                LINE - 6.0
            );
        }
        let last = bar.parts.iter().map(|part| part.1).fold(0.0, f64::max);
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{text:.1}\" fill=\"#404040\">{}</text>",
            x(last) + 4.0,
            escape(&bar.note)
        );
    }
    let _ = writeln!(
        out,
        "<line x1=\"{0:.1}\" y1=\"{LINE}\" x2=\"{0:.1}\" y2=\"{height:.0}\" stroke=\"black\" stroke-dasharray=\"4\"/>\n<text x=\"4\" y=\"{1:.1}\" font-weight=\"bold\">ready {ready:.2} s after the kernel started</text>\n</svg>",
        x(ready),
        height - 6.0
    );
    out
}

/// Names of services are anything.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_and_service_has_a_bar() {
        let records: Vec<Record> = serde_json::from_str(
            r#"[{"name":"find media","start_s":1.0,"duration_s":0.5},{"name":"ready","start_s":3.0,"duration_s":0.0}]"#,
        )
        .unwrap();
        let services: BTreeMap<String, Service> = serde_json::from_str(
            r#"{"a<b":{"made_s":1.0,"started_s":1.5,"ended_s":2.0,"exit_code":"3"},"web":{"made_s":2.0}}"#,
        )
        .unwrap();
        let svg = picture(&records, &services);
        for words in [
            ">find media</text>",
            ">a&lt;b</text>",
            "started 1.50 s, exit code 3",
            ">not started</text>",
            "ready 3.00 s after",
            "</svg>\n",
        ] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
        assert_eq!(svg.matches(FAILED).count(), 1);
        assert_eq!(svg.matches("<rect").count(), 6);
    }
}
