//! [`Provider`]: how one sender's requests are received, as data.

use std::time::Duration;

use crate::provider::authentication::Authentication;
use crate::provider::challenge::Challenge;
use crate::provider::place::{Place, Shape};
use crate::signature::{Scheme, TimeForm};

/// How one sender's requests are received: how they are proven, where their events are, and which challenges
/// it sends.
///
/// A value, not a trait: another provider is another constant, and yours is built as the ready ones are. The
/// ready ones are in [`presets`](crate::provider::presets), and [`by_name`](Self::by_name) finds them.
///
/// ```
/// use hookwire::provider::{Challenge, Echo, Place, Provider, Reply, When};
/// use hookwire::{Scheme, Secret};
///
/// static ACME: Provider = Provider::signed("acme", Scheme::new("acme", "x-acme-signature"))
///     .with_id(&[Place::Field("/event/id")])
///     .with_type(&[Place::Header("x-acme-event")])
///     .with_data("/event")
///     .with_challenges(&[Challenge::get(When::Query("hello"), Echo::Query("hello"), Reply::Text)]);
///
/// let receiver = hookwire::receive::Receiver::of(&ACME, &"hush".parse::<Secret>()?)?;
/// # let _ = receiver;
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) authentication: Authentication,
    /// The scheme of another family of headers, in which the same signature may stand.
    pub(crate) tolerance: Duration,
    pub(crate) shape: Shape,
    pub(crate) takes: &'static [BodyForm],
    pub(crate) form_json: Option<&'static str>,
    pub(crate) challenges: &'static [Challenge],
    pub(crate) dedupe_window: Duration,
    pub(crate) copy_window: Option<Duration>,
    /// Whether the id is that of what changed, and not of the change.
    pub(crate) is_subject_id: bool,
    pub(crate) answer: Option<(&'static str, &'static str)>,
    pub(crate) notes: &'static str,
    pub(crate) evidence: Evidence,
    pub(crate) documentation: &'static str,
}

impl Provider {
    /// A provider that signs its requests under a scheme.
    ///
    /// Its body is one event in JSON of type `unknown`, without an id, which then is the SHA-256 of the body.
    /// Each is changed by its `with_` method.
    ///
    /// # Panics
    ///
    /// When the name is empty or not lower-case letters, digits and underscores.
    pub const fn signed(name: &'static str, scheme: Scheme) -> Self {
        Self::new(name, Authentication::Scheme(scheme))
    }

    /// A provider whose requests are proven in any way.
    ///
    /// # Panics
    ///
    /// As for [`signed`](Self::signed).
    pub const fn new(name: &'static str, authentication: Authentication) -> Self {
        assert!(is_name(name), "a provider's name is lower-case letters, digits and underscores");
        Self {
            name,
            title: name,
            authentication,
            tolerance: Duration::from_secs(300),
            shape: Shape::WHOLE,
            takes: &[BodyForm::Json],
            form_json: None,
            challenges: &[],
            dedupe_window: Duration::from_secs(7 * 24 * 3600),
            copy_window: None,
            is_subject_id: false,
            answer: None,
            notes: "",
            evidence: Evidence::Own,
            documentation: "",
        }
    }

    /// Sets the name, for a provider that differs from another in little else.
    ///
    /// # Panics
    ///
    /// As for [`signed`](Self::signed).
    pub const fn with_name(mut self, name: &'static str) -> Self {
        assert!(is_name(name), "a provider's name is lower-case letters, digits and underscores");
        self.name = name;
        self
    }

    /// Sets the name for people.
    pub const fn with_title(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    /// Sets how far a signed time may be from now, either way. The default is 5 minutes.
    pub const fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the places of the event's id: the first that has one counts. An id that no signature covers
    /// proves nothing, but tells copies apart.
    pub const fn with_id(mut self, places: &'static [Place]) -> Self {
        self.shape.id = places;
        self
    }

    /// Sets the places of the event's type: the first that has one counts.
    pub const fn with_type(mut self, places: &'static [Place]) -> Self {
        self.shape.event_type = places;
        self
    }

    /// Sets the place and the form of the event's time.
    pub const fn with_time(mut self, place: Place, form: TimeForm) -> Self {
        self.shape.time = Some((place, form));
        self
    }

    /// Sets the JSON Pointer of the event's data, from the event. The default is the whole event.
    pub const fn with_data(mut self, pointer: &'static str) -> Self {
        self.shape.data = pointer;
        self
    }

    /// Sets the JSON Pointer of the list of events in the body; empty if the body is the list.
    pub const fn with_events(mut self, pointer: &'static str) -> Self {
        self.shape.events = Some(pointer);
        self
    }

    /// Sets the forms of bodies that are taken. The default is JSON.
    pub const fn with_bodies(mut self, forms: &'static [BodyForm]) -> Self {
        self.takes = forms;
        self
    }

    /// Sets the field of a form body whose JSON is the event. The default is the form's fields as an object.
    pub const fn with_json_in_form(mut self, field: &'static str) -> Self {
        self.form_json = Some(field);
        self
    }

    /// Sets the challenges that the provider sends.
    pub const fn with_challenges(mut self, challenges: &'static [Challenge]) -> Self {
        self.challenges = challenges;
        self
    }

    /// Sets how long a receiver remembers an event's id. The default is 7 days.
    pub const fn with_dedupe_window(mut self, window: Duration) -> Self {
        self.dedupe_window = window;
        self
    }

    /// Sets how long after an event without an id of its own an equal event is [a copy of
    /// it](Self::copy_window).
    pub const fn with_copy_window(mut self, window: Duration) -> Self {
        self.copy_window = Some(window);
        self
    }

    /// Says that the event's id is that of its subject, which changes again: it does not tell events apart.
    ///
    /// An equal event is then a copy only within the [copy window](Self::copy_window).
    pub const fn with_subject_id(mut self) -> Self {
        self.is_subject_id = true;
        self
    }

    /// Sets the body of the answer to an event and its content type, for a provider that demands one.
    pub const fn with_answer(mut self, content_type: &'static str, body: &'static str) -> Self {
        self.answer = Some((content_type, body));
        self
    }

    /// Sets the points that a user has to watch for, in a sentence.
    pub const fn with_notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// Sets the provider's documentation, and how well the rule is proven.
    pub const fn with_source(mut self, documentation: &'static str, evidence: Evidence) -> Self {
        self.documentation = documentation;
        self.evidence = evidence;
        self
    }

    /// The same provider, whose requests **anybody can make up**: nothing is proven any more, and challenges
    /// are answered to everybody. For tests and for endpoints that something else protects.
    pub const fn dangerous_unproven(mut self) -> Self {
        self.authentication = Authentication::Nothing;
        self
    }

    /// The name in snake case.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name for people.
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// How the requests are proven.
    pub const fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// The scheme of the signatures, if the requests are signed under one.
    pub const fn scheme(&self) -> Option<Scheme> {
        match self.authentication {
            Authentication::Scheme(scheme) => Some(scheme),
            _ => None,
        }
    }

    /// How far a signed time may be from now, either way.
    pub const fn tolerance(&self) -> Duration {
        self.tolerance
    }

    /// Whether the proof covers the id by which the provider names the message.
    pub const fn signs_id(&self) -> bool {
        match self.authentication {
            Authentication::Scheme(scheme) => scheme.signs_id(),
            _ => false,
        }
    }

    /// Whether the proof covers the whole body.
    pub const fn signs_body(&self) -> bool {
        match self.authentication {
            Authentication::Scheme(scheme) => scheme.signs_body(),
            Authentication::Jwt(rule) => {
                matches!(rule.place, crate::provider::authentication::JwtPlace::Body)
                    || match rule.body_hash {
                        Some(hash) => hash.is_needed,
                        None => false,
                    }
            }
            Authentication::Sns(_) => true,
            Authentication::HttpSignature(rule) => rule.covers_body(),
            Authentication::Token(_) | Authentication::PayPal | Authentication::Nothing => false,
        }
    }

    /// Whether the receiver has to know the URL that the provider was given.
    pub const fn needs_url(&self) -> bool {
        match self.authentication {
            Authentication::Scheme(scheme) => scheme.signs_url() || scheme.query_digest.is_some(),
            Authentication::Jwt(rule) => rule.needs_audience || rule.query_hash.is_some(),
            Authentication::HttpSignature(_) => true,
            Authentication::Token(_)
            | Authentication::Sns(_)
            | Authentication::PayPal
            | Authentication::Nothing => false,
        }
    }

    /// Whether an event has a time of its own.
    pub const fn sends_time(&self) -> bool {
        self.shape.time.is_some()
    }

    /// Whether one request may have several events.
    pub const fn sends_several(&self) -> bool {
        self.shape.events.is_some()
    }

    /// The forms of bodies that are taken.
    pub const fn bodies(&self) -> &'static [BodyForm] {
        self.takes
    }

    /// The challenges that the provider sends.
    pub const fn challenges(&self) -> &'static [Challenge] {
        self.challenges
    }

    /// The content type and the body of the answer to an event, if the provider demands one.
    pub const fn answer_to_events(&self) -> Option<(&'static str, &'static str)> {
        self.answer
    }

    /// How long a receiver remembers an event's id.
    pub const fn dedupe_window(&self) -> Duration {
        self.dedupe_window
    }

    /// How long after an event without an id an equal event is a copy of it, and not another event. It counts
    /// only for events that have no time in their body either.
    ///
    /// By default it is a minute if the requests show a secret or nothing. A signed event is remembered for
    /// the whole [`dedupe_window`](Self::dedupe_window), or a stranger could send a captured request again.
    pub const fn copy_window(&self) -> Duration {
        let window = match (self.copy_window, self.authentication) {
            (Some(window), _) => window,
            (None, Authentication::Token(_) | Authentication::Nothing) => Duration::from_secs(60),
            (None, _) => self.dedupe_window,
        };
        if window.as_nanos() < self.dedupe_window.as_nanos() { window } else { self.dedupe_window }
    }

    /// The points that a user has to watch for; may be empty.
    pub const fn notes(&self) -> &'static str {
        self.notes
    }

    /// How well the rule is proven.
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The provider's documentation.
    pub const fn documentation(&self) -> &'static str {
        self.documentation
    }
}

/// A form of bodies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BodyForm {
    /// JSON, as `application/json`, a type that ends in `+json`, or without a content type.
    Json,
    /// JSON that is sent as `text/plain`.
    JsonAsText,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// A JSON Web Token, as `application/jwt` or `text/plain`.
    Jwt,
}

/// How well a preset's rule is proven.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Evidence {
    /// A vector that the provider publishes, in its documentation or its tests.
    OfficialVector,
    /// The code of the provider's own library.
    ProviderCode,
    /// The provider's documentation. Most of these have a vector that another program made from it.
    Documentation,
    /// Another library that receives from the provider. Some of these have a vector made from its rule.
    OtherLibrary,
    /// The application's own.
    Own,
}

impl Evidence {
    /// The words in documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OfficialVector => "official vector",
            Self::ProviderCode => "provider's code",
            Self::Documentation => "documentation",
            Self::OtherLibrary => "another library",
            Self::Own => "own",
        }
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}
