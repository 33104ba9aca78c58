//! Paths as Docker reads them for `cp`: by their text, in which a last `/` or `/.` has a meaning.

/// `CONTAINER:PATH`; a path that begins with `/` or `.` is local whatever colons it has.
pub(super) fn container_path(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    text.split_once(':')
        .filter(|(container, _)| !container.is_empty())
}

/// The shortest path that says the same, without links being looked at; nothing is `.`.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match joined.as_str() {
        _ if rooted => format!("/{joined}"),
        "" => ".".to_owned(),
        _ => joined,
    }
}

/// Whether a path means what is in a directory and not the directory: its last part is `.`, or there is none.
pub(super) fn is_content(path: &str) -> bool {
    let trimmed = path.trim_end_matches('/');
    path.is_empty() || trimmed == "." || trimmed.ends_with("/.")
}

/// Whether a path says by its end that it is a directory.
pub(super) fn names_directory(path: &str) -> bool {
    path.ends_with('/') || is_content(path)
}

/// The directory that something is in, and its name there: `.` for the content of a directory, `/` for the root directory.
pub(super) fn split(path: &str) -> (String, String) {
    let cleaned = clean(path);
    if is_content(path) {
        return (cleaned, ".".to_owned());
    }
    match cleaned.rsplit_once('/') {
        Some(("", "")) => ("/".to_owned(), "/".to_owned()),
        Some(("", base)) => ("/".to_owned(), base.to_owned()),
        Some((folder, base)) => (folder.to_owned(), base.to_owned()),
        None => (".".to_owned(), cleaned),
    }
}

/// A path below `folder` unless it is absolute. Its end keeps its meaning.
pub(super) fn absolute(path: &str, folder: &str) -> String {
    let mut whole = match path.starts_with('/') {
        true => clean(path),
        false => clean(&format!("{folder}/{path}")),
    };
    if is_content(path) {
        whole.push_str(if whole == "/" { "." } else { "/." });
    } else if path.ends_with('/') && whole != "/" {
        whole.push('/');
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_path_is_told_from_a_local_one() {
        assert_eq!(container_path("web:/etc"), Some(("web", "/etc")));
        for local in ["/tmp/a:b", "./a:b", "../a:b", "plain", "-", ":/x"] {
            assert_eq!(container_path(local), None, "{local}");
        }
    }

    #[test]
    fn the_end_of_a_path_keeps_its_meaning() {
        for (path, whole) in [
            ("a", "/here/a"),
            ("a/", "/here/a/"),
            ("a/.", "/here/a/."),
            (".", "/here/."),
            ("..", "/"),
            ("../x//y", "/x/y"),
            ("/", "/"),
            ("/.", "/."),
            ("/a/../..", "/"),
        ] {
            assert_eq!(absolute(path, "/here"), whole, "{path}");
        }
    }

    #[test]
    fn a_path_is_split_as_docker_splits_it() {
        for (path, folder, base) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("/a", "/", "a"),
            ("/", "/", "/"),
            ("/.", "/", "."),
            ("a", ".", "a"),
            ("", ".", "."),
        ] {
            assert_eq!(split(path), (folder.to_owned(), base.to_owned()), "{path}");
        }
    }
}
