//! Paths with empty or dotted segments (`/images//json`), which Docker's router answers with the clean one's address.

/// The clean form of a request's path, still encoded; none when it is clean already. The last slash stays, as in the
/// router of Docker (gorilla/mux, `cleanPath`).
pub(super) fn cleaned(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_docker_redirects_is_changed() {
        for (path, clean) in [
            ("/v1.41/images//json", Some("/v1.41/images/json")),
            ("//info", Some("/info")),
            ("/containers/a/../json", Some("/containers/json")),
            ("/../../x/./", Some("/x/")),
            ("/networks/", None),
            ("/", None),
            ("/images/a/b/json", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }
}
