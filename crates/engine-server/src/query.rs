//! Query parameters, read as Docker reads them.

use engine_api::{Error, Filters, Result, Timestamp};

/// Most parameters of one request; `docker save` of many images is the longest that clients send.
const MAX_PARAMETERS: usize = 4096;

/// The parameters of a request, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// The size of a terminal, `h` and `w`: lines and columns.
    ///
    /// # Errors
    /// 400 in Docker's words when one is not a number.
    pub(super) fn size(&self) -> Result<(u16, u16)> {
        let one = |key: &str| {
            let text = self.text(key);
            text.parse::<u16>().map_err(|_| {
                Error::bad_parameter(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
            })
        };
        Ok((one("h")?, one("w")?))
    }

    /// Reads `a=1&b=x%20y`.
    ///
    /// # Errors
    /// 400 when an escape is broken, the text is not UTF-8, or there are too many.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if part.contains(';') {
                return Err(Error::bad_parameter("invalid semicolon separator in query"));
            }
            if pairs.len() == MAX_PARAMETERS {
                return Err(Error::bad_parameter(format!(
                    "query has more than {MAX_PARAMETERS} parameters"
                )));
            }
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(key, true)?, decode(value, true)?));
        }
        Ok(Self(pairs))
    }

    /// A parameter's first value; none when it is absent.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter's first value; empty when it is absent.
    pub(super) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or("")
    }

    /// A parameter that has a value.
    pub(super) fn non_empty(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(super) fn all(&self, key: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// True unless absent or one of Docker's words for no.
    pub(super) fn flag(&self, key: &str) -> bool {
        let value = self.text(key).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A flag that is `default` when absent.
    pub(super) fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.get(key).is_some() {
            self.flag(key)
        } else {
            default
        }
    }

    /// A whole number; none when absent or empty.
    ///
    /// # Errors
    /// 400 when it is not one.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>> {
        self.non_empty(key).map(|text| number(text)).transpose()
    }

    /// The `filters` parameter.
    ///
    /// # Errors
    /// 400 when it is not JSON of the right form.
    pub(super) fn filters(&self) -> Result<Filters> {
        Filters::parse(self.text("filters"))
    }

    /// A point in time; none when absent or empty.
    ///
    /// # Errors
    /// 400 when it is not one.
    pub(super) fn time(&self, key: &str) -> Result<Option<Timestamp>> {
        let Some(text) = self.non_empty(key) else {
            return Ok(None);
        };
        Timestamp::parse_any(text, Timestamp::now())
            .map(Some)
            .ok_or_else(|| {
                Error::bad_parameter(format!("invalid value for {key:?}: {text:?} is not a time"))
            })
    }
}

/// A number, or Docker's complaint.
fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| {
        Error::bad_parameter(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
    })
}

/// Undoes percent-encoding (and `+` in queries).
///
/// # Errors
/// 400 when an escape is broken or the result is not UTF-8.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'+' if plus_is_space => bytes.push(b' '),
            b'%' => {
                let (byte, tail) = escape(rest).ok_or_else(|| {
                    Error::bad_parameter(format!("invalid URL escape in {text:?}"))
                })?;
                bytes.push(byte);
                rest = tail;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| Error::bad_parameter(format!("{text:?} is not UTF-8")))
}

fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, tail) = rest.split_first_chunk::<2>()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(digits[0])? * 16 + digit(digits[1])?;
    Some((u8::try_from(byte).ok()?, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_words_for_no() {
        for text in [
            "",
            "a",
            "a=",
            "a=0",
            "a=no",
            "a=False",
            "a=NONE",
            "a=%20false%20",
        ] {
            assert!(!Query::parse(text).unwrap().flag("a"), "{text}");
        }
        for text in ["a=1", "a=true", "a=yes", "a=2", "a=f"] {
            assert!(Query::parse(text).unwrap().flag("a"), "{text}");
        }
        assert!(Query::parse("").unwrap().flag_or("stream", true));
        assert!(!Query::parse("stream=0").unwrap().flag_or("stream", true));
    }

    #[test]
    fn escapes_are_undone_once() {
        let query = Query::parse("name=a%2Fb+c&x=%2525&x=2&&y").unwrap();
        assert_eq!(query.text("name"), "a/b c");
        assert_eq!(query.all("x"), ["%25", "2"]);
        assert_eq!(query.get("y"), Some(""));
        assert_eq!(query.get("z"), None);
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=1;b=2"] {
            assert_eq!(Query::parse(text).unwrap_err().status, 400, "{text}");
        }
        let many = "a=1&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(Query::parse(&many).unwrap_err().status, 400);
    }

    #[test]
    fn numbers_fail_as_in_docker() {
        let query = Query::parse("t=abc&u=7").unwrap();
        let error = query.number::<i64>("t").unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.message.as_str()),
            (400, "strconv.Atoi: parsing \"abc\": invalid syntax")
        );
        assert_eq!(query.number::<i64>("u").unwrap(), Some(7));
        assert_eq!(query.number::<i64>("none").unwrap(), None);
    }
}
