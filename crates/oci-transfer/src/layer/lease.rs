//! Files that a program holds a lease on (F_SETLEASE of fcntl(2)): the kernel tells the holder that somebody else wants the
//! file, and takes the lease away after /proc/sys/fs/lease-break-time, 45 seconds.

use std::time::{Duration, Instant};

/// How long is waited: longer than the kernel does, so that no program keeps a file from being read. Who packs is a
/// process that waits for nothing else, and is killed when nobody wants its archive any more.
const MOST: Duration = Duration::from_secs(60);
/// Pause between two tries.
const AGAIN: Duration = Duration::from_millis(20);

/// Opens a file with `open`, which does not wait by itself (O_NONBLOCK: it may be a named pipe by now), again as long as
/// its error says that it is `held`.
///
/// # Errors
/// What `open` fails with.
pub fn past_lease<T, E>(
    mut open: impl FnMut() -> Result<T, E>,
    held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let start = Instant::now();
    loop {
        match open() {
            Err(error) if held(&error) && start.elapsed() < MOST => std::thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}
