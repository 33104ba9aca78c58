//! Whom a process runs as, whatever the container has in the place of its passwd file.

use std::fs;
use std::os::unix::fs::symlink;

use runtime::{Runtime, Stdio};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::advisories::request;
use crate::bundle::{Bundle, Test, end, runtime};

pub(crate) const TESTS: &[Test] = &[("pipes_and_devices_for_passwd_hold_nobody", || {
    Box::pin(passwd_kinds())
})];

async fn passwd_kinds() {
    let running = Bundle::new("sleep 1000");
    let process = running.start(Stdio::Null).await;
    let place = running.root().join("etc/passwd");
    for kind in ["pipe", "directory", "device", "loop", "huge", "missing"] {
        let _ = fs::remove_file(&place).or_else(|_| fs::remove_dir(&place));
        let words = match kind {
            "pipe" => {
                mknodat(CWD, &place, FileType::Fifo, Mode::RWXU, 0).unwrap();
                "open /etc/passwd: it is a named pipe"
            }
            "directory" => {
                fs::create_dir(&place).unwrap();
                "open /etc/passwd: it is a directory"
            }
            "device" => {
                let zero = rustix::fs::makedev(1, 5);
                mknodat(CWD, &place, FileType::CharacterDevice, Mode::RWXU, zero).unwrap();
                "open /etc/passwd: it is a device"
            }
            "loop" => {
                symlink("passwd", &place).unwrap();
                "too many levels of symbolic links"
            }
            "huge" => {
                fs::File::create(&place).unwrap().set_len(1 << 40).unwrap();
                "read /etc/passwd: it is larger than 16777216 bytes"
            }
            _ => "no matching entries in passwd file",
        };
        let mut wanted = running.spec.process.clone().unwrap();
        wanted.args = vec!["echo".to_owned()];
        wanted.user.username = Some("app".to_owned());
        let error = runtime().exec(request(&process, &wanted)).await;
        let error = error.unwrap_err().message;
        assert!(
            error.starts_with("unable to find user app: "),
            "{kind}: {error}"
        );
        assert!(error.contains(words), "{kind}: {error}");
        // A number needs no file.
        wanted.user.username = Some("7:8".to_owned());
        let mut exec = runtime().exec(request(&process, &wanted)).await.unwrap();
        runtime().start(&mut exec).await.unwrap();
        assert_eq!(exec.pidfd.wait().unwrap().code(), Some(0), "{kind}");
    }
    end(&process);
}
