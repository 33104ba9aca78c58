//! Dockerfile instructions that change an image's configuration: `docker commit --change`, `docker import --change`.

use engine_api::timestamp::parse_go_duration;

use engine_api::{ContainerConfig, Error, HealthConfig, Result};

use crate::container::clean;
use crate::container::commit::expand::{expand, fields};
use crate::container::networks::ports;
use crate::container::stop::signals;

/// Applies instructions in their order. As in Docker all of them are one Dockerfile: each text may have several
/// instructions, comments and continued lines.
///
/// # Errors
/// 400 for what is not an instruction, and for an instruction that changes no configuration.
pub fn apply_changes(config: &mut ContainerConfig, changes: &[String]) -> Result<()> {
    let mut has_command = false;
    let instructions = instructions(changes);
    if instructions.is_empty() && !changes.is_empty() {
        return Err(Error::bad_parameter("file with no instructions"));
    }
    for change in &instructions {
        let (verb, rest) = split(change);
        match verb.to_ascii_uppercase().as_str() {
            "CMD" => {
                config.cmd = Some(command(config, rest));
                has_command = true;
            }
            "ENTRYPOINT" => {
                config.entrypoint = Some(command(config, rest));
                // The old command was meant for the old entry point.
                if !has_command {
                    config.cmd = None;
                }
            }
            _ => apply(config, change)?,
        }
    }
    Ok(())
}

/// The instructions of a Dockerfile, each in one line.
fn instructions(changes: &[String]) -> Vec<String> {
    let (mut found, mut instruction) = (Vec::new(), String::new());
    for line in changes.iter().flat_map(|change| change.lines()) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(part) => instruction.push_str(part),
            // Between continued lines an empty one counts for nothing.
            None if line.is_empty() => {}
            None => {
                instruction.push_str(line);
                found.push(std::mem::take(&mut instruction));
            }
        }
    }
    if !instruction.is_empty() {
        found.push(instruction);
    }
    found
}

fn apply(config: &mut ContainerConfig, change: &str) -> Result<()> {
    let (verb, rest) = split(change);
    let env = config.env.clone();
    let word = || expand(rest, &env);
    let upper = verb.to_ascii_uppercase();
    let known = [
        "USER",
        "WORKDIR",
        "STOPSIGNAL",
        "EXPOSE",
        "VOLUME",
        "ENV",
        "LABEL",
        "ONBUILD",
        "HEALTHCHECK",
    ];
    if !known.contains(&upper.as_str()) {
        return Err(Error::bad_parameter(format!(
            "{verb} is not a valid change command"
        )));
    }
    if rest.is_empty() {
        return Err(Error::bad_parameter(format!(
            "{upper} requires at least one argument"
        )));
    }
    match upper.as_str() {
        "USER" => config.user = word()?,
        // A relative one is below the present one.
        "WORKDIR" => config.working_dir = clean(&joined(&config.working_dir, &word()?)),
        "STOPSIGNAL" => {
            let signal = word()?;
            signals::parse(&signal)?;
            config.stop_signal = signal;
        }
        "EXPOSE" => expose(config, rest, &env)?,
        "VOLUME" => {
            let paths = json_reader::from_str::<Vec<String>>(rest)
                .unwrap_or_else(|_| fields(rest).map(str::to_owned).collect());
            for path in paths {
                config.volumes.insert(expand(&path, &env)?, object());
            }
        }
        "ENV" => {
            for (key, value) in pairs("ENV", rest, &env)? {
                crate::spec::process::override_with(&mut config.env, &[format!("{key}={value}")]);
            }
        }
        "LABEL" => config.labels.extend(pairs("LABEL", rest, &env)?),
        "ONBUILD" => config
            .on_build
            .get_or_insert_default()
            .push(rest.to_owned()),
        _ => config.healthcheck = Some(healthcheck(rest)?),
    }
    Ok(())
}

/// The instruction's name and the rest of its line.
fn split(change: &str) -> (&str, &str) {
    let change = change.trim();
    let (verb, rest) = change
        .split_once(char::is_whitespace)
        .unwrap_or((change, ""));
    (verb, rest.trim_start())
}

fn object() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

fn joined(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("/{directory}/{path}")
}

fn expose(config: &mut ContainerConfig, rest: &str, env: &[String]) -> Result<()> {
    for text in fields(rest) {
        // The one instruction where a variable may hold several words.
        for port in expand(text, env)?.split_whitespace() {
            let (range, protocol) = ports::parse_exposed(port)?;
            for port in range {
                config
                    .exposed_ports
                    .insert(format!("{port}/{protocol}"), object());
            }
        }
    }
    Ok(())
}

/// JSON form, or shell form for the image's shell.
fn command(config: &ContainerConfig, text: &str) -> Vec<String> {
    json_reader::from_str(text).unwrap_or_else(|_| {
        let shell = config.shell.clone();
        let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        words.push(text.to_owned());
        words
    })
}

/// `KEY=VALUE KEY="VALUE WITH BLANKS"` or the old `KEY VALUE`.
fn pairs(verb: &str, text: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |(key, value): (&str, &str)| Ok((expand(key, env)?, expand(value, env)?));
    let first = fields(text).next().unwrap_or_default();
    if !first.contains('=') {
        let two = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::bad_parameter(format!("{verb} must have two arguments")))?;
        return Ok(vec![pair((two.0, two.1.trim()))?]);
    }
    fields(text)
        .map(|word| {
            word.split_once('=').map(pair).unwrap_or_else(|| {
                Err(Error::bad_parameter(format!(
                    "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
                )))
            })
        })
        .collect()
}

/// `NONE`, or `[--interval=30s ...] CMD ...`.
fn healthcheck(text: &str) -> Result<HealthConfig> {
    let refuse = |text: String| Err(Error::bad_parameter(text));
    let mut health = HealthConfig::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = split(flag);
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let time = match name {
            "interval" => &mut health.interval,
            "timeout" => &mut health.timeout,
            "start-period" => &mut health.start_period,
            "start-interval" => &mut health.start_interval,
            "retries" => &mut health.retries,
            _ => return refuse(format!("unknown flag: {name}")),
        };
        *time = match name {
            "retries" => value.parse().ok(),
            _ => parse_go_duration(value).and_then(|time| i64::try_from(time.as_nanos()).ok()),
        }
        .ok_or_else(|| Error::bad_parameter(format!("invalid {name} of HEALTHCHECK: {value:?}")))?;
        rest = after;
    }
    let (kind, line) = split(rest);
    health.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if line.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return refuse("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" if line.is_empty() => {
            return refuse("Missing command after HEALTHCHECK CMD".to_owned());
        }
        "CMD" => match json_reader::from_str::<Vec<String>>(line) {
            Ok(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            Err(_) => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        },
        other => {
            return refuse(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"));
        }
    };
    crate::container::create::validate::health(Some(&health))?;
    Ok(health)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(config: &mut ContainerConfig, changes: &[&str]) -> Result<()> {
        let changes: Vec<_> = changes.iter().map(|change| (*change).to_owned()).collect();
        apply_changes(config, &changes)
    }

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = ContainerConfig::default();
        let changes = [
            "CMD [\"a\",\"b c\"]",
            "ENV A=1 B=\"x y\"",
            "env C old form",
            "EXPOSE 80 53/udp 90-91",
            "LABEL k=v",
            "USER web",
            "WORKDIR /srv",
            "WORKDIR www",
        ];
        apply(&mut config, &changes).unwrap();
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.env, ["A=1", "B=x y", "C=old form"]);
        assert_eq!(
            config.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp", "90/tcp", "91/tcp"]
        );
        assert_eq!(
            (
                config.labels["k"].as_str(),
                config.user.as_str(),
                config.working_dir.as_str()
            ),
            ("v", "web", "/srv/www")
        );
    }

    #[test]
    fn changes_are_lines_of_a_dockerfile() {
        let mut config = ContainerConfig::default();
        let changes = [
            "EXPOSE 8000\n\n# why\nCMD [\"py\"]",
            "ENV A=1 \\\n# between\n\n  B=2",
            "",
            "USER web \\",
        ];
        apply(&mut config, &changes).unwrap();
        assert!(config.exposed_ports.contains_key("8000/tcp"));
        assert_eq!(config.cmd.unwrap(), ["py"]);
        assert_eq!(config.env, ["A=1", "B=2"]);
        assert_eq!(config.user, "web");
        let refused = |text| apply(&mut ContainerConfig::default(), &[text]).unwrap_err();
        assert_eq!(
            refused("USER a\nRUN ls").message,
            "RUN is not a valid change command"
        );
        assert_eq!(refused("# nothing").message, "file with no instructions");
    }

    #[test]
    fn variables_of_the_image_are_expanded() {
        let mut config = ContainerConfig {
            env: vec!["PATH=/bin".to_owned(), "PORTS=80 443".to_owned()],
            ..ContainerConfig::default()
        };
        let changes = [
            "ENV PATH=$PATH:/opt OLD=${PATH}",
            "ENV RAW '$PATH'",
            "EXPOSE $PORTS",
            "LABEL where=${NOWHERE:-here}",
        ];
        apply(&mut config, &changes).unwrap();
        let env = ["PATH=/bin:/opt", "PORTS=80 443", "OLD=/bin", "RAW=$PATH"];
        assert_eq!(config.env, env);
        assert_eq!(config.exposed_ports.len(), 2);
        assert_eq!(config.labels["where"], "here");
    }

    #[test]
    fn health_checks_are_read() {
        let mut config = ContainerConfig::default();
        let change = "HEALTHCHECK --interval=5s --retries=2 CMD test -e /ok";
        apply(&mut config, &[change]).unwrap();
        let health = config.healthcheck.take().unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "test -e /ok"]);
        assert_eq!((health.interval, health.retries), (5_000_000_000, 2));
        apply(&mut config, &["HEALTHCHECK CMD [\"/ok\",\"x\"]"]).unwrap();
        assert_eq!(config.healthcheck.unwrap().test, ["CMD", "/ok", "x"]);
    }

    #[test]
    fn an_entry_point_drops_the_command_that_was_there() {
        let mut config = ContainerConfig {
            cmd: Some(vec!["old".to_owned()]),
            ..ContainerConfig::default()
        };
        apply(&mut config, &["ENTRYPOINT [\"/init\"]"]).unwrap();
        assert_eq!(config.cmd, None);
        apply(&mut config, &["CMD [\"new\"]", "ENTRYPOINT [\"/init\"]"]).unwrap();
        assert_eq!(config.cmd.unwrap(), ["new"]);
    }

    #[test]
    fn other_instructions_are_refused() {
        for bad in [
            "RUN ls",
            "ENV",
            "",
            "EXPOSE x",
            "STOPSIGNAL x",
            "ENV A=1 B",
            "HEALTHCHECK RUN x",
            "HEALTHCHECK --interval=1ns CMD x",
            "LABEL a=${b",
        ] {
            let error = apply(&mut ContainerConfig::default(), &[bad]).unwrap_err();
            assert_eq!(error.status, 400, "{bad}");
        }
    }
}
