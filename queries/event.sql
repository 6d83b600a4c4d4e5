-- EventsEnd reads the highest position that was committed. The sequence's own value would not do: a
-- crash takes it back to what was on the disk, and positions that nobody had committed are drawn
-- again.
-- name: EventsEnd :one
SELECT greatest(0, (SELECT max(t.position) FROM transfer AS t), (SELECT max(c.position) FROM transfer_change AS c),
                (SELECT max(a.position) FROM account_change AS a))::bigint AS position;

-- EventAge reads when the first event at or after a position happened, and the time now; no row:
-- there is none.
-- name: EventAge :one
SELECT e.event_time::timestamptz AS event_time, ledger_now()::timestamptz AS now
FROM ((SELECT t.position, t.create_time AS event_time
       FROM transfer AS t
       WHERE t.position >= @position
       ORDER BY t.position
       LIMIT 1)
      UNION ALL
      (SELECT c.position, c.change_time
       FROM transfer_change AS c
       WHERE c.position >= @position
       ORDER BY c.position
       LIMIT 1)
      UNION ALL
      (SELECT a.position, a.update_time
       FROM account_change AS a
       WHERE a.position >= @position
       ORDER BY a.position
       LIMIT 1)) AS e
ORDER BY e.position
LIMIT 1;

-- EventWriters reads which transactions may have drawn positions and are not over yet.
-- name: EventWriters :many
SELECT unnest(event_writers())::text AS writer;

-- PositionsDraw draws a position for each step of a batch. The caller has written to one of the
-- tables of events.
-- name: PositionsDraw :many
SELECT nextval('transfer_position_seq')::bigint AS position
FROM (SELECT unnest(@steps::int[]) AS step) AS s;

-- TransferChangesBegin keeps what transfers, whose accounts' row locks are held, are like before
-- their first change.
-- name: TransferChangesBegin :exec
INSERT INTO transfer_change (position, transfer_id, change_time, status, error_reason, from_balance, to_balance, version,
                             update_time, open_amount, posted_amount, reversed_amount, refusal)
SELECT f.position, f.transfer_id, f.create_time, f.status, f.error_reason, f.from_balance, f.to_balance, f.version,
       f.update_time, f.open_amount, f.posted_amount, f.reversed_amount, f.refusal
FROM transfer_full AS f
WHERE f.transfer_id = ANY (@transfer_ids::uuid[])
ORDER BY f.transfer_id
ON CONFLICT (position) DO NOTHING;

-- TransferChangesInsert keeps what they are like after each change. Empty texts stand for NULL.
-- name: TransferChangesInsert :execrows
INSERT INTO transfer_change (position, transfer_id, change_time, status, error_reason, from_balance, to_balance, version,
                             update_time, open_amount, posted_amount, reversed_amount, refusal)
SELECT n.position, n.transfer_id, @decided_at, n.status, nullif(n.error_reason, ''), nullif(n.from_balance, '')::numeric,
       nullif(n.to_balance, '')::numeric, n.version, n.update_time, nullif(n.open_amount, '')::numeric,
       nullif(n.posted_amount, '')::numeric, nullif(n.reversed_amount, '')::numeric, nullif(n.refusal, '')::jsonb
FROM (SELECT unnest(@positions::bigint[]) AS position,
             unnest(@transfer_ids::uuid[]) AS transfer_id,
             unnest(@statuses::text[]) AS status,
             unnest(@error_reasons::text[]) AS error_reason,
             unnest(@from_balances::text[]) AS from_balance,
             unnest(@to_balances::text[]) AS to_balance,
             unnest(@versions::int[]) AS version,
             unnest(@update_times::timestamptz[]) AS update_time,
             unnest(@open_amounts::text[]) AS open_amount,
             unnest(@posted_amounts::text[]) AS posted_amount,
             unnest(@reversed_amounts::text[]) AS reversed_amount,
             unnest(@refusals::text[]) AS refusal) AS n;

-- EventsOfTransfers reads transfers that were made, in order, between two positions: the first
-- exclusive, the last inclusive. Of one that changed since it reads what it was like at first.
-- name: EventsOfTransfers :many
SELECT sqlc.embed(f), (c.position IS NOT NULL)::boolean AS changed, c.status, c.error_reason, c.from_balance, c.to_balance,
       c.version, c.update_time, c.open_amount, c.posted_amount, c.reversed_amount, c.refusal
FROM transfer_full AS f
LEFT JOIN transfer_change AS c ON c.position = f.position
WHERE f.position > @after_position
  AND f.position <= @last_position
ORDER BY f.position
LIMIT @row_limit;

-- EventsOfTransferChanges reads changes of transfers likewise, but for what those were like at
-- first.
-- name: EventsOfTransferChanges :many
SELECT sqlc.embed(c), sqlc.embed(f)
FROM transfer_change AS c
JOIN transfer_full AS f ON f.transfer_id = c.transfer_id
WHERE c.position > @after_position
  AND c.position <= @last_position
  AND c.position <> f.position
ORDER BY c.position
LIMIT @row_limit;

-- EventsOfOneTransfer reads the changes of one transfer likewise.
-- name: EventsOfOneTransfer :many
SELECT sqlc.embed(c), sqlc.embed(f)
FROM transfer_change AS c
JOIN transfer_full AS f ON f.transfer_id = c.transfer_id
WHERE c.transfer_id = @transfer_id
  AND c.position > @after_position
  AND c.position <= @last_position
  AND c.position <> f.position
ORDER BY c.position
LIMIT @row_limit;

-- EventsOfAccounts reads what happened to accounts likewise.
-- name: EventsOfAccounts :many
SELECT sqlc.embed(c), a.currency, a.create_time
FROM account_change AS c
JOIN account AS a ON a.account_id = c.account_id
WHERE c.position > @after_position
  AND c.position <= @last_position
ORDER BY c.position
LIMIT @row_limit;
