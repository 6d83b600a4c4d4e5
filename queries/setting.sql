-- SettingGet reads a value that every instance on this database shares.
-- name: SettingGet :one
SELECT value
FROM setting
WHERE name = @name;

-- WriterSettings prepares a connection that applies batches. Its plans may only be nested loops over index scans: these
-- visit accounts in the order of account_id, whichever side of the join is the outer one, and so row locks are taken
-- in one global order. The plans are generic, so that planning costs nothing after the first batches.
--
-- A commit is answered when it is on the disk, even where a database or a role has synchronous_commit off.
--
-- A batch is idle between its two statements for an instant only. A host that loses its power just then must not keep
-- its row locks until TCP notices, after hours.
-- name: WriterSettings :exec
SELECT set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_bitmapscan', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
       set_config('idle_in_transaction_session_timeout', '5s', false);

-- ReaderSettings prepares a connection that reads lists: each is planned with its own filters, so that a filter that is
-- not given costs nothing and one that is given finds its index. Changing an account locks its row, and is
-- answered when it is on the disk, as for writers.
-- name: ReaderSettings :exec
SELECT set_config('plan_cache_mode', 'force_custom_plan', false),
       set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
       set_config('idle_in_transaction_session_timeout', '5s', false);

-- Clock answers the database's time. Its clock decides for all instances.
-- name: Clock :one
SELECT ledger_now()::timestamptz AS now;

-- ReadyToRead asks whether the ledger may be read, without reading more than a row.
-- name: ReadyToRead :one
SELECT (EXISTS (SELECT a.account_id FROM account AS a) OR EXISTS (SELECT t.transfer_id FROM transfer_full AS t))::boolean AS found;

-- ReadyToWrite asks whether a transfer would be taken: it does what one needs to be allowed, to no row.
-- name: ReadyToWrite :exec
WITH moved AS (
    UPDATE account SET version = version WHERE false
)
INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, create_time, update_time)
SELECT transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, create_time, update_time
FROM transfer
WHERE false;

-- Ping asks the database for nothing.
-- name: Ping :exec
SELECT 1;

-- DurabilityGet reads the settings without which a committed transfer may be lost when the machine goes down.
-- name: DurabilityGet :one
SELECT current_setting('fsync')::text AS fsync, current_setting('full_page_writes')::text AS full_page_writes;
