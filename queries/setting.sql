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
--
-- A statement_timeout that a role or a database brings may run out at the very end of a statement, and then cancels
-- the wait of its COMMIT for a synchronous standby. Statements are bounded by who asks for them.
-- name: WriterSettings :exec
SELECT set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_bitmapscan', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
       set_config('statement_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '5s', false);

-- ReaderSettings prepares a connection that reads lists: each is planned with its own filters, so that a filter that is
-- not given costs nothing and one that is given finds its index. Changing an account locks its row, and is
-- answered when it is on the disk, as for writers.
-- name: ReaderSettings :exec
SELECT set_config('plan_cache_mode', 'force_custom_plan', false),
       set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
       set_config('statement_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '5s', false);

-- Clock answers the database's time. Its clock decides for all instances.
-- name: Clock :one
SELECT ledger_now()::timestamptz AS now;

-- Ping asks the database for nothing.
-- name: Ping :one
SELECT 1::integer AS one;

-- WriteProbe changes nothing, but fails where a batch would: it needs the same rights, and a database that takes writes.
-- name: WriteProbe :exec
WITH nothing AS (
    INSERT INTO transfer (transfer_id) SELECT t.transfer_id FROM transfer AS t WHERE false RETURNING transfer_id
)
UPDATE account SET balance = balance WHERE account_id IN (SELECT n.transfer_id FROM nothing AS n);

-- ReadProbe reads next to nothing.
-- name: ReadProbe :one
SELECT EXISTS (SELECT FROM account)::boolean AS something;

-- SessionGet says which session this is, and in which life of the server. A life ends with a crash, also with one after
-- which the postmaster goes on and begins all sessions anew: the statistics are discarded then, and begin at another time.
-- A session that acts as another role than the one that logged in may not see when it began.
-- name: SessionGet :one
SELECT pg_backend_pid()::integer AS pid, coalesce(pg_stat_get_backend_start(b.id), 'epoch')::timestamptz AS begun,
       concat_ws(' ', pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time())::text AS life
FROM (SELECT pg_stat_get_backend_idset() AS id) AS b
WHERE pg_stat_get_backend_pid(b.id) = pg_backend_pid();

-- SessionWorks reports whether a session is at a statement, and does not wait for the next one or is gone. Where it may not
-- be looked at, it is taken to be.
-- name: SessionWorks :one
SELECT EXISTS (SELECT
               FROM (SELECT pg_stat_get_backend_idset() AS id) AS b
               WHERE pg_stat_get_backend_pid(b.id) = @pid::integer
                 AND coalesce(pg_stat_get_backend_start(b.id), 'epoch') = @begun::timestamptz
                 AND pg_stat_get_backend_wait_event(b.id) IS DISTINCT FROM 'ClientRead')::boolean AS works;

-- Barrier writes a message that nobody reads to the log. The commit of its transaction then waits for the synchronous
-- standbys as any other, and so for all that was committed before it, be it seen already. Where commits wait for no
-- standby it writes nothing.
-- name: Barrier :exec
SELECT pg_logical_emit_message(true, 'internaltransfers', ''::text)
WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery();

-- DurabilityGet reads the settings without which a committed transfer may be lost when the machine goes down.
-- name: DurabilityGet :one
SELECT current_setting('fsync')::text AS fsync, current_setting('full_page_writes')::text AS full_page_writes;
