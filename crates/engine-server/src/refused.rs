//! What System Docker leaves out on purpose: it answers as Docker does when the feature is off, and names User Docker
//! as the place for it.

use engine_api::{Error, Result};
use http::Method;

use super::reply::page_not_found;
use super::reply::{self, Reply};

const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                          this node to swarm and try again.";
const NO_SWARM: &str = "swarm mode is not available in System Docker: use User Docker (docker -H unix:///var/run/docker.sock)";
const NO_BUILD: &str = "build is not available in System Docker: build the image with User Docker \
                        (docker -H unix:///var/run/docker.sock build), then docker save and system-docker load";
const NO_PLUGINS: &str = "plugins are not available in System Docker: use User Docker (docker -H unix:///var/run/docker.sock)";
const NO_CHECKPOINTS: &str =
    "checkpoints are an experimental feature and not available in System Docker";

/// Answers endpoints of Docker that this engine does not offer, and 404 for everything else.
pub(super) fn answer(method: &Method, path: &[&str]) -> Result<Reply> {
    match (method.as_str(), path) {
        ("GET", ["plugins"]) => reply::ok::<[(); 0]>(&[]),
        ("GET", ["plugins", "privileges"]) => Err(Error::not_implemented(NO_PLUGINS)),
        ("GET", ["plugins", name @ .., "json"]) | ("DELETE", ["plugins", name @ ..]) => Err(
            Error::not_found(format!("plugin {:?} not found", name.join("/"))),
        ),
        (
            "POST",
            [
                "plugins",
                name @ ..,
                "enable" | "disable" | "set" | "upgrade" | "push",
            ],
        ) => Err(Error::not_found(format!(
            "plugin {:?} not found",
            name.join("/")
        ))),
        ("POST", ["plugins", "pull" | "create"]) => Err(Error::not_implemented(NO_PLUGINS)),
        // `docker system prune` asks for this too: an engine that never built has nothing to give back.
        ("POST", ["build", "prune"]) => {
            reply::ok(&serde_json::json!({"CachesDeleted": null, "SpaceReclaimed": 0}))
        }
        ("POST", ["build"] | ["build", "cancel"] | ["session"] | ["grpc"]) => {
            Err(Error::not_implemented(NO_BUILD))
        }
        _ => swarm(method, path),
    }
}

fn swarm(method: &Method, path: &[&str]) -> Result<Reply> {
    match (method.as_str(), path) {
        ("POST", ["swarm", "init" | "join"]) => Err(Error::not_implemented(NO_SWARM)),
        ("POST", ["swarm", "leave"]) => Err(Error::unavailable("This node is not part of a swarm")),
        ("GET", ["swarm"] | ["swarm", "unlockkey"]) | ("POST", ["swarm", "update" | "unlock"]) => {
            no_manager()
        }
        ("GET", ["services" | "nodes" | "tasks" | "secrets" | "configs"]) => no_manager(),
        ("GET", ["services" | "nodes" | "tasks" | "secrets" | "configs", _]) => no_manager(),
        ("GET", ["services" | "tasks", _, "logs"]) => no_manager(),
        ("POST", ["services" | "secrets" | "configs", "create"]) => no_manager(),
        ("POST", ["services" | "nodes" | "secrets" | "configs", _, "update"]) => no_manager(),
        ("DELETE", ["services" | "nodes" | "secrets" | "configs", _]) => no_manager(),
        _ => Err(page_not_found()),
    }
}

/// What Docker says of everything that needs a swarm.
pub(super) fn no_manager() -> Result<Reply> {
    Err(Error::unavailable(NO_MANAGER))
}

/// Checkpoints exist in Docker with experimental features on only.
pub(super) fn checkpoints() -> Result<Reply> {
    Err(Error::not_implemented(NO_CHECKPOINTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(method: Method, path: &[&str]) -> (u16, String) {
        let error = answer(&method, path).unwrap_err();
        (error.status.as_u16(), error.message)
    }

    #[test]
    fn refusals_name_user_docker() {
        for path in [
            &["build"][..],
            &["swarm", "init"],
            &["plugins", "pull"],
            &["session"],
        ] {
            let (status, message) = refusal(Method::POST, path);
            assert_eq!(status, 501, "{path:?}");
            assert!(message.contains("User Docker"), "{path:?}: {message}");
        }
    }

    #[test]
    fn swarm_is_off_as_in_docker() {
        assert_eq!(
            refusal(Method::GET, &["services"]),
            (503, NO_MANAGER.to_owned())
        );
        assert_eq!(refusal(Method::GET, &["nodes", "a"]).0, 503);
        assert_eq!(refusal(Method::POST, &["swarm", "leave"]).0, 503);
        assert_eq!(
            refusal(Method::GET, &["nonsense"]),
            (404, "page not found".to_owned())
        );
        assert_eq!(refusal(Method::PUT, &["services"]).0, 404);
    }

    #[test]
    fn nothing_was_built_and_nothing_is_pruned() {
        let reply = answer(&Method::POST, &["build", "prune"]).unwrap();
        assert_eq!(reply.status(), 200);
    }
}
