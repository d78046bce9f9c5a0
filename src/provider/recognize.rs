//! Recognizes the provider of a request by what it carries where.

use serde_json::Value;

use crate::provider::authentication::{Authentication, JwtPlace, JwtRule, TokenPlace};
use crate::provider::definition::{BodyForm, Provider};
use crate::provider::jwt;
use crate::provider::place::Place;
use crate::provider::token;
use crate::signature::{Request, form};

impl Provider {
    /// The ready providers that may have sent a request, the likeliest first.
    ///
    /// It judges by the places of signatures, tokens, ids, types and times, and by challenges. Nothing is
    /// proven: a stranger can make a request look like anybody's.
    ///
    /// ```
    /// use hookwire::provider::Provider;
    /// use hookwire::signature::Request;
    /// use http::{HeaderMap, HeaderValue};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-hub-signature-256", HeaderValue::from_static("sha256=00"));
    /// headers.insert("x-github-event", HeaderValue::from_static("push"));
    /// let all = Provider::recognize(&Request::post(&headers, b"{}"));
    /// assert_eq!(all[0].name(), "github");
    /// ```
    pub fn recognize(request: &Request<'_>) -> Vec<&'static Self> {
        let body = Self::body_of(request);
        let mut all: Vec<_> = Self::all()
            .filter_map(|provider| Some((provider.resemblance(request, &body)?, provider)))
            .collect();
        // The sort is stable: among equals the more general provider stands first in the list of all.
        all.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
        all.into_iter().map(|(_, provider)| provider).collect()
    }

    /// How much a request looks like this provider's; `None` if it carries no proof where this provider does.
    fn resemblance(&self, request: &Request<'_>, body: &Value) -> Option<u32> {
        let challenge = self.asks(request);
        let proof = match self.authentication {
            Authentication::Scheme(scheme) => scheme.resemblance(request),
            Authentication::Token(places) => places.iter().filter_map(|place| shown(*place, request)).max(),
            Authentication::Jwt(rule) => token_points(&rule, request),
            Authentication::HttpSignature(_) => request.headers.contains_key("signature-input").then_some(12),
            Authentication::Sns(version) => {
                let is_there = |name| body.get(name).is_some_and(Value::is_string);
                let is_version = body.get("SignatureVersion").and_then(Value::as_str) == Some(version.text());
                (is_there("SigningCertURL") && is_there("TopicArn") && is_version).then_some(20)
            }
            Authentication::PayPal => request.headers.contains_key("paypal-transmission-sig").then_some(20),
            Authentication::Nothing => (challenge || self.is_bare_name(request)).then_some(1),
        };
        if proof.is_none() && !challenge {
            return None;
        }
        let (proof, shape) = (proof.unwrap_or_default(), self.shape_points(request, body));
        // A query tells nothing by itself.
        if proof == 0 && shape < WEAK && !challenge {
            return None;
        }
        let points = proof + shape + if challenge { 6 } else { 0 };
        Some(if self.may_be_body(request) { points + 2 } else { points })
    }

    /// Points for each place that has something.
    fn shape_points(&self, request: &Request<'_>, body: &Value) -> u32 {
        let items = self.shape.events.and_then(|list| body.pointer(list)?.as_array());
        let item = items.and_then(|items| items.first()).unwrap_or(body);
        let has = |places: &[Place]| places.iter().any(|place| is_there(*place, request, body, item));
        let mut points = 0;
        points += if self.shape.events.is_some() == items.is_some() && items.is_some() { 3 } else { 0 };
        points += if has(self.shape.id) { 3 } else { 0 };
        points += if has(self.shape.event_type) { 3 } else { 0 };
        points += match self.shape.time {
            Some((place, form)) => match text_at(place, request, body, item) {
                Some(text) if form.read(&text).is_some() => 3,
                _ => 0,
            },
            None => 0,
        };
        let has_data = !self.shape.data.is_empty() && item.pointer(self.shape.data).is_some();
        points + u32::from(has_data)
    }

    /// Whether a body of this content type is one that the provider sends.
    fn may_be_body(&self, request: &Request<'_>) -> bool {
        match request.header_text("content-type") {
            Some(text) if text.contains("x-www-form-urlencoded") => self.takes.contains(&BodyForm::Form),
            _ => self.takes.iter().any(|form| *form != BodyForm::Form),
        }
    }

    /// A form with the field `id` alone, as providers send it that only name what changed.
    fn is_bare_name(&self, request: &Request<'_>) -> bool {
        let mut fields = form::fields(request.body);
        self.takes == [BodyForm::Form]
            && fields.next().is_some_and(|(name, value)| name == "id" && value.contains('_'))
            && fields.next().is_none()
    }

    /// The JSON of the body, or the form's fields as an object.
    fn body_of(request: &Request<'_>) -> Value {
        crate::signature::json::parse(request.body).unwrap_or_else(|_| {
            let fields = form::fields(request.body).map(|(name, value)| (name, Value::String(value)));
            Value::Object(fields.take(MAX_FIELDS).collect())
        })
    }
}

/// Points for a secret that is shown; fewer at a place that many providers share.
fn shown(place: TokenPlace, request: &Request<'_>) -> Option<u32> {
    let texts = token::shown(place, request).ok()?;
    let is_there = !texts.is_empty() && texts.iter().all(|text| !text.is_empty());
    is_there.then_some(match place {
        TokenPlace::AnyQuery => 0,
        TokenPlace::Header("authorization") | TokenPlace::Bearer => 1,
        TokenPlace::Basic | TokenPlace::Query(_) => 2,
        TokenPlace::Json(_) => 4,
        TokenPlace::EachJson(..) => 8,
        TokenPlace::Header(_) => 12,
    })
}

fn token_points(rule: &JwtRule, request: &Request<'_>) -> Option<u32> {
    let token = jwt::read(rule, request).ok()?;
    let claims = token.claims()?;
    let mut points = match rule.place {
        JwtPlace::Header("authorization") if token::credentials(request, "Bearer").is_ok() => 2,
        JwtPlace::Header("authorization") | JwtPlace::Bearer => 4,
        JwtPlace::Header(_) | JwtPlace::Credentials(_) | JwtPlace::Body => 10,
    };
    if let Some(hash) = rule.body_hash {
        match claims.contains_key(hash.claim) {
            true => points += if hash.is_needed { 6 } else { 5 },
            false if hash.is_needed => return None,
            false => {}
        }
    }
    if let Some(claim) = rule.query_hash {
        points += if claims.contains_key(claim) { 6 } else { return None };
    }
    if rule.needs_expiry && !claims.contains_key("exp") || rule.needs_audience && !claims.contains_key("aud")
    {
        return None;
    }
    points += u32::from(rule.needs_expiry) + u32::from(rule.needs_audience);
    match claims.get("iss").and_then(Value::as_str) {
        Some(issuer) if !rule.issuers.is_empty() => rule.issuers.contains(&issuer).then_some(points + 8),
        _ => Some(points),
    }
}

/// Whether there is something of the request's own at a place.
fn is_there(place: Place, request: &Request<'_>, body: &Value, item: &Value) -> bool {
    text_at(place, request, body, item).is_some()
}

fn text_at(place: Place, request: &Request<'_>, body: &Value, item: &Value) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match place {
        Place::Field(pointer) => text(item.pointer(pointer)?),
        Place::Body(pointer) => text(body.pointer(pointer)?),
        Place::Header(name) => request.header_text(name).map(str::to_owned),
        Place::Join(places) => {
            let texts: Option<Vec<_>> =
                places.iter().map(|place| text_at(*place, request, body, item)).collect();
            texts.map(|texts| texts.join("."))
        }
        Place::FieldName(others) => {
            let object = item.as_object()?;
            let has_all = others.first().is_some_and(|name| object.contains_key(*name));
            has_all.then(String::new)
        }
        Place::Xml(pointer, _) => item.pointer(pointer)?.as_str().map(str::to_owned),
        Place::Fixed(_) => None,
    }
}

/// The least points of a shape that nothing else speaks for.
const WEAK: u32 = 3;
/// No form of a provider's has as many fields.
const MAX_FIELDS: usize = 1000;
