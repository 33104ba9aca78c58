//! From a request to the handler that answers it.

use engine::Engine;
use engine::panics;
use engine_api::{DOCKER_VERSION, Result};
use http::{Method, Request, StatusCode, Uri};
use hyper::body::Incoming;

use super::call::Call;
use super::reply::{self, Reply, page_not_found};
use super::{
    archive, attach, clean_path, containers, exec, images, networks, refused, streams, system,
    volumes, websocket,
};

/// Answers a request, whatever it is. The handler is a task: its panic is contained, and a client that leaves does not
/// stop a change half way.
pub(super) fn answer(
    engine: Engine,
    request: Request<Incoming>,
) -> std::pin::Pin<Box<dyn Future<Output = Reply>>> {
    Box::pin(async move {
        let what = format!("{} {}", request.method(), request.uri().path());
        let server = format!("Docker/{DOCKER_VERSION} (linux)");
        let (quiet, named) = (engine.quiet(), what.clone());
        let task = engine_api::tasks::spawn(async move {
            if let Some(target) = clean_target(request.uri()) {
                return reply::moved(&target);
            }
            let call = Call::new(engine, request)?;
            // A request that changes state holds an in-place upgrade up until it is done; the request for the upgrade itself must not.
            let _work = match call.method {
                Method::GET | Method::HEAD | Method::OPTIONS => None,
                _ if call.path.first().is_some_and(|path| path == "engine") => None,
                _ => Some(quiet.work(named)),
            };
            route(call).await
        });
        let mut reply = match panics::contain(task, &what).await {
            Ok(reply) => reply,
            Err(error) => reply::error(&error),
        };
        reply::sign(&mut reply, &server);
        reply
    })
}

/// Where a request with an unclean path belongs.
fn clean_target(uri: &Uri) -> Option<String> {
    let path = clean_path::cleaned(uri.path())?;
    Some(match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}

async fn route(call: Call) -> Result<Reply> {
    if call.method == Method::OPTIONS {
        return reply::empty(StatusCode::OK);
    }
    let path = call.path.clone();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.first().copied().unwrap_or("") {
        "containers" => container(call, &path[1..]).await,
        "exec" => match (call.method.as_str(), &path[1..]) {
            ("GET", [id, "json"]) => exec::inspect(&call, id).await,
            ("POST", [id, "start"]) => exec::start(call, id).await,
            ("POST", [id, "resize"]) => exec::resize(&call, id).await,
            _ => Err(page_not_found()),
        },
        "images" => image(call, &path[1..]).await,
        "networks" => network(call, &path[1..]).await,
        "volumes" => volume(call, &path[1..]).await,
        _ => engine(call, &path).await,
    }
}

async fn engine(call: Call, path: &[&str]) -> Result<Reply> {
    match (call.method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => system::ping(&call),
        ("GET", ["version"]) => system::version(&call),
        ("GET", ["info"]) => system::info(&call).await,
        ("GET", ["events"]) => streams::events(&call),
        ("GET", ["system", "df"]) => system::disk_usage(&call).await,
        ("POST", ["auth"]) => images::auth(call).await,
        ("GET", ["distribution", name @ .., "json"]) if !name.is_empty() => {
            images::distribution(&call, &name.join("/")).await
        }
        ("GET", ["engine"]) => super::upgrade::status(&call),
        ("POST", ["engine", "upgrade"]) => super::upgrade::upgrade(call).await,
        ("POST", ["commit"]) => images::commit(call).await,
        #[cfg(test)]
        ("GET", ["panic"]) => panic!("on purpose"),
        #[cfg(test)]
        ("GET", ["panic", "detached"]) => {
            call.engine
                .detached(|_| async { panic!("on purpose, in work that outlives its client") })
                .await
        }
        _ => refused::answer(&call.method, path),
    }
}

async fn container(call: Call, path: &[&str]) -> Result<Reply> {
    match (call.method.as_str(), path) {
        ("GET", ["json"]) => containers::list(&call).await,
        ("POST", ["create"]) => containers::create(call).await,
        ("POST", ["prune"]) => containers::prune(&call).await,
        ("GET", [id, "json"]) => containers::inspect(&call, id).await,
        ("GET", [id, "top"]) => containers::top(&call, id).await,
        ("GET", [id, "changes"]) => containers::changes(&call, id).await,
        ("POST", [id, "start"]) => containers::start(&call, id).await,
        ("POST", [id, "stop"]) => containers::stop(&call, id).await,
        ("POST", [id, "restart"]) => containers::restart(&call, id).await,
        ("POST", [id, "kill"]) => containers::kill(&call, id).await,
        ("POST", [id, "pause"]) => containers::pause(&call, id).await,
        ("POST", [id, "unpause"]) => containers::unpause(&call, id).await,
        ("POST", [id, "rename"]) => containers::rename(&call, id).await,
        ("POST", [id, "resize"]) => containers::resize(&call, id).await,
        ("POST", [id, "update"]) => containers::update(call, id).await,
        ("DELETE", [id]) => containers::remove(&call, id).await,
        ("POST", [id, "exec"]) => exec::create(call, id).await,
        ("POST", [id, "wait"]) => streams::wait(&call, id),
        ("GET", [id, "logs"]) => streams::logs(&call, id).await,
        ("GET", [id, "stats"]) => streams::stats(&call, id).await,
        ("POST", [id, "attach"]) => attach::attach(call, id).await,
        ("GET", [id, "attach", "ws"]) => websocket::attach(call, id).await,
        ("GET", [id, "export"]) => archive::export(&call, id).await,
        ("HEAD", [id, "archive"]) => archive::head(&call, id).await,
        ("GET", [id, "archive"]) => archive::get(&call, id).await,
        ("PUT", [id, "archive"]) => archive::put(call, id).await,
        (_, [_, "checkpoints", ..]) => refused::checkpoints(),
        _ => Err(page_not_found()),
    }
}

/// Image names have slashes: the verb is the last segment.
async fn image(call: Call, path: &[&str]) -> Result<Reply> {
    match (call.method.as_str(), path) {
        ("GET", ["json"]) => images::list(&call),
        ("GET", ["search"]) => images::search(&call).await,
        ("GET", ["get"]) => images::save(&call, call.query.all("names")).await,
        ("POST", ["load"]) => images::load(call).await,
        ("POST", ["create"]) => images::create(call).await,
        ("POST", ["prune"]) => images::prune(&call).await,
        ("GET", [name @ .., "get"]) => images::save(&call, vec![name.join("/")]).await,
        ("GET", [name @ .., "history"]) => images::history(&call, &name.join("/")),
        ("GET", [name @ .., "json"]) => images::inspect(&call, &name.join("/")),
        ("POST", [name @ .., "push"]) => images::push(&call, &name.join("/")).await,
        ("POST", [name @ .., "tag"]) => images::tag(&call, &name.join("/")),
        ("DELETE", [_, ..]) => images::remove(&call, &path.join("/")).await,
        _ => Err(page_not_found()),
    }
}

async fn network(call: Call, path: &[&str]) -> Result<Reply> {
    match (call.method.as_str(), path) {
        ("GET", [] | [""]) => networks::list(&call),
        ("POST", ["create"]) => networks::create(call).await,
        ("POST", ["prune"]) => networks::prune(&call),
        ("GET", [id]) => networks::inspect(&call, id),
        ("DELETE", [id]) => networks::remove(&call, id),
        ("POST", [id, "connect"]) => networks::connect(call, id).await,
        ("POST", [id, "disconnect"]) => networks::disconnect(call, id).await,
        _ => Err(page_not_found()),
    }
}

async fn volume(call: Call, path: &[&str]) -> Result<Reply> {
    match (call.method.as_str(), path) {
        ("GET", []) => volumes::list(&call),
        ("POST", ["create"]) => volumes::create(call).await,
        ("POST", ["prune"]) => volumes::prune(&call).await,
        ("GET", [name]) => volumes::inspect(&call, name),
        ("PUT", [name]) => volumes::update(&call, name),
        ("DELETE", [name]) => volumes::remove(&call, name).await,
        _ => Err(page_not_found()),
    }
}
