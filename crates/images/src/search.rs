//! Looking for repositories in an index.

use engine_api::{AuthConfig, Error, Filters, ImageSearchItem, Result};
use oci_image::registry::Found;

use super::Images;
use super::transfer::credentials;
use oci_image::task::Task;

/// Repositories unless a client asks for another number.
const LIMIT: u8 = 25;
/// Most repositories that an index lists at once.
const LIMIT_MAX: i64 = 100;

impl Images {
    /// `GET /images/search`.
    ///
    /// # Errors
    /// 400 for a bad limit or filter, 500 when no index answers.
    pub async fn search(
        &self,
        term: &str,
        limit: i64,
        filters: &Filters,
        auth: Option<AuthConfig>,
    ) -> Result<Vec<ImageSearchItem>> {
        let wanted = Wanted::parse(filters)?;
        let limit = match limit {
            0 => LIMIT,
            1..=LIMIT_MAX => u8::try_from(limit).unwrap_or(LIMIT),
            _ => {
                return Err(Error::bad_parameter(format!(
                    "limit {limit} is outside the range of [1, {LIMIT_MAX}]"
                )));
            }
        };
        if wanted.automated {
            return Ok(Vec::new());
        }
        let task = Task::Search {
            term: term.to_owned(),
            limit,
            registry: self.0.registry.borrow().clone(),
            credentials: credentials(auth),
        };
        let found = self.ask(task).await?.found;
        Ok(found
            .into_iter()
            .filter(|found| wanted.matches(found))
            .map(item)
            .collect())
    }
}

fn item(found: Found) -> ImageSearchItem {
    ImageSearchItem {
        name: found.name,
        description: found.description,
        is_official: found.is_official,
        is_automated: false,
        star_count: found.star_count,
    }
}

/// What the filters of a search leave.
struct Wanted {
    /// Deprecated: there is nothing of the kind any more.
    automated: bool,
    official: Option<bool>,
    stars: i64,
}

impl Wanted {
    fn parse(filters: &Filters) -> Result<Self> {
        filters.validate(&["is-automated", "is-official", "stars"])?;
        let mut stars = 0;
        for text in filters.get("stars") {
            let least: i64 = text.parse().map_err(|_| filters.invalid("stars"))?;
            stars = stars.max(least);
        }
        Ok(Self {
            automated: filters.flag("is-automated")?.unwrap_or_default(),
            official: filters.flag("is-official")?,
            stars,
        })
    }

    fn matches(&self, found: &Found) -> bool {
        found.star_count >= self.stars
            && self
                .official
                .is_none_or(|official| official == found.is_official)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(filters: Filters) -> Vec<&'static str> {
        let wanted = Wanted::parse(&filters).unwrap();
        [("official", true, 3), ("other", false, 100)]
            .into_iter()
            .filter(|(name, is_official, star_count)| {
                wanted.matches(&Found {
                    name: (*name).to_owned(),
                    is_official: *is_official,
                    star_count: *star_count,
                    ..Found::default()
                })
            })
            .map(|(name, ..)| name)
            .collect()
    }

    #[test]
    fn filters_choose_by_stars_and_selection() {
        let filters = Filters::default;
        assert_eq!(left(filters()), ["official", "other"]);
        assert_eq!(left(filters().with("stars", "4")), ["other"]);
        assert_eq!(left(filters().with("is-official", "true")), ["official"]);
        assert_eq!(left(filters().with("is-official", "0")), ["other"]);
        assert!(Wanted::parse(&filters().with("stars", "many")).is_err());
        assert!(Wanted::parse(&filters().with("color", "red")).is_err());
    }
}
