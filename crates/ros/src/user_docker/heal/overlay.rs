//! What the driver overlay2 notes next to each layer's content: a short name (`link`), a link of that name in `l/`, and the short names
//! of all layers below (`lower`). All of it follows from the rest (daemon/graphdriver/overlay2/overlay.go).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{Healer, entries, fits, is_id, name};

/// Length of a short name: overlay.go, idLength.
const LINK_CHARS: usize = 26;
/// Layers on each other: overlay.go, maxDepth.
const DEPTH_MAX: usize = 128;

/// Mends what can be mended for the driver's directory `driver` below `image/`.
pub(super) fn heal(healer: &mut Healer, driver: &Path) {
    let data = healer.root.join("overlay2");
    let layers: Vec<PathBuf> = entries(&data)
        .into_iter()
        .filter(|path| path.is_dir() && is_layer(&name(path)))
        .collect();
    links(healer, &data, &layers);
    let below = below(driver);
    for layer in &layers {
        lower(healer, &data, &below, layer);
    }
}

/// The directory of a layer, or of what is put under each container.
fn is_layer(name: &str) -> bool {
    is_id(name.strip_suffix("-init").unwrap_or(name))
}

fn is_link(bytes: &[u8]) -> Result<(), String> {
    fits::text(bytes)?;
    let plain = bytes
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if plain && bytes.len() == LINK_CHARS {
        Ok(())
    } else {
        Err("it is not a short name".to_owned())
    }
}

fn is_lower(bytes: &[u8]) -> Result<(), String> {
    fits::text(bytes)?;
    let fits = bytes.split(|byte| *byte == b':').all(|part| {
        part.strip_prefix(b"l/")
            .is_some_and(|link| is_link(link).is_ok())
    });
    if fits {
        Ok(())
    } else {
        Err("it is not a list of short names".to_owned())
    }
}

/// Short names: each layer's own file, and the link that leads back to it.
fn links(healer: &mut Healer, data: &Path, layers: &[PathBuf]) {
    let folder = data.join("l");
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for path in entries(&folder) {
        if let Ok(target) = fs::read_link(&path) {
            let mut parts = target.iter().rev();
            let (_, layer) = (parts.next(), parts.next());
            if let Some(layer) = layer.and_then(|layer| layer.to_str()) {
                known.insert(layer.to_owned(), name(&path));
            }
        }
    }
    for layer in layers {
        let own = layer.join("link");
        let found =
            fits::look(&own, &is_link).and_then(|found| found.ok_or("was missing".to_owned()));
        if let Err(why) = found {
            let Some(link) = known.get(&name(layer)) else {
                healer.say(format!(
                    "{} has lost its short name ({why}): what stands on it may not start",
                    layer.display()
                ));
                continue;
            };
            healer.mend(&own, &why, link);
        }
        let Ok(link) = fs::read_to_string(&own) else {
            continue;
        };
        way_back(healer, &folder.join(link), &name(layer));
    }
}

/// Makes `l/NAME` again when it is anything else than a link to its layer.
fn way_back(healer: &mut Healer, path: &Path, layer: &str) {
    let wanted = PathBuf::from(format!("../{layer}/diff"));
    if fs::read_link(path).is_ok_and(|target| target == wanted) {
        return;
    }
    let there = fs::symlink_metadata(path).is_ok();
    if there && !healer.set_aside(path, "it does not lead to its layer", "it was made again") {
        return;
    }
    if !there {
        healer.say(format!("{} was missing: it was made again", path.display()));
    }
    let made =
        fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| symlink(&wanted, path));
    if let Err(error) = made {
        healer.say(format!("{}: {error}", path.display()));
    }
}

/// Which directory each one stands on.
fn below(driver: &Path) -> BTreeMap<String, String> {
    let read = |path: &Path| {
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let database = driver.join("layerdb");
    let cache_of = |entry: &Path| {
        let chain = read(&entry.join("parent"))?;
        let chain = chain.strip_prefix("sha256:")?.to_owned();
        read(&database.join("sha256").join(chain).join("cache-id"))
    };
    let mut below = BTreeMap::new();
    for entry in entries(&database.join("sha256")) {
        if let (Some(own), Some(parent)) = (read(&entry.join("cache-id")), cache_of(&entry)) {
            below.insert(own, parent);
        }
    }
    for entry in entries(&database.join("mounts")) {
        let Some(own) = read(&entry.join("mount-id")) else {
            continue;
        };
        let image = cache_of(&entry);
        match read(&entry.join("init-id")) {
            Some(init) => {
                if let Some(image) = image {
                    below.insert(init.clone(), image);
                }
                below.insert(own, init);
            }
            None => {
                if let Some(image) = image {
                    below.insert(own, image);
                }
            }
        }
    }
    below
}

fn lower(healer: &mut Healer, data: &Path, below: &BTreeMap<String, String>, layer: &Path) {
    let path = layer.join("lower");
    let id = name(layer);
    // A list that ends early is a list; the layers below are those of the one below and one more.
    let parts = |lower: &str| lower.split(':').count();
    let depth = wanted(data, below, &id, 0).map(|lower| parts(&lower));
    let fits = |bytes: &[u8]| {
        is_lower(bytes)?;
        let own = parts(&String::from_utf8_lossy(bytes));
        match depth {
            Some(depth) if own < depth => Err("it was cut off".to_owned()),
            _ => Ok(()),
        }
    };
    match fits::look(&path, &fits) {
        Ok(Some(())) => {}
        Ok(None) if !below.contains_key(&id) => return,
        found => {
            let why = found.err().unwrap_or_else(|| "was missing".to_owned());
            match wanted(data, below, &id, 0) {
                Some(lower) => {
                    healer.mend(&path, &why, &lower);
                }
                None => healer.say(format!(
                    "{} is damaged ({why}), and what it stands on is not known: what uses it does not start",
                    path.display()
                )),
            }
        }
    }
    // overlayfs works in it; a layer that stands on others has one.
    let work = layer.join("work");
    if fs::symlink_metadata(&work).is_err()
        && let Err(error) = fs::DirBuilder::new().mode(0o700).create(&work)
    {
        healer.say(format!("cannot make {}: {error}", work.display()));
    }
}

/// The text of a file; nothing waits for what has become a pipe.
fn text(path: &Path) -> Option<String> {
    let bytes = fits::content(path).ok().flatten()?;
    String::from_utf8(bytes).ok()
}

/// What `lower` of a directory must be.
fn wanted(data: &Path, below: &BTreeMap<String, String>, id: &str, depth: usize) -> Option<String> {
    let parent = below.get(id).filter(|_| depth < DEPTH_MAX)?;
    let link = text(&data.join(parent).join("link"))?;
    is_link(link.as_bytes()).ok()?;
    if !below.contains_key(parent) {
        return Some(format!("l/{link}"));
    }
    let lower = text(&data.join(parent).join("lower"))
        .filter(|lower| is_lower(lower.as_bytes()).is_ok())
        .or_else(|| wanted(data, below, parent, depth + 1))?;
    Some(format!("l/{link}:{lower}"))
}
