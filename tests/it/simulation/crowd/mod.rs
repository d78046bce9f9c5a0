//! Crowds: endpoints of every kind, up to hundreds, that speak several contracts in several versions; two
//! processes that serve different contracts, and faults on their side of every scope. In half of the worlds,
//! outboxes hand what they emit over to the dispatcher of their process.
//!
//! Each world is also run with its healthy endpoints alone, because the others must not cost those anything.
//! `HOOKWIRE_CROWDS=0..1000 cargo test --all-features --test it crowd::replay -- --nocapture` runs many small
//! worlds, and `HOOKWIRE_LARGE_CROWDS=0..100` many large ones.

mod breakage;
mod checks;
mod endpoints;
mod platforms;
mod store;
mod world;

use std::env;
use std::ops::Range;

use self::breakage::Breakage;
use self::checks::{Check, Seen, Violation};
use self::world::{Size, run};

#[test]
fn crowds_of_a_few_dozen_endpoints_keep_every_promise() {
    let seen = all_hold(Size::Small, 0..24);
    assert!(seen.is_whole(), "something never happened: {seen:#?}");
}

#[test]
fn a_crowd_of_hundreds_of_endpoints_keeps_every_promise() {
    all_hold(Size::Large, 0..1);
}

#[test]
fn another_crowd_of_hundreds_of_endpoints_keeps_every_promise() {
    all_hold(Size::Large, 1..2);
}

#[test]
fn each_breakage_is_caught_by_its_check() {
    for breakage in Breakage::ALL {
        let is_caught = (0..8).any(|seed| {
            let violations = run(Size::Small, seed, Some(breakage)).violations;
            violations.iter().any(|violation| violation.check == breakage.check())
        });
        assert!(is_caught, "{breakage:?} breaks {:?}, and nobody noticed", breakage.check());
    }
}

/// Runs the seeds in `HOOKWIRE_CROWDS` and `HOOKWIRE_LARGE_CROWDS`; without either, seeds that once found
/// faults.
#[test]
fn replay() {
    let seeds = |name| {
        let seeds = env::var(name).ok()?;
        let (from, to) = seeds.split_once("..").expect("seeds are of the form from..to");
        Some(from.parse().unwrap()..to.parse().unwrap())
    };
    let (small, large) = (seeds("HOOKWIRE_CROWDS"), seeds("HOOKWIRE_LARGE_CROWDS"));
    let is_told = small.is_some() || large.is_some();
    all_hold(Size::Small, small.unwrap_or(if is_told { 0..0 } else { 100..102 }));
    all_hold(Size::Large, large.unwrap_or(0..0));
}

fn all_hold(size: Size, seeds: Range<u64>) -> Seen {
    let (mut sum, mut failed) = (Seen::default(), Vec::new());
    for seed in seeds {
        let report = run(size, seed, None);
        sum.add(&report.seen);
        let first = |check: Check| report.violations.iter().find(move |violation| violation.check == check);
        for Violation { check, what } in Check::ALL.into_iter().filter_map(first) {
            let all = report.violations.iter().filter(|violation| violation.check == *check).count();
            failed.push(format!("{size:?} {seed}, {check:?}: {what} ({all} in all)"));
        }
    }
    println!("{sum:#?}");
    assert!(failed.is_empty(), "{} checks failed\n{}", failed.len(), failed.join("\n"));
    sum
}
