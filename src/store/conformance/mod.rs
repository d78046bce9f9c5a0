//! Tests for a store of your own: one for each rule of each trait.
//!
//! | macro | trait | the tested value |
//! |---|---|---|
//! | [`store_conformance!`](crate::store::conformance::store_conformance) | [`Store`](crate::Store) | a [`Fixture`] |
//! | [`subscriptions_conformance!`](crate::store::conformance::subscriptions_conformance) | [`Subscriptions`](crate::Subscriptions) | a [`Managed`] store |
//! | [`records_conformance!`](crate::store::conformance::records_conformance) | [`Records`](crate::Records) | a [`Managed`] store |
//! | [`pruning_conformance!`](crate::store::conformance::pruning_conformance) | [`Pruning`](crate::Pruning) | a [`Managed`] store |
//! | [`transactional_store_conformance!`](crate::store::conformance::transactional_store_conformance) | [`TransactionalStore`](crate::TransactionalStore) | a [`Fixture`], and an [`Application`] |
//! | [`inbox_conformance!`](crate::store::conformance::inbox_conformance) | [`Inbox`](crate::Inbox) | the inbox |
//! | [`transactional_inbox_conformance!`](crate::store::conformance::transactional_inbox_conformance) | [`TransactionalInbox`](crate::store::TransactionalInbox) | the inbox, and an [`Application`] |
//! | [`intake_conformance!`](crate::store::conformance::intake_conformance) | [`Intake`](crate::Intake) | the intake |
//!
//! The macros write the tests, so that a store of your own is tested as those of this crate are. A rule that
//! is broken panics and says what was found.
//!
//! Time is the tests' own: a store on the clock of its database has to be built to use its caller's.
#![cfg(feature = "testing")]

mod batches;
mod bounds;
mod claims;
mod contracts;
mod editions;
mod endings;
mod endpoints;
mod expiry;
mod fixture;
mod given_up;
mod inbox;
mod inserts;
mod intake;
mod intake_steps;
mod leased_inserts;
mod looks;
mod order;
mod payloads;
mod pruning;
mod records;
mod replays;
mod rows;
mod settlements;
mod steps;
mod subscriptions;
mod transactions;

pub use batches::*;
pub use bounds::*;
pub use claims::*;
pub use contracts::*;
pub use editions::*;
pub use endings::*;
pub use endpoints::*;
pub use expiry::*;
pub use fixture::{Fixture, Managed};
pub use given_up::*;
pub use inbox::*;
pub use inserts::*;
pub use intake::*;
pub use leased_inserts::*;
pub use looks::*;
pub use order::*;
pub use payloads::*;
pub use pruning::*;
pub use records::*;
pub use replays::*;
pub use settlements::*;
pub use subscriptions::*;
pub use transactions::*;

// A macro stands at the root of the crate. It is hidden there, and documented here.
#[doc(inline)]
pub use crate::{
    inbox_conformance, intake_conformance, pruning_conformance, records_conformance, store_conformance,
    subscriptions_conformance, transactional_inbox_conformance, transactional_store_conformance,
};

/// Writes a test for every rule of [`Store`](crate::Store).
///
/// Takes the attribute of an asynchronous test, then a block that makes an empty store and what has to live
/// as long as it, such as a temporary directory (`()` when nothing has to).
///
/// ```
/// # struct MyStore;
/// mod my_store {
///     hookwire::store::conformance::store_conformance! {
///         #[tokio::test]
///         async { (MyStore::new().await, ()) }
///     }
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! store_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_subscription_is_read_back_as_it_was_written
            the_times_of_old_secrets_are_read_back
            an_organization_sees_its_own_subscriptions_oldest_first
            deliveries_of_a_disabled_subscription_wait_until_it_is_enabled
            events_for_a_disabled_subscription_wait_until_it_is_enabled
            a_settlement_disables_and_keeps_an_earlier_reason
            a_stale_settlement_disables_nothing
            health_is_written_only_in_place_of_what_was_seen
            health_disables_in_the_same_step_and_keeps_an_operators_change
            health_written_by_several_at_once_is_written_by_one
            a_pause_stops_claims_and_looks_until_it_ends
            a_pause_that_ends_later_stays
            a_stale_settlement_pauses_nothing
            an_event_of_an_older_edition_is_not_written
            an_edition_changes_with_what_decides_where_events_go
            an_edition_stays_while_nothing_decides_where_events_go
            an_event_without_deliveries_is_stored
            the_same_event_again_is_a_duplicate_and_changes_nothing
            another_payload_under_the_same_id_is_a_conflict_and_changes_nothing
            the_same_id_in_two_organizations_is_two_events
            inserts_are_reported_in_the_order_given
            known_events_of_a_batch_are_reported_and_the_others_are_written
            inserts_at_once_each_report_their_own
            a_payload_of_no_bytes_is_a_payload
            an_events_trace_comes_with_its_deliveries
            texts_of_any_kind_are_stored_whole_or_refused
            a_delivery_sends_the_version_that_it_names
            versions_that_both_events_have_are_compared
            a_leased_insert_has_everything_needed_to_send
            a_leased_insert_is_claimed_when_its_lease_ends
            nothing_is_leased_to_a_disabled_subscription
            a_lease_that_an_insert_did_not_give_takes_none_from_a_claim
            a_lease_of_an_insert_is_handed_back_once
            nothing_is_leased_to_a_paused_subscription
            a_delivery_to_a_deleted_subscription_is_cancelled
            nothing_is_leased_that_has_an_ordering_key
            a_leased_insert_reads_the_subscription_as_it_is_stored
            a_duplicate_leases_nothing
            each_delivery_says_whether_it_is_leased
            a_look_lists_each_ready_subscription_once
            a_look_tells_how_long_until_another_subscription_is_ready
            a_look_that_may_not_list_all_leaves_none_out_for_ever
            polls_of_other_contracts_leave_out_none_for_ever
            a_look_leaves_out_what_cannot_be_claimed
            a_look_that_gives_details_gives_those_that_are_stored
            a_look_and_a_claim_take_the_named_contracts_alone
            a_look_waits_for_the_named_contracts_alone
            the_same_id_under_two_contracts_is_two_events
            subscriptions_of_every_contract_are_read_back
            a_claim_has_everything_needed_to_send
            each_subscription_gives_no_more_than_its_share
            a_share_begins_where_it_says_and_misses_nothing_from_there_on
            the_earliest_due_are_claimed_first_and_no_more_than_the_limit
            new_deliveries_are_claimed_before_retries
            a_retry_is_found_behind_new_deliveries_that_are_not_due
            a_delivery_is_not_claimed_before_it_is_due
            a_claimed_delivery_is_nobody_elses_until_its_lease_ends
            two_claims_at_once_share_nothing
            every_claim_of_a_delivery_has_a_greater_lease
            one_event_to_many_is_claimed_for_each
            nothing_is_asked_and_nothing_happens
            only_the_first_of_an_ordering_key_is_claimed
            the_next_of_an_ordering_key_is_due_at_once_when_the_first_ends
            an_ordering_key_waits_while_its_first_is_tried_again
            an_ordering_key_that_waits_is_not_ready
            an_ordering_key_is_one_subscriptions_own
            order_is_that_of_insertion_and_not_of_ids
            a_duplicate_takes_no_place_in_its_ordering_key
            one_event_twice_to_one_subscription_keeps_its_order
            a_delivered_delivery_is_finished
            a_dead_letter_stays_readable_with_its_reason
            a_retry_is_due_after_its_delay
            the_first_attempt_is_remembered
            a_stale_settlement_changes_nothing
            a_settlement_sent_twice_is_written_once
            a_late_settlement_counts_while_nobody_else_claimed
            settlements_are_reported_in_the_order_given
            a_delivery_handed_back_counts_no_attempt_and_is_due_at_once
            a_delivery_handed_back_for_later_is_due_then
            time_that_does_not_count_moves_the_first_attempt
            a_lease_that_is_extended_ends_later
            a_lease_that_is_not_the_last_is_not_extended
            a_lease_settled_twice_at_once_is_settled_once
            deliveries_of_a_disabled_subscription_expire_after_their_wait
            a_wait_begins_when_a_delivery_of_a_disabled_subscription_is_due
            a_wait_ends_when_its_subscription_is_enabled
            the_schedule_of_an_enabled_subscription_never_expires
            deliveries_of_a_paused_subscription_expire_after_their_wait
            a_pause_long_after_another_begins_a_new_wait
            a_delivery_that_is_kept_back_expires_after_its_wait
            an_ordering_key_expires_with_each_deliverys_own_wait
            a_call_expires_no_more_than_its_limit
        }
    };
}

/// Writes a test for every rule of [`Subscriptions`](crate::Subscriptions) on a store that is [`Managed`];
/// takes what [`store_conformance!`](crate::store::conformance::store_conformance) takes.
#[doc(hidden)]
#[macro_export]
macro_rules! subscriptions_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_subscription_never_changes_its_contract
            a_subscription_never_changes_its_organization
            a_subscription_that_could_not_be_sent_to_is_refused
            a_subscription_written_again_is_replaced
            a_subscription_is_replaced_only_in_place_of_what_was_seen
            a_replacement_that_enables_starts_healthy
            a_scan_reads_all_subscriptions_in_the_order_of_their_ids
            a_status_set_while_health_is_written_is_kept_with_it
            a_status_is_written_and_a_missing_subscription_is_reported
            a_subscription_written_again_keeps_its_health
            a_subscription_that_is_enabled_again_starts_healthy
            a_deleted_subscription_cancels_what_is_pending_and_leaves_what_was_delivered
            a_secret_of_another_subscription_is_refused
            a_secret_is_free_once_its_subscription_has_others
            additions_at_once_keep_the_limit_and_share_no_secret
            subscriptions_are_listed_oldest_first_in_pages
        }
    };
}

/// Writes a test for every rule of [`Pruning`](crate::Pruning) on a store that is [`Managed`]; takes what
/// [`store_conformance!`](crate::store::conformance::store_conformance) takes.
#[doc(hidden)]
#[macro_export]
macro_rules! pruning_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            the_payloads_of_all_versions_are_pruned_together
            payloads_are_pruned_once_their_event_is_finished_for_long_enough
            attempts_are_pruned_and_their_delivery_stays
            deliveries_are_pruned_with_their_attempts_and_events
            an_event_that_nobody_wanted_is_pruned_by_its_age
            no_more_is_pruned_than_the_limit_and_calls_again_prune_the_rest
            what_is_kept_for_ever_is_not_pruned
        }
    };
}

/// Writes a test for every rule of [`Records`](crate::Records) on a store that is [`Managed`]; takes what
/// [`store_conformance!`](crate::store::conformance::store_conformance) takes.
#[doc(hidden)]
#[macro_export]
macro_rules! records_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_test_event_is_written_as_ended_and_never_claimed
            an_expired_delivery_is_a_dead_letter
            a_note_out_of_its_bounds_is_refused
            an_expunged_event_loses_its_payloads_of_all_versions
            a_replay_sends_the_version_that_the_subscription_speaks
            a_replay_without_the_bytes_makes_nothing_until_they_are_added
            an_added_version_is_expunged_with_the_others
            the_backlog_is_counted_by_contract
            the_backlog_leaves_out_what_cannot_be_claimed
            an_event_is_found_and_expunged_under_its_contract
            attempts_are_listed_first_to_last_as_they_were
            deliveries_are_listed_newest_first_in_pages
            deliveries_are_listed_as_asked_for
            a_narrowed_page_looks_through_no_more_than_it_may
            pages_of_deliveries_are_stable_under_inserts
            dead_letters_are_listed_until_they_are_seen_to
            events_are_listed_last_first_in_pages
            attributes_are_read_back_and_go_with_the_payload
            an_events_deliveries_are_listed_in_pages
            statistics_count_the_attempts_of_a_period
            what_is_anothers_is_answered_as_what_is_not_there
            an_event_out_of_its_bounds_is_refused
            an_insert_with_a_delivery_id_that_is_taken_fails_alone
            the_id_of_a_delivery_that_has_ended_stays_taken
            the_age_of_the_oldest_due_delivery_is_reported_by_contract
            a_pending_delivery_is_cancelled
            a_delivery_cancelled_during_its_attempt_settles_as_stale
            what_is_finished_or_missing_is_not_cancelled
            an_expunged_event_is_never_sent_and_its_id_stays_taken
            an_expunged_event_cancels_its_attempt_under_way
            an_expunged_event_does_not_hold_up_its_ordering_key
            a_dead_delivery_is_replayed_as_a_new_one_of_the_same_event
            a_delivered_delivery_is_replayed_and_stays_delivered
            a_replay_never_makes_a_second_pending_delivery
            dead_letters_are_replayed_in_batches_and_become_replayed
            what_was_made_since_a_time_and_not_delivered_is_replayed
            what_ends_after_a_replay_began_is_not_replayed_by_it
            a_replayed_delivery_takes_the_last_place_in_its_ordering_key
            nothing_is_replayed_without_a_payload_or_a_subscription
            an_event_that_is_dead_twice_is_replayed_once
        }
    };
}

/// Writes a test for every rule of [`Inbox`](crate::Inbox); takes what
/// [`store_conformance!`](crate::store::conformance::store_conformance) takes.
#[doc(hidden)]
#[macro_export]
macro_rules! inbox_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            an_event_is_reserved_by_one_at_a_time
            two_reservations_at_once_are_one
            a_committed_event_is_done
            a_released_event_is_new_again
            a_reservation_ends_with_its_lease
            a_late_commit_counts_while_nobody_else_reserved
            a_stale_lease_neither_commits_nor_releases
            a_commit_sent_twice_is_reported_twice
            a_committed_event_is_not_released
            the_same_id_of_two_sources_is_two_events
            an_event_is_forgotten_after_its_time_and_no_earlier
            an_event_whose_time_is_over_is_reserved_like_a_new_one
            no_more_are_forgotten_than_the_limit
            a_reservation_in_progress_is_not_forgotten
            a_lease_from_before_an_event_was_forgotten_is_stale
            a_source_of_any_text_is_remembered_whole_or_refused
        }
    };
}

/// Writes a test for every rule of [`TransactionalStore`](crate::TransactionalStore).
///
/// Takes the attribute of an asynchronous test, then a block that makes an empty store (a
/// [`Fixture`](crate::store::conformance::Fixture)), the
/// [`Application`](crate::store::conformance::Application) that writes to its database too, and what has to
/// live as long as they.
#[doc(hidden)]
#[macro_export]
macro_rules! transactional_store_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            @transactional ($(#[$attribute])*) ($make)
            an_event_of_a_transaction_is_gone_when_that_rolls_back
            an_event_of_a_transaction_is_delivered_when_that_commits
            an_insert_in_a_transaction_leases_nothing
            a_transaction_reads_the_subscriptions
            a_transaction_writes_no_event_of_an_older_edition
            a_subscription_deleted_during_a_transaction_leaves_nothing_pending
        }
    };
}
/// Writes a test for every rule of [`TransactionalInbox`](crate::store::TransactionalInbox).
///
/// Takes the attribute of an asynchronous test, then a block that makes an empty inbox, the
/// [`Application`](crate::store::conformance::Application) that it is tried with, and what has to live as
/// long as they.
#[doc(hidden)]
#[macro_export]
macro_rules! transactional_inbox_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            @transactional ($(#[$attribute])*) ($make)
            an_event_committed_in_a_transaction_is_done_when_that_commits
            an_event_committed_in_a_transaction_is_as_before_when_that_rolls_back
            a_stale_lease_is_reported_in_a_transaction_and_changes_nothing
            events_committed_in_one_transaction_are_done_together
        }
    };
}

/// Writes a test for every rule of [`Intake`](crate::Intake); takes what
/// [`store_conformance!`](crate::store::conformance::store_conformance) takes.
#[doc(hidden)]
#[macro_export]
macro_rules! intake_conformance {
    ($(#[$attribute:meta])* async $make:block) => {
        $crate::__conformance! {
            ($(#[$attribute])*) ($make)
            a_request_is_leased_as_it_was_stored
            a_copy_of_a_stored_request_is_a_duplicate_and_changes_nothing
            one_of_copies_that_are_stored_together_is_new
            a_copy_under_another_id_is_a_duplicate_for_as_long_as_the_request_says
            the_same_id_of_two_sources_is_two_requests
            a_request_is_its_queues_own
            the_longest_due_request_is_leased_first
            the_next_due_time_is_reported
            waiting_requests_are_counted_with_the_age_of_the_oldest
            a_leased_request_is_nobody_elses_until_its_lease_ends
            a_request_is_leased_once_by_a_call_whatever_its_lease
            two_leases_at_once_share_nothing
            a_request_that_is_done_is_remembered_and_not_leased_again
            a_request_that_failed_is_leased_again_after_its_delay
            a_request_handed_back_is_due_at_once_and_counts_no_attempt
            a_stale_lease_settles_and_extends_nothing
            a_settlement_of_a_request_sent_twice_is_written_once
            a_late_settlement_of_a_request_counts_while_nobody_else_took_it
            settlements_of_requests_are_reported_in_the_order_given
            a_lease_of_a_request_that_is_extended_ends_later
            a_request_that_is_given_up_stays_with_its_reason
            a_request_without_an_attempt_left_is_given_up_when_it_is_leased
            given_up_requests_are_listed_by_their_keys_in_pages
            a_given_up_request_that_is_put_back_is_new_again
            a_given_up_request_that_is_closed_is_done
            a_given_up_request_ends_after_its_age_and_no_earlier
            what_is_done_is_forgotten_after_its_time_and_no_earlier
            no_more_requests_are_forgotten_than_the_limit
            a_lease_from_before_a_request_was_forgotten_is_stale
            a_request_that_is_stored_again_begins_anew
            a_source_of_any_text_is_stored_whole_or_refused
            an_empty_batch_of_requests_is_answered
        }
    };
}

/// Not part of the public interface.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    (@transactional $attributes:tt $make:tt $($rule:ident)*) => {
        $($crate::__conformance!(@in $attributes $make $rule);)*
    };
    (@in ($(#[$attribute:meta])*) ($make:block) $rule:ident) => {
        $(#[$attribute])*
        async fn $rule() {
            let (tested, mut application, _guard) = $make;
            $crate::store::conformance::$rule(&tested, &mut application).await;
        }
    };
    ($attributes:tt $make:tt $($rule:ident)*) => {
        $($crate::__conformance!(@ $attributes $make $rule);)*
    };
    (@ ($(#[$attribute:meta])*) ($make:block) $rule:ident) => {
        $(#[$attribute])*
        async fn $rule() {
            let (tested, _guard) = $make;
            $crate::store::conformance::$rule(&tested).await;
        }
    };
}
