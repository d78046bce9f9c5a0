//! The network and the endpoints: an [`HttpClient`] whose requests are delayed, lost, or answered in every
//! way.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hookwire::testing::TokioClock;
use hookwire::{Clock as _, ErrorClass, Exchange, HttpClient, Limits, SubscriptionId, TransportError};
use http::{HeaderValue, StatusCode, header};
use tokio::time::{Instant, sleep, timeout};

use super::dice::Dice;
use super::store::Shared;
use super::terms::End;

pub(crate) struct Network {
    shared: Arc<Shared>,
    dice: Dice,
    /// The spells of each endpoint.
    spells: Mutex<BTreeMap<SubscriptionId, Vec<Spell>>>,
    /// The share of requests that fail outside spells, in hundredths.
    flaky: Mutex<u64>,
    slowest: u64,
    /// The endpoints' own clock.
    clock: TokioClock,
}

/// A period in which an endpoint treats every request alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spell {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    pub(crate) act: Act,
}

/// An endpoint's reaction to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Answers, and accepts the event if the status is a success.
    Answer(u16),
    /// Answers with a `Retry-After` of these seconds, as a number or as a date.
    Busy(u16, u64, bool),
    /// Accepts the event, then the connection breaks.
    TakeAndReset,
    /// Accepts the event and never answers.
    TakeAndHang,
    Refuse,
    /// Never answers.
    Hang,
    /// The client ignores its deadline.
    Forget,
    /// The client panics.
    Panic,
}

impl Act {
    pub(crate) fn bad(dice: &Dice) -> Self {
        match dice.within(1..=20) {
            1..=3 => Self::Answer(dice.pick(&[500, 502, 503, 504])),
            4 => Self::Answer(dice.pick(&[400, 401, 404, 429, 301])),
            5..=7 => Self::Busy(dice.pick(&[429, 503]), dice.millis(1..=200_000).as_secs(), dice.percent(30)),
            8..=9 => Self::TakeAndReset,
            10..=11 => Self::TakeAndHang,
            12..=15 => Self::Refuse,
            16..=17 => Self::Hang,
            18 => Self::Forget,
            19 => Self::Panic,
            _ => Self::Answer(410),
        }
    }

    fn is_taken(self) -> bool {
        matches!(self, Self::Answer(200..=299) | Self::TakeAndReset | Self::TakeAndHang)
    }

    fn arrives(self) -> bool {
        !matches!(self, Self::Refuse | Self::Forget | Self::Panic | Self::Hang)
    }
}

impl Network {
    pub(crate) fn new(shared: &Arc<Shared>, dice: Dice, clock: TokioClock, is_calm: bool) -> Arc<Self> {
        let slowest = if is_calm { 2_000 } else { dice.pick(&[2, 50, 2_000, 12_000]) };
        let flaky = Mutex::new(dice.pick(&[0, 5, 30]));
        Arc::new(Self { shared: Arc::clone(shared), dice, spells: Mutex::default(), flaky, slowest, clock })
    }

    pub(crate) fn misbehave(&self, id: SubscriptionId, spell: Spell) {
        self.spells.lock().unwrap().entry(id).or_default().push(spell);
    }

    /// Lets every endpoint accept everything from now on.
    pub(crate) fn heal(&self) {
        self.spells.lock().unwrap().clear();
        *self.flaky.lock().unwrap() = 0;
    }

    fn act(&self, id: SubscriptionId) -> Act {
        let now = Instant::now();
        let spells = self.spells.lock().unwrap();
        let spell =
            spells.get(&id).into_iter().flatten().find(|spell| spell.from <= now && now < spell.until);
        match spell {
            Some(spell) => spell.act,
            None if self.dice.percent(*self.flaky.lock().unwrap()) => Act::bad(&self.dice),
            None => Act::Answer(self.dice.pick(&[200, 200, 202, 204])),
        }
    }
}

/// The client of one worker.
#[derive(Clone)]
pub(crate) struct Client {
    network: Arc<Network>,
    worker: usize,
    clock: TokioClock,
}

impl Client {
    pub(crate) fn new(network: &Arc<Network>, worker: usize, clock: TokioClock) -> Self {
        Self { network: Arc::clone(network), worker, clock }
    }

    async fn exchange(&self, flight: &mut Flight<'_>, act: Act) -> Result<Exchange, TransportError> {
        let dice = &self.network.dice;
        // The times until the last byte leaves, arrives, and is answered.
        let [leaves, arrives, answers] = [(); 3].map(|()| dice.millis(1..=self.network.slowest));
        sleep(leaves).await;
        match act {
            Act::Refuse => return Err(failed(ErrorClass::Connect)),
            Act::Panic => resume_unwind(Box::new("the client panics")),
            _ => {}
        }
        if act.arrives() {
            let (shared, hold) = (Arc::clone(&self.network.shared), flight.hold);
            // A request that was sent arrives even if its process ends.
            tokio::spawn(async move {
                sleep(arrives).await;
                shared.model().arrived(hold, act.is_taken());
            });
        }
        sleep(arrives + answers).await;
        let mut response = http::Response::new(Bytes::from_static(b"an answer"));
        match act {
            Act::Answer(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
            Act::Busy(status, seconds, as_date) => {
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                let value = if as_date {
                    let at = SystemTime::from(self.network.clock.now()) + Duration::from_secs(seconds);
                    httpdate::fmt_http_date(at)
                } else {
                    seconds.to_string()
                };
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_str(&value).unwrap());
            }
            Act::TakeAndReset => return Err(failed(ErrorClass::Reset)),
            _ => std::future::pending().await,
        }
        Ok(Exchange::new(response))
    }

    /// The wait that an answer asks for, by this side's clock.
    fn asked(&self, exchange: &Exchange) -> Option<Duration> {
        let value = exchange.response.headers().get(header::RETRY_AFTER)?.to_str().unwrap();
        match value.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let at = time::OffsetDateTime::from(httpdate::parse_http_date(value).unwrap());
                Some((at - self.clock.now()).try_into().unwrap_or(Duration::ZERO))
            }
        }
    }
}

impl HttpClient for Client {
    async fn send(&self, request: http::Request<Bytes>, limits: &Limits) -> Result<Exchange, TransportError> {
        let begun = self.network.shared.model().request_begins(self.worker, &request, self.clock.now());
        let Some((hold, subscription)) = begun else { return Err(failed(ErrorClass::Internal)) };
        let mut flight = Flight { client: self, hold, end: End::Failed };
        let act = self.network.act(subscription);
        if let Act::Forget = act {
            std::future::pending::<()>().await;
        }
        let exchange = match timeout(limits.deadline, self.exchange(&mut flight, act)).await {
            Ok(exchange) => exchange,
            Err(_) => Err(failed(ErrorClass::Timeout)),
        };
        if let Ok(exchange) = &exchange {
            let status = exchange.response.status().as_u16();
            flight.end = End::Answered { status, asked: self.asked(exchange) };
        }
        exchange
    }
}

/// A request in progress. It ends when it is dropped, by anybody.
struct Flight<'a> {
    client: &'a Client,
    hold: usize,
    end: End,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let Client { network, worker, clock } = self.client;
        // Another panic has reported its violation already.
        if let Ok(mut model) = network.shared.model.lock() {
            model.request_ended(*worker, self.hold, clock.now(), self.end);
        }
    }
}

fn failed(class: ErrorClass) -> TransportError {
    TransportError::new(class, "the simulated network failed")
}
