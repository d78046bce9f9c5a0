//! Measures contestants in interleaved rounds, so that noise hits all of them alike, and prints a table of
//! their ratios.

use std::time::Instant;

/// Nanoseconds per call of each contestant in each round.
pub(crate) fn interleaved<const N: usize>(calls: usize, contestants: [&dyn Fn(); N]) -> [Vec<f64>; N] {
    let mut rounds = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for offset in 0..N {
            // Each round begins with another contestant, so that none always follows the same one.
            let which = (round + offset) % N;
            let start = Instant::now();
            for _ in 0..calls {
                contestants[which]();
            }
            rounds[which].push(start.elapsed().as_nanos() as f64 / calls as f64);
        }
    }
    rounds
}

pub(crate) fn heading() {
    println!("\n{:<16}{:>10}{:>12}{:>12}{:>8}{:>8}", "", "body", "ns", "against ns", "ratio", "bound");
}

/// Prints a line. Returns whether the bound holds, which is also the line's last word.
pub(crate) fn row(name: &str, len: usize, times: &[f64], against: &[f64], bound: Option<f64>) -> bool {
    let ratio = median(times.iter().zip(against).map(|(time, base)| time / base).collect());
    let (time, base) = (median(times.to_vec()), median(against.to_vec()));
    print!("{name:<16}{len:>10}{time:>12.0}{base:>12.0}{ratio:>8.3}");
    match bound {
        Some(bound) => println!("{bound:>8.2}  {}", if ratio <= bound { "PASS" } else { "over" }),
        None => println!("{:>8}", "-"),
    }
    bound.is_none_or(|bound| ratio <= bound)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) const ROUNDS: usize = 401;
