//! Retry policies: the schedules of the platforms, jitter, limits, `Retry-After`, and every refusal.
#![expect(clippy::unwrap_used, reason = "tests state their expectations by unwrapping")]

use std::time::Duration;

use hookwire::retry::{parse_retry_after, retry_after};
use hookwire::{Error, ErrorKind, Jitter, RetryPolicy};
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;
use time::OffsetDateTime;
use time::macros::datetime;

mod schedules {
    use super::*;

    #[test]
    fn allison_makes_six_attempts_in_31_hours_16_minutes() {
        let policy = allison();
        let planned: Vec<_> = policy.timeline(START).collect();
        assert_eq!(policy.max_attempts(), Some(6));
        assert_eq!(planned.iter().map(|p| p.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seconds(&policy), [0, 60, 900, 3_600, 21_600, 86_400]);
        assert_eq!(planned[5].elapsed, Duration::from_secs((31 * 60 + 16) * 60));
        assert_eq!(planned[0].at, START);
        assert_eq!(planned[1].at, datetime!(2026-04-17 19:13:03.482 UTC));
        assert_eq!(planned[5].at, datetime!(2026-04-19 02:28:03.482 UTC));
    }

    #[test]
    fn allo_makes_eight_attempts_in_27_hours_35_minutes_5_seconds() {
        let policy =
            RetryPolicy::delays([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000].map(Duration::from_secs))
                .unwrap();
        assert_eq!(policy.max_attempts(), Some(8));
        assert_eq!(seconds(&policy), [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
        assert_eq!(
            policy.timeline(START).last().unwrap().elapsed,
            Duration::from_secs(27 * 3_600 + 35 * 60 + 5)
        );
    }

    #[test]
    fn nectar_desk_makes_four_attempts_in_7_seconds() {
        let policy = RetryPolicy::delays([1, 2, 4].map(Duration::from_secs)).unwrap();
        assert_eq!(policy.max_attempts(), Some(4));
        assert_eq!(seconds(&policy), [0, 1, 2, 4]);
    }

    #[test]
    fn recept_ai_doubles_from_30_seconds_for_eight_attempts() {
        let policy = recept_ai();
        assert_eq!(policy.max_attempts(), Some(8));
        assert_eq!(seconds(&policy), [0, 30, 60, 120, 240, 480, 960, 1_920]);
        assert_eq!(policy.largest_delay(), Some(Duration::from_secs(1_920)));
    }

    #[test]
    fn a_cap_holds_the_delays_that_would_pass_it() {
        let policy = exponential().with_max_attempts(10).build().unwrap();
        assert_eq!(seconds(&policy), [0, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(policy.largest_delay(), Some(HOUR));
    }

    #[test]
    fn a_policy_without_retries_has_one_attempt() {
        let policy = RetryPolicy::none();
        assert_eq!(policy.max_attempts(), Some(1));
        assert_eq!(policy.largest_delay(), None);
        assert_eq!(seconds(&policy), [0]);
        assert_eq!(policy.next(1, Duration::ZERO, SEED, Some(HOUR)), None);
        assert_eq!(policy.timeline(START).count(), 1);
    }

    #[test]
    fn a_single_attempt_of_an_exponential_policy_has_no_delay() {
        let policy = exponential().with_max_attempts(1).build().unwrap();
        assert_eq!((policy.delay_after(1), policy.largest_delay()), (None, None));
    }

    #[test]
    fn a_limit_on_attempts_cuts_a_list_short() {
        let policy = allison().with_max_attempts(3).unwrap();
        assert_eq!(policy.max_attempts(), Some(3));
        assert_eq!(seconds(&policy), [0, 60, 900]);
        assert_eq!(policy.largest_delay(), Some(Duration::from_secs(900)));
    }

    #[test]
    fn a_factor_of_one_keeps_the_delay_constant_without_any_cap() {
        let policy = RetryPolicy::exponential(MINUTE, 1.0).build().unwrap();
        assert_eq!(policy.max_attempts(), None);
        assert_eq!(policy.delay_after(u32::MAX), Some(MINUTE));
        assert_eq!(policy.largest_delay(), Some(MINUTE));
    }

    #[test]
    fn a_fractional_factor_is_kept_to_the_nanosecond() {
        let policy = RetryPolicy::exponential(MINUTE, 1.5).with_max_attempts(5).build().unwrap();
        assert_eq!(policy.delay_after(4), Some(Duration::from_millis(202_500)));
    }

    #[test]
    fn the_last_attempt_and_attempt_zero_are_followed_by_none() {
        let policy = allison();
        for attempt in [0, 6, 7, u32::MAX] {
            assert_eq!(policy.delay_after(attempt), None, "{attempt}");
            assert_eq!(policy.next(attempt, Duration::ZERO, SEED, Some(HOUR)), None, "{attempt}");
        }
        assert_eq!(exponential().build().unwrap().delay_after(0), None);
    }

    #[test]
    fn a_policy_without_a_limit_answers_for_the_last_attempt_that_can_be_counted() {
        for jitter in JITTERS {
            let policy = exponential().with_jitter(jitter).build().unwrap();
            assert_eq!(policy.max_attempts(), None);
            assert_eq!(policy.delay_after(u32::MAX), Some(HOUR));
            assert!(policy.next(u32::MAX, Duration::MAX, u64::MAX, Some(Duration::MAX)).unwrap() == HOUR);
        }
    }

    fn seconds(policy: &RetryPolicy) -> Vec<u64> {
        policy.timeline(START).map(|planned| planned.delay.as_secs()).collect()
    }
}

mod timeline {
    use super::*;

    #[test]
    fn without_a_limit_it_ends_with_the_calendar() {
        let policy = RetryPolicy::exponential(RetryPolicy::MAX_DELAY, 1.0).build().unwrap();
        let last = policy.timeline(START).last().unwrap();
        assert!(last.at > datetime!(9998-12-31 00:00 UTC), "{last:?}");
        let almost_over = datetime!(9999-12-31 23:59:59 UTC);
        assert_eq!(policy.timeline(almost_over).count(), 1);
    }

    #[test]
    fn stays_ended_once_it_has_ended() {
        let policy = RetryPolicy::none();
        let mut timeline = policy.timeline(START);
        assert!(timeline.next().is_some());
        assert!(timeline.next().is_none());
        assert!(timeline.next().is_none());
    }

    #[test]
    fn ends_where_the_maximum_elapsed_time_would_be_passed() {
        let policy = allison().with_max_elapsed(Duration::from_secs(60 + 900)).unwrap();
        assert_eq!(policy.timeline(START).map(|p| p.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        let policy = allison().with_max_elapsed(Duration::from_secs(60 + 899)).unwrap();
        assert_eq!(policy.timeline(START).count(), 2);
    }

    proptest! {
        #[test]
        fn is_monotonic_and_within_the_policys_bounds(policy in policy(), start in start()) {
            let planned: Vec<_> = policy.timeline(start).take(200).collect();
            let first = planned[0];
            prop_assert_eq!((first.attempt, first.delay, first.elapsed, first.at), (1, Duration::ZERO, Duration::ZERO, start));
            for pair in planned.windows(2) {
                let [before, after] = pair else { unreachable!("windows of two") };
                prop_assert_eq!(after.attempt, before.attempt + 1);
                prop_assert_eq!(after.elapsed, before.elapsed + after.delay);
                prop_assert_eq!(after.at, start + after.elapsed);
                prop_assert_eq!(Some(after.delay), policy.delay_after(before.attempt));
                prop_assert!(after.at >= before.at);
                prop_assert!(after.delay <= policy.largest_delay().unwrap());
            }
            let last = planned[planned.len() - 1];
            prop_assert!(policy.max_attempts().is_none_or(|max| last.attempt <= max));
            prop_assert!(policy.max_elapsed().is_none_or(|max| last.elapsed <= max));
        }

        #[test]
        fn goes_on_exactly_as_long_as_next_does(policy in policy(), seed: u64) {
            for planned in policy.timeline(START).take(50).collect::<Vec<_>>().windows(2) {
                prop_assert!(policy.next(planned[0].attempt, planned[0].elapsed, seed, None).is_some());
            }
            let timeline: Vec<_> = policy.timeline(START).take(50).collect();
            if timeline.len() < 50 {
                let last = timeline[timeline.len() - 1];
                prop_assert_eq!(policy.next(last.attempt, last.elapsed, seed, Some(HOUR)), None);
            }
        }

        #[test]
        fn of_an_exponential_policy_never_shortens_a_delay(
            first in 1_u64..86_400_000, factor in 1.01..10.0, cap in 0_u64..86_400_000, attempt in 1_u32..5_000,
        ) {
            let policy = RetryPolicy::exponential(Duration::from_millis(first), factor)
                .with_max_delay(Duration::from_millis(first + cap))
                .build()
                .unwrap();
            prop_assert!(policy.delay_after(attempt) <= policy.delay_after(attempt + 1));
        }
    }
}

mod elapsed {
    use super::*;

    #[test]
    fn a_retry_exactly_at_the_maximum_is_made_and_one_past_it_is_not() {
        let policy = allison().with_max_elapsed(HOUR).unwrap();
        let at = |elapsed| policy.next(2, elapsed, SEED, None);
        assert_eq!(at(HOUR - 15 * MINUTE), Some(15 * MINUTE));
        assert_eq!(at(HOUR - 15 * MINUTE + Duration::from_nanos(1)), None);
        assert_eq!(at(HOUR + MINUTE), None);
        assert_eq!(at(Duration::MAX), None);
    }

    #[test]
    fn neither_jitter_nor_retry_after_takes_a_retry_or_moves_it_past_the_maximum() {
        let left = 15 * MINUTE + Duration::from_secs(1);
        for seed in 0..200 {
            for jitter in JITTERS {
                let policy = allison().with_max_elapsed(HOUR).unwrap().with_jitter(jitter).unwrap();
                assert!(policy.next(2, HOUR - left, seed, None).unwrap() <= left);
                assert_eq!(policy.next(2, HOUR - left, seed, Some(HOUR)), Some(left));
            }
        }
    }

    #[test]
    fn time_that_passes_bounds_an_exponential_policy_that_has_no_other_limit() {
        let policy = RetryPolicy::exponential(MINUTE, 2.0).with_max_elapsed(HOUR).build().unwrap();
        assert_eq!(policy.largest_delay(), Some(HOUR));
        assert_eq!(policy.timeline(START).last().unwrap().elapsed, 31 * MINUTE);
        assert_eq!(policy.delay_after(u32::MAX), Some(RetryPolicy::MAX_DELAY));
    }

    #[test]
    fn a_maximum_beyond_all_time_is_no_limit() {
        let policy = allison().with_max_elapsed(Duration::MAX).unwrap();
        assert_eq!(policy.next(5, HOUR, SEED, None), Some(24 * HOUR));
    }
}

mod jitter {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_waits_in_every_version() {
        for (jitter, expected) in [
            (Jitter::None, [60_000_000_000, 900_000_000_000, 3_600_000_000_000]),
            (Jitter::Proportional(0.1), [62_898_778_546, 838_783_870_718, 3_440_592_813_783]),
            (Jitter::Full, [44_493_892_727, 143_919_353_589, 1_002_964_068_918]),
            (Jitter::Equal, [52_246_946_363, 521_959_676_794, 2_301_482_034_459]),
            (Jitter::Decorrelated, [148_987_785_453, 121_879_462_344, 145_151_200_076]),
        ] {
            let policy = allison().with_jitter(jitter).unwrap();
            let waits = [1, 2, 3].map(|attempt| policy.next(attempt, Duration::ZERO, 42, None).unwrap());
            assert_eq!(waits, expected.map(Duration::from_nanos), "{jitter:?}");
        }
    }

    #[test]
    fn every_attempt_and_every_seed_has_its_own() {
        for jitter in JITTERS {
            let policy = RetryPolicy::exponential(MINUTE, 1.0).with_jitter(jitter).build().unwrap();
            let waits = |seeds: std::ops::Range<u64>, attempts: std::ops::Range<u32>| {
                let mut waits: Vec<_> = seeds
                    .flat_map(|seed| attempts.clone().map(move |attempt| (seed, attempt)))
                    .map(|(seed, attempt)| policy.next(attempt, Duration::ZERO, seed, None).unwrap())
                    .collect();
                waits.sort_unstable();
                waits.dedup();
                waits.len()
            };
            // With a constant delay, decorrelated jitter has no range.
            let expected = if matches!(jitter, Jitter::Decorrelated) { 1 } else { 100 };
            assert_eq!(waits(0..100, 1..2), expected, "{jitter:?}");
            assert_eq!(waits(7..8, 1..101), expected, "{jitter:?}");
        }
    }

    #[test]
    fn decorrelated_waits_grow_from_the_smallest_delay_to_the_largest() {
        let policy = exponential().with_jitter(Jitter::Decorrelated).build().unwrap();
        let wait = |attempt, seed| policy.next(attempt, Duration::ZERO, seed, None).unwrap();
        for seed in 0..100 {
            assert!((30..=90).contains(&wait(1, seed).as_secs()));
            for attempt in 2..100 {
                assert!(wait(attempt, seed) <= 3 * wait(attempt - 1, seed));
            }
        }
        let longest = (0..100).map(|seed| wait(60, seed)).max().unwrap();
        assert!(longest > HOUR / 2, "{longest:?}");
    }

    #[test]
    fn decorrelated_waits_of_a_list_with_an_immediate_retry_start_at_the_next_longer_delay() {
        let policy = RetryPolicy::delays([0, 60, 900].map(Duration::from_secs))
            .unwrap()
            .with_jitter(Jitter::Decorrelated)
            .unwrap();
        for seed in 0..100 {
            let wait = policy.next(1, Duration::ZERO, seed, None).unwrap();
            assert!((MINUTE..=3 * MINUTE).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn proportional_jitter_of_an_exponential_policy_stays_below_the_cap_without_piling_up_there() {
        let policy = exponential().with_jitter(Jitter::Proportional(0.5)).build().unwrap();
        let waits: Vec<_> =
            (0..200).map(|seed| policy.next(20, Duration::ZERO, seed, None).unwrap()).collect();
        assert!(waits.iter().all(|wait| *wait <= HOUR));
        assert!(waits.iter().filter(|wait| **wait == HOUR).count() < 2);
    }

    proptest! {
        #[test]
        fn none_is_the_nominal_delay(seed: u64, attempt in 1_u32..6) {
            let policy = allison();
            prop_assert_eq!(policy.next(attempt, Duration::ZERO, seed, None), policy.delay_after(attempt));
        }

        #[test]
        fn proportional_stays_within_its_ratio(seed: u64, attempt in 1_u32..6, ratio in 0.0..=1.0) {
            let (wait, nominal) = drawn(Jitter::Proportional(ratio), attempt, seed);
            prop_assert!(wait.abs_diff(nominal) <= nominal.mul_f64(ratio) + Duration::from_nanos(1));
        }

        #[test]
        fn full_stays_between_zero_and_the_nominal_delay(seed: u64, attempt in 1_u32..6) {
            let (wait, nominal) = drawn(Jitter::Full, attempt, seed);
            prop_assert!(wait <= nominal);
        }

        #[test]
        fn equal_stays_between_half_the_nominal_delay_and_all_of_it(seed: u64, attempt in 1_u32..6) {
            let (wait, nominal) = drawn(Jitter::Equal, attempt, seed);
            prop_assert!(wait >= nominal / 2 && wait <= nominal);
        }

        #[test]
        fn decorrelated_stays_between_the_smallest_and_the_largest_delay(seed: u64, attempt in 1_u32..6) {
            let (wait, _) = drawn(Jitter::Decorrelated, attempt, seed);
            prop_assert!(wait >= MINUTE && wait <= 24 * HOUR);
        }

        #[test]
        fn reaches_both_halves_of_its_range(start: u64) {
            for jitter in [Jitter::Full, Jitter::Proportional(1.0)] {
                let policy = RetryPolicy::delays([MINUTE]).unwrap().with_jitter(jitter).unwrap();
                let waits: Vec<_> = (0..64)
                    .map(|n| policy.next(1, Duration::ZERO, start.wrapping_add(n), None).unwrap())
                    .collect();
                let middle = if matches!(jitter, Jitter::Full) { MINUTE / 2 } else { MINUTE };
                prop_assert!(waits.iter().any(|wait| *wait < middle) && waits.iter().any(|wait| *wait > middle));
            }
        }

        #[test]
        fn next_never_panics_and_stays_within_bounds(
            policy in policy(), attempt: u32, elapsed in any::<Duration>(), seed: u64, asked in any::<Option<Duration>>(),
        ) {
            let wait = policy.next(attempt, elapsed, seed, asked);
            prop_assert_eq!(wait, policy.next(attempt, elapsed, seed, asked), "pure");
            if let Some(wait) = wait {
                let largest = policy.largest_delay().unwrap();
                prop_assert!(wait <= 2 * largest);
                prop_assert!(matches!(policy.jitter(), Jitter::Proportional(_)) || wait <= largest);
                prop_assert!(policy.max_elapsed().is_none_or(|max| elapsed + wait <= max));
                prop_assert!(policy.max_attempts().is_none_or(|max| attempt < max));
                prop_assert!(wait >= policy.next(attempt, elapsed, seed, None).unwrap());
            }
        }
    }

    fn drawn(jitter: Jitter, attempt: u32, seed: u64) -> (Duration, Duration) {
        let policy = allison().with_jitter(jitter).unwrap();
        (policy.next(attempt, Duration::ZERO, seed, None).unwrap(), policy.delay_after(attempt).unwrap())
    }
}

mod asked_by_the_endpoint {
    use super::*;

    #[test]
    fn a_shorter_wait_than_planned_changes_nothing() {
        assert_eq!(allison().next(2, HOUR, SEED, Some(MINUTE)), Some(15 * MINUTE));
        assert_eq!(allison().next(2, HOUR, SEED, Some(Duration::ZERO)), Some(15 * MINUTE));
    }

    #[test]
    fn a_longer_wait_than_planned_is_granted() {
        assert_eq!(allison().next(1, HOUR, SEED, Some(2 * HOUR)), Some(2 * HOUR));
    }

    #[test]
    fn a_wait_beyond_the_largest_delay_counts_as_that_delay() {
        assert_eq!(allison().next(1, HOUR, SEED, Some(25 * HOUR)), Some(24 * HOUR));
        assert_eq!(allison().next(1, HOUR, SEED, Some(Duration::MAX)), Some(24 * HOUR));
        assert_eq!(recept_ai().next(1, HOUR, SEED, Some(HOUR)), Some(Duration::from_secs(1_920)));
    }

    #[test]
    fn a_wait_never_undercuts_the_jitter() {
        let policy = allison().with_jitter(Jitter::Proportional(0.5)).unwrap();
        for seed in 0..100 {
            let planned = policy.next(5, HOUR, seed, None).unwrap();
            assert_eq!(policy.next(5, HOUR, seed, Some(48 * HOUR)), Some(planned.max(24 * HOUR)));
        }
    }

    #[test]
    fn no_wait_makes_a_retry_where_the_policy_gives_up() {
        assert_eq!(allison().next(6, Duration::ZERO, SEED, Some(MINUTE)), None);
        let policy = allison().with_max_elapsed(HOUR).unwrap();
        assert_eq!(policy.next(1, HOUR, SEED, Some(Duration::ZERO)), None);
    }
}

mod header_value {
    use super::*;

    #[test]
    fn retry_after_is_read_as_rfc_9110_writes_it() {
        let digits = "9".repeat(400);
        let zeros = format!("{}7", "0".repeat(400));
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("007", Some(7)),
            (" 12 ", Some(12)),
            ("\t12", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            (&digits, Some(u64::MAX)),
            (&zeros, Some(7)),
            // The three date forms of RFC 9110 section 5.6.7, each with a future and a past date.
            ("Fri, 17 Apr 2026 19:14:03 GMT", Some(120)),
            ("Friday, 17-Apr-26 19:14:03 GMT", Some(120)),
            ("Fri Apr 17 19:14:03 2026", Some(120)),
            ("Wed Apr  1 00:00:00 2026", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(0)),
            ("Sun Nov  6 08:49:37 1994", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(251_625_847_676)),
            ("", None),
            (" ", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1.5", None),
            ("1 2", None),
            ("120, 60", None),
            ("0x10", None),
            ("soon", None),
            ("１２", None),
            ("Fri, 17 Apr 2026 19:14:03 CET", None),
            ("Sat, 17 Apr 2026 19:14:03 GMT", None),
            ("Fri, 31 Apr 2026 19:14:03 GMT", None),
            ("Fri, 17 Apr 2026 24:00:00 GMT", None),
            ("2026-04-17T19:14:03Z", None),
        ] {
            assert_eq!(
                parse_retry_after(value.as_bytes(), WHOLE),
                seconds.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_no_wait() {
        assert_eq!(parse_retry_after(b"\xff\xfe", WHOLE), None);
        assert_eq!(parse_retry_after(b"12\xa0", WHOLE), None);
        assert_eq!(parse_retry_after(b"12\0", WHOLE), None);
    }

    #[test]
    fn a_date_counts_from_now_to_the_fraction_of_a_second() {
        let wait = parse_retry_after(b"Fri, 17 Apr 2026 19:12:04 GMT", START).unwrap();
        assert_eq!(wait, Duration::from_millis(518));
        let elsewhere = START.to_offset(time::macros::offset!(-7));
        assert_eq!(parse_retry_after(b"Fri, 17 Apr 2026 19:12:04 GMT", elsewhere), Some(wait));
    }

    #[test]
    fn a_missing_or_unreadable_header_asks_for_nothing() {
        assert_eq!(retry_after(&HeaderMap::new(), WHOLE), None);
        assert_eq!(retry_after(&headers(&["soon"]), WHOLE), None);
    }

    #[test]
    fn of_a_repeated_header_the_longest_readable_wait_counts() {
        assert_eq!(retry_after(&headers(&["60", "120", "soon", "90"]), WHOLE), Some(2 * MINUTE));
    }

    #[test]
    fn dates_at_the_ends_of_the_calendar_are_read() {
        for now in [datetime!(-9999-01-01 00:00 UTC), datetime!(9999-12-31 23:59:59 UTC)] {
            assert!(parse_retry_after(b"Fri, 31 Dec 9999 23:59:59 GMT", now).is_some());
        }
    }

    proptest! {
        #[test]
        fn reading_any_bytes_never_panics(value in prop::collection::vec(any::<u8>(), 0..64), now in start()) {
            parse_retry_after(&value, now);
        }

        #[test]
        fn reading_anything_like_a_date_never_panics(
            value in "(Sun|Sunday|Sat),? [ 0-9]{1,2}[- ](Feb|Nov)[- ][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[0-9]{4})",
            now in start(),
        ) {
            parse_retry_after(value.as_bytes(), now);
        }

        #[test]
        fn any_number_of_seconds_is_read(seconds: u64) {
            let value = seconds.to_string();
            prop_assert_eq!(parse_retry_after(value.as_bytes(), WHOLE), Some(Duration::from_secs(seconds)));
        }
    }

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::RETRY_AFTER, HeaderValue::from_static(value))).collect()
    }
}

mod refused {
    use super::*;

    #[test]
    fn an_empty_list() {
        refuses(
            RetryPolicy::delays([]),
            "list of delays is empty, expected at least one or `RetryPolicy::none()`",
        );
    }

    #[test]
    fn a_list_without_an_end() {
        refuses(
            RetryPolicy::delays(std::iter::repeat(MINUTE)),
            "list of delays is too long, expected at most 10000",
        );
        assert!(RetryPolicy::delays(std::iter::repeat_n(MINUTE, 10_000)).is_ok());
    }

    #[test]
    fn a_list_of_nothing_but_zeros() {
        let message = "every delay is zero, expected at least one that is longer";
        refuses(RetryPolicy::delays([Duration::ZERO, Duration::ZERO]), message);
        let policy = RetryPolicy::delays([Duration::ZERO, MINUTE]).unwrap();
        refuses(policy.with_max_attempts(2), message);
    }

    #[test]
    fn a_listed_delay_of_more_than_a_year() {
        refuses(
            RetryPolicy::delays([MINUTE, RetryPolicy::MAX_DELAY + Duration::from_secs(1)]),
            "delay is 31536001s, expected at most 31536000s",
        );
        assert!(RetryPolicy::delays([RetryPolicy::MAX_DELAY]).is_ok());
        assert!(RetryPolicy::delays([Duration::MAX]).is_err());
    }

    #[test]
    fn a_factor_that_is_no_number() {
        refuses(
            RetryPolicy::exponential(MINUTE, f64::NAN).with_max_delay(HOUR).build(),
            "exponential factor is NaN, expected a finite number of at least 1",
        );
    }

    #[test]
    fn a_factor_that_is_infinite() {
        for factor in [f64::INFINITY, f64::NEG_INFINITY] {
            refuses(
                RetryPolicy::exponential(MINUTE, factor).with_max_delay(HOUR).build(),
                &format!("exponential factor is {factor}, expected a finite number of at least 1"),
            );
        }
    }

    #[test]
    fn a_factor_below_one() {
        for factor in [0.999, 0.5, 0.0, -0.0, -2.0, f64::MIN_POSITIVE] {
            refuses(
                RetryPolicy::exponential(MINUTE, factor).with_max_delay(HOUR).build(),
                &format!("exponential factor is {factor}, expected a finite number of at least 1"),
            );
        }
    }

    #[test]
    fn a_first_delay_of_zero() {
        refuses(
            RetryPolicy::exponential(Duration::ZERO, 2.0).with_max_delay(HOUR).build(),
            "first delay is zero, expected a longer one: zero never grows",
        );
    }

    #[test]
    fn a_first_delay_of_more_than_a_year() {
        refuses(
            RetryPolicy::exponential(RetryPolicy::MAX_DELAY + MINUTE, 2.0).with_max_attempts(2).build(),
            "first delay is 31536060s, expected at most 31536000s",
        );
    }

    #[test]
    fn a_cap_of_zero() {
        refuses(
            RetryPolicy::exponential(MINUTE, 2.0).with_max_delay(Duration::ZERO).build(),
            "maximum delay is zero, expected at least the first delay",
        );
    }

    #[test]
    fn a_cap_below_the_first_delay() {
        refuses(
            RetryPolicy::exponential(HOUR, 2.0).with_max_delay(MINUTE).build(),
            "maximum delay is 60s, expected at least the first delay (3600s)",
        );
        assert!(RetryPolicy::exponential(HOUR, 2.0).with_max_delay(HOUR).build().is_ok());
    }

    #[test]
    fn a_cap_of_more_than_a_year() {
        refuses(
            RetryPolicy::exponential(MINUTE, 2.0).with_max_delay(Duration::MAX).build(),
            "maximum delay is 18446744073709551615.999999999s, expected at most 31536000s",
        );
    }

    #[test]
    fn growth_that_overflows() {
        let message = "exponential delay grows past 31536000s, expected a maximum delay, fewer attempts or a maximum \
                       elapsed time";
        refuses(RetryPolicy::exponential(MINUTE, 2.0).build(), message);
        refuses(RetryPolicy::exponential(MINUTE, 2.0).with_max_attempts(u32::MAX).build(), message);
        refuses(RetryPolicy::exponential(MINUTE, f64::MAX).with_max_attempts(3).build(), message);
        refuses(RetryPolicy::exponential(MINUTE, 2.0).with_max_elapsed(Duration::MAX).build(), message);
        // One minute doubled 19 times, the wait after attempt 20, is 364 days.
        assert!(RetryPolicy::exponential(MINUTE, 2.0).with_max_attempts(21).build().is_ok());
        let policy = RetryPolicy::exponential(MINUTE, 2.0).with_max_attempts(22).build();
        refuses(policy, message);
    }

    #[test]
    fn a_later_limit_that_lets_the_growth_overflow() {
        let policy = RetryPolicy::exponential(MINUTE, 2.0).with_max_attempts(8).build().unwrap();
        assert_eq!(policy.with_max_attempts(40).unwrap_err().kind(), ErrorKind::RetryPolicy);
    }

    #[test]
    fn no_attempts_at_all() {
        let message = "maximum of attempts is zero, expected at least 1: the first one counts";
        refuses(exponential().with_max_attempts(0).build(), message);
        refuses(allison().with_max_attempts(0), message);
        refuses(RetryPolicy::none().with_max_attempts(0), message);
    }

    #[test]
    fn more_attempts_than_a_list_provides_for() {
        refuses(
            allison().with_max_attempts(7),
            "maximum of attempts is 7, expected at most 6: one more than there are delays",
        );
        assert!(allison().with_max_attempts(6).is_ok());
    }

    #[test]
    fn more_than_one_attempt_of_a_policy_without_delays() {
        refuses(
            RetryPolicy::none().with_max_attempts(2),
            "maximum of attempts is 2, expected 1: a policy without delays has no retry",
        );
        assert!(RetryPolicy::none().with_max_attempts(1).is_ok());
    }

    #[test]
    fn a_maximum_elapsed_time_of_zero() {
        let message = "maximum elapsed time is zero, expected a longer time or `RetryPolicy::none()`";
        refuses(allison().with_max_elapsed(Duration::ZERO), message);
        refuses(exponential().with_max_elapsed(Duration::ZERO).build(), message);
    }

    #[test]
    fn a_maximum_elapsed_time_that_leaves_no_retry() {
        refuses(
            allison().with_max_elapsed(MINUTE - Duration::from_secs(1)),
            "maximum elapsed time is 59s, expected at least the first delay (60s) or `RetryPolicy::none()`",
        );
        assert!(allison().with_max_elapsed(MINUTE).is_ok());
    }

    #[test]
    fn a_jitter_ratio_that_is_no_number() {
        refuses(
            allison().with_jitter(Jitter::Proportional(f64::NAN)),
            "jitter ratio is NaN, expected a number from 0 to 1",
        );
    }

    #[test]
    fn a_jitter_ratio_outside_zero_to_one() {
        for ratio in [-0.1, 1.1, f64::INFINITY, f64::NEG_INFINITY] {
            refuses(
                exponential().with_jitter(Jitter::Proportional(ratio)).build(),
                &format!("jitter ratio is {ratio}, expected a number from 0 to 1"),
            );
        }
        assert!(allison().with_jitter(Jitter::Proportional(0.0)).is_ok());
        assert!(allison().with_jitter(Jitter::Proportional(1.0)).is_ok());
    }

    proptest! {
        #[test]
        fn nothing_that_can_be_built_panics_later(
            first in any::<Duration>(), factor: f64, cap in any::<Option<Duration>>(), attempts in any::<Option<u32>>(),
            elapsed in any::<Option<Duration>>(), attempt: u32, seed: u64,
        ) {
            let mut policy = RetryPolicy::exponential(first, factor).with_jitter(Jitter::Decorrelated);
            if let Some(cap) = cap { policy = policy.with_max_delay(cap); }
            if let Some(attempts) = attempts { policy = policy.with_max_attempts(attempts); }
            if let Some(elapsed) = elapsed { policy = policy.with_max_elapsed(elapsed); }
            if let Ok(policy) = policy.build() {
                policy.next(attempt, first, seed, cap);
                policy.timeline(START).take(100).for_each(drop);
            }
        }
    }

    fn refuses(built: Result<RetryPolicy, Error>, message: &str) {
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RetryPolicy);
        assert_eq!(error.to_string(), message);
    }
}

fn allison() -> RetryPolicy {
    RetryPolicy::delays([60, 900, 3_600, 21_600, 86_400].map(Duration::from_secs)).unwrap()
}

fn recept_ai() -> RetryPolicy {
    exponential().with_max_attempts(8).build().unwrap()
}

fn exponential() -> hookwire::retry::Exponential {
    RetryPolicy::exponential(Duration::from_secs(30), 2.0).with_max_delay(HOUR)
}

/// Any valid policy.
fn policy() -> impl Strategy<Value = RetryPolicy> {
    let jitter = prop_oneof![
        Just(Jitter::None),
        (0.0..=1.0).prop_map(Jitter::Proportional),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        Just(Jitter::Decorrelated),
    ];
    let nanos = 1..=RetryPolicy::MAX_DELAY.as_nanos() as u64;
    let list = prop::collection::vec(prop_oneof![Just(0), nanos.clone()], 1..20)
        .prop_filter_map("all zero", |delays| {
            RetryPolicy::delays(delays.into_iter().map(Duration::from_nanos)).ok()
        });
    let exponential = (nanos.clone(), nanos, prop_oneof![Just(1.0), 1.0..4.0, 1.0..f64::MAX]).prop_map(
        |(one, other, factor)| {
            RetryPolicy::exponential(Duration::from_nanos(one.min(other)), factor)
                .with_max_delay(Duration::from_nanos(one.max(other)))
                .build()
                .unwrap()
        },
    );
    let plan = prop_oneof![Just(RetryPolicy::none()), list, exponential];
    let attempts = prop_oneof![1_u32..30, any::<u32>()];
    let elapsed = prop_oneof![(1_u64..400 * 86_400).prop_map(Duration::from_secs), any::<Duration>()];
    (plan, jitter, prop::option::of(attempts), prop::option::of(elapsed)).prop_map(
        |(policy, jitter, attempts, elapsed)| {
            // Skip a limit that is invalid for the plan.
            let policy = policy.with_jitter(jitter).unwrap();
            let policy = attempts.and_then(|n| policy.clone().with_max_attempts(n).ok()).unwrap_or(policy);
            elapsed.and_then(|max| policy.clone().with_max_elapsed(max).ok()).unwrap_or(policy)
        },
    )
}

fn start() -> impl Strategy<Value = OffsetDateTime> {
    let seconds = datetime!(-9999-01-01 00:00 UTC).unix_timestamp()
        ..=datetime!(9999-12-31 23:59:59 UTC).unix_timestamp();
    seconds.prop_map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap())
}

const START: OffsetDateTime = datetime!(2026-04-17 19:12:03.482 UTC);
const WHOLE: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const SEED: u64 = 42;
const JITTERS: [Jitter; 4] = [Jitter::Proportional(0.5), Jitter::Full, Jitter::Equal, Jitter::Decorrelated];
