//! The picture of the workspace's crates in ARCHITECTURE.md, made from what `cargo metadata` says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::tidy::edges::Metadata;

/// Where it stands.
pub(super) const PAGE: &str = "ARCHITECTURE.md";
/// Where it begins.
pub(super) const BEGIN: &str = "<!-- made by `cargo xtask docs` from the manifests: begin -->\n";

/// Every crate under the layer that it is in, with the crates of ours that it imports. A crate's layer is one above the
/// highest of its imports; imports of tests are left out.
pub(super) fn picture(metadata: &Metadata) -> String {
    let imports = metadata.imports();
    let mut layers: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for name in imports.keys() {
        layers.entry(layer(name, &imports)).or_default().push(name);
    }
    let width = imports.keys().map(String::len).max().unwrap_or_default();
    let mut text = String::from("```\n");
    for (number, names) in layers {
        for (index, name) in names.into_iter().enumerate() {
            let title = if index == 0 {
                format!("layer {number}")
            } else {
                String::new()
            };
            let line = format!("{title:<9} {name:<width$}  {}", imports[name].join(" "));
            // A string takes what is written.
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text.push_str("```");
    text
}

/// Cargo refuses circles, so this ends.
fn layer(name: &str, imports: &BTreeMap<String, Vec<String>>) -> usize {
    let below = imports.get(name).into_iter().flatten();
    1 + below
        .map(|import| layer(import, imports))
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_stands_one_layer_above_the_highest_of_its_imports() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"packages": [
                {"name": "top", "dependencies": [
                    {"name": "low", "kind": null, "path": "/low"}, {"name": "mid", "kind": null, "path": "/mid"},
                    {"name": "other", "kind": "dev", "path": "/other"}, {"name": "serde", "kind": null, "path": null}]},
                {"name": "mid", "dependencies": [{"name": "low", "kind": null, "path": "/low"}]},
                {"name": "low", "dependencies": []}, {"name": "other", "dependencies": []}]}"#,
        )
        .unwrap();
        assert_eq!(
            picture(&metadata),
            "```\nlayer 1   low\n          other\nlayer 2   mid    low\nlayer 3   top    low mid\n```"
        );
    }
}
