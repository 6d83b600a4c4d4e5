-- TransfersInsert writes the ledger rows of a batch. Their positions are in the order of decision;
-- the rows go in by id, so that two batches that have the same ids cannot deadlock where no
-- account's lock stands before that (a refusal for want of an account). Empty texts and zero
-- numbers stand for NULL, because an array parameter cannot say NULL; a zero position stands for
-- the next.
--
-- It fails (division_by_zero) unless every row was inserted: somebody's trigger or rule may drop
-- rows, whose money has moved already. The COMMIT travels with this statement, so that it is too
-- late to count the rows afterwards.
-- name: TransfersInsert :exec
WITH inserted AS (
INSERT INTO transfer (transfer_id, position, from_account_id, to_account_id, amount, currency, asked_currency, status,
                      deferred, error_reason, from_balance, to_balance, from_sequence, to_sequence, create_time,
                      update_time, reference, metadata)
OVERRIDING SYSTEM VALUE
SELECT n.transfer_id, n.position, n.from_account_id, n.to_account_id, n.amount, n.currency, n.asked_currency, n.status,
       n.status = 'INIT',
       nullif(n.error_reason, ''), nullif(n.from_balance, '')::numeric, nullif(n.to_balance, '')::numeric,
       nullif(n.from_sequence, 0), nullif(n.to_sequence, 0), @create_time, @create_time, n.reference, n.metadata
FROM (SELECT CASE WHEN r.place = 0 THEN nextval('transfer_position_seq') ELSE r.place END AS position,
             r.transfer_id, r.from_account_id, r.to_account_id, r.amount, r.currency, r.asked_currency, r.status,
             r.error_reason, r.from_balance, r.to_balance, r.from_sequence, r.to_sequence, r.reference, r.metadata
      FROM (SELECT unnest(@positions::bigint[]) AS place,
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
                   unnest(@metadatas::jsonb[]) AS metadata) AS r) AS n
ORDER BY n.transfer_id
RETURNING 1)
SELECT 1 / (count(*) = cardinality(@transfer_ids::uuid[]))::integer
FROM inserted;

-- TransferDetailsInsert writes what else there is of some of these rows. Empty texts and, for
-- due_time and effective_time, the time 0001-01-01 stand for NULL.
-- name: TransferDetailsInsert :execrows
INSERT INTO transfer_detail (transfer_id, kind, from_account_id, to_account_id, due_time, open_amount, posted_amount,
                             parent_id, group_id, effective_time, asked_amount, up_to_floor, request_fingerprint,
                             refusal)
SELECT n.transfer_id, n.kind, nullif(n.from_account_id, '')::uuid, nullif(n.to_account_id, '')::uuid,
       nullif(n.due_time, '0001-01-01 00:00:00Z'), nullif(n.open_amount, '')::numeric,
       nullif(n.posted_amount, '')::numeric, nullif(n.parent_id, '')::uuid, nullif(n.group_id, '')::uuid,
       nullif(n.effective_time, '0001-01-01 00:00:00Z'), nullif(n.asked_amount, '')::numeric,
       nullif(n.up_to_floor, '')::numeric, nullif(n.request_fingerprint, ''), nullif(n.refusal, '')::jsonb
FROM (SELECT unnest(@transfer_ids::uuid[]) AS transfer_id,
             unnest(@kinds::text[]) AS kind,
             unnest(@from_accounts::text[]) AS from_account_id,
             unnest(@to_accounts::text[]) AS to_account_id,
             unnest(@due_times::timestamptz[]) AS due_time,
             unnest(@open_amounts::text[]) AS open_amount,
             unnest(@posted_amounts::text[]) AS posted_amount,
             unnest(@parents::text[]) AS parent_id,
             unnest(@groups::text[]) AS group_id,
             unnest(@effective_times::timestamptz[]) AS effective_time,
             unnest(@asked_amounts::text[]) AS asked_amount,
             unnest(@up_to_floors::text[]) AS up_to_floor,
             unnest(@request_fingerprints::bytea[]) AS request_fingerprint,
             unnest(@refusals::text[]) AS refusal) AS n
ORDER BY n.transfer_id;

-- TransfersAdvance changes transfers that are INIT, whose accounts' row locks are held: none of
-- them is final yet. It returns fewer rows than it was given when that is not so; then the caller
-- rolls back.
-- name: TransfersAdvance :many
UPDATE transfer AS t
SET status = n.status,
    error_reason = nullif(n.error_reason, ''),
    from_balance = n.from_balance,
    to_balance = n.to_balance,
    version = n.version,
    update_time = greatest(t.update_time, @decided_at)
FROM (SELECT unnest(@transfer_ids::uuid[]) AS transfer_id,
             unnest(@statuses::text[]) AS status,
             unnest(@error_reasons::text[]) AS error_reason,
             unnest(@from_balances::numeric[]) AS from_balance,
             unnest(@to_balances::numeric[]) AS to_balance,
             unnest(@versions::int[]) AS version) AS n
WHERE t.transfer_id = n.transfer_id
  AND t.status = 'INIT'
RETURNING t.transfer_id;

-- TransferDetailsAdvance changes the details of transfers, whose accounts' row locks are held.
-- Empty texts stand for NULL.
-- name: TransferDetailsAdvance :execrows
UPDATE transfer_detail AS d
SET open_amount = nullif(n.open_amount, '')::numeric,
    posted_amount = nullif(n.posted_amount, '')::numeric,
    reversed_amount = nullif(n.reversed_amount, '')::numeric,
    refusal = nullif(n.refusal, '')::jsonb
FROM (SELECT unnest(@transfer_ids::uuid[]) AS transfer_id,
             unnest(@open_amounts::text[]) AS open_amount,
             unnest(@posted_amounts::text[]) AS posted_amount,
             unnest(@reversed_amounts::text[]) AS reversed_amount,
             unnest(@refusals::text[]) AS refusal) AS n
WHERE d.transfer_id = n.transfer_id;

-- TransfersReversed gives plain transfers, which have no details until then, what was reversed of
-- them.
-- name: TransfersReversed :execrows
INSERT INTO transfer_detail (transfer_id, kind, reversed_amount)
SELECT n.transfer_id, 'TRANSFER', n.reversed_amount
FROM (SELECT unnest(@transfer_ids::uuid[]) AS transfer_id,
             unnest(@reversed_amounts::numeric[]) AS reversed_amount) AS n
ORDER BY n.transfer_id;

-- HoldsDue reads the holds from or to accounts that have expired by a time and nobody has settled:
-- of each side of each account at most so many, the longest expired.
-- name: HoldsDue :many
SELECT d.transfer_id, d.from_account_id, d.to_account_id
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id) AS m
CROSS JOIN LATERAL (SELECT f.transfer_id, f.from_account_id, f.to_account_id
                    FROM transfer_detail AS f
                    WHERE f.from_account_id = m.account_id AND f.open_amount IS NOT NULL AND f.kind = 'HOLD'
                      AND f.due_time <= @now::timestamptz
                    ORDER BY f.due_time
                    LIMIT @row_limit) AS d
UNION
SELECT d.transfer_id, d.from_account_id, d.to_account_id
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id) AS m
CROSS JOIN LATERAL (SELECT t.transfer_id, t.from_account_id, t.to_account_id
                    FROM transfer_detail AS t
                    WHERE t.to_account_id = m.account_id AND t.open_amount IS NOT NULL AND t.kind = 'HOLD'
                      AND t.due_time <= @now::timestamptz
                    ORDER BY t.due_time
                    LIMIT @row_limit) AS d
ORDER BY transfer_id;

-- UsageGet sums what accounts paid since a time each, as rolling limits count it: a hold counts
-- when it is made, less what was released; a scheduled transfer when it is executed; captures and
-- reversals do not count.
-- name: UsageGet :many
SELECT w.ordinal::bigint AS ordinal, u.amount::numeric AS amount, u.count::bigint AS count
FROM (SELECT unnest(@ordinals::bigint[]) AS ordinal,
             unnest(@account_ids::uuid[]) AS account_id,
             unnest(@since::timestamptz[]) AS since) AS w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.paid), 0)::numeric AS amount, count(*) AS count
    FROM (SELECT CASE WHEN d.kind = 'HOLD' THEN d.posted_amount + coalesce(d.open_amount, 0) ELSE t.amount END AS paid
          FROM transfer AS t
          LEFT JOIN transfer_detail AS d ON d.transfer_id = t.transfer_id
          WHERE t.from_account_id = w.account_id
            AND t.create_time > w.since
            AND (d.kind IS NULL OR d.kind IN ('TRANSFER', 'EXECUTION', 'HOLD'))
            AND (t.status = 'SUCCESS' OR d.kind = 'HOLD')) AS p
    WHERE p.paid > 0) AS u;

-- TransfersGet reads transfers, in no order.
-- name: TransfersGet :many
SELECT sqlc.embed(transfer_full)
FROM transfer_full
WHERE transfer_id = ANY (@transfer_ids::uuid[]);

-- TransferList lists all transfers, newest first, before a place in the list.
-- name: TransferList :many
SELECT sqlc.embed(transfer_full)
FROM transfer_full
WHERE (create_time, position) < (@before_time::timestamptz, @before_position::bigint)
  AND create_time >= @start_time
  AND (@status::text = '' OR status = @status)
  AND (@currency::text = '' OR currency = @currency)
ORDER BY create_time DESC, position DESC
LIMIT @row_limit;

-- TransferListByReference lists the transfers with one reference, newest first, before a place in
-- the list. The reference is never empty; saying so lets the partial index serve.
-- name: TransferListByReference :many
SELECT sqlc.embed(transfer_full)
FROM transfer_full
WHERE reference = @reference
  AND reference <> ''
  AND (create_time, position) < (@before_time::timestamptz, @before_position::bigint)
  AND create_time >= @start_time
  AND (@any_account::boolean OR from_account_id = @account_id OR to_account_id = @account_id)
  AND (@status::text = '' OR status = @status)
  AND (@currency::text = '' OR currency = @currency)
ORDER BY create_time DESC, position DESC
LIMIT @row_limit;

-- TransferListByAccount lists the transfers from or to one account, newest first, before a place in
-- the list. Each side is read in order by its own index, never more rows than the page has; an OR
-- of the two would sort all of them.
-- name: TransferListByAccount :many
SELECT sqlc.embed(transfer_full)
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
JOIN transfer_full ON transfer_full.transfer_id = k.transfer_id
ORDER BY transfer_full.create_time DESC, transfer_full.position DESC
LIMIT @row_limit;

-- TransferListByGroup lists the transfers of a group, newest first, before a place in the list.
-- name: TransferListByGroup :many
SELECT sqlc.embed(transfer_full)
FROM transfer_full
WHERE group_id = @group_id::uuid
  AND (create_time, position) < (@before_time::timestamptz, @before_position::bigint)
  AND (@status::text = '' OR status = @status)
ORDER BY create_time DESC, position DESC
LIMIT @row_limit;

-- TransferListByParent lists the captures, execution or reversals of a transfer, newest first,
-- before a place in the list.
-- name: TransferListByParent :many
SELECT sqlc.embed(transfer_full)
FROM transfer_full
WHERE parent_id = @parent_id::uuid
  AND (create_time, position) < (@before_time::timestamptz, @before_position::bigint)
  AND (@status::text = '' OR status = @status)
ORDER BY create_time DESC, position DESC
LIMIT @row_limit;
