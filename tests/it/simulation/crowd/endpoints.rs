//! The endpoints of a crowd, and the client that reaches them.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hookwire::testing::TokioClock;
use hookwire::transport::OwnFault;
use hookwire::{
    Clock as _, ErrorClass, EventId, Exchange, HttpClient, Limits, Subscription, SubscriptionId,
    TransportError, Verifier,
};
use http::{HeaderValue, StatusCode, header};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use super::checks::{Check, Violation};
use super::platforms::{Platform, SERVED};
use crate::simulation::dice::Dice;

/// An endpoint's nature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Answers 200 within some milliseconds.
    Good,
    /// Answers 200 after some seconds.
    Slow,
    Hanging,
    Refusing,
    /// Answers 500 at once.
    Failing,
    /// Answers 200 and 500 by turns of this many seconds.
    Flapping(u64),
    /// Answers 200 and is silent by turns of this many seconds.
    Fainting(u64),
    /// Answers 410 after so many requests.
    Gone(usize),
    /// Answers two of three requests with 429, and asks for this many seconds.
    Busy(u64),
}

impl Kind {
    /// Whether each attempt is answered within a second, and no pause is asked for.
    pub(super) const fn is_prompt(self) -> bool {
        matches!(self, Self::Good | Self::Failing | Self::Flapping(_))
    }
}

/// The end of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Answered {
        status: u16,
        asked: Duration,
    },
    Silent,
    /// A fault on this side that costs nothing.
    Ours,
    /// The client panicked.
    Panicked,
}

/// A request, as the network saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) began: OffsetDateTime,
    pub(super) end: Option<End>,
}

/// A subscription and its endpoint.
pub(super) struct Endpoint {
    pub(super) subscription: Subscription,
    pub(super) platform: usize,
    pub(super) kind: Kind,
    /// Whether its token comes from a source that fails now and then, or always.
    pub(super) token: Token,
    /// When an operator disables it.
    pub(super) disabled_at: Option<Duration>,
    pub(super) verifier: Option<Verifier>,
    pub(super) requests: BTreeMap<EventId, Vec<Request>>,
    pub(super) seen: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    None,
    FailsAtTimes,
    FailsAlways,
}

/// An event as it was emitted.
pub(super) struct Emitted {
    pub(super) platform: usize,
    pub(super) organization: String,
    pub(super) at: OffsetDateTime,
}

/// Everything that is there and was seen.
pub(super) struct Scene {
    pub(super) platforms: [Platform; 4],
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    pub(super) events: BTreeMap<EventId, Emitted>,
    /// The event, contract and version of each body.
    pub(super) bodies: BTreeMap<Bytes, (EventId, usize, String)>,
    /// When this side has a fault of the process, or its store is away, or a process does not run.
    pub(super) outages: Vec<(OffsetDateTime, OffsetDateTime)>,
    /// When a fault on this side keeps back one subscription.
    pub(super) kept: BTreeMap<SubscriptionId, Vec<(OffsetDateTime, OffsetDateTime)>>,
    /// The attempts in flight at endpoints that never answer, by process, and their most.
    pub(super) silent: [(u32, u32); 2],
    pub(super) violations: Vec<Violation>,
}

/// A [`Scene`] that the client, the store and the world share.
#[derive(Clone)]
pub(super) struct Stage(Arc<Mutex<Scene>>);

impl Stage {
    pub(super) fn new(platforms: [Platform; 4]) -> Self {
        Self(Arc::new(Mutex::new(Scene {
            platforms,
            endpoints: BTreeMap::new(),
            events: BTreeMap::new(),
            bodies: BTreeMap::new(),
            outages: Vec::new(),
            kept: BTreeMap::new(),
            silent: [(0, 0); 2],
            violations: Vec::new(),
        })))
    }

    pub(super) fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap()
    }
}

impl Scene {
    pub(super) fn violated(&mut self, check: Check, what: String) {
        self.violations.push(Violation { check, what });
    }
}

/// The client of one process.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) stage: Stage,
    pub(super) process: usize,
    pub(super) clock: TokioClock,
    pub(super) start: Instant,
    pub(super) dice: Dice,
    /// When no descriptor is left.
    pub(super) outage: Option<(Duration, Duration)>,
    /// The panics, in thousandths of all requests.
    pub(super) panics: u64,
}

impl Client {
    /// Takes note of a request, and returns its event and the endpoint's nature.
    fn begins(&self, request: &http::Request<Bytes>) -> Option<(String, EventId, Kind, usize)> {
        let url = request.uri().to_string();
        let scene = &mut *self.stage.scene();
        let Some(endpoint) = scene.endpoints.get_mut(&url) else {
            scene.violated(Check::Contract, format!("{url} is nobody's"));
            return None;
        };
        let (platform, version) = (endpoint.platform, endpoint.subscription.contract.version());
        let mut broken = Vec::new();
        if !SERVED[self.process].contains(&platform) {
            broken.push((Check::Contract, format!("process {} sent to {url}", self.process)));
        }
        let known = scene.bodies.get(request.body());
        match known {
            Some((_, of, _)) if *of != platform => {
                broken.push((Check::Contract, format!("{url} got an event of another contract")));
            }
            Some((_, _, of)) if of != version => {
                broken.push((Check::Version, format!("{url}, which speaks {version}, got {of}")));
            }
            Some(_) => {}
            None => broken.push((Check::Version, format!("{url} got a body that nobody emitted"))),
        }
        let (headers, now) = (request.headers(), self.clock.now());
        match &endpoint.verifier {
            Some(verifier) if verifier.verify_at(headers, request.body(), now).is_err() => {
                broken.push((Check::Contract, format!("{url} got a signature that does not hold")));
            }
            None if headers.contains_key("webhook-signature") => {
                broken.push((Check::Contract, format!("{url} got a signature")));
            }
            _ => {}
        }
        endpoint.seen += 1;
        let found = known.map(|(event, ..)| (url.clone(), event.clone(), endpoint.kind, endpoint.seen));
        if let Some((_, event, ..)) = &found {
            endpoint.requests.entry(event.clone()).or_default().push(Request { began: now, end: None });
        }
        broken.into_iter().for_each(|(check, what)| scene.violated(check, what));
        found
    }

    fn ended(&self, url: &str, event: &EventId, end: End) {
        let mut scene = self.stage.scene();
        let requests = scene.endpoints.get_mut(url).and_then(|endpoint| endpoint.requests.get_mut(event));
        if let Some(last) = requests.and_then(|requests| requests.last_mut()) {
            last.end = Some(end);
        }
    }

    async fn answer(&self, kind: Kind, number: usize) -> Option<(u16, u64)> {
        let since = self.start.elapsed().as_secs();
        let millis = |from, to| Duration::from_millis(self.dice.within(from..=to));
        match kind {
            Kind::Good => sleep(millis(2, 30)).await,
            Kind::Slow => sleep(millis(3_000, 9_000)).await,
            Kind::Hanging => std::future::pending().await,
            Kind::Fainting(period) if (since / period) % 2 == 1 => std::future::pending().await,
            Kind::Refusing => sleep(millis(1, 5)).await,
            _ => sleep(millis(2, 10)).await,
        }
        match kind {
            Kind::Refusing => None,
            Kind::Failing => Some((500, 0)),
            Kind::Flapping(period) if (since / period) % 2 == 1 => Some((500, 0)),
            Kind::Gone(after) if number > after => Some((410, 0)),
            Kind::Busy(seconds) if !number.is_multiple_of(3) => Some((429, seconds)),
            _ => Some((200, 0)),
        }
    }
}

impl HttpClient for Client {
    async fn send(&self, request: http::Request<Bytes>, limits: &Limits) -> Result<Exchange, TransportError> {
        let elapsed = self.start.elapsed();
        let Some((url, event, kind, number)) = self.begins(&request) else {
            return Err(TransportError::new(ErrorClass::Connect, "there is no such endpoint"));
        };
        if self.outage.is_some_and(|(from, until)| from <= elapsed && elapsed < until) {
            self.ended(&url, &event, End::Ours);
            let failed = TransportError::new(ErrorClass::Internal, "no descriptor is left");
            return Err(failed.with_own_fault(OwnFault::Descriptors).with_maybe_sent(false));
        }
        if self.dice.permille(self.panics) {
            self.ended(&url, &event, End::Panicked);
            resume_unwind(Box::new("the client panics"));
        }
        let flight = (kind == Kind::Hanging).then(|| Flight::begin(self));
        let answer = timeout(limits.deadline, self.answer(kind, number)).await;
        drop(flight);
        let Ok(Some((status, asked))) = answer else {
            self.ended(&url, &event, End::Silent);
            let class = if answer.is_err() { ErrorClass::Timeout } else { ErrorClass::Connect };
            return Err(TransportError::new(class, "no answer"));
        };
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if asked > 0 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(asked));
        }
        self.ended(&url, &event, End::Answered { status, asked: Duration::from_secs(asked) });
        Ok(Exchange::new(response))
    }
}

/// An attempt in flight at an endpoint that never answers.
struct Flight<'a>(&'a Client);

impl<'a> Flight<'a> {
    fn begin(client: &'a Client) -> Self {
        let (now, most) = &mut client.stage.scene().silent[client.process];
        *now += 1;
        *most = (*most).max(*now);
        Self(client)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.stage.scene().silent[self.0.process].0 -= 1;
    }
}
