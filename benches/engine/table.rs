//! The printed table: each measurement, its ratio in the same run, its bound, and whether the bound holds.

use std::sync::atomic::{AtomicU32, Ordering};

/// The bound of a ratio.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    None,
}

pub(crate) fn heading(title: &str, of: &str, against: &str) {
    println!("\n{title}");
    println!("  {:<46}{of:>12}{against:>12}{:>9}{:>9}", "", "ratio", "bound");
}

/// Prints the medians of both, and the median of the ratios of the single rounds.
pub(crate) fn rounds(name: &str, of: &[f64], against: &[f64], bound: Bound) {
    let ratio = median(of.iter().zip(against).map(|(of, against)| of / against).collect());
    line(name, median(of.to_vec()), median(against.to_vec()), ratio, bound);
}

pub(crate) fn row(name: &str, of: f64, against: f64, bound: Bound) {
    line(name, of, against, of / against, bound);
}

/// The number of lines so far that missed their bound.
pub(crate) fn missed() -> u32 {
    MISSED.load(Ordering::Relaxed)
}

pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn line(name: &str, of: f64, against: f64, ratio: f64, bound: Bound) {
    let (text, is_kept) = match bound {
        Bound::AtLeast(least) => (format!(">= {least}"), ratio >= least),
        Bound::AtMost(most) => (format!("<= {most}"), ratio <= most),
        Bound::None => ("-".to_owned(), true),
    };
    let verdict = match (bound, is_kept) {
        (Bound::None, _) => "",
        (_, true) => "  ok",
        (_, false) => "  MISSED",
    };
    if !is_kept {
        MISSED.fetch_add(1, Ordering::Relaxed);
    }
    println!("  {name:<46}{:>12}{:>12}{ratio:>9.3}{text:>9}{verdict}", figure(of), figure(against));
}

fn figure(value: f64) -> String {
    match value.abs() {
        1_000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

static MISSED: AtomicU32 = AtomicU32::new(0);
