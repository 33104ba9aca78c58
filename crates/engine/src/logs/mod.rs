//! Container logs in Docker's json-file format, rotated by size, with readers that follow.

mod file;
mod holes;
mod reader;
mod record;

pub use file::{LogFile, LogLimits};

#[cfg(any(test, feature = "fuzz"))]
/// For [`crate::fuzz`]: reads a log with this content, and its last lines.
pub(crate) fn fuzz_read(tail: u8, content: &[u8]) {
    for line in content.split(|byte| *byte == b'\n') {
        let _ = record::decode(line);
    }
    let path = std::env::temp_dir().join(format!("fuzz-log-{}", std::process::id()));
    if std::fs::write(&path, content).is_err() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    let limits = LogLimits {
        max_size: None,
        max_file: 1,
    };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        for tail in [None, Some(usize::from(tail))] {
            let log = LogFile::new(path.clone(), limits, std::collections::BTreeMap::new());
            let mut output = std::rc::Rc::new(log).read(engine_api::options::LogsOptions {
                stdout: true,
                stderr: true,
                timestamps: true,
                details: true,
                tail,
                ..Default::default()
            });
            while output.recv().await.is_some() {}
        }
    });
    // The next input would replace it.
    let _ = std::fs::remove_file(&path);
}
