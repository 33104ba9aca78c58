//! Identifiers and random names of containers, execs and networks.

use std::fs::File;
use std::io::{self, Read};

use engine_api::{Error, Result};

/// Bytes in an identifier; it is written as twice as many hexadecimal digits.
const ID_BYTES: usize = 32;
/// Length of the short form of an identifier.
pub const SHORT_ID: usize = 12;
/// Longest container name accepted; Docker has no limit, a directory entry and a host name do.
const NAME_MAX: usize = 255;

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "ample", "bold", "brave", "bright", "brisk", "calm", "candid",
    "clear", "clever", "cosmic", "crisp", "daring", "deft", "eager", "early", "exact", "fair",
    "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "handy", "hardy",
    "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry", "mild",
    "modest", "neat", "nimble", "noble", "patient", "placid", "polite", "prompt", "proud", "quick",
    "quiet", "ready", "robust", "serene", "sharp", "sleek", "snug", "solid", "spry", "steady",
    "still", "stout", "sunny", "swift", "tidy", "true", "upbeat", "valiant", "vivid", "warm",
    "wise", "witty", "zesty",
];

const SURNAMES: &[&str] = &[
    "abel",
    "ampere",
    "archimedes",
    "babbage",
    "banach",
    "bell",
    "bernoulli",
    "bohr",
    "boole",
    "born",
    "boyle",
    "brahe",
    "cantor",
    "cauchy",
    "cavendish",
    "chandra",
    "church",
    "copernicus",
    "curie",
    "dalton",
    "darwin",
    "dijkstra",
    "dirac",
    "einstein",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fourier",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "godel",
    "hamilton",
    "heisenberg",
    "herschel",
    "hilbert",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jacobi",
    "joule",
    "kepler",
    "knuth",
    "kovalevskaya",
    "lagrange",
    "laplace",
    "lavoisier",
    "leibniz",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "mendeleev",
    "newton",
    "noether",
    "pascal",
    "pasteur",
    "pauli",
    "planck",
    "poincare",
    "ptolemy",
    "ramanujan",
    "riemann",
    "ritchie",
    "rutherford",
    "shannon",
    "tesla",
    "turing",
    "volta",
    "watt",
    "wiles",
    "wu",
    "yonath",
];

/// Fills `buffer` from the kernel's random pool.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub fn random_bytes(buffer: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(buffer)
}

/// A new identifier: 64 hexadecimal digits, whose short form is never a plain number (tools take those for numbers).
///
/// # Errors
/// When the random pool cannot be read.
pub fn new_id() -> Result<String> {
    loop {
        let mut bytes = [0u8; ID_BYTES];
        random_bytes(&mut bytes)
            .map_err(|error| Error::server(format!("read /dev/urandom: {error}")))?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if !id[..SHORT_ID].bytes().all(|digit| digit.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

/// The first twelve digits of an identifier.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// A readable name that nobody has; after a few collisions it gets a number.
///
/// # Errors
/// When the random pool cannot be read.
pub fn random_name(is_taken: impl Fn(&str) -> bool) -> Result<String> {
    let mut random = [0u8; 4];
    for attempt in 0..u32::MAX {
        random_bytes(&mut random)
            .map_err(|error| Error::server(format!("read /dev/urandom: {error}")))?;
        let pick = |high: u8, low: u8, list: &[&'static str]| {
            list[usize::from(u16::from_be_bytes([high, low])) % list.len()]
        };
        let mut name = format!(
            "{}_{}",
            pick(random[0], random[1], ADJECTIVES),
            pick(random[2], random[3], SURNAMES)
        );
        if attempt >= 5 {
            name.push_str(&attempt.to_string());
        }
        if !is_taken(&name) {
            return Ok(name);
        }
    }
    Err(Error::server("no free container name is left"))
}

/// Whether `name` matches `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's rule for names.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let mut characters = name.chars();
    (2..=NAME_MAX).contains(&name.len())
        && characters
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && characters.all(|other| other.is_ascii_alphanumeric() || matches!(other, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_hexadecimal_digits_and_differ() {
        let (one, two) = (new_id().unwrap(), new_id().unwrap());
        assert_eq!(one.len(), 64);
        assert!(one.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }

    #[test]
    fn names_avoid_those_that_are_taken() {
        let taken = std::cell::RefCell::new(std::collections::HashSet::new());
        for _ in 0..7000 {
            let name = random_name(|name| taken.borrow().contains(name)).unwrap();
            assert!(is_valid_name(&name), "{name}");
            assert!(taken.borrow_mut().insert(name));
        }
    }

    #[test]
    fn names_follow_dockers_rule() {
        assert!(is_valid_name("a.b-c_9"));
        for bad in ["", "a", "-a", "a b", "a/b", "ü2"] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
    }
}
