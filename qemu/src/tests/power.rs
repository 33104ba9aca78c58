//! Ways to end: they are orderly, and they end.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::guest::{Guest, OFF_DEADLINE};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "power_button_turns_the_machine_off",
            button_turns_the_machine_off,
        ),
        alone(context, "power_ctrl_alt_del_reboots", ctrl_alt_del_reboots),
        alone(
            context,
            "power_commands_end_user_containers_gently",
            commands_end_user_containers_gently,
        ),
    ]
}

fn booted(context: &Context, name: &str) -> anyhow::Result<Guest> {
    let guest = Machine::new(name, Boot::Kernel)
        .reset_ends()
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    Ok(guest)
}

fn button_turns_the_machine_off(context: &Context) -> anyhow::Result<()> {
    let mut guest = booted(context, "power-button")?;
    guest.press_power()?;
    guest.wait_off()
}

fn ctrl_alt_del_reboots(context: &Context) -> anyhow::Result<()> {
    let mut guest = booted(context, "power-ctrl-alt-del")?;
    guest.press_ctrl_alt_del()?;
    guest.wait_reset()
}

/// A container that writes to the console when it gets SIGTERM.
fn commands_end_user_containers_gently(context: &Context) -> anyhow::Result<()> {
    let mut guest = booted(context, "power-gentle")?;
    guest.wait_docker()?;
    guest.run(
        "docker run -d -v /dev/kmsg:/kmsg --privileged busybox \
         sh -c \"trap 'echo container-says-$((40 + 4)) > /kmsg; exit' TERM; while :; do sleep 0.1; done\"",
    )?;
    let mark = guest.console.mark();
    let _ = guest.ssh.answer("sudo poweroff");
    guest
        .console
        .wait_after(mark, "container-says-44", OFF_DEADLINE)?;
    guest.wait_off()
}
