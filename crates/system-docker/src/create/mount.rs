//! `--mount`: fields between commas, each KEY=VALUE or a bare switch, as docker reads them.

use anyhow::{Context as _, bail, ensure};
use engine_api::{BindOptions, DriverConfig, Mount, TmpfsOptions, VolumeOptions};

use super::values::bytes;

/// Reads one mount.
///
/// # Errors
/// Names the field that is wrong, or missing.
pub(super) fn mount(text: &str) -> anyhow::Result<Mount> {
    let mut mount = Mount {
        typ: "volume".to_owned(),
        ..Mount::default()
    };
    for field in fields(text) {
        apply(&mut mount, &field).with_context(|| format!("--mount {text}"))?;
    }
    ensure!(
        !mount.target.is_empty(),
        "--mount {text}: target is required"
    );
    for (kind, given) in [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ] {
        ensure!(
            !given || mount.typ == kind,
            "--mount {text}: cannot mix '{kind}-*' options with mount type '{}'",
            mount.typ
        );
    }
    Ok(mount)
}

fn apply(mount: &mut Mount, field: &str) -> anyhow::Result<()> {
    let (key, value) = match field.split_once('=') {
        Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
        None => (field.to_ascii_lowercase(), None),
    };
    let text = || {
        value
            .map(str::to_owned)
            .with_context(|| format!("invalid field '{field}' must be a key=value pair"))
    };
    let switch = || match value {
        None | Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(other) => bail!("invalid value for {key}: {other}"),
    };
    match key.as_str() {
        "type" => mount.typ = text()?.to_ascii_lowercase(),
        "source" | "src" => mount.source = source(text()?)?,
        "target" | "dst" | "destination" => mount.target = text()?,
        "readonly" | "ro" => mount.read_only = switch()?,
        "consistency" => mount.consistency = text()?.to_ascii_lowercase(),
        "bind-propagation" => bind(mount).propagation = text()?.to_ascii_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = switch()?,
        "bind-recursive" => recursive(mount, &text()?)?,
        "volume-subpath" => volume(mount).subpath = text()?,
        "volume-nocopy" => volume(mount).no_copy = switch()?,
        "volume-label" => {
            let (name, value) = pair(text()?);
            volume(mount).labels.insert(name, value);
        }
        "volume-driver" => driver(mount).name = text()?,
        "volume-opt" => {
            let (name, value) = pair(text()?);
            driver(mount).options.insert(name, value);
        }
        "tmpfs-size" => tmpfs(mount).size_bytes = bytes("tmpfs-size", &text()?)?,
        "tmpfs-mode" => {
            tmpfs(mount).mode = u32::from_str_radix(&text()?, 8)
                .with_context(|| format!("invalid value for {key}: {field}"))?;
        }
        _ => bail!("unexpected key '{key}' in '{field}'"),
    }
    Ok(())
}

/// A source that begins with a dot is a path from here.
fn source(text: String) -> anyhow::Result<String> {
    if text != "." && !text.starts_with("./") && !text.starts_with("..") {
        return Ok(text);
    }
    let path = std::path::absolute(&text).with_context(|| format!("source {text}"))?;
    Ok(path.to_string_lossy().into_owned())
}

fn recursive(mount: &mut Mount, value: &str) -> anyhow::Result<()> {
    let options = bind(mount);
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        other => bail!(
            "invalid value for bind-recursive: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
        ),
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut DriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn pair(text: String) -> (String, String) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text, String::new()),
    }
}

/// The fields of one record of comma-separated values; a field in quotes may hold commas, and a quote written twice
/// (RFC 4180).
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, fields.last_mut()) {
            ('"', Some(field)) if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => fields.push(String::new()),
            (character, Some(field)) => field.push(character),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_have_dockers_forms() {
        let bind = mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!(
            (
                bind.typ.as_str(),
                bind.source.as_str(),
                bind.target.as_str()
            ),
            ("bind", "/a", "/b")
        );
        assert!(bind.read_only);
        assert_eq!(bind.bind_options.unwrap().propagation, "rslave");

        let volume = mount(
            "source=v,target=/v,\"volume-opt=o=addr=1.2.3.4,rw\",volume-opt=type=nfs,volume-nocopy=true",
        )
        .unwrap();
        assert_eq!(volume.typ, "volume");
        let options = volume.volume_options.unwrap();
        assert!(options.no_copy);
        let driver = options.driver_config.unwrap();
        assert_eq!(driver.options["o"], "addr=1.2.3.4,rw");
        assert_eq!(driver.options["type"], "nfs");

        let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770").unwrap();
        let options = tmpfs.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (64 << 20, 0o1770));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("type=bind,src=/a", "target is required"),
            ("target=/a,colour=red", "unexpected key 'colour'"),
            ("target", "invalid field 'target' must be a key=value pair"),
            (
                "target=/a,readonly=maybe",
                "invalid value for readonly: maybe",
            ),
            (
                "type=bind,target=/a,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            ("target=/a,bind-recursive=some", "bind-recursive: some"),
        ] {
            let error = format!("{:#}", mount(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
