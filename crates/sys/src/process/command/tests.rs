//! Programs that are run.

use super::*;

fn shell(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script)
}

#[test]
fn output_input_and_exit_code_come_through() {
    let output = shell("cat; echo oops >&2; exit 3")
        .stdin("hello")
        .run()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"hello");
    assert_eq!(output.stderr, b"oops\n");
}

#[test]
fn large_input_and_output_do_not_deadlock() {
    let input = vec![b'x'; 300_000];
    let output = Command::new("cat").stdin(input.clone()).run().unwrap();
    assert_eq!(output.stdout, input);
}

#[test]
fn deadline_ends_the_program_and_what_it_started() {
    let error = shell("sleep 1000 & sleep 1000")
        .deadline(Duration::from_millis(50))
        .run()
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
}

#[test]
fn background_child_that_holds_the_pipe_does_not_delay() {
    let output = shell("sleep 1000 & echo $!").run().unwrap();
    let pid: i32 = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    super::super::kill(pid, Signal::KILL).unwrap();
}

#[test]
fn missing_program_is_an_error_that_names_it() {
    let error = Command::new("/no/such/program").run().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("run /no/such/program: no such file"),
        "{error}"
    );
}

#[test]
fn blocked_signals_are_not_inherited() {
    let blocked = || {
        crate::signal::block(&[libc::SIGUSR1]).unwrap();
        shell("kill -USR1 $$; exit 0").run().unwrap().status
    };
    // In its own thread: the mask is the thread's.
    let status = std::thread::spawn(blocked).join().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGUSR1)
    );
}

#[test]
fn reaper_and_command_do_not_steal_from_each_other() {
    let child = shell("exit 5").spawn().unwrap();
    child.pidfd().wait_ended(None).unwrap();
    assert_eq!(
        super::super::reap(child.pid()).unwrap().unwrap().code(),
        Some(5)
    );
    assert_eq!(child.wait().unwrap().code(), Some(5));
}
