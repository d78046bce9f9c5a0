//! [`Problem`]: the reason why a call failed, as problem details (RFC 9457).

use std::borrow::Cow;

use ::axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::manage::{ManageError, Refusal};

/// The reason why a call failed. It is boxed, because most calls succeed.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Problem(Box<Details>);

#[derive(Debug, Serialize)]
struct Details {
    /// The kind of problem: `urn:hookwire:problem:` and the words of the title.
    r#type: String,
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    /// In seconds, for an answer that has such a header.
    #[serde(skip)]
    retry_after: u64,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Details {
            r#type: kind(status),
            title: title(status),
            status,
            detail: detail.into(),
            field: None,
            expected: None,
            rule: None,
            retry_after: 1,
        }))
    }

    /// Makes the problem of a field that holds a value that cannot be used.
    pub(super) fn field(
        field: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (field, what, expected) = (repeatable(field.into()), what.into(), expected.into());
        let mut problem = Self::new(StatusCode::BAD_REQUEST, format!("{field}: {what}, expected {expected}"));
        (problem.0.field, problem.0.expected) = (Some(field), Some(expected));
        problem
    }

    /// The same problem of a replacement, which says how fewer fields can be changed.
    pub(super) fn of_replacement(mut self) -> Self {
        if self.0.detail.contains("required field is missing") {
            let detail =
                format!("{}; PUT replaces the whole, PATCH changes the fields that it names", self.0.detail);
            self.0.detail = detail.into();
        }
        self
    }

    /// The same problem with another status.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        (self.0.r#type, self.0.title, self.0.status) = (kind(status), title(status), status);
        self
    }

    /// Turns a conflict into a failed precondition, for a request that has `If-Match`.
    pub(super) fn of_precondition(self) -> Self {
        match self.0.status {
            StatusCode::CONFLICT => Self::new(StatusCode::PRECONDITION_FAILED, self.0.detail),
            _ => self,
        }
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Self {
        let status = match &error {
            ManageError::Refused(Refusal { field, what, expected, rule }) => {
                let mut problem = Self::field(field.clone(), what.clone(), expected.clone());
                problem.0.rule = *rule;
                return problem;
            }
            ManageError::Taken(Refusal { field, what, expected, .. }) => {
                let problem = Self::field(field.clone(), what.clone(), expected.clone());
                return problem.with_status(StatusCode::CONFLICT);
            }
            ManageError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ManageError::NotFound { .. } => StatusCode::NOT_FOUND,
            ManageError::Changed
            | ManageError::Conflict { .. }
            | ManageError::NotInVersion { .. }
            | ManageError::LimitReached { .. } => StatusCode::CONFLICT,
            ManageError::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            ManageError::NoClient => StatusCode::NOT_IMPLEMENTED,
            ManageError::TooManyTests { retry_after } => {
                let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string());
                problem.0.retry_after = retry_after.as_secs_f64().ceil() as u64;
                return problem;
            }
            ManageError::Store(error) if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            ManageError::Store(_) | ManageError::Sealing(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // The cause stays out, because a store's error may describe the database.
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("invariant: text can be written as JSON");
        let mut response =
            (self.0.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        match self.0.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.0.retry_after));
            }
            // RFC 9110 section 15.5.2 requires a challenge; the application may replace it by its own.
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// The part of a field's path before the first long name, because a long name may be a secret in the wrong
/// place.
fn repeatable(field: Cow<'static, str>) -> Cow<'static, str> {
    let is_short = |name: &str| name.len() <= LONGEST_NAME;
    match field.split('.').all(is_short) {
        true => field,
        false => field.split('.').take_while(|name| is_short(name)).collect::<Vec<_>>().join(".").into(),
    }
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn kind(status: StatusCode) -> String {
    format!("urn:hookwire:problem:{}", title(status).to_ascii_lowercase().replace(' ', "-"))
}

const fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "Invalid request",
        StatusCode::UNAUTHORIZED => "Not authenticated",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "Method not allowed",
        StatusCode::REQUEST_TIMEOUT => "Too slow",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::PRECONDITION_FAILED => "Changed meanwhile",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "Not JSON",
        StatusCode::UNPROCESSABLE_ENTITY => "Key reused",
        StatusCode::TOO_MANY_REQUESTS => "Too many",
        StatusCode::NOT_IMPLEMENTED => "Not set up",
        StatusCode::SERVICE_UNAVAILABLE => "Not available",
        _ => "Internal error",
    }
}

/// No name of this crate is longer, and the base64 of the shortest secret is.
const LONGEST_NAME: usize = 31;
