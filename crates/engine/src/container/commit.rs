//! `docker commit`: an image of what a container has become.

use engine_api::{ContainerConfig, Error, Result};

use super::{Status, merge};
use crate::Engine;
use crate::image::CommitOptions;

/// `POST /commit`.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Repository, perhaps with a tag; empty: the image gets no name.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Message.
    pub comment: String,
    /// Author.
    pub author: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions applied to the configuration.
    pub changes: Vec<String>,
    /// Configuration that goes before the container's.
    pub config: Option<ContainerConfig>,
}

impl Engine {
    /// Makes an image of a container; its identifier.
    ///
    /// # Errors
    /// 400 for changes that are no instruction, 404, 409 when the container is being removed.
    pub async fn container_commit(
        &self,
        reference: &str,
        request: CommitRequest,
    ) -> Result<String> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::conflict(format!(
                "You cannot commit container {} which is being removed",
                container.id
            )));
        }
        let own = container.record().config.clone();
        let mut config = request.config.unwrap_or_default();
        merge::complete(&mut config, &own)?;
        for change in &request.changes {
            apply(&mut config, change)?;
        }
        let options = CommitOptions {
            container: container.id.clone(),
            parent: container.record().image_id.clone(),
            repository: request.repository,
            tag: request.tag,
            comment: request.comment,
            author: request.author,
            config,
        };
        self.mount_rootfs(&container)?;
        let frozen = request.pause && container.status() == Status::Running;
        if frozen {
            // Without a freezer the image is what a copy of a running system is.
            let _ = crate::cgroup::freeze(&container.cgroup, true).await;
        }
        let made = self
            .0
            .images
            .commit(options, &container.layout.upper())
            .await;
        if frozen {
            let _ = crate::cgroup::thaw(&container.cgroup);
        }
        let id = made?;
        let mut attributes = container.event_attributes();
        attributes.insert("imageID".to_owned(), id.clone());
        self.0
            .events
            .publish("container", "commit", &container.id, attributes);
        Ok(id)
    }
}

/// Applies one Dockerfile instruction of those that `docker commit --change` takes.
pub(crate) fn apply(config: &mut ContainerConfig, change: &str) -> Result<()> {
    let invalid = || Error::bad_parameter(format!("{change:?} is not a valid change command"));
    let (verb, rest) = change
        .trim()
        .split_once(char::is_whitespace)
        .ok_or_else(invalid)?;
    let rest = rest.trim();
    let empty = || serde_json::Value::Object(serde_json::Map::new());
    match verb.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "USER" => rest.clone_into(&mut config.user),
        "WORKDIR" => rest.clone_into(&mut config.working_dir),
        "STOPSIGNAL" => rest.clone_into(&mut config.stop_signal),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                super::ports::parse_exposed(port)?;
                let port = if port.contains('/') {
                    port.to_owned()
                } else {
                    format!("{port}/tcp")
                };
                config.exposed_ports.insert(port, empty());
            }
        }
        "VOLUME" => {
            let paths = serde_json::from_str::<Vec<String>>(rest)
                .unwrap_or_else(|_| rest.split_whitespace().map(str::to_owned).collect());
            config
                .volumes
                .extend(paths.into_iter().map(|path| (path, empty())));
        }
        "ENV" => {
            for (key, value) in pairs(rest).ok_or_else(invalid)? {
                crate::spec::process::override_with(&mut config.env, &[format!("{key}={value}")]);
            }
        }
        "LABEL" => config.labels.extend(pairs(rest).ok_or_else(invalid)?),
        "ONBUILD" => config
            .on_build
            .get_or_insert_default()
            .push(rest.to_owned()),
        _ => return Err(invalid()),
    }
    Ok(())
}

/// JSON form or shell form.
fn command(text: &str) -> Vec<String> {
    serde_json::from_str(text)
        .unwrap_or_else(|_| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

/// `KEY=VALUE KEY="VALUE WITH BLANKS"` or the old `KEY VALUE`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let first = text.split_whitespace().next()?;
    if !first.contains('=') {
        let (key, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let mut found = Vec::new();
    for word in words(text) {
        let (key, value) = word.split_once('=')?;
        found.push((key.to_owned(), value.to_owned()));
    }
    Some(found)
}

/// Splits at blanks outside quotes; quotes and backslashes go.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => word.extend(letters.next()),
            ('"' | '\'', None) => quote = Some(letter),
            (end, Some(begin)) if end == begin => quote = None,
            (blank, None) if blank.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = ContainerConfig::default();
        for change in [
            "CMD [\"a\",\"b c\"]",
            "ENV A=1 B=\"x y\"",
            "env C old form",
            "EXPOSE 80 53/udp",
            "LABEL k=v",
            "USER web",
            "WORKDIR /srv",
        ] {
            apply(&mut config, change).unwrap();
        }
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.env, ["A=1", "B=x y", "C=old form"]);
        assert_eq!(
            config.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp"]
        );
        assert_eq!(
            (
                config.labels["k"].as_str(),
                config.user.as_str(),
                config.working_dir.as_str()
            ),
            ("v", "web", "/srv")
        );
    }

    #[test]
    fn other_instructions_are_refused() {
        for bad in ["RUN ls", "CMD", "", "EXPOSE x"] {
            assert_eq!(
                apply(&mut ContainerConfig::default(), bad)
                    .unwrap_err()
                    .status,
                400,
                "{bad}"
            );
        }
    }
}
