//! Stamps every behaviour as a test of a backend.

/// Makes a test of every behaviour of a [`Store`](gateway_store::Store). The expression makes a new [`Backend`](crate::Backend) for each.
#[macro_export]
macro_rules! store_suite {
    ($backend:expr) => {
        $crate::store_behaviours! { $backend, accept:
            an_accepted_envelope_is_found_with_all_that_was_kept,
            a_relayed_envelope_keeps_its_way_and_its_first_receipt,
            the_same_envelope_again_gets_the_first_receipt_and_writes_nothing,
            the_same_id_with_another_digest_is_refused,
            the_rest_of_a_broadcast_adds_its_deliveries_and_a_leaf_of_its_own,
            a_duplicate_leaves_a_delivery_where_it_is,
            many_tasks_with_the_same_envelope_get_one_receipt,
            of_two_digests_at_once_one_is_kept_and_the_other_refused,
            many_envelopes_at_once_get_leaves_without_gaps,
            a_delivery_without_a_way_is_kept_as_held_and_is_never_due,
            a_broadcast_to_very_many_is_kept_whole,
            an_acceptance_whose_caller_goes_away_is_whole_or_not_there,
        }
        $crate::store_behaviours! { $backend, evidence:
            an_empty_log_has_no_checkpoint,
            every_receipt_verifies_and_stays_as_it_is,
            a_leaf_is_kept_byte_for_byte,
            every_checkpoint_goes_on_from_the_one_before,
            leaf_hashes_are_read_from_anywhere,
            what_changes_nothing_to_tell_appends_nothing,
        }
        $crate::store_behaviours! { $backend, claim:
            work_is_claimed_in_the_order_in_which_it_is_due,
            work_of_other_lanes_and_of_later_is_left_alone,
            a_claim_takes_no_more_than_each_lanes_limit,
            a_claim_brings_the_row_its_envelope_and_the_body,
            claimed_work_is_not_claimed_again_while_its_lease_holds,
            work_whose_lease_has_run_out_is_due_again_with_a_higher_token,
            an_extended_lease_holds_until_its_new_end_and_then_runs_out,
            a_lease_is_never_made_shorter,
            a_lease_that_no_longer_holds_is_not_extended,
            leases_are_extended_together_or_not_at_all,
            an_extended_lease_settles_and_is_extended_no_more,
            claims_at_once_never_take_the_same_work,
            lanes_are_told_by_their_longest_due_work,
            the_next_wake_up_is_the_earliest_of_all_lanes,
            a_wake_up_between_two_calls_is_not_lost,
            a_wake_up_reaches_a_caller_that_waits,
            a_deferral_and_a_change_are_heard,
        }
        $crate::store_behaviours! { $backend, settle:
            a_settlement_moves_the_row_and_appends_its_leaf,
            a_settlement_with_an_older_token_is_refused_and_changes_nothing,
            a_settled_lease_cannot_be_settled_again,
            a_lease_that_was_never_given_is_refused,
            one_stale_lease_refuses_the_whole_settlement,
            a_deferral_clears_the_old_wake_up_and_sets_the_new_one,
            a_deferral_keeps_the_time_since_when_it_waits,
            a_move_without_an_attempt_does_not_count,
            a_forwarded_delivery_wakes_when_asked_to,
            a_state_without_a_wake_up_is_never_due,
            a_settlement_may_change_the_lane_and_who_serves,
            a_settlement_keeps_the_foreign_receipt_that_it_rests_on,
            a_foreign_receipt_of_two_settlements_is_kept_once,
            of_many_settlements_of_one_lease_at_once_one_holds,
        }
        $crate::store_behaviours! { $backend, change:
            a_change_moves_the_row_and_appends_its_leaf,
            a_change_from_an_unexpected_status_is_refused_and_changes_nothing,
            a_change_of_an_unknown_delivery_is_refused,
            a_change_fences_a_lease_in_flight,
            a_retry_now_fences_a_lease_in_flight_and_is_due,
            a_released_delivery_is_due_in_its_new_lane,
            of_many_changes_at_once_one_is_made,
        }
        $crate::store_behaviours! { $backend, record:
            a_foreign_receipt_is_recorded_once,
            a_recorded_receipt_moves_what_was_forwarded_and_clears_its_wake_up,
            a_recorded_receipt_leaves_final_states_alone,
            a_recorded_end_moves_what_has_expired_here,
            a_recorded_receipt_never_wakes_what_has_expired,
            a_recorded_receipt_moves_only_what_it_names,
            a_recorded_receipt_that_ends_nothing_keeps_the_wake_up,
            a_record_never_moves_a_delivery_of_another_envelope,
            a_recorded_receipt_fences_a_lease_in_flight,
            a_receipt_about_an_unknown_envelope_is_refused,
            a_receipt_that_a_settlement_brought_is_known,
            of_many_records_of_one_receipt_at_once_one_is_new,
        }
        $crate::store_behaviours! { $backend, returns:
            a_return_of_this_leaf_carries_the_receipt_of_the_step,
            a_change_sends_its_receipt_back_too,
            a_record_passes_the_foreign_receipt_back_byte_for_byte,
            a_return_of_a_receipt_that_the_step_does_not_have_is_refused,
            a_return_has_its_own_wake_up_and_its_own_lease,
            a_return_that_is_done_is_gone_without_a_leaf,
            a_return_that_waits_is_due_again_and_counts_its_attempt,
            a_held_return_is_kept_and_never_due,
            one_stale_return_refuses_the_whole_settlement,
        }
        $crate::store_behaviours! { $backend, read:
            what_is_not_here_is_not_found,
            events_come_in_order_and_go_on_from_any_position,
            envelopes_are_found_by_file_code_the_oldest_first,
            envelopes_are_found_by_id_whoever_sent_them,
            a_list_gives_the_newest_first_in_pages_without_gaps,
            new_rows_do_not_move_the_pages,
            a_page_is_never_longer_than_its_bound,
            each_filter_of_a_list_keeps_what_it_names,
            the_counts_follow_every_step,
            the_loads_of_lanes_follow_what_waits,
            what_waits_in_a_lane_is_told_the_earliest_first,
            an_idle_store_may_take_more,
        }
        $crate::store_behaviours! { $backend, mark:
            a_mark_is_kept_with_its_leaf_until_it_is_taken_away,
            marks_are_found_by_how_their_names_begin,
            marks_are_there_after_a_restart,
            a_mark_beyond_its_bounds_is_refused,
            leaves_are_followed_from_anywhere,
        }
        $crate::store_behaviours! { $backend, keep:
            parts_are_referenced_while_a_body_that_names_them_is_kept,
            bodies_are_purged_once_every_delivery_has_been_final_long_enough,
            a_purge_takes_no_more_than_its_limit,
            a_held_delivery_keeps_its_body,
            a_purged_envelope_is_still_known_as_a_duplicate,
            the_rest_of_a_purged_broadcast_brings_its_body_back,
            everything_is_there_after_a_restart,
            tokens_go_on_rising_after_a_restart,
            the_log_goes_on_after_a_restart,
            whoever_opens_a_store_hears_of_its_work,
            what_a_fast_clock_put_off_is_due_after_a_restart,
            a_closed_store_takes_no_steps,
        }
    };
}

/// Makes a test of every behaviour of a [`PartStore`](gateway_store::parts::PartStore). The expression makes a new
/// [`PartBackend`](crate::PartBackend) for each.
#[macro_export]
macro_rules! part_suite {
    ($backend:expr) => {
        $crate::part_behaviours! { $backend,
            an_uploaded_part_is_read_back_from_any_offset,
            an_empty_part_is_a_part,
            a_broken_upload_goes_on_where_it_stopped,
            an_upload_at_another_offset_is_told_where_it_stopped,
            one_upload_of_a_part_is_under_way_at_a_time,
            a_part_with_another_digest_is_refused_and_removed,
            a_part_that_is_longer_than_said_is_refused,
            a_part_that_ends_early_is_refused_and_can_go_on,
            another_owner_sees_nothing_of_it,
            a_gateway_and_a_system_of_one_name_are_two_owners,
            a_check_tells_what_is_missing_and_what_has_another_size,
            a_sweep_finds_and_removes_only_what_has_not_been_touched,
            a_check_protects_a_part_from_the_sweep,
            parts_and_beginnings_are_there_after_a_restart,
        }
    };
}

/// The tests of one room.
#[doc(hidden)]
#[macro_export]
macro_rules! store_behaviours {
    ($backend:expr, $room:ident: $($behaviour:ident,)+) => {
        mod $room {
            #[allow(unused_imports)] // What the expression needs.
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    $crate::$room::$behaviour($crate::Suite::new($backend).await).await;
                }
            )+
        }
    };
}

/// The tests of parts.
#[doc(hidden)]
#[macro_export]
macro_rules! part_behaviours {
    ($backend:expr, $($behaviour:ident,)+) => {
        mod parts {
            #[allow(unused_imports)] // What the expression needs.
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    $crate::parts::$behaviour($backend).await;
                }
            )+
        }
    };
}

#[cfg(test)]
mod tests {
    /// The rooms of behaviours, with the text of each.
    const ROOMS: [(&str, &str); 11] = [
        ("accept", include_str!("accept.rs")),
        ("evidence", include_str!("evidence.rs")),
        ("claim", include_str!("claim.rs")),
        ("settle", include_str!("settle.rs")),
        ("change", include_str!("change.rs")),
        ("record", include_str!("record.rs")),
        ("returns", include_str!("returns.rs")),
        ("read", include_str!("read.rs")),
        ("mark", include_str!("mark.rs")),
        ("keep", include_str!("keep.rs")),
        ("parts", include_str!("parts.rs")),
    ];

    #[test]
    fn every_behaviour_is_stamped() {
        let stamps = include_str!("stamp.rs");
        let mut count = 0;
        for (room, text) in ROOMS {
            for line in text.lines() {
                let Some((name, _)) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split_once('(')) else {
                    continue;
                };
                assert!(stamps.contains(&format!("            {name},\n")), "{room}::{name} is in no suite");
                count += 1;
            }
        }
        assert!(count > 80, "{count} behaviours");
    }
}
