//! [`Access`]: the organization that a request is for, and what the request may do.

use http::StatusCode;
use time::OffsetDateTime;

use super::problem::Problem;

/// The organization that a request is for, and what the request may do. The application puts it into the
/// request's extensions.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Access {
    /// The organization that owns the subscriptions and events.
    pub organization: String,
    /// The extent to which the request may use them.
    pub scope: Scope,
    /// The organization's name for people, which `GET /v1/session` shows.
    pub label: Option<String>,
    /// The time at which the access ends, which `GET /v1/session` shows. The application ends it.
    pub expires_at: Option<OffsetDateTime>,
}

impl Access {
    /// Makes the access to an organization within `scope`.
    pub fn new(organization: impl Into<String>, scope: Scope) -> Self {
        Self { organization: organization.into(), scope, label: None, expires_at: None }
    }

    /// Sets the organization's name for people.
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the time at which the access ends.
    pub const fn with_expiry(mut self, at: OffsetDateTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

/// The extent of an [`Access`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Scope {
    /// The request may read.
    Read,
    /// The request may read and write.
    ReadWrite,
}

/// The access of a request, if it covers what the request does.
pub(super) fn permitted(parts: &http::request::Parts, writes: bool) -> Result<Access, Problem> {
    let Some(access) = parts.extensions.get::<Access>() else {
        let detail = "request is not authenticated, expected authentication";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    };
    if writes && access.scope != Scope::ReadWrite {
        let detail = "this access may read only, expected one that may write";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(access.clone())
}
