-- DemoMark makes the ledger a demo with this seed, if it is empty but for its equity accounts. One
-- that is a demo already stays it. It returns the seed of the demo that the ledger is then; NULL:
-- it has data, and is none. Whoever adds accounts or transfers at this time is waited for.
-- name: DemoMark :one
SELECT mark_demo(@seed::bytea)::bytea AS kept;
