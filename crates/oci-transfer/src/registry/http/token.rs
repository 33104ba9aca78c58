//! Answers to a registry's challenge: basic credentials, or a token from where it says.

use serde::Deserialize;
use ureq::http::Method;

use super::Http;
use super::answer::{ANSWER_MAX, failure, read_body};
use crate::registry::auth::{Challenge, basic, query_value};
use oci_image::error::{Error, Result};

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Http<'_> {
    /// The `Authorization` header that the challenge to `request` asks for.
    pub(super) fn answer(
        &self,
        challenge: &Challenge,
        request: impl FnOnce() -> String,
    ) -> Result<String> {
        let credentials = &self.credentials;
        match challenge {
            Challenge::Basic if credentials.username.is_empty() => {
                Err(Error::NoCredentials { request: request() })
            }
            Challenge::Basic => Ok(basic(&credentials.username, &credentials.password)),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                if realm.starts_with("http://") && !self.insecure && !credentials.is_empty() {
                    return Err(Error::Denied(format!(
                        "registry asks to send credentials in the clear to {realm}"
                    )));
                }
                let scope = if self.scope.is_empty() {
                    scope
                } else {
                    &self.scope
                };
                self.token(realm, service, scope)
            }
        }
    }

    fn token(&self, realm: &str, service: &str, scope: &str) -> Result<String> {
        let credentials = &self.credentials;
        let mut query = format!("service={}", query_value(service));
        if !scope.is_empty() {
            query.push_str(&format!("&scope={}", query_value(scope)));
        }
        let response = if credentials.identity_token.is_empty() {
            let separator = if realm.contains('?') { '&' } else { '?' };
            let url = format!("{realm}{separator}{query}");
            let login = (!credentials.username.is_empty())
                .then(|| basic(&credentials.username, &credentials.password));
            self.retry(|| self.follow(&Method::GET, &url, &[], None, login.as_deref()))?
        } else {
            let form = format!(
                "grant_type=refresh_token&client_id=rancheros&{query}&refresh_token={}",
                query_value(&credentials.identity_token)
            );
            let length = form.len().to_string();
            let headers = [
                ("content-type", "application/x-www-form-urlencoded"),
                ("content-length", length.as_str()),
            ];
            self.once(
                &Method::POST,
                realm,
                &headers,
                Some(Box::new(form.as_bytes())),
                None,
            )?
        };
        let status = response.status().as_u16();
        if status == 401 || status == 403 {
            return Err(Error::Denied(
                "unauthorized: incorrect username or password".to_owned(),
            ));
        }
        if status != 200 {
            return Err(failure(response, "get a token"));
        }
        let bytes = read_body(response, ANSWER_MAX)?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid(format!("malformed token answer: {error}")))?;
        let token = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if token.is_empty() {
            return Err(Error::invalid("token answer holds no token"));
        }
        Ok(format!("Bearer {token}"))
    }
}
