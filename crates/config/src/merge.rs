//! Laying one configuration over another.

use crate::{Node, Value};

/// Lays `over` on top of `base`: maps merge key by key, everything else replaces, `null` in `over` changes nothing.
///
/// Every node keeps the location of the document it came from. Depth is bounded by [`crate::MAX_DEPTH`] of the inputs.
pub fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (_, value) if value.is_nothing() => {}
        (Value::Map(below), Value::Map(above)) => {
            for (key, entry) in above {
                match below.get_mut(&key) {
                    Some(existing) => {
                        if !entry.node.value.is_nothing() {
                            existing.key_at = entry.key_at;
                        }
                        merge(&mut existing.node, entry.node);
                    }
                    None => {
                        below.insert(key, entry);
                    }
                }
            }
        }
        (_, value) => {
            base.at = over.at;
            base.value = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{emit, parse};

    fn merged(base: &str, over: &str) -> String {
        let mut base = parse("base", base).unwrap().0;
        merge(&mut base, parse("over", over).unwrap().0);
        emit::to_yaml(&base)
    }

    #[test]
    fn maps_merge_and_the_rest_replaces() {
        for (base, over, want) in [
            ("a: 1\nb: {c: 2}", "b: {d: 3}", "a: 1\nb:\n  c: 2\n  d: 3\n"),
            ("a: [1, 2]", "a: [3]", "a:\n- 3\n"),
            ("a: {b: 1}", "a: text", "a: text\n"),
            ("a: text", "a: {b: 1}", "a:\n  b: 1\n"),
            ("a: 1", "a:", "a: 1\n"),
            ("a: 1", "b:", "a: 1\nb: null\n"),
        ] {
            assert_eq!(merged(base, over), want, "{base} <- {over}");
        }
    }

    #[test]
    fn a_merged_value_remembers_the_file_it_came_from() {
        let mut base = parse("base.yml", "a:\n  b: 1\n  c: 2\n").unwrap().0;
        merge(&mut base, parse("over.yml", "\na: {b: 5}\n").unwrap().0);
        assert_eq!(base.get("a.b").unwrap().at.to_string(), "over.yml:2:8");
        assert_eq!(base.get("a.c").unwrap().at.to_string(), "base.yml:3:6");
    }
}
