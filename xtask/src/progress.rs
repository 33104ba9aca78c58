//! What a build says while it works: bars on a terminal, plain lines above them; lines alone elsewhere.

use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars on the terminal: several parts may be under way.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints a line above the bars.
fn line(text: &str) {
    BARS.suspend(|| eprintln!("{text}"));
}

/// Runs one build step, and prints its name and how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(_) => line(&format!("{name:>28}  done in {seconds:.1} s")),
        Err(_) => line(&format!("{name:>28}  failed after {seconds:.1} s")),
    }
    result
}

/// Says in one line what happens.
pub(crate) fn note(name: &str, text: &str) {
    line(&format!("{name:>28}  {text}"));
}

/// Says in one line what the user ought to know, though the build goes on.
pub(crate) fn warn(text: &str) {
    note("warning", text);
}

/// A bar that counts bytes.
pub(crate) fn bytes(name: &str, total: u64) -> ProgressBar {
    bar(
        total,
        "{msg:>28}  {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
        name,
    )
}

/// A bar that counts things.
pub(crate) fn count(name: &str, total: u64) -> ProgressBar {
    bar(total, "{msg:>28}  {bar:30} {pos}/{len}", name)
}

fn bar(total: u64, template: &str, name: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = BARS.add(ProgressBar::new(total).with_style(style));
    bar.set_message(name.to_owned());
    bar
}
