//! Inspects a request of a named provider: answers it if it is a challenge, or proves it.

use hookwire::provider::{ChallengeAnswer, Keys, Provider, RequestVerifier};
use hookwire::signature::Request;
use hookwire::{Secret, Verified, VerifyError};
use http::Method;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::capture::Captured;
use crate::mistakes::off;
use crate::repairs::{self, Broken};
use crate::text::{pretty, printable};

/// A request of a provider, and everything that it is judged by.
pub(crate) struct Question<'a> {
    pub(crate) provider: &'static Provider,
    pub(crate) keys: Keys,
    /// The secrets as they were given, for the usual mistakes.
    pub(crate) secrets: &'a [String],
    pub(crate) captured: &'a Captured<'a>,
    /// The URL that the provider was given.
    pub(crate) url: Option<String>,
    pub(crate) now: OffsetDateTime,
}

impl Question<'_> {
    /// The report, and whether the request is proven or answered.
    pub(crate) fn answer(&self) -> (String, bool) {
        let (method, url) = (method(self.captured), url(self.captured, self.url.as_deref()));
        let request = Request::new(&method, &self.captured.headers, self.captured.body).with_url(&url);
        match self.provider.challenge(&request, &self.challenge_keys(&request)) {
            Ok(Some(answer)) => self.challenged(&request, &answer),
            Ok(None) => self.proven(&request),
            Err(error) => {
                (format!("{}verdict     challenge is not answered: {error}\n", self.title()), false)
            }
        }
    }

    /// Whether the request is the provider's: a challenge, or proven by a key that was given.
    pub(crate) fn is_settled(&self) -> bool {
        let (method, url) = (method(self.captured), url(self.captured, self.url.as_deref()));
        let request = Request::new(&method, &self.captured.headers, self.captured.body).with_url(&url);
        let asks = self.provider.challenge(&request, &self.challenge_keys(&request));
        matches!(asks, Ok(Some(_))) || !self.keys.is_empty() && self.verify(&request).is_ok()
    }

    /// The keys of a challenge. Without any, a verify token is not compared.
    fn challenge_keys(&self, request: &Request<'_>) -> Keys {
        let query = request.url.and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
        let shown = query.split('&').find_map(|pair| pair.strip_prefix("hub.verify_token="));
        match shown.and_then(|token| token.parse::<Secret>().ok()) {
            Some(token) if self.keys.is_empty() => self.keys.clone().with_verify_token(token),
            _ => self.keys.clone(),
        }
    }

    /// Answers as a receiver would. Without a key, what a receiver proves first is not proven.
    fn challenged(&self, request: &Request<'_>, answer: &ChallengeAnswer) -> (String, bool) {
        if answer.needs_proof() && !self.keys.is_empty() {
            if let Err(error) = self.verify(request) {
                return (self.refused(request, &error), false);
            }
        } else if answer.needs_proof() {
            eprintln!("inspect: without a key the challenge is not proven, which a receiver does first");
        }
        let mut report = format!("answer: {}\n", answer.status().as_u16());
        for (name, value) in answer.headers() {
            report += &format!("{name}: {}\n", printable(value.as_bytes()));
        }
        (report + "\n" + answer.body(), true)
    }

    fn proven(&self, request: &Request<'_>) -> (String, bool) {
        match self.verify(request) {
            Ok(verified) => (self.title() + &self.verified(request, &verified), true),
            Err(error) => (self.refused(request, &error), false),
        }
    }

    fn verify<'r>(&self, request: &Request<'r>) -> Result<Verified<'r>, Refused> {
        let verifier = RequestVerifier::new(self.provider, self.keys.clone());
        // One of several secrets may be none of the provider's, and the others still prove the request.
        let verifier = verifier.or_else(|error| match self.well_formed() {
            Some(keys) => RequestVerifier::new(self.provider, keys),
            None => Err(error),
        });
        verifier.map_err(Refused::Keys)?.verify_at(request, self.now).map_err(Refused::Request)
    }

    /// Those of several secrets that have the form of the provider's.
    fn well_formed(&self) -> Option<Keys> {
        let good = self.secrets.iter().filter_map(|secret| self.key(secret).ok());
        good.reduce(Keys::and).filter(|_| self.secrets.len() > 1)
    }

    fn key(&self, secret: &str) -> Result<Keys, hookwire::Error> {
        let keys = Keys::parse(secret)?;
        RequestVerifier::new(self.provider, keys.clone()).map(|_| keys)
    }

    fn title(&self) -> String {
        let mut title = format!("provider    {}, {}\n", self.provider.name(), self.provider.title());
        if !self.provider.notes().is_empty() {
            title += &format!("            {}\n", self.provider.notes());
        }
        title
    }

    fn verified(&self, request: &Request<'_>, verified: &Verified<'_>) -> String {
        let mut report = "verdict     verified".to_owned();
        match verified.timestamp() {
            Some(at) => {
                let text = at.format(&Rfc3339).unwrap_or_else(|_| at.to_string());
                report += &format!("; signed at {text}\n");
            }
            None => report += "; its age cannot be checked, no time is signed\n",
        }
        report += &self.which(request);
        if !self.provider.signs_body() {
            report += "            the proof does not cover the body\n";
        }
        match self.provider.events(request, verified) {
            Err(error) => {
                report += &format!("event       cannot be read: {}\n", printable(error.to_string()))
            }
            Ok(events) => {
                for event in events {
                    report += &format!("type        {}\n", printable(event.event_type.as_str()));
                    report += &format!("id          {}\n", printable(event.id.as_str()));
                    let at = event.created_at.and_then(|at| at.format(&Rfc3339).ok());
                    report += &format!("created_at  {}\n", at.unwrap_or_else(|| "none is sent".to_owned()));
                    report += &format!("data\n{}", pretty(event.data.get(), "            "));
                }
            }
        }
        report
    }

    fn refused(&self, request: &Request<'_>, refused: &Refused) -> String {
        let mut report = self.title();
        report += &format!("verdict     not verified: {}\n", refused.reason());
        for line in self.explain(request, refused) {
            report += &format!("why         {line}\n");
        }
        report
    }

    fn explain(&self, request: &Request<'_>, refused: &Refused) -> Vec<String> {
        match refused {
            Refused::Keys(_) if self.keys.is_empty() => vec!["give the key: --secret or --keys".to_owned()],
            Refused::Request(VerifyError::TimestampTooOld { age, tolerance, .. }) => {
                off(*age, *tolerance, self.now, "behind")
            }
            Refused::Request(VerifyError::TimestampInFuture { ahead, tolerance, .. }) => {
                off(*ahead, *tolerance, self.now, "ahead of")
            }
            Refused::Request(VerifyError::Claim { claim: "exp" | "nbf", reason, .. })
                if matches!(*reason, "is past" | "is in the future") =>
            {
                vec![
                    "the signature is right, but the token's time is not now: either a clock is wrong, or the request is an \
                     old one, sent again or captured a while ago"
                        .to_owned(),
                    "to look at a captured request as if it had just come in: --now with the time at which it came"
                        .to_owned(),
                ]
            }
            Refused::Request(VerifyError::Claim { claim: "aud", .. }) => vec![
                "the token is for another endpoint: give the URL that the provider was given (--url), or the audience that was \
                 set there (--audience)"
                    .to_owned(),
            ],
            Refused::Request(VerifyError::Claim { claim: "email", .. }) => {
                vec!["the token is another service account's than the one given by --email".to_owned()]
            }
            Refused::Request(VerifyError::Claim { claim: "iss", .. }) => {
                vec!["the token is another issuer's, so the request is another sender's".to_owned()]
            }
            Refused::Request(VerifyError::MissingHeader { .. }) => {
                let others = Provider::recognize(request).into_iter().map(Provider::name);
                let others: Vec<_> =
                    others.filter(|name| *name != self.provider.name()).take(MAX_NAMED).collect();
                let mut lines = vec!["a proxy may have dropped it, or the capture".to_owned()];
                if !others.is_empty() {
                    lines.push(format!("its headers are those of {}", others.join(", ")));
                }
                lines
            }
            Refused::Request(VerifyError::MalformedHeader { .. }) if self.uses_old_hash() => {
                vec![
                    "the signature is the old one with sha1; the one with sha256 is in another header"
                        .to_owned(),
                ]
            }
            Refused::Request(VerifyError::MalformedHeader { name, .. }) => {
                let mut lines = vec![format!("compare header {name} with the provider's documentation")];
                let value =
                    self.captured.headers.get(*name).map(|value| value.as_bytes()).unwrap_or_default();
                if value.iter().all(u8::is_ascii_digit) && matches!(value.len(), 10 | 13) {
                    let unit = if value.len() == 10 { "seconds" } else { "milliseconds" };
                    lines.push(format!("it looks like {unit}, and the provider writes another unit"));
                }
                lines.extend(self.repairs(request));
                lines
            }
            _ => self.repairs(request),
        }
    }

    fn repairs(&self, request: &Request<'_>) -> Vec<String> {
        repairs::explain(Broken {
            provider: self.provider,
            keys: &self.keys,
            secrets: self.secrets,
            request,
            now: self.now,
        })
    }

    /// Says which secret has signed, if there are several.
    fn which(&self, request: &Request<'_>) -> String {
        let of = self.secrets.len();
        let is_right = |secret: &String| {
            let keys = Keys::parse(secret).ok()?;
            let verifier = RequestVerifier::new(self.provider, keys).ok()?;
            verifier.verify_at(request, self.now).ok()
        };
        let Some(at) = self.secrets.iter().position(|secret| is_right(secret).is_some()) else {
            return String::new();
        };
        if of == 1 {
            return String::new();
        }
        let mut report = format!(
            "secret      {} of {of} has signed; accept the others too until the provider has changed to the new one\n",
            at + 1
        );
        for (number, secret) in (1..).zip(self.secrets) {
            if let Err(error) = self.key(secret) {
                report += &format!("            {number} of {of} is refused by a receiver: {error}\n");
            }
        }
        report
    }

    fn uses_old_hash(&self) -> bool {
        let values = self.captured.headers.get_all("x-hub-signature");
        values.iter().any(|value| value.as_bytes().starts_with(b"sha1="))
    }
}

/// The method of a captured request; POST if there is none.
pub(crate) fn method(captured: &Captured<'_>) -> Method {
    let word = captured.request_line.split(|byte| *byte == b' ').next().unwrap_or_default();
    Method::from_bytes(word).ok().filter(|_| captured.request_line.contains(&b' ')).unwrap_or(Method::POST)
}

/// The URL: the one that was given, with the query of the request, or else what the request says.
pub(crate) fn url(captured: &Captured<'_>, given: Option<&str>) -> String {
    let target = captured.request_line.split(|byte| *byte == b' ').nth(1).unwrap_or(b"/");
    let target = String::from_utf8_lossy(target).into_owned();
    let query = target.split_once('?').map(|(_, query)| query);
    match (given, query) {
        (Some(url), Some(query)) if !url.contains('?') => format!("{url}?{query}"),
        (Some(url), _) => url.to_owned(),
        (None, _) if target.starts_with("http") => target,
        (None, _) => {
            let host = captured.headers.get("host").and_then(|host| host.to_str().ok());
            format!("https://{}{target}", host.unwrap_or("localhost"))
        }
    }
}

/// Why a request is not proven.
enum Refused {
    Keys(hookwire::Error),
    Request(VerifyError),
}

impl Refused {
    fn reason(&self) -> String {
        match self {
            Self::Keys(error) => error.to_string(),
            Self::Request(error) => error.to_string(),
        }
    }
}

/// The most providers that a request is said to look like.
const MAX_NAMED: usize = 4;
