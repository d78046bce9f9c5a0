//! [`Refusal`]: why no connection could be made, in a sentence that says what to change.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::errors::{code, failed, kind_of};
use crate::store::{StoreError, StoreErrorKind};

/// Why no connection could be made.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: StoreErrorKind,
    text: String,
    cause: Option<sqlx::Error>,
    lasts: Lasts,
}

/// How long a refusal lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lasts {
    /// Until somebody changes a setting.
    ForGood,
    /// Until the server is up, or leads to another one.
    ForNow,
    /// Until another connection is closed.
    WhileFull,
}

impl Refusal {
    pub(super) fn for_good(kind: StoreErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), cause: None, lasts: Lasts::ForGood }
    }

    pub(super) fn for_now(text: impl Into<String>) -> Self {
        let kind = StoreErrorKind::Unavailable;
        Self { kind, text: text.into(), cause: None, lasts: Lasts::ForNow }
    }

    pub(super) fn with_cause(mut self, cause: sqlx::Error) -> Self {
        self.cause = Some(cause);
        self
    }

    pub(super) fn with_text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    pub(super) const fn lasts(&self) -> Lasts {
        self.lasts
    }

    /// Sorts a driver's error on a connection that was made.
    pub(super) fn of_driver(error: sqlx::Error) -> Self {
        let (kind, lasts) = match code(&error) {
            Some(code) => match kind_of(&code) {
                StoreErrorKind::Unavailable => (StoreErrorKind::Unavailable, Lasts::ForNow),
                kind => (kind, Lasts::ForGood),
            },
            None => (StoreErrorKind::Unavailable, Lasts::ForNow),
        };
        Self { kind, text: "the connection failed before it was used".to_owned(), cause: Some(error), lasts }
    }

    /// Sorts the error of a connection that was not made.
    pub(super) fn of_connecting(error: sqlx::Error, options: &PgConnectOptions) -> Self {
        let place = place(options);
        let role = options.get_username();
        let kind = failed_kind(&error);
        let (text, lasts) = match (&error, meaning(&error).as_deref()) {
            (sqlx::Error::Io(_), _) => (
                format!("no connection to {place}: check host and port, and whether the server is up"),
                Lasts::ForNow,
            ),
            (sqlx::Error::Tls(_), _) => (
                format!("no TLS connection to {place}: check sslmode and sslrootcert in the URL"),
                Lasts::ForGood,
            ),
            (sqlx::Error::Database(_), Some(code)) => match code {
                "53300" => (
                    format!(
                        "{place} has no connection left for role {role}: lower with_connections or the number of \
                         processes, or raise max_connections or the role's CONNECTION LIMIT"
                    ),
                    Lasts::WhileFull,
                ),
                "3D000" => (
                    format!("{place} has no such database: create it, or change the name in the URL"),
                    Lasts::ForGood,
                ),
                "28P01" | "28000" => (
                    format!(
                        "{place} does not accept the role {role} with this password from here: check both, and \
                         pg_hba.conf"
                    ),
                    Lasts::ForGood,
                ),
                "42501" => (
                    format!("role {role} may not connect to this database: GRANT CONNECT ON DATABASE to it"),
                    Lasts::ForGood,
                ),
                UNKNOWN_PARAMETER => (
                    "the server or the pooler does not know a parameter of the connection's options: remove it, or \
                     name it in the pooler's ignore_startup_parameters"
                        .to_owned(),
                    Lasts::ForGood,
                ),
                // The server starts, stops or accepts no connections yet, or a pooler does not reach it.
                _ if ["57P", "08", "55000"].iter().any(|class| code.starts_with(class)) => {
                    (format!("{place} accepts no connection now"), Lasts::ForNow)
                }
                _ => (format!("{place} refuses the connection"), Lasts::ForGood),
            },
            (sqlx::Error::Protocol(_), _) => {
                (format!("{place} does not answer as a PostgreSQL server does"), Lasts::ForGood)
            }
            _ => (format!("no connection to {place} can be made"), Lasts::ForGood),
        };
        Self { kind, text, cause: Some(error), lasts }
    }

    /// The refusal of a server that did not answer in time.
    pub(super) fn no_answer(options: &PgConnectOptions) -> Self {
        Self::for_now(format!(
            "{} gives no answer: check host and port, whether a firewall drops the packets, and whether a pooler \
             there reaches its server; or raise with_acquire_timeout",
            place(options)
        ))
    }

    /// The refusal of an application's pool that gave no connection in time.
    pub(super) fn of_application_pool(waited: Duration) -> Self {
        Self::for_now(format!(
            "the application's pool gave no connection within {waited:?}: raise its max_connections or its \
             acquire_timeout, or check whether the server answers"
        ))
        .with_cause(sqlx::Error::PoolTimedOut)
    }

    /// The refusal of a pool whose connections are all in use.
    pub(super) fn all_in_use(most: usize, waited: Duration) -> Self {
        Self::for_now(format!(
            "none of the store's {most} connections became free within {waited:?}: raise with_connections or \
             with_acquire_timeout"
        ))
    }
}

/// Returns the code of an error by which a connection was refused. PgBouncer has one code for all of its own
/// refusals, so its words are compared, which it does not translate (1.18 to 1.25).
fn meaning(error: &sqlx::Error) -> Option<String> {
    let words = error.as_database_error()?.message();
    let said = POOLER_REFUSALS.iter().find(|(beginning, _)| words.starts_with(beginning));
    said.map(|(_, code)| (*code).to_owned()).or_else(|| code(error))
}

/// The time limit of each step by which a store is opened.
pub(super) struct Steps {
    place: String,
    limit: Duration,
}

impl Steps {
    pub(super) fn new(options: &PgConnectOptions, limit: Duration) -> Self {
        Self { place: place(options), limit }
    }

    /// Waits for a step. `doing` completes the sentence that there was no answer while it was done.
    pub(super) async fn wait<T, E: Into<StoreError>>(
        &self,
        doing: &str,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        let Self { place, limit } = self;
        timeout(*limit, step).await.map_or_else(
            |_elapsed| {
                let text = format!(
                    "{place} gave no answer within {limit:?} while {doing}: check the server and the locks of other \
                     sessions, or raise with_call_timeout"
                );
                Err(Refusal::for_now(text).into())
            },
            |ended| ended.map_err(Into::into),
        )
    }
}

fn failed_kind(error: &sqlx::Error) -> StoreErrorKind {
    match error {
        sqlx::Error::Database(_) => match meaning(error).as_deref().map(kind_of) {
            Some(StoreErrorKind::Unavailable) => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Backend,
        },
        sqlx::Error::Configuration(_) => StoreErrorKind::Backend,
        _ => StoreErrorKind::Unavailable,
    }
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => format!("PostgreSQL at {}", socket.display()),
        None => format!("PostgreSQL at {}:{}", options.get_host(), options.get_port()),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Refusal {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal)
    }
}

/// The options in a URL. The driver would take any scheme for its own, and a list of hosts for one.
pub(super) fn options_of(url: &str) -> Result<PgConnectOptions, StoreError> {
    let wrong = |text: String| Err(Refusal::for_good(StoreErrorKind::Backend, text).into());
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong("the URL does not begin with postgres:// or postgresql://".to_owned());
    };
    if !["postgres", "postgresql"].contains(&scheme) {
        // Text that is longer may hold anything, a password too.
        let is_scheme =
            scheme.len() <= 20 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let scheme = if is_scheme { scheme } else { "other text" };
        return wrong(format!(
            "the URL begins with {scheme}, and PostgreSQL's begin with postgres:// or postgresql://"
        ));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    if hosts.contains(',') {
        return wrong(
            "the URL has several hosts: give one name or address that always leads to the primary".to_owned(),
        );
    }
    url.parse().map_err(failed)
}

/// How PgBouncer's refusals begin, and the codes that the server has for the same.
const POOLER_REFUSALS: &[(&str, &str)] = &[
    ("no more connections allowed", "53300"),
    ("no such database", "3D000"),
    ("no such user", "28P01"),
    ("password authentication failed", "28P01"),
    ("SASL authentication failed", "28P01"),
    ("auth failed", "28P01"),
    ("unsupported startup parameter", UNKNOWN_PARAMETER),
];

/// A parameter that does not exist.
const UNKNOWN_PARAMETER: &str = "42704";
