//! A worker's work: what it takes, settles, extends and hands back, and when.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::call::{chunks, hand_back, key_of, unreadable};
use super::crew::{Crew, Ended};
use super::incident::Incident;
use super::plan::Plan;
use super::{SOON, Worker};
use crate::pause::{LONGEST_PAUSE, after};
use crate::store::{Conclusion, Settled, StoreError};

impl Worker {
    pub(super) async fn work(&self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown.fuse());
        let mut crew = Crew::default();
        let mut plan = Plan::new(self.lease);
        let mut rung = 0;
        // Waiting for the intake, the shutdown may have been seen already.
        while !shutdown.is_terminated() {
            let wake_at = plan.wake_at(&crew, crew.room(self.concurrent, self.batch));
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                times = self.bell.rung_since(rung) => {
                    rung = times;
                    plan.is_due = true;
                }
                ended = crew.tasks.join_next_with_id(), if !crew.tasks.is_empty() => crew.end(ended),
                () = sleep_until(wake_at) => {}
            }
            crew.gather();
            // Not given up at once: what was taken waits for the end of its lease if nobody begins with it.
            tokio::select! {
                biased;
                () = self.turn(&mut crew, &mut plan) => {}
                () = self.out_of_patience(&mut shutdown) => {}
            }
        }
        self.finish(crew, plan.extend_at).await;
    }

    /// One settlement, one taking, one look, as far as they are due: what ends while one is written goes into the next.
    async fn turn(&self, crew: &mut Crew, plan: &mut Plan) {
        if plan.may_ask() {
            self.land(crew, plan).await;
        }
        if crew.is_idle() {
            plan.extend_at = after(self.lease / 3);
        }
        let room = crew.room(self.concurrent, self.batch);
        // What an intake does not take down it is not asked for either: handled, it would be handled in vain.
        if room > 0 && plan.is_due && plan.may_ask() {
            self.take(crew, plan, room).await;
        }
        if room > 0 && !plan.is_due && plan.look_at <= Instant::now() && plan.may_ask() {
            self.look(plan).await;
        }
        if plan.extend_at <= Instant::now() {
            self.extend(crew).await;
            plan.extend_at = after(self.lease / 3);
        }
    }

    /// Takes what there is room for, and has it handled.
    async fn take(&self, crew: &mut Crew, plan: &mut Plan, room: usize) {
        let now = self.clock.now();
        let wish = self.wish(now, room);
        let asked = Instant::now();
        let taken = match self.intake.take_dyn(&wish).await {
            Ok(taken) => taken,
            Err(error) => {
                self.observe(&Incident::Intake { call: "take", error: &error });
                plan.pause.lengthen();
                return;
            }
        };
        plan.pause.reset();
        self.tell_given_up(&taken);
        crew.ended.extend(unreadable(&taken, now));
        let count = taken.requests.len() + taken.given_up.len() + taken.unreadable.len();
        plan.is_due = count >= wish.limit as usize;
        if !plan.is_due {
            plan.look_at = after(SOON);
        }
        // The leases ended before the intake answered: somebody else may have taken them by now.
        let is_late = asked.elapsed() >= self.lease;
        for taken in chunks(taken.requests, self.batch) {
            if is_late {
                crew.ended.extend(taken.iter().map(|taken| hand_back(key_of(taken), self.clock.now())));
                continue;
            }
            let held = taken.iter().map(key_of).collect();
            let call = self.call(taken);
            let clock = Arc::clone(&self.clock);
            crew.begin(held, call.handle(move || clock.now()));
        }
    }

    /// Asks when there is work.
    async fn look(&self, plan: &mut Plan) {
        match self.intake.next_due_dyn(&self.queue, self.clock.now()).await {
            Ok(Some(Duration::ZERO)) => plan.is_due = true,
            Ok(wait) => {
                plan.pause.reset();
                plan.look_at = after(wait.map_or(self.poll, |wait| wait.min(self.poll)).max(SOON));
            }
            Err(error) => {
                self.observe(&Incident::Intake { call: "next_due", error: &error });
                plan.pause.lengthen();
            }
        }
    }

    /// Settles what ended.
    async fn land(&self, crew: &mut Crew, plan: &mut Plan) {
        if crew.ended.is_empty() {
            return;
        }
        match self.settle(&crew.ended).await {
            Ok(_) => {
                let retries = crew.ended.iter().filter_map(|ended| match &ended.settlement.conclusion {
                    Conclusion::Retry { after, .. } => Some(*after),
                    _ => None,
                });
                if let Some(soonest) = retries.min() {
                    plan.look_at = plan.look_at.min(after(soonest));
                }
                crew.ended.clear();
                plan.pause.reset();
            }
            Err(error) => {
                self.observe(&Incident::Intake { call: "settle_taken", error: &error });
                if error.is_retryable() {
                    plan.pause.lengthen();
                } else {
                    self.land_each(crew, plan).await;
                }
            }
        }
    }

    /// Settles one by one what was refused as a batch, so that one that cannot be written costs no others: it is due again when
    /// its lease ends.
    async fn land_each(&self, crew: &mut Crew, plan: &mut Plan) {
        let mut refused = Vec::new();
        let mut is_any_settled = false;
        while let Some(ended) = crew.ended.pop() {
            match self.settle(std::slice::from_ref(&ended)).await {
                Ok(_) => is_any_settled = true,
                Err(error) if error.is_retryable() => {
                    crew.ended.push(ended);
                    break;
                }
                Err(_) => refused.push(ended),
            }
        }
        if is_any_settled && crew.ended.is_empty() {
            plan.pause.reset();
            return;
        }
        // An intake that refuses everything is at fault itself: kept, it stops the worker from taking ever more in vain.
        crew.ended.append(&mut refused);
        plan.pause.lengthen();
    }

    pub(super) async fn settle(&self, ended: &[Ended]) -> Result<Vec<Settled>, StoreError> {
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let settlements: Vec<_> = ended.iter().map(|ended| ended.settlement.clone()).collect();
        let settled = self.intake.settle_taken_dyn(&settlements).await?;
        for (Ended { settlement, attempt }, settled) in ended.iter().zip(&settled) {
            let key = &settlement.key;
            match (settled, &settlement.conclusion) {
                (Settled::Stale, _) => self.observe(&Incident::Stale { key }),
                (Settled::Done, Conclusion::Retry { after, reason }) => {
                    let (attempt, retry_after) = (*attempt, *after);
                    self.observe(&Incident::Failed { key, attempt, reason, retry_after });
                }
                (Settled::Done, Conclusion::GiveUp { reason }) => {
                    self.observe(&Incident::GivenUp { key, reason });
                }
                (Settled::Done, Conclusion::Done { .. } | Conclusion::HandBack) => {}
            }
        }
        Ok(settled)
    }

    async fn extend(&self, crew: &Crew) {
        let held = crew.held();
        if held.is_empty() {
            return;
        }
        // One that cannot be extended now may be at the next turn; otherwise its settlement will be stale.
        if let Err(error) = self.intake.extend_taken_dyn(&held, self.clock.now(), self.lease).await {
            self.observe(&Incident::Intake { call: "extend_taken", error: &error });
        }
    }

    /// Ready when the intake has had the drain's time to answer since the shutdown.
    async fn out_of_patience(&self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        sleep(self.drain).await;
    }

    async fn finish(&self, mut crew: Crew, mut extend_at: Instant) {
        let deadline = after(self.drain);
        while !crew.tasks.is_empty() {
            tokio::select! {
                biased;
                ended = crew.tasks.join_next_with_id() => crew.end(ended),
                () = sleep_until(deadline) => break,
                () = sleep_until(extend_at) => {
                    // What is still being handled is nobody else's until then.
                    drop(timeout_at(deadline, self.extend(&crew)).await);
                    extend_at = after(self.lease / 3);
                }
            }
        }
        crew.gather();
        // Joined, so that what is handed back is no longer being handled; not for long, as a handler may block its thread.
        crew.tasks.abort_all();
        let aborted = after(ABORT);
        while let Ok(Some(ended)) = timeout_at(aborted, crew.tasks.join_next_with_id()).await {
            crew.end(Some(ended));
        }
        let now = self.clock.now();
        let held = crew.held();
        crew.ended.extend(held.into_iter().map(|held| hand_back(held, now)));
        crew.forget_leases();
        // An intake that stays away does not keep the process: the leases end by themselves.
        let give_up = after(LONGEST_PAUSE);
        let mut plan = Plan::new(self.lease);
        while !crew.ended.is_empty() && Instant::now() < give_up {
            let settled = async {
                plan.pause.over().await;
                self.land(&mut crew, &mut plan).await;
            };
            if timeout_at(give_up, settled).await.is_err() {
                return;
            }
        }
    }

    pub(super) async fn prune(&self) -> Infallible {
        // Soon after the start, or a process that is restarted often would never prune; not at once, as it has other work then.
        sleep(PRUNE_FIRST).await;
        loop {
            match self.intake.prune_kept_dyn(self.clock.now(), PRUNE_BATCH).await {
                Ok(0) => sleep(PRUNE_INTERVAL).await,
                Ok(_) => sleep(PRUNE_BREAK).await,
                Err(error) => {
                    self.observe(&Incident::Intake { call: "prune_kept", error: &error });
                    sleep(PRUNE_INTERVAL).await;
                }
            }
        }
    }
}

/// How long aborted handlers may take to end.
const ABORT: Duration = Duration::from_secs(1);
const PRUNE_FIRST: Duration = Duration::from_secs(10);
const PRUNE_INTERVAL: Duration = Duration::from_secs(10 * 60);
const PRUNE_BREAK: Duration = Duration::from_millis(20);
const PRUNE_BATCH: u32 = 1_000;
