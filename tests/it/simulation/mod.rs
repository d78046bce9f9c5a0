//! Simulates days of dispatchers, endpoints, an operator and faults on one store, in milliseconds each.
//! Everything follows from a seed, and every observation is compared with a naive [`model`].
//!
//! `HOOKWIRE_SEED=17 cargo test --all-features --test it simulation::replay -- --nocapture` prints the events
//! of one seed. With `HOOKWIRE_SEEDS=0..100000` instead, it runs many.

mod crowd;
mod defects;
mod dice;
mod model;
mod network;
mod store;
mod terms;
mod world;

use std::env;
use std::ops::Range;
use std::panic::catch_unwind;

use self::defects::Defect;
use self::model::Counts;
use self::world::run;

/// The number of seeds in each of the tests below.
const SHARE: u64 = 250;

#[test]
fn nothing_is_lost_and_no_rule_broken_under_the_first_quarter_of_the_seeds() {
    a_share_holds(0..SHARE);
}

#[test]
fn nothing_is_lost_and_no_rule_broken_under_the_second_quarter_of_the_seeds() {
    a_share_holds(SHARE..2 * SHARE);
}

#[test]
fn nothing_is_lost_and_no_rule_broken_under_the_third_quarter_of_the_seeds() {
    a_share_holds(2 * SHARE..3 * SHARE);
}

#[test]
fn nothing_is_lost_and_no_rule_broken_under_the_last_quarter_of_the_seeds() {
    a_share_holds(3 * SHARE..4 * SHARE);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let (first, second) = (run(seed, true, None), run(seed, true, None));
        let differs = first.trace.iter().zip(&second.trace).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_store_that_breaks_a_rule_is_caught_within_a_few_seeds() {
    for defect in Defect::ALL {
        let caught = (0..20).filter(|seed| !run(*seed, false, Some(defect)).violations.is_empty()).count();
        assert!(caught > 10, "{defect:?} was caught under {caught} of 20 seeds");
    }
}

/// Runs the seeds in `HOOKWIRE_SEED` or `HOOKWIRE_SEEDS`; without either, seeds that once found faults.
#[test]
fn replay() {
    if let Ok(seed) = env::var("HOOKWIRE_SEED") {
        let report = run(seed.parse().expect("HOOKWIRE_SEED is a number"), true, None);
        for line in &report.trace {
            println!("{line}");
        }
        println!("{}, {:?} simulated, {:#?}", report.contract, report.simulated, report.counts);
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
    } else if let Ok(seeds) = env::var("HOOKWIRE_SEEDS") {
        let bounds = seeds.split_once("..").expect("HOOKWIRE_SEEDS is of the form from..to");
        all_hold(bounds.0.parse().unwrap()..bounds.1.parse().unwrap());
    } else {
        all_hold([3, 42, 527, 986, 1215]);
    }
}

/// Runs these seeds. There are enough of them to see every kind of event.
fn a_share_holds(seeds: Range<u64>) {
    let sum = all_hold(seeds);
    assert!(sum.has_everything(), "something never happened: {sum:#?}");
}

fn all_hold(seeds: impl IntoIterator<Item = u64>) -> Counts {
    let mut sum = Counts::default();
    let mut failed = Vec::new();
    for seed in seeds {
        let what = match catch_unwind(|| run(seed, false, None)) {
            Ok(report) => {
                sum.add(&report.counts);
                report.violations.first().map(|first| format!("{first} ({} in all)", report.violations.len()))
            }
            Err(_) => Some("it panicked".to_owned()),
        };
        failed.extend(what.map(|what| {
            format!(
                "seed {seed}: {what}, again with\n    \
                 HOOKWIRE_SEED={seed} cargo test --all-features --test it simulation::replay -- --nocapture"
            )
        }));
    }
    println!("{sum:#?}");
    assert!(
        failed.is_empty(),
        "{} seeds failed
{}",
        failed.len(),
        failed.join(
            "
"
        )
    );
    sum
}
