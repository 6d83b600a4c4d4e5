-- What export and import ask the database for. The statements whose tables are only known at run
-- time are in internal/archive/statements.go.

-- ArchiveSettings pins, until the transaction ends, whatever changes how values are spelled or
-- read, and the limits that a transaction of hours would run into. row_security makes a policy that
-- hides rows an error. transaction_timeout is there from PostgreSQL 17 on.
-- name: ArchiveSettings :exec
SELECT set_config(s.name, s.value, true)
FROM (VALUES ('client_encoding', 'UTF8'),
             ('DateStyle', 'ISO, YMD'),
             ('TimeZone', 'UTC'),
             ('IntervalStyle', 'postgres'),
             ('bytea_output', 'hex'),
             ('extra_float_digits', '1'),
             ('array_nulls', 'on'),
             ('quote_all_identifiers', 'off'),
             ('row_security', 'off'),
             ('maintenance_work_mem', '256MB'),
             ('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on')),
             ('statement_timeout', '0'),
             ('idle_in_transaction_session_timeout', '0'),
             ('transaction_timeout', '0')) AS s (name, value)
WHERE s.name <> 'transaction_timeout' OR current_setting('transaction_timeout', true) IS NOT NULL;

-- ArchiveSnapshot returns the time of the snapshot and what is needed to read it elsewhere.
-- name: ArchiveSnapshot :one
SELECT ledger_now()::timestamptz AS now,
       current_setting('server_version')::text AS server_version;

-- ArchiveColumns returns the columns of those of the tables that are there.
-- name: ArchiveColumns :many
SELECT n.name::text AS table_name,
       a.attname::text AS column_name,
       format_type(a.atttypid, a.atttypmod)::text AS column_type
FROM (SELECT unnest(@names::text[]) AS name) AS n
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = to_regclass(n.name)
WHERE a.attnum > 0
  AND NOT a.attisdropped
  AND a.attgenerated = ''
ORDER BY n.name, a.attnum;

-- ArchiveTriggers returns the triggers of the tables that fire.
-- name: ArchiveTriggers :many
SELECT n.name::text AS table_name, t.tgname::text AS trigger_name
FROM (SELECT unnest(@names::text[]) AS name) AS n
JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = to_regclass(n.name)
WHERE NOT t.tgisinternal
  AND t.tgenabled = 'O'
ORDER BY n.name, t.tgname;

-- ArchiveIndexes returns the indexes of the tables that are no constraints, and how they are made.
-- name: ArchiveIndexes :many
SELECT i.indexrelid::regclass::text AS index_name, pg_get_indexdef(i.indexrelid)::text AS definition
FROM (SELECT unnest(@names::text[]) AS name) AS n
JOIN pg_catalog.pg_index AS i ON i.indrelid = to_regclass(n.name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = i.indexrelid)
ORDER BY i.indexrelid;

-- ArchiveForeignKeys returns the foreign keys of the tables, and how they are made.
-- name: ArchiveForeignKeys :many
SELECT n.name::text AS table_name, c.conname::text AS constraint_name, pg_get_constraintdef(c.oid)::text AS definition
FROM (SELECT unnest(@names::text[]) AS name) AS n
JOIN pg_catalog.pg_constraint AS c ON c.conrelid = to_regclass(n.name)
WHERE c.contype = 'f'
ORDER BY c.oid;
