//! [`ProviderCheck`]: how a receiver proves the requests of a provider, and answers its challenges.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use time::OffsetDateTime;

use crate::provider::{Authentication, BodyForm, ChallengeAnswer, Keys, Provider, RequestVerifier};
use crate::receive::answer::Answer;
use crate::receive::arrival::Arrival;
use crate::receive::head::{is_json, is_one_of};
use crate::receive::panic::catch_panic;
use crate::receive::rejection::Rejection;
use crate::receive::secret_cache::Secrets;
use crate::signature::{Request, Secret, Verified};

/// How a receiver proves the requests of a provider.
pub(super) struct ProviderCheck {
    provider: &'static Provider,
    by: By,
    /// The URL that the provider was given.
    pub(super) url: Option<Box<str>>,
    /// Called with a secret that a challenge hands over.
    pub(super) observer: Option<SecretObserver>,
}

/// Takes a secret that a provider hands over.
pub(super) type SecretObserver = Arc<dyn Fn(&Secret) + Send + Sync>;

enum By {
    Keys(Box<RequestVerifier>),
    Tenants(Arc<dyn Secrets>),
}

impl ProviderCheck {
    pub(super) fn new(verifier: RequestVerifier) -> Self {
        Self { provider: verifier.provider(), by: By::Keys(Box::new(verifier)), url: None, observer: None }
    }

    pub(super) fn of_tenants(provider: &'static Provider, secrets: Arc<dyn Secrets>) -> Self {
        Self { provider, by: By::Tenants(secrets), url: None, observer: None }
    }

    pub(super) fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// The answer to an event that is handled or stored, which some providers demand a body of.
    pub(super) fn accepted(&self) -> Answer {
        match self.provider.answer_to_events() {
            Some((content_type, body)) => {
                Answer::OK.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type)).with_body(body)
            }
            None => Answer::OK,
        }
    }

    /// Whether each tenant is a source of its own.
    pub(super) fn has_tenants(&self) -> bool {
        matches!(self.by, By::Tenants(_))
    }

    pub(super) fn forget(&self, tenant: &str) {
        if let By::Tenants(secrets) = &self.by {
            secrets.forget(tenant);
        }
    }

    /// Judges a request by its head. A challenge without a body is answered at once.
    pub(super) fn judge(&self, arrival: &Arrival<'_>, content_types: &[Box<str>]) -> Result<(), Rejection> {
        if arrival.method != Method::POST {
            let request = self.request(arrival, b"");
            let seen = Seen::of(arrival);
            return match self.provider.challenge(&seen.request(&request), self.keys())? {
                Some(answer) if !answer.needs_proof() => Err(self.answered(&answer)),
                _ => Err(Rejection::Method),
            };
        }
        if self.has_tenants() && arrival.tenant.is_none() {
            return Err(Rejection::UnknownTenant);
        }
        // Some challenges are POSTs of another form, without a signature: only their body tells.
        if self.provider.may_challenge(arrival.method, arrival.headers) {
            Ok(())
        } else {
            self.judge_event(arrival, content_types)
        }
    }

    fn judge_event(&self, arrival: &Arrival<'_>, content_types: &[Box<str>]) -> Result<(), Rejection> {
        check_content_type(self.provider, arrival, content_types)?;
        match &self.by {
            By::Keys(verifier) => {
                let request = self.request(arrival, b"");
                Ok(verifier.check_head(&Seen::of(arrival).request(&request))?)
            }
            By::Tenants(_) => Ok(()),
        }
    }

    /// Proves a request by its body, or answers it if it is a challenge.
    pub(super) async fn prove<'a>(
        &self,
        arrival: &Arrival<'a>,
        content_types: &[Box<str>],
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'a>, Rejection> {
        let seen = Seen::of(arrival);
        let url = self.url(arrival);
        let request = Request::new(arrival.method, arrival.headers, body);
        let request = match &url {
            Some(url) => Request { url: Some(url), ..request },
            None => request,
        };
        let mut challenge = None;
        if self.provider.may_challenge(arrival.method, arrival.headers) {
            challenge = self.provider.challenge(&seen.request(&request), self.keys())?;
            match &challenge {
                Some(answer) if !answer.needs_proof() => return Err(self.answered(answer)),
                _ => self.judge_event(arrival, content_types)?,
            }
        }
        let verified = self.verify(arrival, &request, now).await?;
        match challenge {
            Some(answer) => Err(self.answered(&answer)),
            None => Ok(verified.with_body(body)),
        }
    }

    async fn verify(
        &self,
        arrival: &Arrival<'_>,
        request: &Request<'_>,
        now: OffsetDateTime,
    ) -> Result<Verified<'static>, Rejection> {
        let tenants_verifier;
        let verifier = match &self.by {
            By::Keys(verifier) => verifier,
            By::Tenants(secrets) => {
                let tenant = arrival.tenant.ok_or(Rejection::UnknownTenant)?;
                let secrets = secrets.secrets_of(tenant, now).await.map_err(Rejection::Secrets)?;
                tenants_verifier = Box::new(tenant_verifier(self.provider, secrets)?);
                &tenants_verifier
            }
        };
        let looked_up = match (&verifier.keys().source, verifier.key_name(request)?) {
            (Some(source), Some(name)) => {
                // The source is the application's own, so its panic fails this request and nothing else.
                let keys = catch_panic(async { source.keys_dyn(&name).await }).await;
                keys.unwrap_or_else(|_panic| Err("key source panicked".into())).map_err(Rejection::Secrets)?
            }
            _ => Vec::new(),
        };
        // Tokens are shown where the server sees them, whatever the URL that was configured.
        let seen = Seen::of(arrival);
        let request = match self.provider.authentication() {
            Authentication::Token(_) => seen.request(request),
            _ => *request,
        };
        // Everything else that it borrows is short.
        Ok(verifier.verify_with(&request, &looked_up, now)?.with_body(b"").into_owned())
    }

    /// The keys, as far as they are known before a tenant is.
    fn keys(&self) -> &Keys {
        match &self.by {
            By::Keys(verifier) => verifier.keys(),
            By::Tenants(_) => &NO_KEYS,
        }
    }

    fn answered(&self, answer: &ChallengeAnswer) -> Rejection {
        if let (Some(observer), Some(secret)) = (&self.observer, answer.handed_over()) {
            // The observer is the application's own, so its panic ends this call and nothing else.
            drop(catch_unwind(AssertUnwindSafe(|| observer(secret))));
        }
        Rejection::Challenge { answer: Answer::from(answer) }
    }

    fn request<'a>(&self, arrival: &Arrival<'a>, body: &'a [u8]) -> Request<'a> {
        Request::new(arrival.method, arrival.headers, body)
    }

    /// The URL that the provider was given, with the query of the request if it has none of its own.
    fn url<'u>(&'u self, arrival: &Arrival<'u>) -> Option<Cow<'u, str>> {
        let url = arrival.url.or(self.url.as_deref())?;
        Some(match arrival.query {
            Some(query) if !url.contains('?') => format!("{url}?{query}").into(),
            _ => url.into(),
        })
    }
}

impl fmt::Debug for ProviderCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderCheck").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

/// The URL as the server sees it, which tells a challenge whatever the URL that was configured.
struct Seen(String);

impl Seen {
    fn of(arrival: &Arrival<'_>) -> Self {
        let path = arrival.path.unwrap_or("/");
        Self(match arrival.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }

    fn request<'a>(&'a self, request: &Request<'a>) -> Request<'a> {
        request.with_url(&self.0)
    }
}

/// A verifier with all secrets of a tenant that have the form which the provider demands.
fn tenant_verifier(provider: &'static Provider, secrets: Vec<Secret>) -> Result<RequestVerifier, Rejection> {
    if secrets.is_empty() {
        return Err(Rejection::UnknownTenant);
    }
    RequestVerifier::new(provider, secrets.clone()).or_else(|error| {
        // A malformed secret proves nothing, but is no reason to refuse what another one proves.
        let is_good = |secret: &Secret| RequestVerifier::new(provider, secret).is_ok();
        let good: Vec<_> = secrets.into_iter().filter(is_good).collect();
        let verifier = RequestVerifier::new(provider, good);
        verifier.map_err(|_| Rejection::Secrets(error.into()))
    })
}

/// Checks that the body is announced in a form that the provider sends. Without a content type, the body
/// itself decides.
fn check_content_type(
    provider: &Provider,
    arrival: &Arrival<'_>,
    others: &[Box<str>],
) -> Result<(), Rejection> {
    let mut types = arrival.headers.get_all(CONTENT_TYPE).iter();
    let content_type = match (types.next(), types.next()) {
        (None, _) => return Ok(()),
        (Some(content_type), None) => content_type,
        (Some(_), Some(_)) => return Err(Rejection::ContentType),
    };
    let text = content_type.to_str().map_err(|_| Rejection::ContentType)?;
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_taken = |form: &BodyForm| match form {
        BodyForm::Json => is_json(content_type),
        BodyForm::JsonAsText => essence == "text/plain",
        BodyForm::Form => essence == "application/x-www-form-urlencoded",
        BodyForm::Jwt => matches!(essence.as_str(), "application/jwt" | "text/plain"),
    };
    match provider.bodies().iter().any(is_taken) || is_one_of(content_type, others) {
        true => Ok(()),
        false => Err(Rejection::ContentType),
    }
}

static NO_KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(Keys::none);
