//! Completes a container's configuration from its image's, by Docker's rules.

use engine_api::{ContainerConfig, Error, Result};

/// Fills what the user left open from the image.
///
/// # Errors
/// 400 when neither says what to run.
pub fn complete(config: &mut ContainerConfig, image: &ContainerConfig) -> Result<()> {
    let is_empty = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    for (port, value) in &image.exposed_ports {
        config
            .exposed_ports
            .entry(port.clone())
            .or_insert_with(|| value.clone());
    }
    for variable in &image.env {
        let name = variable.split('=').next().unwrap_or_default();
        if !config
            .env
            .iter()
            .any(|own| own.split('=').next() == Some(name))
        {
            config.env.push(variable.clone());
        }
    }
    for (key, value) in &image.labels {
        config
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
            config.args_escaped = image.args_escaped;
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if config
        .entrypoint
        .as_ref()
        .is_some_and(|words| words.len() == 1 && words[0].is_empty())
    {
        config.entrypoint = None;
    }
    complete_health(config, image);
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    for (path, value) in &image.volumes {
        config
            .volumes
            .entry(path.clone())
            .or_insert_with(|| value.clone());
    }
    if config.stop_signal.is_empty() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    if is_empty(&config.shell) {
        config.shell.clone_from(&image.shell);
    }
    if is_empty(&config.entrypoint) && is_empty(&config.cmd) {
        return Err(Error::bad_parameter("no command specified"));
    }
    Ok(())
}

fn complete_health(config: &mut ContainerConfig, image: &ContainerConfig) {
    let Some(from) = &image.healthcheck else {
        return;
    };
    let Some(own) = &mut config.healthcheck else {
        config.healthcheck = Some(from.clone());
        return;
    };
    if own.test.is_empty() {
        own.test.clone_from(&from.test);
    }
    for (own, from) in [
        (&mut own.interval, from.interval),
        (&mut own.timeout, from.timeout),
        (&mut own.start_period, from.start_period),
        (&mut own.start_interval, from.start_interval),
        (&mut own.retries, from.retries),
    ] {
        if *own == 0 {
            *own = from;
        }
    }
}

/// The command line: first word and the rest.
#[must_use]
pub fn command_line(config: &ContainerConfig) -> (String, Vec<String>) {
    let entrypoint = config.entrypoint.iter().flatten();
    let mut words = entrypoint.chain(config.cmd.iter().flatten()).cloned();
    (words.next().unwrap_or_default(), words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    fn image() -> ContainerConfig {
        ContainerConfig {
            entrypoint: words(&["/init"]),
            cmd: words(&["serve"]),
            env: vec!["PATH=/bin".into(), "A=image".into()],
            ..ContainerConfig::default()
        }
    }

    fn line(mut config: ContainerConfig) -> Vec<String> {
        complete(&mut config, &image()).unwrap();
        let (path, args) = command_line(&config);
        std::iter::once(path).chain(args).collect()
    }

    #[test]
    fn command_and_entrypoint_combine_as_in_docker() {
        let with = |entrypoint, cmd| ContainerConfig {
            entrypoint,
            cmd,
            ..ContainerConfig::default()
        };
        assert_eq!(line(with(None, None)), ["/init", "serve"]);
        assert_eq!(line(with(None, words(&["other"]))), ["/init", "other"]);
        assert_eq!(line(with(words(&["sh"]), None)), ["sh"]);
        assert_eq!(line(with(words(&[""]), words(&["ls"]))), ["ls"]);
        let nothing = complete(&mut with(words(&[""]), None), &image()).unwrap_err();
        assert_eq!(
            (nothing.status.as_u16(), nothing.message.as_str()),
            (400, "no command specified")
        );
    }

    #[test]
    fn the_users_variables_win() {
        let mut config = ContainerConfig {
            env: vec!["A=user".into()],
            ..ContainerConfig::default()
        };
        complete(&mut config, &image()).unwrap();
        assert_eq!(config.env, ["A=user", "PATH=/bin"]);
    }
}
