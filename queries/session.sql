-- A session is one connection to the database. internal/pgdb makes them all, and says which
-- settings each kind has.

-- SessionFacts reads what a session must find: the server, the database and where it is. Nothing of
-- the ledger is read.
-- name: SessionFacts :one
SELECT current_setting('server_version')::text AS server_version,
       current_setting('server_version_num')::int AS server_version_num,
       current_setting('server_encoding')::text AS server_encoding,
       current_database()::text AS database,
       current_user::text AS role,
       coalesce(current_schema(), '')::text AS current_schema,
       pg_backend_pid()::int AS backend_pid,
       pg_is_in_recovery()::boolean AS is_standby;

-- SessionSet gives settings their values, as far as a user may and the server knows them. A setting
-- that has its value already is left alone. synchronous_commit is only raised: a database or a role
-- may have it off, but a commit is acknowledged when it is on the disk. In another backend than the
-- one that is meant nothing is changed: it may be somebody else's.
-- name: SessionSet :one
SELECT pg_backend_pid()::int AS backend_pid, count(set_config(s.name, w.value, false))::int AS changed
FROM (SELECT unnest(@names::text[]) AS name, unnest(@wanted::text[]) AS value) AS w
JOIN pg_catalog.pg_settings AS s ON s.name = w.name
WHERE pg_backend_pid() = @backend_pid::int
  AND s.setting <> w.value
  AND s.context = 'user'
  AND (w.name <> 'synchronous_commit' OR s.setting = 'off');

-- SessionMismatches reads which of these settings have another value all the same, and whether the
-- current schema is another than the one that is meant. That need not exist yet, or the role may
-- not use it: then nothing is found in it.
-- name: SessionMismatches :many
SELECT s.name::text AS name, s.setting::text AS found, w.value::text AS wanted
FROM (SELECT unnest(@names::text[]) AS name, unnest(@wanted::text[]) AS value) AS w
JOIN pg_catalog.pg_settings AS s ON s.name = w.name
WHERE s.setting <> w.value
  AND w.name <> 'synchronous_commit'
UNION ALL
SELECT 'current_schema'::text AS name, current_schema()::text AS found, @schema::text AS wanted
WHERE current_schema() <> @schema::text
  AND current_schema() !~ '^pg_temp_'
ORDER BY name;

-- SessionBackend reads which server process executes it.
-- name: SessionBackend :one
SELECT pg_backend_pid()::int AS backend_pid;

-- SessionGuard fails (division_by_zero) in another server process than the one meant, so that what
-- follows it in the same transaction is not executed.
-- name: SessionGuard :exec
SELECT 1 / (pg_backend_pid() = @backend_pid::int)::int;

-- SessionMark gives the session a mark that lasts as long as it does.
-- name: SessionMark :exec
SELECT set_config('internaltransfers.mark', @mark::text, false);

-- SessionMarked reads the mark, empty where there is none, and which server process executes it.
-- name: SessionMarked :one
SELECT coalesce(current_setting('internaltransfers.mark', true), '')::text AS mark, pg_backend_pid()::int AS backend_pid;

-- SessionDiscard makes a session as new, whatever was left in it.
-- name: SessionDiscard :exec
DISCARD ALL;

-- LedgerSchemas reads which schemas of the database hold a ledger, or a part of one, by its first
-- tables. Of a part it says what is lacking; of a ledger that is empty. Whether the role may use
-- them is another question: a ledger must not be overlooked because a right is missing.
--
-- Other programs may have tables of these names. A part of a ledger has the columns of its accounts
-- and its transfers, or those of one of them and two more of its tables. A view may stand in for a
-- table.
-- name: LedgerSchemas :many
WITH own AS (
    SELECT n.nspname AS schema, w.name, c.relkind,
           (SELECT count(*)
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid
              AND (w.name, a.attname) IN (('account', 'account_id'), ('account', 'min_balance'), ('account', 'create_fingerprint'),
                                          ('transfer', 'transfer_id'), ('transfer', 'from_sequence'), ('transfer', 'to_sequence'))
           ) = 3 AS is_like
    FROM pg_catalog.pg_namespace AS n
    CROSS JOIN unnest(ARRAY['goose_db_version', 'currency', 'account', 'transfer', 'setting']) AS w(name)
    LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    WHERE n.nspname !~ '^pg_'
)
SELECT o.schema::text AS schema,
       coalesce(string_agg(CASE WHEN o.relkind IS NULL THEN 'the table ' || o.name || ' is missing'
                                ELSE o.name || ' is not a plain table' END, ', ' ORDER BY o.name)
                FILTER (WHERE o.relkind IS DISTINCT FROM 'r'), '')::text AS lacks
FROM own AS o
GROUP BY o.schema
HAVING count(*) FILTER (WHERE o.relkind = 'r') = 5
    OR count(*) FILTER (WHERE o.is_like) = 2
    OR (count(*) FILTER (WHERE o.is_like) = 1 AND count(o.relkind) >= 3)
ORDER BY o.schema
LIMIT 1000;

-- Clock returns the database's time. Its clock decides for all instances.
-- name: Clock :one
SELECT ledger_now()::timestamptz AS now;

-- Ping asks the database for nothing.
-- name: Ping :one
SELECT 1::integer AS one;

-- WriteProbe changes nothing, but fails where a batch would: it needs the same rights, and a
-- database that takes writes.
-- name: WriteProbe :exec
WITH nothing AS (
    INSERT INTO transfer (transfer_id) SELECT t.transfer_id FROM transfer AS t WHERE false RETURNING transfer_id
), no_detail AS (
    INSERT INTO transfer_detail (transfer_id) SELECT n.transfer_id FROM nothing AS n RETURNING transfer_id
), no_change AS (
    INSERT INTO transfer_change (transfer_id) SELECT d.transfer_id FROM no_detail AS d RETURNING transfer_id
)
UPDATE account
SET balance = balance, held = held, incoming = incoming, entry_count = entry_count, update_time = ledger_now()
WHERE account_id IN (SELECT c.transfer_id FROM no_change AS c);

-- ReadProbe reads next to nothing, and fails where a read of these tables, or of the view that
-- transfers are read from, would.
-- name: ReadProbe :one
SELECT (EXISTS (SELECT FROM account)
        OR EXISTS (SELECT FROM transfer_full)
        OR EXISTS (SELECT FROM transfer)
        OR EXISTS (SELECT FROM transfer_detail)
        OR EXISTS (SELECT FROM transfer_change)
        OR EXISTS (SELECT FROM transfer_group)
        OR EXISTS (SELECT FROM account_change)
        OR EXISTS (SELECT FROM currency)
        OR EXISTS (SELECT FROM schedule))::boolean AS something;

-- SessionGet says which session this is, and in which life of the server. A life ends with a crash,
-- also with one after which the postmaster goes on and begins all sessions anew: the statistics are
-- discarded then, and begin at another time. A session that acts as another role than the one that
-- logged in may not see when it began.
-- name: SessionGet :one
SELECT pg_backend_pid()::integer AS pid, coalesce(pg_stat_get_backend_start(b.id), 'epoch')::timestamptz AS begun,
       concat_ws(' ', pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time())::text AS life
FROM (SELECT pg_stat_get_backend_idset() AS id) AS b
WHERE pg_stat_get_backend_pid(b.id) = pg_backend_pid();

-- SessionWorks reports whether a session is at a statement, and does not wait for the next one or
-- is gone.
-- name: SessionWorks :one
SELECT EXISTS (SELECT
               FROM (SELECT pg_stat_get_backend_idset() AS id) AS b
               WHERE pg_stat_get_backend_pid(b.id) = @pid::integer
                 AND coalesce(pg_stat_get_backend_start(b.id), 'epoch') = @begun::timestamptz
                 AND pg_stat_get_backend_wait_event(b.id) IS DISTINCT FROM 'ClientRead')::boolean AS works;

-- Barrier writes a message that nobody reads to the log. The commit of its transaction then waits
-- for the synchronous standbys as any other, and so for all that was committed before it, be it
-- seen already. Where commits wait for no standby it writes nothing.
-- name: Barrier :exec
SELECT pg_logical_emit_message(true, 'internaltransfers', ''::text)
WHERE current_setting('synchronous_standby_names') <> '' AND NOT pg_is_in_recovery();

-- DurabilityGet reads the settings without which a committed transfer may be lost when the machine
-- goes down.
-- name: DurabilityGet :one
SELECT current_setting('fsync')::text AS fsync, current_setting('full_page_writes')::text AS full_page_writes;

-- LedgerIdentity reads which ledger the session finds in its search_path: what makes the ledger
-- this one, and the tables account and transfer that it has here, in one number.
-- name: LedgerIdentity :one
SELECT s.value AS identity,
       (('account'::regclass::oid::bigint << 32) + 'transfer'::regclass::oid::bigint)::bigint AS tables
FROM setting AS s
WHERE s.name = 'page_token_key';

-- LedgerGuard fails (division_by_zero) where the session finds other tables than those meant, so
-- that its transaction is not committed.
-- name: LedgerGuard :exec
SELECT 1 / (('account'::regclass::oid::bigint << 32) + 'transfer'::regclass::oid::bigint = @tables::bigint)::int;
