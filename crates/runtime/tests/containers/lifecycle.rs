//! Creating, starting, joining and failing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use runtime::oci::{ConsoleSize, Namespace, NamespaceType};
use runtime::{ErrorKind, ExecRequest, Runtime, Stdio};
use sys::cgroup::Cgroup;
use sys::process::{Command, Pidfd};

use crate::bundle::{Bundle, Test, end, new_cgroup, pipes, read, runtime};

pub(crate) const TESTS: &[Test] = &[
    ("exit_codes_and_output_come_through", || {
        Box::pin(exit_codes())
    }),
    ("process_is_a_child_and_pid_1_of_its_namespace", || {
        Box::pin(first_process())
    }),
    ("terminal_has_its_size_and_is_the_controlling_one", || {
        Box::pin(terminal())
    }),
    ("exec_joins_all_namespaces_and_is_a_child", || {
        Box::pin(exec())
    }),
    ("exec_with_terminal", || Box::pin(exec_terminal())),
    (
        "missing_programs_have_dockers_words",
        || Box::pin(missing()),
    ),
    ("execve_failures_are_reported_at_start", || {
        Box::pin(exec_failure())
    }),
    ("failing_creates_leave_nothing", || Box::pin(no_leak())),
    ("created_process_ends_when_dropped", || Box::pin(dropped())),
    ("pid_namespace_of_another_container", || {
        Box::pin(shared_pid())
    }),
    ("cgroup_holds_all_processes_and_goes", || Box::pin(cgroup())),
    ("docker_init_passes_exit_codes", || Box::pin(docker_init())),
    ("start_takes", || Box::pin(how_long())),
];

async fn exit_codes() {
    let outcome = Bundle::new("echo out; echo err >&2; exit 7").run().await;
    assert_eq!(
        (
            outcome.code(),
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (7, "out\n", "err\n")
    );
    let outcome = Bundle::new("kill -9 $$; sleep 1000 & kill -9 $!; exit 3")
        .run()
        .await;
    // A container's first process cannot kill itself: the kernel protects it.
    assert_eq!(outcome.code(), 3);
    // Its files go with the bundle, and the program is read after the start.
    let bundle = Bundle::new("sleep 1000");
    let process = bundle.start(Stdio::Null).await;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&end(&process)),
        Some(9)
    );
}

async fn first_process() {
    let outcome = Bundle::new("echo $$; hostname; cat /proc/1/comm; ls /proc/self/fd | wc -l; env")
        .run()
        .await;
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    // ls has its streams and the directory it reads: nothing of the engine's leaked in.
    assert_eq!(
        lines[..4],
        ["1", "testhost", "sh", "4"],
        "{}",
        outcome.stdout
    );
    assert!(lines.contains(&"HOME=/root") && lines.contains(&"PATH=/bin"));
    let bundle = Bundle::new("sleep 1000");
    let process = bundle.start(Stdio::Null).await;
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    assert!(
        status.contains(&format!("PPid:\t{}\n", std::process::id())),
        "{status}"
    );
    end(&process);
}

async fn terminal() {
    let mut bundle =
        Bundle::new("tty; stty size; echo x >/dev/tty && test -c /dev/console && echo console");
    bundle.process().console_size = Some(ConsoleSize {
        height: 33,
        width: 101,
    });
    let mut process = bundle.start(Stdio::Tty).await;
    let text = read(process.console.take().unwrap());
    assert_eq!(process.pidfd.wait().unwrap().code(), Some(0), "{text}");
    assert_eq!(text, "/dev/pts/0\r\n33 101\r\nx\r\nconsole\r\n");
}

async fn exec() {
    let bundle = Bundle::new("sleep 1000");
    let process = bundle.start(Stdio::Null).await;
    let script = "for n in pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done; hostname; cat /proc/1/comm";
    let outcome = bundle.exec(&process, script).await;
    let mut lines = outcome.stdout.lines();
    for name in ["pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let link = fs::read_link(format!("/proc/{}/ns/{name}", process.pid)).unwrap();
        assert_eq!(lines.next(), link.to_str(), "{name}: {}", outcome.stderr);
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["testhost", "sleep"]);
    assert_eq!(bundle.exec(&process, "exit 42").await.code(), 42);
    let error = {
        let mut missing = bundle.spec.process.clone().unwrap();
        missing.args = vec!["nope".to_owned()];
        let request = ExecRequest {
            target: &process.pidfd,
            process: &missing,
            seccomp: None,
            stdio: Stdio::Null,
            cgroup: None,
        };
        runtime().exec(request).await.unwrap_err()
    };
    assert_eq!(
        error.message,
        "exec: \"nope\": executable file not found in $PATH"
    );
    end(&process);
}

async fn exec_terminal() {
    let bundle = Bundle::new("sleep 1000");
    let process = bundle.start(Stdio::Null).await;
    let mut shell = bundle.spec.process.clone().unwrap();
    shell.args = ["sh", "-c", "read line; echo got $line; tty"]
        .map(str::to_owned)
        .to_vec();
    let seccomp = bundle.spec.linux.as_ref().unwrap().seccomp.as_ref();
    let request = ExecRequest {
        target: &process.pidfd,
        process: &shell,
        seccomp,
        stdio: Stdio::Tty,
        cgroup: None,
    };
    let mut shell = runtime().exec(request).await.unwrap();
    runtime().start(&mut shell).await.unwrap();
    let console = shell.console.take().unwrap();
    fs::File::from(console.try_clone().unwrap())
        .write_all(b"hello\n")
        .unwrap();
    let text = read(console);
    assert!(text.contains("got hello\r\n/dev/pts/0\r\n"), "{text:?}");
    assert_eq!(shell.pidfd.wait().unwrap().code(), Some(0));
    end(&process);
}

async fn missing() {
    let mut bundle = Bundle::new("");
    let plain = bundle.root().join("etc/plain");
    fs::write(&plain, "x").unwrap();
    for (program, kind, text) in [
        (
            "foo",
            ErrorKind::NotFound,
            "exec: \"foo\": executable file not found in $PATH",
        ),
        (
            "/bin/foo",
            ErrorKind::NotFound,
            "exec: \"/bin/foo\": stat /bin/foo: no such file or directory",
        ),
        (
            "/etc/plain",
            ErrorKind::PermissionDenied,
            "exec: \"/etc/plain\": permission denied",
        ),
        (
            "/etc",
            ErrorKind::PermissionDenied,
            "exec: \"/etc\": is a directory",
        ),
    ] {
        bundle.process().args = vec![program.to_owned()];
        let error = bundle.create(Stdio::Null).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, text));
    }
    bundle.process().cwd = "/etc/plain".to_owned();
    let error = bundle.create(Stdio::Null).await.unwrap_err();
    assert_eq!(error.message, "mkdir /etc/plain: not a directory");
}

async fn exec_failure() {
    let mut bundle = Bundle::new("");
    for (name, content, text) in [
        (
            "script",
            "#!/no/interpreter\n",
            "exec /etc/script: no such file or directory",
        ),
        (
            "garbage",
            "\0\0\0\0",
            "exec /etc/garbage: exec format error",
        ),
    ] {
        let path = bundle.root().join("etc").join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        bundle.process().args = vec![format!("/etc/{name}")];
        let mut process = bundle.create(Stdio::Null).await.unwrap();
        let error = runtime().start(&mut process).await.unwrap_err();
        assert_eq!(error.message, text);
        process.pidfd.wait().unwrap();
    }
}

async fn no_leak() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut bundle = Bundle::new("");
    bundle.process().args = vec!["foo".to_owned()];
    let mut impossible = Bundle::new("true");
    impossible.spec.mounts.push(runtime::oci::Mount::new(
        "/x",
        "bind",
        "/no/such/source",
        &["rbind"],
    ));
    let _ = bundle.create(Stdio::Null).await;
    let before = open();
    for _ in 0..25 {
        let (stdio, out, err) = pipes();
        bundle.create(stdio).await.unwrap_err();
        drop((out, err));
        let error = impossible.create(Stdio::Tty).await.unwrap_err();
        assert_eq!(
            error.message,
            "mount /no/such/source on /x: clone mount /no/such/source: no such file or directory"
        );
    }
    assert_eq!(open(), before);
    assert!(!sys::process::has_children(), "a child is left");
}

async fn dropped() {
    let process = Bundle::new("true").create(Stdio::Null).await.unwrap();
    let pidfd = Pidfd::open(process.pid).unwrap();
    drop(process);
    assert_eq!(pidfd.wait().unwrap().code(), Some(1));
}

async fn shared_pid() {
    let first = Bundle::new("sleep 1000");
    let target = first.start(Stdio::Null).await;
    let mut second = Bundle::new("cat /proc/1/comm; echo $$");
    second
        .linux()
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceType::Pid);
    let path = |name: &str| format!("/proc/{}/ns/{name}", target.pid);
    second
        .linux()
        .namespaces
        .push(Namespace::join(NamespaceType::Pid, path("pid")));
    let outcome = second.run().await;
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], "sleep");
    assert_ne!(lines[1], "1");
    // And the network of another container, as with `--network container:NAME`.
    let mut third = Bundle::new("readlink /proc/self/ns/net");
    third
        .linux()
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceType::Network);
    third
        .linux()
        .namespaces
        .push(Namespace::join(NamespaceType::Network, path("net")));
    assert_eq!(
        third.run().await.stdout.trim(),
        fs::read_link(path("net")).unwrap().to_str().unwrap()
    );
    end(&target);
}

async fn cgroup() {
    let Some(path) = new_cgroup() else { return };
    let mut bundle = Bundle::new("sleep 1000 & sleep 1000");
    bundle.cgroup = Some(path.clone());
    let process = bundle.start(Stdio::Null).await;
    let group = Cgroup::at(&path);
    assert!(group.processes().unwrap().contains(&process.pid));
    let outcome = bundle.exec(&process, "cat /proc/self/cgroup").await;
    // Its own view: the container's group is the root.
    assert!(
        outcome.stdout.lines().any(|line| line == "0::/"),
        "{}",
        outcome.stdout
    );
    runtime().delete(&path).await.unwrap();
    assert!(!path.exists());
    process.pidfd.wait().unwrap();
}

async fn docker_init() {
    let program = std::env::current_exe().unwrap();
    let run = |script: &str| {
        let args = ["runtime", "docker-init", "--", "sh", "-c", script];
        Command::new(&program)
            .args(args)
            .run()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(run("exit 9"), Some(9));
    assert_eq!(run("kill -TERM $$"), Some(143));
    assert_eq!(
        run("trap 'exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.01; done"),
        Some(5)
    );
    let missing = Command::new(&program)
        .args(["runtime", "docker-init", "--", "/no/such"])
        .run()
        .unwrap();
    assert_eq!(missing.status.code(), Some(127));
}

/// No assertion: what a start costs is shown, and kept an eye on by the benchmark.
async fn how_long() {
    let mut times = Vec::new();
    for _ in 0..50 {
        let mut bundle = Bundle::new("");
        bundle.process().args = vec!["/bin/busybox".to_owned(), "true".to_owned()];
        let before = std::time::Instant::now();
        let process = bundle.start(Stdio::Null).await;
        times.push(before.elapsed());
        process.pidfd.wait().unwrap();
    }
    times.sort();
    eprintln!(
        "create and start: median {:?}, fastest {:?}, slowest {:?}",
        times[25], times[0], times[49]
    );
}
