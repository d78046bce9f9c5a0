//! Checks requests, and their arrival at the endpoint.

use std::time::Duration;

use bytes::Bytes;
use hookwire::signature::StoredSecret;
use hookwire::{DeliveryId, DeliveryState, EventId, SubscriptionId};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Model, Request};
use crate::simulation::terms::End;

impl Model {
    /// A request begins. It has to belong to a claim, and nothing may forbid it.
    pub(crate) fn request_begins(
        &mut self,
        worker: usize,
        request: &http::Request<Bytes>,
        now: OffsetDateTime,
    ) -> Option<(usize, SubscriptionId)> {
        self.counts.requests += 1;
        let url = request.uri().to_string();
        let found = self.subscriptions.iter().find(|(_, sub)| sub.url == url).map(|(id, _)| *id);
        let event = self.by_payload.get(request.body()).cloned();
        let (Some(subscription), Some(event)) = (found, event) else {
            self.violated(format!("a request to {url} has a body that nobody emitted"));
            return None;
        };
        let open = self.workers[worker].open.iter().copied().find(|hold| {
            let row = &self.rows[&self.holds[*hold].delivery];
            row.event == event && row.subscription == subscription
        });
        let Some(hold) = open else {
            self.violated(format!("worker {worker} sent {event} to {subscription} and had not claimed it"));
            return None;
        };
        self.workers[worker].open.remove(&hold);
        self.holds[hold].request = Some(Request { began: Instant::now(), began_at: now, ended: None });
        let id = self.holds[hold].delivery;
        self.note(|| format!("worker {worker} sends {id}"));
        // A delivery that was handed over may wait for a call of the store.
        let at_once = self.holds[hold].answered == Some(Instant::now()) || self.holds[hold].is_given;
        self.expect(at_once, || format!("{id} was sent later than it was claimed"));
        if let Err(error) = self.check_signature(hold, &event, request, now) {
            self.violated(format!("{id} was sent with a signature that does not hold: {error}"));
        }
        self.check_room(worker, hold, subscription);
        self.check_key(hold);
        self.check_interval(id);
        self.workers[worker].active.insert(hold);
        Some((hold, subscription))
    }

    fn check_signature(
        &self,
        hold: usize,
        event: &EventId,
        request: &http::Request<Bytes>,
        now: OffsetDateTime,
    ) -> Result<(), String> {
        if !self.terms.is_signed {
            return Ok(());
        }
        // Each secret that the subscription had at the claim must verify alone, if the scheme carries several
        // signatures.
        let known = if self.terms.signs_with_all { usize::MAX } else { 1 };
        for secret in self.holds[hold].secrets.iter().filter_map(StoredSecret::plain).take(known) {
            let verifier = self.terms.contract.verifier(secret).map_err(|error| error.to_string())?;
            let verified = verifier
                .verify_at(request.headers(), request.body(), now)
                .map_err(|error| error.to_string())?;
            if verified.id() != Some(event.as_str()) {
                return Err("it is of another event".to_owned());
            }
        }
        Ok(())
    }

    fn check_room(&mut self, worker: usize, hold: usize, subscription: SubscriptionId) {
        let of_this = |other: &&usize| {
            self.rows[&self.holds[**other].delivery].subscription == subscription && **other != hold
        };
        let busy = self.workers[worker].active.iter().filter(of_this).count() + 1;
        // A subscription's own cap lowers the worker's and does not raise it.
        let (own, most) = (self.subscriptions[&subscription].cap, self.workers[worker].cap);
        let cap = own.map_or(most, |own| own.min(most)) as usize;
        self.expect(busy <= cap, || {
            format!("worker {worker} has {busy} in flight to {subscription}, cap {cap}")
        });
        let (all, most) = (self.workers[worker].active.len() + 1, self.workers[worker].in_flight);
        self.expect(all <= most, || format!("worker {worker} has {all} in flight, at most {most}"));
    }

    /// Checks that no two deliveries of a key are in flight, unless the other was ended by somebody else.
    fn check_key(&mut self, hold: usize) {
        let id = self.holds[hold].delivery;
        let row = &self.rows[&id];
        let Some(key) = &row.key else { return };
        let beside =
            self.workers.iter().flat_map(|worker| &worker.active).map(|other| self.holds[*other].delivery);
        let clash = beside.filter(|other| *other != id).find(|other| {
            let other = &self.rows[other];
            other.subscription == row.subscription
                && other.key.as_ref() == Some(key)
                && other.state == DeliveryState::Pending
        });
        if let Some(other) = clash {
            let what = format!("{id} was sent while {other} of the same key was in flight");
            self.violated(what);
        }
    }

    /// Checks in real time that no retry is early, unless a clock jumped or the attempt was not settled.
    fn check_interval(&mut self, id: DeliveryId) {
        let Some((ended, after)) = self.rows[&id].last_end else { return };
        if self.last_jump.is_none() && ended.elapsed() < after {
            self.violated(format!("{id} was sent again after {:?}, expected {after:?}", ended.elapsed()));
        }
    }

    /// The event has reached its endpoint.
    pub(crate) fn arrived(&mut self, hold: usize, is_taken: bool) {
        let id = self.holds[hold].delivery;
        self.note(|| format!("{id} arrives, {}", if is_taken { "taken" } else { "not taken" }));
        let row = self.rows.get_mut(&id).expect("it was claimed");
        row.arrivals += 1;
        row.taken += u32::from(is_taken);
        if is_taken && row.taken > 1 {
            self.counts.doubled += 1;
        }
        if row.first_arrival.is_some() {
            return;
        }
        row.first_arrival = Some(Instant::now());
        let row = &self.rows[&id];
        // A dead letter may arrive late, in a packet that outlived its attempt.
        if row.key.is_none() || matches!(row.state, DeliveryState::Dead(_)) {
            return;
        }
        let later = self.rows.iter().find(|(_, other)| {
            other.subscription == row.subscription
                && other.key == row.key
                && other.number > row.number
                && other.first_arrival.is_some()
        });
        if let Some((later, _)) = later {
            let what = format!("{id} arrives first after {later}, which is behind it in order");
            self.violated(what);
        }
    }

    pub(crate) fn request_ended(&mut self, worker: usize, hold: usize, now: OffsetDateTime, end: End) {
        let id = self.holds[hold].delivery;
        self.note(|| format!("{id} of worker {worker} ends {end:?}"));
        self.workers[worker].active.remove(&hold);
        let Some(request) = &mut self.holds[hold].request else { return };
        request.ended = Some((now, Instant::now(), end));
        let (took, most) = (request.began.elapsed(), self.terms.timeout() + Duration::from_secs(1));
        self.expect(took <= most, || format!("an attempt of {id} took {took:?}, expected at most {most:?}"));
    }
}
