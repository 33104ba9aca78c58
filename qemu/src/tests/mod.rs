//! The tests, one file a subject; names are `subject_what_it_promises`.

mod boot;
mod boot_media;
mod boot_menu;
mod broken;
mod compose;
mod config_apply;
mod config_cut_off;
mod configuration;
mod confinement;
mod console;
mod damage;
mod data_disks;
mod datasources;
mod dying_disk;
mod engine;
mod failure;
mod firmware;
mod heal;
mod hostile;
pub(crate) mod install;
mod install_over;
pub(crate) mod live;
mod loader;
mod modes;
mod neighbour;
mod network;
mod os_image;
mod plugins;
mod policy;
mod power;
mod rancheros;
mod reset;
mod rights;
#[cfg(test)]
mod rows;
mod same_words;
mod sdk_python;
mod secrets;
mod services;
mod state;
mod state_containers;
mod stock_client;
mod system_docker;
mod trial;
mod two_machines;
mod upgrade;
mod user_data;
mod user_data_forms;
mod user_docker;
mod watchdog;
mod wifi;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::context::Context;

/// Every test, the slowest first so that the last one to end is a short one.
pub(crate) fn all(context: &Arc<Context>) -> Vec<Trial> {
    [
        install::tests(context),
        install_over::tests(context),
        firmware::tests(context),
        heal::tests(context),
        live::tests(context),
        broken::tests(context),
        watchdog::tests(context),
        os_image::tests(context),
        policy::tests(context),
        loader::tests(context),
        services::tests(context),
        upgrade::tests(context),
        trial::tests(context),
        engine::tests(context),
        boot_media::tests(context),
        boot_menu::tests(context),
        damage::tests(context),
        dying_disk::tests(context),
        state::tests(context),
        state_containers::tests(context),
        power::tests(context),
        failure::tests(context),
        modes::tests(context),
        config_apply::tests(context),
        config_cut_off::tests(context),
        configuration::tests(context),
        user_data::tests(context),
        user_data_forms::tests(context),
        data_disks::tests(context),
        rancheros::tests(context),
        hostile::tests(context),
        secrets::tests(context),
        datasources::tests(context),
        network::tests(context),
        two_machines::tests(context),
        wifi::tests(context),
        boot::tests(context),
        console::tests(context),
        confinement::tests(context),
        compose::tests(context),
        sdk_python::tests(context),
        reset::tests(context),
        rights::tests(context),
        same_words::tests(context),
        stock_client::tests(context),
        system_docker::tests(context),
        user_docker::tests(context),
        plugins::tests(context),
        neighbour::tests(context),
    ]
    .into_iter()
    .flatten()
    .collect()
}
