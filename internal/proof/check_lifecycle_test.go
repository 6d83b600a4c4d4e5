package proof_test

// lifecycleCorruptions break what transfers have beyond their accounts and amounts. They are found
// as corruptions are.
var lifecycleCorruptions = []corruption{
	{name: "a hold that holds less", sql: `UPDATE transfer_detail SET open_amount = 14 WHERE transfer_id = {hold}`, want: map[string][]string{
		"held_is_sum_of_holds": {"account {A}: held 30 and incoming 0, but its open holds sum to 29 and 0", "account {B}: held 0 and incoming 30"},
		"captured_within_hold": {"hold {hold}, INIT: amount 20, open 14, posted 5, but its captures sum to 5"},
	}},
	{name: "a hold that holds nothing", sql: `UPDATE transfer_detail SET open_amount = NULL WHERE transfer_id = {hold}`, want: map[string][]string{
		"held_is_sum_of_holds": {"account {A}", "account {B}"},
		"captured_within_hold": {"hold {hold}, INIT: amount 20, open none"},
	}},
	{name: "an old hold that holds nothing", sql: `UPDATE transfer_detail SET open_amount = NULL WHERE transfer_id = {old hold}`, want: map[string][]string{
		"held_is_sum_of_holds": {"account {A}", "account {B}"},
		"captured_within_hold": {"hold {old hold}, INIT: amount 20, open none"},
	}},
	{name: "an ended hold that holds", sql: `UPDATE transfer_detail SET open_amount = 1 WHERE transfer_id = {voided}`, want: map[string][]string{
		"held_is_sum_of_holds": {"account {A}", "account {B}"},
		"captured_within_hold": {"hold {voided}, FAILED: amount 7, open 1, posted 2"},
	}},
	{name: "held by others", sql: `UPDATE transfer_detail SET from_account_id = {C} WHERE transfer_id = {hold}`, want: map[string][]string{
		"held_is_sum_of_holds": {"account {A}", "account {C}"}, "details_match": {"HOLD {hold}, from account {A} to {B}: noted from {C} to {B}"},
	}},
	{name: "captured and not posted", sql: `UPDATE transfer_detail SET posted_amount = 3 WHERE transfer_id = {spent}`, want: map[string][]string{
		"captured_within_hold": {"hold {spent}, SUCCESS: amount 6, open none, posted 3, but its captures sum to 4"},
	}},
	{name: "captured beyond the hold", sql: `UPDATE transfer SET amount = 3 WHERE transfer_id = {spent}`, want: map[string][]string{
		"captured_within_hold": {"hold {spent}, SUCCESS: amount 3"},
	}},
	{name: "a hold that succeeded with nothing", sql: `UPDATE transfer_detail SET parent_id = {hold} WHERE transfer_id = {last capture}`,
		want: map[string][]string{
			"captured_within_hold":   {"hold {spent}", "hold {hold}"},
			"versions_count_changes": {"transfer {spent}, SUCCESS: version 2 after 0 captures", "transfer {hold}, INIT: version 2 after 2"},
		}},
	{name: "a capture of nothing known", sql: `UPDATE transfer_detail SET parent_id = {new} WHERE transfer_id = {capture}`, want: map[string][]string{
		"details_match":          {"CAPTURE {capture}: there is no transfer {new}"},
		"captured_within_hold":   {"hold {hold}"},
		"versions_count_changes": {"transfer {hold}, INIT: version 2 after 0"},
	}},
	{name: "a capture of what is no hold", sql: `UPDATE transfer_detail SET parent_id = {paid} WHERE transfer_id = {capture}`, want: map[string][]string{
		"details_match":          {"CAPTURE {capture}: transfer {paid} is a TRANSFER"},
		"captured_within_hold":   {"hold {hold}"},
		"versions_count_changes": {"transfer {hold}"},
	}},
	{name: "a capture of others' hold", sql: `UPDATE transfer SET from_account_id = {C} WHERE transfer_id = {hold};
		UPDATE transfer_detail SET from_account_id = {C} WHERE transfer_id = {hold}`, want: map[string][]string{
		"details_match":        {"CAPTURE {capture}, from account {A} to {B}"},
		"held_is_sum_of_holds": {"account {A}", "account {C}"},
	}},
	{name: "a hold with the wrong version", sql: `UPDATE transfer SET version = 3 WHERE transfer_id = {hold}`, want: map[string][]string{
		"versions_count_changes": {"transfer {hold}, INIT: version 3 after 1 captures"},
	}},
	{name: "a voided hold with the wrong version", sql: `UPDATE transfer SET version = 2 WHERE transfer_id = {voided}`, want: map[string][]string{
		"versions_count_changes": {"transfer {voided}, FAILED: version 2 after 1 captures"},
	}},
	{name: "a transfer that changed", sql: `UPDATE transfer SET version = 2 WHERE transfer_id = {paid}`, want: map[string][]string{
		"versions_count_changes": {"transfer {paid}: version 2, but it never changed"},
	}},
	{name: "an account without versions", sql: `UPDATE account SET version = entry_count WHERE account_id = {C}`, want: map[string][]string{
		"versions_count_changes": {"account {C}: version 1 after 1 entries"},
	}},
	{name: "a hold that was not deferred", sql: `UPDATE transfer SET deferred = false WHERE transfer_id = {hold}`, want: map[string][]string{
		"entries_are_successes": {"transfer {hold}, INIT"}, "details_match": {"HOLD {hold}, INIT: deferred f"},
		"versions_count_changes": {"transfer {hold}: version 2, but"},
	}},
	{name: "deferred for no reason", sql: `INSERT INTO transfer (transfer_id, position, from_account_id, to_account_id, amount, currency,
		asked_currency, status, deferred, create_time, update_time) VALUES ({new}, 1000000, {A}, {B}, 2, 'USD', '', 'INIT', true,
		ledger_now(), ledger_now())`, want: map[string][]string{"details_match": {"transfer {new}, INIT: it was deferred, but"}}},
	{name: "a detail of nothing", sql: `DELETE FROM transfer WHERE transfer_id = {refused one}`, want: map[string][]string{
		"details_match":     {"TRANSFER {refused one}: there is no such transfer"},
		"groups_are_atomic": {"group {refused group}: 1 transfers are there, of 2"},
	}},
	{name: "executed and not moved", sql: `UPDATE transfer SET status = 'SUCCESS', version = 2 WHERE transfer_id = {later};
		UPDATE transfer_detail SET open_amount = NULL WHERE transfer_id = {later}`, want: map[string][]string{
		"executed_once":          {"scheduled transfer {later}, SUCCESS: amount 4, open none, but 0 executions"},
		"versions_count_changes": {"transfer {later}, SUCCESS: version 2 after 0"},
	}},
	{name: "an old one executed and not moved", sql: `UPDATE transfer SET status = 'SUCCESS', version = 2 WHERE transfer_id = {old later};
		UPDATE transfer_detail SET open_amount = NULL WHERE transfer_id = {old later}`, want: map[string][]string{
		"executed_once":          {"scheduled transfer {old later}, SUCCESS: amount 4, open none, but 0 executions"},
		"versions_count_changes": {"transfer {old later}, SUCCESS: version 2 after 0"},
	}},
	{name: "executed too early", sql: `UPDATE transfer_detail SET parent_id = {later} WHERE transfer_id = {execution}`, want: map[string][]string{
		"executed_once":          {"scheduled transfer {later}, INIT: amount 4, open 0, but 1 executions of 3", "scheduled transfer {executed}, SUCCESS"},
		"versions_count_changes": {"transfer {later}", "transfer {executed}"},
	}},
	{name: "executed twice", sql: `UPDATE transfer_detail SET kind = 'EXECUTION', parent_id = {executed} WHERE transfer_id = {capture}`,
		want: map[string][]string{
			"executed_once":          {"scheduled transfer {executed}, SUCCESS: amount 3, open none, but 2 executions of 8"},
			"captured_within_hold":   {"hold {hold}"},
			"versions_count_changes": {"transfer {executed}", "transfer {hold}"},
		}},
	{name: "reversed and not moved", sql: `UPDATE transfer_detail SET reversed_amount = 4 WHERE transfer_id = {returned}`, want: map[string][]string{
		"reversed_within_amount": {"transfer {returned}, SUCCESS: amount 8, reversed 4, but its reversals sum to 3"},
	}},
	{name: "an old transfer reversed and not moved", sql: `UPDATE transfer_detail SET reversed_amount = 1 WHERE transfer_id = {old paid}`, want: map[string][]string{
		"reversed_within_amount": {"transfer {old paid}, SUCCESS: amount 40, reversed 1, but its reversals sum to 2"},
	}},
	{name: "a reversal forgotten", sql: `UPDATE transfer_detail SET reversed_amount = NULL WHERE transfer_id = {returned}`, want: map[string][]string{
		"reversed_within_amount": {"transfer {returned}, SUCCESS: amount 8, reversed none"},
	}},
	{name: "more reversed than was moved", sql: `UPDATE transfer SET amount = 2 WHERE transfer_id = {returned}`, want: map[string][]string{
		"reversed_within_amount":      {"transfer {returned}, SUCCESS: amount 2, reversed 3"},
		"balance_is_sum_of_entries":   {"account {A}", "account {B}"},
		"running_balances_continuous": {"account {A}, transfer {returned}", "account {B}, transfer {returned}"},
	}},
	{name: "a refusal reversed", sql: `UPDATE transfer_detail SET parent_id = {failed} WHERE transfer_id = {reversal}`, want: map[string][]string{
		"reversed_within_amount": {"transfer {failed}, FAILED", "transfer {returned}, SUCCESS"},
	}},
	{name: "a reversal to somebody else", sql: `UPDATE transfer_detail SET parent_id = {spend} WHERE transfer_id = {reversal}`,
		want: map[string][]string{
			"reversed_within_amount": {"transfer {spend}, SUCCESS: amount 10, reversed none, but its reversals sum to 3", "transfer {returned}"},
			"details_match":          {"REVERSAL {reversal}, from account {B} to {A}"},
		}},
	{name: "an account that was never opened", sql: `DELETE FROM account_change WHERE opened AND account_id = {C}`,
		want: map[string][]string{"opened_once": {"account {C}: its history has 0 openings"}}},
	{name: "an account that was opened elsewhere", sql: `UPDATE account_change SET account_id = {new}
		WHERE opened AND account_id = {C}`, want: map[string][]string{
		"opened_once": {"account {C}: its history has 0 openings", "account {new}: it was opened, but is not there"},
	}},
	{name: "half a group", sql: `UPDATE transfer SET status = 'FAILED', error_reason = 'x' WHERE transfer_id = {one}`, want: map[string][]string{
		"groups_are_atomic":     {"group {group}: 1 of 3 transfers were refused, such as transfer {one}"},
		"entries_are_successes": {"transfer {one}"},
	}},
	{name: "a group that is larger", sql: `UPDATE transfer_group SET size = 4 WHERE group_id = {group}`, want: map[string][]string{
		"groups_are_atomic": {"group {group}: 3 transfers are there, of 4"},
	}},
	{name: "a group that nobody decided", sql: `DELETE FROM transfer_group WHERE group_id = {group}`, want: map[string][]string{
		"groups_are_atomic": {"group {group}: 3 transfers are there, of none"},
	}},
	{name: "half a refused group", sql: `UPDATE transfer SET status = 'SUCCESS', error_reason = NULL WHERE transfer_id = {refused one}`,
		want: map[string][]string{
			"groups_are_atomic":     {"group {refused group}: 1 of 2 transfers were refused, such as transfer {refused two}"},
			"entries_are_successes": {"transfer {refused one}"},
			"currencies_match":      nil,
		}},
}
