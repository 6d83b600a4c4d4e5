-- TransfersInsert writes the ledger rows of a batch. Their positions are in the order of decision; the rows go in by id,
-- so that two batches that have the same ids cannot deadlock where no account's lock stands before that (a refusal for
-- want of an account). Empty texts and zero numbers stand for NULL, because an array parameter cannot say NULL.
-- name: TransfersInsert :exec
INSERT INTO transfer (transfer_id, position, from_account_id, to_account_id, amount, currency, asked_currency, status,
                      error_reason, from_balance, to_balance, from_sequence, to_sequence, create_time, update_time,
                      reference, metadata)
OVERRIDING SYSTEM VALUE
SELECT n.transfer_id, n.position, n.from_account_id, n.to_account_id, n.amount, n.currency, n.asked_currency, n.status,
       nullif(n.error_reason, ''), nullif(n.from_balance, '')::numeric, nullif(n.to_balance, '')::numeric,
       nullif(n.from_sequence, 0), nullif(n.to_sequence, 0), @create_time, @create_time, n.reference, n.metadata
FROM (SELECT nextval('transfer_position_seq') AS position,
             unnest(@transfer_ids::uuid[]) AS transfer_id,
             unnest(@from_account_ids::uuid[]) AS from_account_id,
             unnest(@to_account_ids::uuid[]) AS to_account_id,
             unnest(@amounts::numeric[]) AS amount,
             unnest(@currencies::text[]) AS currency,
             unnest(@asked_currencies::text[]) AS asked_currency,
             unnest(@statuses::text[]) AS status,
             unnest(@error_reasons::text[]) AS error_reason,
             unnest(@from_balances::text[]) AS from_balance,
             unnest(@to_balances::text[]) AS to_balance,
             unnest(@from_sequences::bigint[]) AS from_sequence,
             unnest(@to_sequences::bigint[]) AS to_sequence,
             unnest(@reference_texts::text[]) AS reference,
             unnest(@metadatas::jsonb[]) AS metadata) AS n
ORDER BY n.transfer_id;

-- TransfersGet reads transfers, in no order.
-- name: TransfersGet :many
SELECT sqlc.embed(transfer)
FROM transfer
WHERE transfer_id = ANY (@transfer_ids::uuid[]);

-- TransferList lists all transfers, newest first, before a place in the list.
-- name: TransferList :many
SELECT sqlc.embed(transfer)
FROM transfer
WHERE (create_time, position) < (@before_time::timestamptz, @before_position::bigint)
  AND create_time >= @start_time
  AND (@status::text = '' OR status = @status)
  AND (@currency::text = '' OR currency = @currency)
ORDER BY create_time DESC, position DESC
LIMIT @row_limit;

-- TransferListByReference lists the transfers with one reference, newest first, before a place in the list. The
-- reference is never empty; saying so lets the partial index serve.
-- name: TransferListByReference :many
SELECT sqlc.embed(transfer)
FROM transfer
WHERE reference = @reference
  AND reference <> ''
  AND (create_time, position) < (@before_time::timestamptz, @before_position::bigint)
  AND create_time >= @start_time
  AND (@any_account::boolean OR from_account_id = @account_id OR to_account_id = @account_id)
  AND (@status::text = '' OR status = @status)
  AND (@currency::text = '' OR currency = @currency)
ORDER BY create_time DESC, position DESC
LIMIT @row_limit;

-- TransferListByAccount lists the transfers from or to one account, newest first, before a place in the list. Each side
-- is read in order by its own index, never more rows than the page has; an OR of the two would sort all of them.
-- name: TransferListByAccount :many
SELECT sqlc.embed(transfer)
FROM ((SELECT f.transfer_id
       FROM transfer AS f
       WHERE f.from_account_id = @account_id
         AND (f.create_time, f.position) < (@before_time::timestamptz, @before_position::bigint)
         AND f.create_time >= @start_time
         AND (@status::text = '' OR f.status = @status)
         AND (@currency::text = '' OR f.currency = @currency)
       ORDER BY f.create_time DESC, f.position DESC
       LIMIT @row_limit)
      UNION ALL
      (SELECT t.transfer_id
       FROM transfer AS t
       WHERE t.to_account_id = @account_id
         AND (t.create_time, t.position) < (@before_time::timestamptz, @before_position::bigint)
         AND t.create_time >= @start_time
         AND (@status::text = '' OR t.status = @status)
         AND (@currency::text = '' OR t.currency = @currency)
       ORDER BY t.create_time DESC, t.position DESC
       LIMIT @row_limit)) AS k
JOIN transfer ON transfer.transfer_id = k.transfer_id
ORDER BY transfer.create_time DESC, transfer.position DESC
LIMIT @row_limit;
