//! dhcpcd's options of a command line as lines of its configuration, for a single link: both have the same names (dhcpcd(8),
//! dhcpcd.conf(5)).

/// Short options that may be a link's, their names in the configuration, and whether a value follows.
#[rustfmt::skip] // one line an option, so that it can be read as a table
const SHORT: &[(char, &str, bool)] = &[
    ('4', "ipv4only",      false),
    ('6', "ipv6only",      false),
    ('A', "noarp",         false),
    ('C', "nohook",        true),
    ('E', "lastlease",     false),
    ('F', "fqdn",          true),
    ('G', "nogateway",     false),
    ('H', "xidhwaddr",     false),
    ('I', "clientid",      true),
    ('J', "broadcast",     false),
    ('K', "nolink",        false),
    ('L', "noipv4ll",      false),
    ('O', "nooption",      true),
    ('Q', "require",       true),
    ('S', "static",        true),
    ('W', "whitelist",     true),
    ('X', "blacklist",     true),
    ('e', "env",           true),
    ('h', "hostname",      true),
    ('i', "vendorclassid", true),
    ('l', "leasetime",     true),
    ('m', "metric",        true),
    ('o', "option",        true),
    ('p', "persistent",    false),
    ('r', "request",       true),
    ('s', "inform",        true),
    ('t', "timeout",       true),
    ('u', "userclass",     true),
    ('v', "vendor",        true),
    ('y', "reboot",        true),
];

/// RancherOS's usual options of the program, which the one that serves all links has anyway: in the foreground, as the master.
const USUAL: &[&str] = &["-B", "-M", "--master", "--nobackground"];

/// Lines for a link's block, and words that cannot be a link's.
pub(super) fn of_link(words: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut refused) = (Vec::new(), Vec::new());
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if USUAL.contains(&word) {
            continue;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(n, v)| (n, Some(v)));
            let Some((_, name, has_value)) = SHORT.iter().find(|(_, known, _)| *known == name)
            else {
                refused.push(word.to_owned());
                continue;
            };
            let value = value.or_else(|| has_value.then(|| rest.next()).flatten());
            add(&mut lines, &mut refused, word, name, value);
        } else if let Some(letters) = word.strip_prefix('-') {
            for (at, letter) in letters.char_indices() {
                let shown = format!("-{letter}");
                if USUAL.contains(&shown.as_str()) {
                    continue;
                }
                let Some((_, name, has_value)) = SHORT.iter().find(|(known, ..)| *known == letter)
                else {
                    refused.push(shown);
                    continue;
                };
                // What stands behind the letter is its value (getopt(3)).
                let behind = &word[1 + at + letter.len_utf8()..];
                let value = match (has_value, behind) {
                    (false, _) => None,
                    (true, "") => rest.next(),
                    (true, behind) => Some(behind),
                };
                add(&mut lines, &mut refused, &shown, name, value);
                if *has_value {
                    break;
                }
            }
        } else {
            refused.push(word.to_owned()); // the name of a link: it has an entry
        }
    }
    (lines, refused)
}

fn add(
    lines: &mut Vec<String>,
    refused: &mut Vec<String>,
    word: &str,
    name: &str,
    value: Option<&str>,
) {
    match value {
        Some(value) if value.contains(['\n', '\r']) => refused.push(word.to_owned()),
        Some(value) => lines.push(format!("{name} {value}")),
        None => lines.push(name.to_owned()),
    }
}
