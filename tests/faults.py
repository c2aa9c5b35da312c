"""The faults of docs/reliability.md: what goes wrong, which tests make it happen, what they leave out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault: what goes wrong, the tests that make it happen, and what they leave out."""

    text: str
    tests: tuple[str, ...] = ()
    lacks: str = ""


FAULTS: dict[int, Fault] = {
    1: Fault(
        "kill -9 between any two steps of poll, ingest, evaluate, send, record",
        (
            "test_an_alert_whose_engine_is_killed_after_the_wire_is_repeated_once_and_marked",
            "test_f01_an_alert_leaves_once_whatever_kills_the_engine",
            "test_f01_an_engine_killed_at_any_moment_leaves_whole_batches",
            "test_history_that_a_kill_cut_between_two_pages_is_whole_after_the_next_start",
            "test_a_kill_where_an_ordinary_night_seldom_passes_costs_nothing",
            "test_f01_a_suppressed_notification_is_sent_once_though_the_engine_dies_meanwhile",
            "test_f01_what_was_held_back_leaves_once_whatever_kills_the_engine_then",
            "test_f01_what_a_receiver_has_answered_is_stored_whatever_kills_the_engine",
        ),
    ),
    2: Fault(
        "kill -9 around an action, a plan, a hold; an act whose answer is lost",
        (
            "test_f02_an_action_reaches_its_scheduler_at_most_once_whatever_kills_the_engine",
            "test_f02_killed_again_and_again_it_is_still_sent_once",
            "test_f02_a_plan_goes_on_whatever_kills_the_engine_and_sends_no_step_twice",
            "test_a_kill_at_any_point_of_a_hold_loses_doubles_and_strands_nothing",
            "test_f02_a_rerun_whose_answer_a_real_host_lost_is_found_and_a_repeat_runs_nothing",
            "test_f02_a_hold_whose_answer_postgresql_lost_is_found_and_a_second_one_is_none",
            "test_f02_a_start_whose_answer_step_functions_lost_is_found_and_a_repeat_starts_nothing",
            "test_f02_a_kill_before_a_row_of_the_audit_loses_neither_the_row_nor_the_action",
            "test_f02_a_first_write_that_lands_after_the_lookup_stays_the_only_one",
            "test_f02_killed_at_its_second_step_a_plan_does_not_repeat_its_first",
        ),
    ),
    3: Fault(
        "SIGTERM, SIGINT, SIGHUP in the middle of everything",
        (
            "test_f03_an_engine_whose_receiver_and_whose_action_hang_ends_in_time",
            "test_f03_an_engine_whose_target_never_answers_ends_in_time_and_well",
            "test_f03_what_was_being_sent_gets_a_moment_to_be_recorded",
            "test_an_order_that_waits_at_a_sighup_is_sent_once",
        ),
        "up to 30 s while another process holds SQLite's lock",
    ),
    4: Fault(
        "SIGSTOP beyond the lease, then SIGCONT",
        (
            "test_f04_an_engine_stopped_just_before_the_wire_sends_nothing_when_it_comes_back",
            "test_a_write_with_an_old_fence_is_refused_and_writes_nothing",
            "test_f04_an_engine_stopped_longer_than_its_lease_sends_nothing_and_goes_to_standby",
            "test_f04_an_alert_that_the_stopped_engine_had_in_hand_is_sent_by_the_other_alone",
            "test_f04_a_mail_that_the_stopped_engine_had_begun_is_ended_by_the_other_alone",
            "test_f04_an_engine_that_was_stopped_longer_than_its_lease_writes_nothing_and_shares_again",
            "test_f04_an_engine_without_the_lease_that_is_stopped_between_intent_and_sending_sends_nothing_after_its_shard",
            "test_f04_the_fence_is_read_from_the_store_right_before_sending",
            "test_f04_a_lease_that_was_not_renewed_in_time_is_found_right_before_sending",
        ),
    ),
    5: Fault(
        "two engines, ten engines start at once",
        (
            "test_two_engines_on_one_store_one_works_and_the_other_says_who",
            "test_f05_of_many_engines_that_start_at_once_one_holds_the_store",
            "test_f05_of_many_processes_one_works_and_each_of_the_others_says_who",
        ),
    ),
    6: Fault(
        "the lease holder loses the store for longer than the lease",
        (
            "test_f06_a_holder_whose_store_goes_silent_stops_sending_before_another_engine_works",
            "test_f06_a_silent_store_is_abandoned_and_tried_again",
        ),
    ),
    7: Fault(
        "a record that breaks the evaluation each time",
        (
            "test_f07_a_record_that_breaks_the_evaluation_hides_no_other_failure",
            "test_f07_only_what_hangs_together_with_the_record_is_left_out",
            "test_f07_a_worker_that_crashes_repeatedly_is_one_alert_about_headway_itself",
            "test_f07_later_incidents_are_notified_too_without_a_search_each_time",
            "test_f07_it_is_judged_again_once_it_can_be",
            "test_f07_it_is_one_alert_about_headway_itself",
            "test_f07_a_failure_outside_the_estate_stops_the_evaluator_and_is_notified",
        ),
        "one that breaks the reading or writing of the rows themselves stops the evaluator, which is an alert",
    ),
    8: Fault(
        "1,000 systems flood at once",
        (
            "test_f08_of_many_that_flood_at_once_one_waits_for_the_store",
            "test_a_flood_that_was_cut_between_two_transactions_is_whole_after_the_next_poll",
            "test_f24_while_one_poll_of_a_system_lasts_another_is_polled_on_and_its_alert_leaves",
            "test_f24_a_system_that_fails_stops_neither_the_other_ones_polls_nor_an_alert",
            "test_f08_of_a_thousand_systems_that_flood_at_once_one_writes_at_a_time",
        ),
        "memory holds one page of each at once, and no test sets its ceiling",
    ),
    9: Fault(
        "an unhandled exception in any thread",
        (
            "test_f09_a_crashed_worker_is_shown_by_status_and_works_again",
            "test_f09_a_thread_that_ends_for_good_is_noticed_and_all_workers_restart",
            "test_what_ends_a_thread_is_in_the_log_and_nowhere_else",
        ),
    ),
    10: Fault(
        "Headway itself is dead",
        (
            "test_f10_a_stopped_evaluator_stops_the_ping_and_is_a_banner",
            "test_a_silent_part_stops_the_ping_and_a_failing_ping_does_not",
            "test_a_hung_delivery_stops_the_ping_and_is_reported",
        ),
    ),
    11: Fault(
        "restart after three days down",
        ("test_f11_after_three_days_down_there_are_ten_alerts_and_a_digest_and_no_thousands",),
    ),
    12: Fault(
        "disk full",
        (
            "test_f12_on_a_full_disk_the_batch_is_rolled_back_and_all_continues_once_there_is_space",
            "test_f12_a_full_store_is_notified_from_memory_and_recorded_later_and_not_sent_again",
            "test_f12_a_delivery_missing_from_the_store_is_recorded_later_and_not_sent_again",
            "test_a_write_is_not_reported_as_failed_because_its_log_could_not_be_moved",
            "test_f12_an_engine_on_a_full_disk_says_so_once_and_goes_on_once_there_is_space",
            "test_f12_a_real_disk_that_is_full_stops_nothing_for_good",
            "test_f12_a_full_store_is_notified_from_memory_and_recorded_when_there_is_space_again",
        ),
    ),
    13: Fault(
        "another process locks the store",
        (
            "test_f13_another_process_locks_the_store_and_all_go_on",
            "test_f13_a_writer_waits_for_another_one_and_readers_go_on_reading",
            "test_f13_writers_of_one_process_queue",
        ),
    ),
    14: Fault(
        "read-only file, folder, file system",
        (
            "test_f14_a_store_that_may_not_be_written_is_refused_with_its_reason",
            "test_f14_on_a_read_only_file_system_the_engine_refuses_and_the_screens_read",
        ),
    ),
    15: Fault(
        "corruption",
        (
            "test_a_damaged_copy_is_refused",
            "test_a_row_that_was_changed_is_named",
            "test_f15_a_flipped_byte_is_refused_or_read_and_never_a_false_audit",
            "test_f15_the_log_of_another_store_is_refused_or_found_and_that_of_a_copy_is_read_whole",
        ),
        "the audit finds every flip in itself, a copy is checked whole; runs have no checksum; a copy's -wal is read",
    ),
    16: Fault("torn write", ("test_f16_a_copy_that_was_torn_while_writing_opens_at_a_committed_point",)),
    17: Fault(
        "the write-ahead log grows",
        (
            "test_f17_the_log_goes_into_the_file_after_a_pause",
            "test_f17_the_log_of_a_store_that_is_written_to_without_a_pause_stays_small",
            "test_f17_a_reader_leaves_no_transaction_open_so_that_the_log_can_shrink",
        ),
    ),
    18: Fault(
        "network file system",
        (
            "test_f18_a_store_on_a_network_file_system_is_refused_and_not_made",
            "test_f18_the_innermost_and_latest_mount_counts_also_through_a_link",
            "test_f18_a_local_disk_is_accepted",
            "test_f18_where_the_kernel_does_not_name_the_disk_the_store_is_accepted",
            "test_f18_the_engine_says_it_in_one_message",
        ),
        "the kernel's table of mounts is made up; Linux only",
    ),
    19: Fault(
        "PostgreSQL restarts in mid transaction",
        (
            "test_f19_a_restart_of_the_database_in_mid_transaction_loses_and_doubles_nothing",
            "test_f19_restarts_around_an_action_send_it_once",
        ),
    ),
    20: Fault(
        "deadlock, serialization failure, too many connections, a standby",
        (
            "test_f20_what_the_database_refuses_for_a_while_is_the_stores_trouble_and_leaves_nothing",
            "test_f20_two_writers_in_opposite_order_queue_and_no_deadlock_comes_of_it",
            "test_f20_an_engine_that_gets_no_connection_waits_and_goes_on",
        ),
        "their SQLSTATEs are raised inside a real transaction; no real failover",
    ),
    21: Fault(
        "a newer, older or half migrated schema",
        (
            "test_a_store_of_a_newer_headway_is_refused_by_name",
            "test_f21_a_migration_that_is_killed_leaves_the_old_store_and_the_next_start_ends_it",
            "test_a_copy_of_a_newer_headway_is_refused",
        ),
    ),
    22: Fault(
        "ten million runs",
        (
            "test_no_question_of_a_board_scans_the_runs",
            "test_the_page_by_attention_walks_the_index_without_sorting",
            "test_open_runs_are_found_by_their_own_index",
            "test_a_start_is_matched_by_the_runs_of_its_job_alone",
            "test_f22_no_statement_of_a_working_engine_walks_through_what_grows",
        ),
        "by the plans of the statements; 1 M runs are measured",
    ),
    23: Fault(
        "the database host's clock differs",
        (
            "test_the_clock_of_a_lease_is_the_real_one",
            "test_f23_of_engines_whose_clock_is_not_the_databases_one_holds_the_lease",
            "test_f23_a_store_whose_clock_is_off_is_a_fault",
        ),
        "requests carry the database's time: one that is off by more than 4 hours refuses them, and check reports it",
    ),
    24: Fault(
        "accepts a connection and never answers, or drips",
        (
            "test_f24_real_systems_in_trouble_are_reported_by_place_and_the_others_are_polled_on",
            "test_f24_a_real_airflow_in_trouble_costs_the_deadline_and_loses_nothing",
            "test_f24_while_one_poll_of_a_system_lasts_another_is_polled_on_and_its_alert_leaves",
            "test_f24_a_system_that_fails_stops_neither_the_other_ones_polls_nor_an_alert",
            "test_dripping_server_is_unreachable_at_the_deadline",
        ),
    ),
    25: Fault(
        "half-open connection",
        (
            "test_frozen_host_is_unreachable_at_the_deadline_and_polled_on_when_it_thaws",
            "test_f25_a_connection_that_a_firewall_forgot_costs_no_poll",
        ),
    ),
    26: Fault(
        "SSH hangs after auth, before the exit status",
        (
            "test_f26_a_real_sshd_that_goes_silent_costs_its_deadline_and_no_more",
            "test_missing_exit_status_is_none_and_not_waited_for",
        ),
    ),
    27: Fault(
        "a system that answers slowly delays no other",
        (
            "test_an_action_at_a_system_that_hangs_holds_up_no_other_systems_action",
            "test_f27_a_slow_system_is_polled_once_at_a_time_and_delays_no_other",
        ),
    ),
    28: Fault(
        "429 and 503 with Retry-After",
        (
            "test_f28_retry_after_is_obeyed_up_to_a_quarter_of_an_hour",
            "test_a_pause_requested_by_a_server_is_respected",
        ),
    ),
    29: Fault(
        "a login page with 200, a redirect", ("test_f29_a_login_page_with_200_is_a_refused_access_and_no_empty_list",)
    ),
    30: Fault(
        "truncated and odd JSON",
        ("test_f30_an_incomplete_json_object_is_reported_with_its_place", "test_odd_json_that_is_whole_is_read"),
    ),
    31: Fault(
        "a page that repeats for ever",
        (
            "test_a_page_that_repeats_for_ever_ends_the_poll_as_incomplete",
            "test_f31_a_source_that_gives_the_same_page_for_ever_is_cut_off_and_named",
        ),
    ),
    32: Fault(
        "a list that is suddenly empty or much shorter",
        (
            "test_an_empty_list_is_incomplete_because_rights_may_be_missing",
            "test_a_narrowed_choice_is_not_doubted",
            "test_f32_a_list_that_is_ninety_percent_shorter_is_doubted_and_one_of_a_fifth_is_not",
        ),
    ),
    33: Fault(
        "a log of many megabytes, with NUL bytes and without a newline at its end",
        (
            "test_f33_of_a_log_of_many_megabytes_with_nul_bytes_the_end_alone_is_fetched",
            "test_long_log_is_read_in_pieces",
            "test_log_stays_within_its_limit_and_goes_on",
        ),
    ),
    34: Fault("a packed bomb", ("test_f34_a_packed_bomb_stops_at_the_limit",)),
    35: Fault(
        "log rotated, truncated, replaced in mid poll",
        (
            "test_f35_no_line_is_lost_or_doubled_by_rotations_at_any_step",
            "test_a_reused_inode_is_not_mistaken_for_the_old_log",
            "test_truncated_log_without_a_copy_is_a_gap",
        ),
    ),
    36: Fault(
        "connection reset in every position of a reply",
        (
            "test_answer_without_its_end_is_unreachable_not_empty",
            "test_f36_a_reply_that_is_reset_after_any_byte_is_no_reply",
            "test_f36_polls_whose_connection_is_reset_anywhere_end_in_the_runs_of_a_calm_poll",
            "test_f36_afterwards_both_connections_to_a_host_have_reported_the_same_runs",
        ),
    ),
    37: Fault(
        "a reply that belongs to another request",
        (
            "test_the_answer_about_another_run_is_dropped_and_counted",
            "test_f37_an_answer_about_other_tasks_is_dropped_and_counted_and_deletes_none_of_ours",
            "test_f37_the_answer_about_another_execution_is_dropped_and_counted",
            "test_f37_no_execution_is_started_with_the_input_of_another",
        ),
        "a log page names no run; its content cannot be distinguished from another run's",
    ),
    38: Fault("DNS that is slow or fails", ("test_f38_a_name_that_is_resolved_too_slowly_ends_at_the_deadline",)),
    39: Fault(
        "credentials rotated, expired, locked out",
        (
            "test_f39_after_three_refused_logins_none_is_sent_for_a_quarter_of_an_hour",
            "test_a_rotated_password_is_read_again_and_forgives_the_refusals",
        ),
    ),
    40: Fault(
        "a whole data centre is gone",
        (
            "test_the_host_itself_is_an_incident_after_three_polls_without_an_answer",
            "test_f40_of_a_thousand_systems_three_hundred_become_unreachable_at_once",
        ),
        "a host is one cause; many hosts are many",
    ),
    41: Fault("late, repeated, shuffled polls", ("test_f41_late_repeated_and_shuffled_polls_end_in_the_same_tables",)),
    42: Fault(
        "duplicate ids, ids used again",
        (
            "test_replaced_rows_are_a_gap_and_are_read_again",
            "test_f42_an_attempt_number_that_goes_back_is_the_attempt_that_started_last",
            "test_f42_a_source_id_that_is_used_again_is_another_attempt",
        ),
        "an id used again, after a purge or by a job that was created again, is another attempt from its start on",
    ),
    43: Fault("a job renamed, deleted, back again", ("test_f43_a_renamed_job_keeps_its_identity_and_its_history",)),
    44: Fault(
        "runs in the future, years 1 and 9999",
        (
            "test_times_outside_every_calendar_are_none_and_kept_as_text",
            "test_f44_impossible_times_cost_their_target_nothing",
            "test_f47_times_and_codes_at_the_limits_are_stored_unchanged",
        ),
    ),
    45: Fault(
        "clock skew",
        (
            "test_f45_a_run_that_read_what_was_good_read_nothing_stale_whatever_the_clocks_say",
            "test_f45_a_run_that_read_too_early_is_stale_whatever_the_clocks_say",
            "test_f45_within_what_cannot_be_measured_no_stale_read_is_claimed",
            "test_f45_decisions_use_our_clock_and_the_store_keeps_the_times_of_the_source",
            "test_f45_a_clock_stepped_back_in_mid_run_spoils_no_estimate",
            "test_a_start_on_a_target_whose_clock_is_behind_is_awaited_by_that_clock",
            "test_an_engine_clock_that_is_set_reports_no_missed_start_and_no_old_failure",
        ),
        "corrected by the skew of the last poll: the past of a clock that was set since is compared by the new one",
    ),
    46: Fault(
        "clock changes",
        (
            "test_f46_one_expected_run_in_each_night_of_a_clock_change",
            "test_a_deadline_is_computed_in_its_own_zone_and_strictly_over_clock_changes",
        ),
    ),
    47: Fault("huge numbers, odd exit codes", ("test_f47_times_and_codes_at_the_limits_are_stored_unchanged",)),
    48: Fault(
        "cycles, chains of 100,000",
        (
            "test_f48_a_chain_of_many_thousand_jobs_is_walked_and_its_cycle_reported",
            "test_a_graph_with_a_cycle_leaves_its_edges_out_and_names_it",
        ),
    ),
    49: Fault(
        "bytes that are not UTF-8",
        ("test_f49_bytes_that_are_not_utf8_are_spelled_out", "test_bytes_that_are_not_utf8_survive_as_surrogates"),
    ),
    50: Fault(
        "escape sequences, bidi, control bytes",
        (
            "test_f50_every_screen_survives_hostile_text_and_shows_none_of_its_controls",
            "test_every_hostile_job_is_shown_harmlessly",
            "test_what_was_done_is_listed_harmlessly",
            "test_what_is_typed_is_never_more_than_text",
        ),
    ),
    51: Fault("markup in names and logs", ("test_f51_markup_in_a_name_is_shown_verbatim",)),
    52: Fault(
        "markup of the receivers",
        (
            "test_markup_of_the_receivers_is_shown_verbatim",
            "test_f52_a_digest_of_them_holds_nothing_that_acts_either",
        ),
    ),
    53: Fault("SQL in fields and filters", ("test_f53_a_filter_is_text_and_no_pattern_and_no_sql",)),
    54: Fault(
        "shell in crontab names, users, paths",
        ("test_hostile_names_make_no_canary", "test_f54_hostile_names_commands_and_variables_reach_no_shell_of_ours"),
    ),
    55: Fault(
        "path traversal in log paths",
        (
            "test_f55_a_reference_that_leads_out_of_the_spool_is_not_followed",
            "test_f55_a_link_of_a_users_own_that_leads_out_of_the_spool_is_not_followed",
            "test_f55_a_name_that_is_a_path_has_no_output",
            "test_f55_an_id_is_one_part_of_the_path_and_leads_nowhere_else",
            "test_f55_the_output_of_a_run_is_read_also_where_the_spool_itself_is_a_link",
        ),
    ),
    56: Fault(
        "formula injection in exports, terminal title, desktop notes",
        (
            "test_f56_nothing_writes_the_cells_of_a_spreadsheet",
            "test_f56_one_place_alone_sets_a_terminals_title_or_leaves_a_desktop_note",
        ),
        "cells are not exported; titles and notes hold counts and incident ids alone",
    ),
    57: Fault(
        "a filter that is a slow regular expression",
        ("test_f53_a_filter_is_text_and_no_pattern_and_no_sql", "test_f57_hostile_repetition_is_read_in_linear_time"),
    ),
    58: Fault(
        "secrets anywhere",
        (
            "test_f58_no_secret_reaches_store_log_alert_answer_or_command",
            "test_f58_a_secret_written_into_the_config_is_refused_and_not_repeated",
            "test_f58_what_a_process_shows_of_itself_and_hands_to_its_children_holds_no_secret",
            "test_f58_a_secret_command_sees_no_other_secret_of_our_environment",
            "test_f58_an_unreachable_store_is_reported_in_one_message_without_its_password",
        ),
    ),
    59: Fault(
        "redirect to another origin with the token",
        ("test_f59_a_redirect_to_another_origin_is_not_followed_and_the_token_stays_here",),
    ),
    60: Fault(
        "links from outside that point inside",
        ("test_f60_no_link_from_outside_is_fetched_by_engine_command_or_screen",),
    ),
    61: Fault(
        "host key changed, certificate wrong",
        (
            "test_f61_changed_host_key_is_refused_with_both_fingerprints",
            "test_a_certificate_for_another_name_is_refused",
        ),
    ),
    62: Fault(
        "a secret command that hangs or floods",
        (
            "test_f62_a_secret_command_that_hangs_is_ended_with_its_children",
            "test_f62_a_secret_command_that_floods_is_cut_and_our_memory_stays",
            "test_f62_a_failing_secret_command_is_reported_by_its_exit_and_not_by_its_output",
            "test_f62_a_secret_command_provides_its_output_less_one_newline",
            "test_f62_arguments_are_not_interpreted_by_a_shell",
            "test_f62_a_secret_command_that_leaves_a_child_with_the_pipe_is_not_waited_for",
            "test_f62_no_process_or_pipe_is_left_behind",
        ),
    ),
    63: Fault(
        "config half written, broken under a running engine",
        (
            "test_f63_half_written_config_is_faults_or_settings_but_never_a_traceback",
            "test_a_config_that_breaks_under_a_running_engine_changes_nothing_for_it",
            "test_a_file_still_being_written_is_not_loaded",
            "test_a_removed_permission_permits_nothing_requested_before",
        ),
    ),
    64: Fault(
        "terminals too small, no terminal, a reader that goes away",
        ("test_a_terminal_that_is_too_small", "test_f64_a_reader_that_goes_away_ends_the_command_silently"),
    ),
    65: Fault(
        "two people act at once, double Enter",
        (
            "test_two_enters_are_one_action",
            "test_a_second_person_learns_who_requested_it_already",
            "test_f65_an_action_not_approved_within_an_hour_is_refused",
            "test_f65_an_approval_must_still_hold_when_it_is_sent",
        ),
    ),
    66: Fault(
        "alert sinks that fail, lose answers, or are flooded",
        (
            "test_f66_an_answer_that_is_lost_is_one_marked_repeat",
            "test_f66_a_mail_server_whose_yes_is_lost_on_the_way_gets_one_marked_repeat",
            "test_f66_where_every_url_is_down_the_fallback_is_notified_once_and_a_broken_sink_delays_no_other",
            "test_1000_causes_at_once_are_ten_alerts_and_one_digest",
            "test_f66_10000_alerts_in_one_minute_are_ten_and_one_digest",
            "test_f66_one_of_two_urls_that_refuses_is_tried_on_alone",
            "test_f66_a_delivery_refused_three_times_is_parked_and_notified_on_the_fallback_route",
            "test_f66_what_a_url_did_not_accept_for_a_day_is_parked_and_never_tried_again_by_itself",
            "test_f66_what_no_url_accepts_in_time_goes_to_the_fallback_once_and_says_why",
            "test_f66_a_flood_of_incidents_leaves_as_some_alerts_and_one_digest",
            "test_f66_a_delivery_refused_by_a_mail_server_is_abandoned_notified_on_the_fallback_and_retried",
            "test_f66_greylisting_is_no_repeat_and_a_slow_receiver_delays_no_other",
        ),
    ),
    67: Fault(
        "the engine killed, the store's file or server gone under an open screen",
        (
            "test_the_engine_killed_and_the_store_deleted_under_every_screen",
            "test_another_file_in_the_place_of_the_store_is_not_written_nor_its_log_removed_by_the_engine",
            "test_a_postgresql_that_stops_under_an_open_console_is_reported_and_reconnected",
            "test_a_postgresql_that_stops_under_every_screen_is_reported_and_reconnected",
            "test_every_list_keeps_its_rows_while_the_store_is_unreachable_and_continues_by_itself",
            "test_a_store_moved_away_under_an_open_console_is_reported_and_found_again",
            "test_a_screen_not_read_before_the_store_was_lost_says_so",
            "test_a_store_that_vanished_before_a_query_is_reported_with_its_place_and_fix",
        ),
    ),
}
