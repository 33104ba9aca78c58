//! What [`crate::fuzz`] needs of the API's parsers.

use engine_api::{CreateRequest, Result};
use serde::de::DeserializeOwned;

use super::query::Query;
use super::{call, containers};

pub(crate) fn create_request(bytes: &[u8]) -> Result<CreateRequest> {
    containers::create_request(Some(bytes))
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    call::parse(bytes)
}

/// Reads a query in every way that a handler does.
pub(crate) fn query(text: &str) {
    let Ok(query) = Query::parse(text) else {
        return;
    };
    drop(query.filters());
    for key in ["all", "since", "until", "limit", "tail", "name", "t"] {
        let _ = query.flag(key);
        drop((query.time(key), query.number::<i64>(key), query.all(key)));
    }
}
