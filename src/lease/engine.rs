//! [`Engine`]: the loop that claims, starts, extends and settles.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::backoff::{self, Backoff};
use super::in_flight::{GivenTo, InFlight};
use super::settings::{SOON, Settings};
use super::source::{Call, Source};
use super::timers::{Timer, TimerTable, after};
use crate::store::{Settled, StoreError};

/// Claims rows of a source while there is room, has them worked on, and settles them.
pub(crate) struct Engine<'a, S: Source> {
    source: &'a S,
    settings: &'a Settings,
    in_flight: InFlight<'a, S>,
    /// The rows that are being settled. They stay here until the store has answered, as the wait for it may
    /// be given up.
    settling: Vec<S::Finished>,
    /// Since when the store has refused every settlement. Nothing is claimed meanwhile.
    refused_since: Option<Instant>,
    /// The most rows in flight, which is small after the store has refused every settlement.
    trial: usize,
    timers: TimerTable,
    /// When the next look may be made. A look takes longer, the more there is to look at.
    looks_from: Instant,
    backoff: Backoff,
}

impl<'a, S: Source> Engine<'a, S> {
    pub(crate) fn new(source: &'a S) -> Self {
        let mut timers = TimerTable::default();
        timers.set(Timer::Look, Some(Duration::ZERO));
        Self {
            source,
            settings: source.settings(),
            in_flight: InFlight::new(source),
            settling: Vec::new(),
            refused_since: None,
            trial: usize::MAX,
            timers,
            looks_from: Instant::now(),
            backoff: Backoff::default(),
        }
    }

    /// Works until `shutdown` is ready, gives what is in flight the drain's time, and hands the rest back.
    pub(crate) async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown.fuse());
        // A turn may have seen the shutdown already, while it waited for the store.
        while !shutdown.is_terminated() {
            self.timers.set(Timer::Work, self.works_in());
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                given = self.source.given() => start(&mut self.in_flight, &mut self.timers, given),
                is_to_look = self.source.woken() => if is_to_look {
                    self.look_in(Duration::ZERO);
                },
                () = self.in_flight.reported() => {}
                () = sleep_until(self.timers.next(self.backoff.until)) => {}
            }
            // Let others run first, such as attempts that are about to end and emits: a turn for many rows
            // costs little more than a turn for one.
            yield_now().await;
            self.in_flight.collect();
            let (source, drain) = (self.source, self.settings.drain);
            // A turn is not given up at once: rows that a claim has leased wait for the end of their leases
            // unless they are started.
            tokio::select! {
                biased;
                () = self.turn() => {}
                () = async { (&mut shutdown).await; source.set_open(false); sleep(drain).await } => {}
            }
            // Nothing is sent that could not be settled.
            let is_sound = self.backoff.is_over() && !self.is_refused() && self.trial == usize::MAX;
            self.source.set_open(is_sound && !shutdown.is_terminated());
        }
        self.source.set_open(false);
        self.drain().await;
    }

    /// How long until the next turn has something to settle or to claim.
    fn works_in(&self) -> Option<Duration> {
        if !self.in_flight.finished.is_empty() {
            return Some(Duration::ZERO);
        }
        if self.room() > 0 { self.source.claims_in() } else { None }
    }

    fn room(&self) -> usize {
        let taken = self.in_flight.len() + self.source.reserved();
        self.settings.in_flight.min(self.trial).saturating_sub(taken)
    }

    const fn is_refused(&self) -> bool {
        self.refused_since.is_some()
    }

    /// One settlement with one claim, one look and one extension, as far as they are due. Work that ends
    /// meanwhile waits for the next turn.
    async fn turn(&mut self) {
        if self.backoff.is_over() {
            self.settle_and_claim().await;
            if self.backoff.is_over() && self.timers.is_due(Timer::Look) {
                self.look().await;
            }
        }
        if self.timers.is_due(Timer::Extend) {
            self.extend().await;
        }
        match self.in_flight.len() {
            0 => self.timers.set(Timer::Extend, None),
            _ => self.timers.set_by(Timer::Extend, self.settings.lease / 3),
        }
    }

    async fn settle_and_claim(&mut self) {
        if self.is_refused() || self.trial < usize::MAX || !S::SETTLES_WHILE_CLAIMING {
            // A store that refuses settlements is asked for no more rows: work on them would be in vain.
            self.settle().await;
            if self.is_refused() {
                return;
            }
        }
        // Rows that are being settled leave their room to those that are claimed meanwhile.
        let Some(claim) = self.source.plan(self.room()) else { return self.settle().await };
        let asked = Instant::now();
        std::mem::swap(&mut self.settling, &mut self.in_flight.finished);
        let (source, lease) = (self.source, self.settings.lease);
        let (settled, claimed) = {
            let mut settling = pin!(source.settle(&self.settling).fuse());
            let mut claiming = pin!(source.claim(&claim).fuse());
            let (mut settled, mut claimed) = (None, None);
            while settled.is_none() || claimed.is_none() {
                tokio::select! {
                    biased;
                    answer = &mut settling => settled = Some(answer),
                    // Started as soon as they are claimed, and not when a slow settlement has ended.
                    answer = &mut claiming => claimed = Some(answer.map(|claimed| {
                        let is_last = claimed.is_last;
                        self.in_flight.start(claimed, asked.elapsed() >= lease);
                        is_last
                    })),
                    given = source.given() => start(&mut self.in_flight, &mut self.timers, given),
                }
            }
            (settled, claimed)
        };
        let (Some(settled), Some(claimed)) = (settled, claimed) else { return };
        match claimed {
            Ok(is_last) => {
                if is_last {
                    self.look_in(SOON);
                }
                self.settled(settled).await;
                if !self.is_refused() {
                    self.backoff.reset();
                }
            }
            Err(error) => {
                self.failed(Call::Claim, &error);
                self.settled(settled).await;
            }
        }
    }

    /// Settles what is finished.
    async fn settle(&mut self) {
        self.unsettle();
        if self.in_flight.finished.is_empty() {
            return;
        }
        std::mem::swap(&mut self.settling, &mut self.in_flight.finished);
        let settling = self.source.settle(&self.settling);
        let settled = while_starting(&mut self.in_flight, &mut self.timers, self.source, settling).await;
        self.settled(settled).await;
        if !self.is_refused() {
            self.backoff.reset();
        }
    }

    async fn settled(&mut self, settled: Result<Vec<Settled>, StoreError>) {
        let Err(error) = settled else {
            if !self.settling.is_empty() {
                self.accepted();
            }
            if let Some(soonest) = self.settling.drain(..).filter_map(|finished| S::retry_in(&finished)).min()
            {
                self.look_in(soonest);
            }
            return;
        };
        self.refused_since.get_or_insert_with(Instant::now);
        self.source.failed(Call::Settle, &error);
        if error.is_retryable() {
            self.backoff.lengthen();
        } else {
            self.settle_each().await;
        }
        self.unsettle();
    }

    /// Settles one by one what was refused together, so that a row that cannot be written costs no others.
    /// Such rows are given up, at once if the store accepts others, and otherwise after the time of a lease.
    /// They are due again when their leases end.
    async fn settle_each(&mut self) {
        let (mut refused, mut is_any_settled) = (0, false);
        while let Some(finished) = self.settling.get(refused..=refused) {
            match self.source.settle(finished).await {
                Ok(_) => {
                    is_any_settled = true;
                    drop(self.settling.remove(refused));
                }
                Err(error) if error.is_retryable() => break,
                Err(_) => refused += 1,
            }
        }
        let is_over = self.refused_since.is_some_and(|since| since.elapsed() >= self.settings.lease);
        if refused < self.settling.len() || !(is_any_settled || is_over) {
            // A store that refuses all of them may be at fault itself. They are kept until their leases have
            // ended, and so nothing more is claimed in vain.
            return self.backoff.lengthen();
        }
        self.settling.clear();
        self.backoff.reset();
        if is_any_settled {
            self.accepted();
        } else {
            // Without claims, it would never turn out that the store accepts others. Claim few at first, and
            // more each time, as the same rows may be the first again.
            self.refused_since = None;
            self.trial = if self.trial == usize::MAX { FIRST_TRIAL } else { self.trial.saturating_mul(2) };
        }
    }

    /// The store has accepted a settlement.
    const fn accepted(&mut self) {
        self.refused_since = None;
        self.trial = usize::MAX;
    }

    /// Puts rows that were not settled back, before those that have finished since.
    fn unsettle(&mut self) {
        self.settling.append(&mut self.in_flight.finished);
        std::mem::swap(&mut self.settling, &mut self.in_flight.finished);
    }

    async fn look(&mut self) {
        let asked = Instant::now();
        let look = self.source.look();
        match while_starting(&mut self.in_flight, &mut self.timers, self.source, look).await {
            Ok(wait) => {
                self.backoff.reset();
                self.looks_from = after(asked.elapsed().saturating_mul(REST).min(self.settings.poll));
                let wait = wait.map_or(self.settings.poll, |wait| wait.min(self.settings.poll));
                self.timers.set(Timer::Look, None);
                self.look_in(wait.max(SOON));
            }
            Err(error) => self.failed(Call::Look, &error),
        }
    }

    /// Looks this long from now at the latest, and not before the last look has been rested from.
    fn look_in(&mut self, wait: Duration) {
        let rest = self.looks_from.saturating_duration_since(Instant::now());
        self.timers.set_by(Timer::Look, wait.max(rest));
    }

    async fn extend(&mut self) {
        let held = self.in_flight.held();
        if held.is_empty() {
            return;
        }
        // A lease that cannot be extended now may be in the next turn. Otherwise its settlement is stale.
        if let Err(error) = self.source.extend(held).await {
            self.source.failed(Call::Extend, &error);
        }
        self.timers.set(Timer::Extend, Some(self.settings.lease / 3));
    }

    fn failed(&mut self, call: Call, error: &StoreError) {
        self.source.failed(call, error);
        self.backoff.lengthen();
    }

    async fn drain(mut self) {
        let deadline = after(self.settings.drain);
        while self.in_flight.len() > 0 || self.source.expects() {
            // Leases of finished rows are not extended, so they do not wait for the end of the drain.
            if self.backoff.is_over() && !(self.settling.is_empty() && self.in_flight.finished.is_empty()) {
                drop(timeout_at(deadline, self.settle()).await);
            }
            let extend_at = match self.in_flight.len() {
                0 => deadline,
                _ => self.timers.at(Timer::Extend).unwrap_or_else(Instant::now),
            };
            tokio::select! {
                biased;
                given = self.source.given() => start(&mut self.in_flight, &mut self.timers, given),
                () = self.in_flight.reported() => self.in_flight.collect(),
                () = sleep_until(deadline) => break,
                // Nobody else may have these rows until they are handed back.
                () = sleep_until(extend_at) => drop(timeout_at(deadline, self.extend()).await),
            }
        }
        // A settlement may have been given up along with its turn.
        self.unsettle();
        // Wait for aborted tasks, so that nobody works on a row that is handed back; not for long, as one may
        // block its thread.
        drop(timeout_at(after(ABORT), self.in_flight.stop()).await);
        self.in_flight.collect();
        self.in_flight.hand_back();
        self.in_flight.return_given(self.source.close());
        // A store that stays away does not hold up the process: the leases end by themselves.
        let give_up = after(backoff::LONGEST);
        self.backoff.reset();
        while !self.in_flight.finished.is_empty() && Instant::now() < give_up {
            let settled = async {
                self.backoff.over().await;
                self.settle().await;
            };
            if timeout_at(give_up, settled).await.is_err() {
                return;
            }
        }
    }
}

/// Carries out a call of the store, and starts work that is given meanwhile.
async fn while_starting<S: Source, T>(
    in_flight: &mut InFlight<'_, S>,
    timers: &mut TimerTable,
    source: &S,
    call: impl Future<Output = T>,
) -> T {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            given = source.given() => start(in_flight, timers, given),
        }
    }
}

/// Starts work that was leased outside of a claim. Its lease is extended in time, also where the call that
/// leased it took long.
fn start<S: Source>(in_flight: &mut InFlight<'_, S>, timers: &mut TimerTable, given: Vec<GivenTo<S>>) {
    let Some(oldest) = given.iter().map(|given| given.asked.elapsed()).max() else { return };
    let extend_in = (in_flight.lease() / 3).saturating_sub(oldest);
    in_flight.start_given(given);
    timers.set_by(Timer::Extend, extend_in);
}

/// The rest after a look, in times of its length: looks take a tenth of the time at most, and leave the rest
/// to claims and settlements.
const REST: u32 = 9;

/// How many rows are claimed after all settlements were refused for the time of a lease.
const FIRST_TRIAL: usize = 2;

/// How long aborted tasks may take to end.
const ABORT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::join;

    use super::super::source::{Claimed, Given};
    use super::super::task_pool::Runner;
    use super::*;
    use crate::store::StoreErrorKind;

    const SECOND: Duration = Duration::from_secs(1);

    /// Rows that are numbers, each of which takes that many seconds of work.
    struct Numbers {
        settings: Settings,
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        due: Vec<u64>,
        /// The time that a claim takes, and a look.
        claim: Duration,
        look: Duration,
        looks: u32,
        /// A row that cannot be settled, alone or with others.
        refused: Option<u64>,
        /// A row whose settlement alone hangs once.
        hangs: Option<u64>,
        settled: Vec<u64>,
        handed_back: Vec<u64>,
        extended: Vec<Vec<u64>>,
        /// Rows that are given without a claim, each with how long ago its call began.
        given: Vec<(u64, Duration)>,
        reserved: usize,
        is_open: bool,
    }

    impl Numbers {
        fn new(due: &[u64]) -> Self {
            let settings =
                Settings { batch: 10, in_flight: 10, lease: 9 * SECOND, poll: SECOND, drain: 5 * SECOND };
            Self { settings, state: Mutex::new(State { due: due.to_vec(), ..State::default() }) }
        }

        async fn run_for(&self, time: Duration) {
            Engine::new(self).run(sleep(time)).await;
        }
    }

    struct Sleep;

    impl Runner for Sleep {
        type Work = u64;
        type Output = Vec<u64>;
        type Scratch = ();

        async fn run(&self, row: u64, (): &mut ()) -> Vec<u64> {
            sleep(u32::try_from(row).unwrap() * SECOND).await;
            vec![row]
        }
    }

    impl Source for Numbers {
        type Runner = Sleep;
        type Finished = u64;
        type Held = u64;
        type Claim = usize;

        const SETTLES_WHILE_CLAIMING: bool = true;

        fn settings(&self) -> &Settings {
            &self.settings
        }

        fn runner(&self) -> Sleep {
            Sleep
        }

        async fn woken(&self) -> bool {
            std::future::pending().await
        }

        async fn given(&self) -> Vec<Given<u64>> {
            loop {
                {
                    let mut state = self.state.lock().unwrap();
                    if !state.given.is_empty() {
                        state.reserved = state.reserved.saturating_sub(state.given.len());
                        let now = Instant::now();
                        let given = state.given.drain(..);
                        return given.map(|(row, ago)| Given { work: vec![row], asked: now - ago }).collect();
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
        }

        fn reserved(&self) -> usize {
            self.state.lock().unwrap().reserved
        }

        fn expects(&self) -> bool {
            self.reserved() > 0
        }

        fn set_open(&self, is_open: bool) {
            self.state.lock().unwrap().is_open = is_open;
        }

        fn close(&self) -> Vec<Given<u64>> {
            let state = &mut *self.state.lock().unwrap();
            state.reserved = 0;
            state.given.drain(..).map(|(row, _)| Given { work: vec![row], asked: Instant::now() }).collect()
        }

        fn claims_in(&self) -> Option<Duration> {
            (!self.state.lock().unwrap().due.is_empty()).then_some(Duration::ZERO)
        }

        fn plan(&self, room: usize) -> Option<usize> {
            self.claims_in().map(|_| room)
        }

        async fn claim(&self, room: &usize) -> Result<Claimed<Self>, StoreError> {
            let wait = self.state.lock().unwrap().claim;
            sleep(wait).await;
            let state = &mut *self.state.lock().unwrap();
            let count = state.due.len().min(*room);
            let work = state.due.drain(..count).collect();
            Ok(Claimed { work, finished: Vec::new(), is_last: true })
        }

        async fn look(&self) -> Result<Option<Duration>, StoreError> {
            let wait = self.state.lock().unwrap().look;
            sleep(wait).await;
            self.state.lock().unwrap().looks += 1;
            // Another row is always due at once.
            Ok((!wait.is_zero()).then_some(Duration::ZERO))
        }

        async fn extend(&self, held: Vec<&u64>) -> Result<(), StoreError> {
            self.state.lock().unwrap().extended.push(held.into_iter().copied().collect());
            Ok(())
        }

        async fn settle(&self, finished: &[u64]) -> Result<Vec<Settled>, StoreError> {
            let hangs = {
                let mut state = self.state.lock().unwrap();
                if state.refused.is_some_and(|refused| finished.contains(&refused)) {
                    return Err(StoreError::new(StoreErrorKind::Backend, "refused"));
                }
                state.hangs.take_if(|hangs| finished == [*hangs]).is_some()
            };
            if hangs {
                std::future::pending::<()>().await;
            }
            self.state.lock().unwrap().settled.extend(finished);
            Ok(vec![Settled::Done; finished.len()])
        }

        fn failed(&self, _: Call, _: &StoreError) {}

        fn held(row: &u64) -> u64 {
            *row
        }

        fn retry_in(_: &u64) -> Option<Duration> {
            None
        }

        fn collected(&self, _: &mut [u64], _: usize) {}

        fn lost(&self, _: &u64) {}

        fn hand_back(&self, row: u64, _: Duration) -> impl IntoIterator<Item = u64> {
            self.state.lock().unwrap().handed_back.push(row);
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_are_refused_together_are_settled_one_by_one() {
        let source = Numbers::new(&[1, 1, 2, 4]);
        source.state.lock().unwrap().refused = Some(2);
        source.run_for(10 * SECOND).await;
        let state = source.state.lock().unwrap();
        assert_eq!((state.settled.as_slice(), state.handed_back.len()), (&[1, 1, 4][..], 0), "all but one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_is_refused_alone_is_given_up_when_its_lease_has_ended() {
        for (seconds, settled) in [(8, &[][..]), (20, &[1])] {
            let source = Numbers::new(&[0]);
            source.state.lock().unwrap().refused = Some(0);
            let later = async {
                sleep(3 * SECOND).await;
                source.state.lock().unwrap().due.push(1);
            };
            join(source.run_for(seconds * SECOND), later).await;
            assert_eq!(source.state.lock().unwrap().settled, settled, "after {seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_refuses_all_is_tried_with_few_rows_and_with_all_once_it_accepts() {
        let source = Numbers::new(&[0; 1_000]);
        source.state.lock().unwrap().refused = Some(0);
        let mut claimed = 0;
        let later = async {
            sleep(40 * SECOND).await;
            let state = &mut *source.state.lock().unwrap();
            claimed = 1_000 - state.due.len();
            state.refused = None;
        };
        join(source.run_for(100 * SECOND), later).await;
        // Two batches at first, one of them beside the first settlement, and then up to 2, 4 and 8 rows.
        assert!((12..=34).contains(&claimed), "{claimed} were claimed");
        assert!(source.state.lock().unwrap().settled.len() > 900);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_while_rows_are_settled_one_by_one_loses_none_of_them() {
        let source = Numbers::new(&[0, 1, 1]);
        {
            let mut state = source.state.lock().unwrap();
            (state.refused, state.hangs) = (Some(0), Some(1));
        }
        // The refused row is kept, refused again with the two others, and then the next one hangs alone.
        source.run_for(3 * SECOND).await;
        let state = source.state.lock().unwrap();
        assert_eq!(state.settled, [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_extended_while_it_runs_and_handed_back_when_the_drain_ends() {
        let source = Numbers::new(&[100, 2]);
        source.run_for(7 * SECOND).await;
        let state = source.state.lock().unwrap();
        assert_eq!((state.settled.as_slice(), state.handed_back.as_slice()), (&[2][..], &[100][..]));
        assert_eq!(state.extended, [[100]; 3], "every third of its lease");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_during_a_drain_is_settled_at_once() {
        let source = Numbers::new(&[1, 2, 100]);
        let watch = async {
            sleep(Duration::from_millis(2_500)).await;
            assert_eq!(source.state.lock().unwrap().settled, [1, 2]);
        };
        join(source.run_for(Duration::from_millis(500)), watch).await;
        assert_eq!(source.state.lock().unwrap().handed_back, [100]);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_whose_lease_ended_before_the_claim_was_answered_are_handed_back() {
        let source = Numbers::new(&[1, 2]);
        source.state.lock().unwrap().claim = 9 * SECOND;
        source.run_for(20 * SECOND).await;
        let state = source.state.lock().unwrap();
        assert_eq!((state.settled.len(), state.handed_back.as_slice()), (0, &[1, 2][..]));
    }

    #[tokio::test(start_paused = true)]
    async fn given_work_starts_while_a_claim_is_on_its_way_and_is_extended_in_time() {
        let source = Numbers::new(&[1]);
        {
            let mut state = source.state.lock().unwrap();
            (state.claim, state.given) = (5 * SECOND, vec![(2, Duration::ZERO), (4, 2 * SECOND)]);
        }
        let at = async {
            sleep(Duration::from_millis(4_500)).await;
            // The first has ended and waits to be settled; the claim has not been answered.
            let state = source.state.lock().unwrap();
            (state.due.len(), state.given.len(), state.extended.len())
        };
        let ((), seen) = join(source.run_for(10 * SECOND), at).await;
        assert_eq!(seen, (1, 0, 0));
        let state = source.state.lock().unwrap();
        assert_eq!((state.settled.as_slice(), state.handed_back.len()), (&[2, 4, 1][..], 0));
    }

    #[tokio::test(start_paused = true)]
    async fn given_work_whose_call_began_a_lease_ago_is_handed_back() {
        let source = Numbers::new(&[]);
        source.state.lock().unwrap().given = vec![(1, 9 * SECOND), (2, 8 * SECOND)];
        source.run_for(5 * SECOND).await;
        let state = source.state.lock().unwrap();
        assert_eq!((state.settled.as_slice(), state.handed_back.as_slice()), (&[2][..], &[1][..]));
        assert_eq!(state.extended[0], [2], "its lease is extended at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_waits_for_reserved_work_until_the_drain_ends() {
        for (given_after, settled, handed_back) in [(2, &[1][..], &[][..]), (20, &[], &[])] {
            let source = Numbers::new(&[]);
            source.state.lock().unwrap().reserved = 1;
            let later = async {
                sleep(2 * SECOND + given_after * SECOND).await;
                source.state.lock().unwrap().given.push((1, Duration::ZERO));
            };
            let run = async {
                let began = Instant::now();
                source.run_for(SECOND).await;
                began.elapsed()
            };
            let (took, ()) = join(run, later).await;
            let state = source.state.lock().unwrap();
            assert_eq!((&*state.settled, &*state.handed_back), (settled, handed_back));
            assert!(!state.is_open && took < 8 * SECOND, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slots_are_open_only_while_the_store_accepts_settlements_and_reserved_ones_are_not_claimed_for() {
        let source = Numbers::new(&[0; 30]);
        {
            let mut state = source.state.lock().unwrap();
            (state.refused, state.reserved) = (Some(0), 4);
        }
        let watch = async {
            sleep(5 * SECOND).await;
            let state = &mut *source.state.lock().unwrap();
            assert_eq!(
                (state.is_open, state.due.len()),
                (false, 18),
                "claimed are six, and six beside those"
            );
            (state.refused, state.reserved) = (None, 0);
        };
        let later = async {
            sleep(30 * SECOND).await;
            assert!(source.state.lock().unwrap().is_open);
        };
        join(source.run_for(40 * SECOND), join(watch, later)).await;
        assert!(!source.state.lock().unwrap().is_open);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_take_long_are_made_less_often() {
        for (takes, most) in [(Duration::from_millis(10), 210), (Duration::from_millis(50), 42)] {
            let source = Numbers::new(&[]);
            source.state.lock().unwrap().look = takes;
            source.run_for(20 * SECOND).await;
            let looks = source.state.lock().unwrap().looks;
            assert!((most * 9 / 10..=most).contains(&looks), "{looks} of {takes:?}");
        }
    }
}
