//! The way in: keys, no passwords, no root, and the operator's terminal.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone, shared};
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT};
use crate::machine::{Boot, Machine};
use crate::ssh::{Answer, Key, TRY_AGAIN};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "console_serial_port_is_logged_in",
            serial_port_is_logged_in,
        ),
        shared(
            context,
            "console_has_the_operators_tools",
            has_the_operators_tools,
        ),
        shared(
            context,
            "console_keeps_the_host_name_of_the_command_line",
            keeps_the_host_name,
        ),
        shared(context, "syslog_receives", syslog_receives),
        alone(
            context,
            "ssh_lets_nobody_in_without_a_key",
            lets_nobody_in_without_a_key,
        ),
        alone(
            context,
            "ssh_password_works_when_the_command_line_sets_one",
            password_of_the_command_line,
        ),
    ]
}

fn serial_port_is_logged_in(guest: &Guest) -> anyhow::Result<()> {
    guest.types("echo typed-$((40 + 5)) $(id -un)", "typed-45 rancher")
}

fn has_the_operators_tools(guest: &Guest) -> anyhow::Result<()> {
    guest.run("ping -c 1 127.0.0.1 && sudo iptables -t nat -S | grep -q addrtype")?;
    let missing = guest.run("for t in bash sudo ros system-docker docker ip ss ps lsblk mount vi curl less; do command -v $t >/dev/null || echo $t; done")?;
    ensure!(missing.is_empty(), "missing: {missing}");
    ensure!(
        guest.run("sudo id -u")? == "0",
        "rancher is not allowed to sudo"
    );
    Ok(())
}

fn keeps_the_host_name(guest: &Guest) -> anyhow::Result<()> {
    ensure!(
        guest.run("hostname")? == "testhost",
        "hostname is {}",
        guest.run("hostname")?
    );
    guest
        .run("getent hosts testhost || grep -w testhost /etc/hosts")
        .map(drop)
}

fn syslog_receives(guest: &Guest) -> anyhow::Result<()> {
    guest.run("logger heard-$((40 + 6))")?;
    guest
        .run_until("sudo grep -q heard-46 /var/log/syslog", BOOT_DEADLINE)
        .map(drop)
}

fn lets_nobody_in_without_a_key(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("ssh-closed", Boot::Kernel).start(&context.artifacts)?;
    guest.wait_ready()?;
    let folder = tempfile::tempdir()?;
    let stranger = Key::generate(folder.path())?;
    let own = &context.artifacts.key;
    let refused = |user: &str, key: &Key| {
        refusal(|| guest.ssh.answer_as_user(user, key)).with_context(|| format!("login as {user}"))
    };
    for user in ["rancher", "root", "docker"] {
        refused(user, &stranger).context("a stranger's key")?;
    }
    refused("root", own).context("root may not log in")?;
    let none = ["-o", "PubkeyAuthentication=no"];
    refusal(|| guest.ssh.answer_without_key("rancher", &none)).context("without a key")?;
    guest.check()
}

/// Tries a login that must be refused, by a server that offers nothing but keys. After some failures sshd does not talk to
/// an address for a while (sshd_config(5), PerSourcePenalties): that is not an answer yet.
fn refusal(login: impl Fn() -> anyhow::Result<Answer>) -> anyhow::Result<()> {
    let end = Instant::now() + BOOT_DEADLINE;
    let mut answer = login()?;
    while answer.stderr.contains("kex_exchange_identification") && Instant::now() < end {
        std::thread::sleep(TRY_AGAIN);
        answer = login()?;
    }
    ensure!(
        answer.code == 255 && answer.stderr.contains("Permission denied (publickey)"),
        "not refused, or not because a key is missing: {answer:?}"
    );
    Ok(())
}

fn password_of_the_command_line(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("ssh-password", Boot::Kernel)
        .parameters("rancher.password=open")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let said = "rancher.password: it stands in plain text on the kernel command line";
    guest.console.wait(said, BOOT_DEADLINE)?;
    let mark = guest.console.mark();
    guest.console.type_line("")?;
    guest.console.wait_after(mark, "login:", BOOT_DEADLINE)?;
    guest.console.type_line("rancher")?;
    guest.console.wait_after(mark, "assword:", BOOT_DEADLINE)?;
    guest.console.type_line("open")?;
    guest.console.wait_after(mark, PROMPT, BOOT_DEADLINE)?;
    guest.check()
}
