//! Progress of a worker in the words and the form of Docker.

use engine_api::units::precise_size;
use engine_api::{ProgressDetail, ProgressMessage};
use oci_image::progress::Progress;

/// Progress as Docker's clients read it.
pub(super) fn message(progress: Progress) -> ProgressMessage {
    let detail = match (progress.current, progress.total) {
        (Some(current), total) => Some(ProgressDetail {
            current: i64::try_from(current).unwrap_or(i64::MAX),
            total: i64::try_from(total.unwrap_or(0)).unwrap_or(i64::MAX),
        }),
        (None, _) if progress.id.is_empty() || progress.status.starts_with("Pulling from") => None,
        (None, _) => Some(ProgressDetail::default()),
    };
    ProgressMessage {
        progress: detail.as_ref().map_or_else(String::new, bar),
        status: progress.status,
        id: progress.id,
        progress_detail: detail,
        ..ProgressMessage::default()
    }
}

/// The bar that clients that have no terminal print: `[=====>     ]  1.5MB/3MB`.
fn bar(detail: &ProgressDetail) -> String {
    const WIDTH: i64 = 50;
    if detail.current <= 0 {
        return String::new();
    }
    if detail.total <= 0 {
        return human(detail.current);
    }
    let done =
        usize::try_from((detail.current * WIDTH / detail.total).clamp(0, WIDTH)).unwrap_or(0);
    let left = 50 - done;
    let arrow = if left > 0 { ">" } else { "" };
    let dashes = "=".repeat(done);
    let spaces = " ".repeat(left.saturating_sub(1));
    format!(
        "[{dashes}{arrow}{spaces}]  {}/{}",
        human(detail.current),
        human(detail.total)
    )
}

fn human(bytes: i64) -> String {
    precise_size(u64::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_look_like_dockers() {
        let bar = |current, total| bar(&ProgressDetail { current, total });
        assert_eq!(bar(0, 100), "");
        assert_eq!(bar(512, 0), "512B");
        assert_eq!(
            bar(1_500_000, 3_000_000),
            format!("[{}>{}]  1.5MB/3MB", "=".repeat(25), " ".repeat(24))
        );
        assert_eq!(bar(2000, 2000), format!("[{}]  2kB/2kB", "=".repeat(50)));
    }
}
