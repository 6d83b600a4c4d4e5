-- EntryBefore reads the newest entry of an account before a moment, among its first ones; no row:
-- there is none. Each side is one probe of its index.
-- name: EntryBefore :many
SELECT e.sequence::bigint AS sequence, e.balance::numeric AS balance
FROM ((SELECT f.from_sequence AS sequence, f.from_balance AS balance
       FROM transfer AS f
       WHERE f.from_account_id = @account_id
         AND f.from_sequence <= @position::bigint
         AND f.create_time < @before_time::timestamptz
       ORDER BY f.create_time DESC, f.position DESC
       LIMIT 1)
      UNION ALL
      (SELECT t.to_sequence AS sequence, t.to_balance AS balance
       FROM transfer AS t
       WHERE t.to_account_id = @account_id
         AND t.to_sequence <= @position::bigint
         AND t.create_time < @before_time::timestamptz
       ORDER BY t.create_time DESC, t.position DESC
       LIMIT 1)) AS e
ORDER BY e.sequence DESC
LIMIT 1;

-- LastEntryTime is when the newest entry of an account was made, or update_time if that is later.
-- The row's update_time may be some microseconds before its newest entry: each account of a batch
-- has the time at which it was changed itself, and the batch's transfers have the latest of these.
-- name: LastEntryTime :one
SELECT greatest(
    @update_time::timestamptz,
    (SELECT f.create_time
     FROM transfer AS f
     WHERE f.from_account_id = @account_id AND f.from_sequence IS NOT NULL
     ORDER BY f.create_time DESC, f.position DESC
     LIMIT 1),
    (SELECT t.create_time
     FROM transfer AS t
     WHERE t.to_account_id = @account_id AND t.to_sequence IS NOT NULL
     ORDER BY t.create_time DESC, t.position DESC
     LIMIT 1))::timestamptz AS last_time;

-- HoldsAt sums what holds from and to an account reserved at a moment. A hold was open from when it
-- was made until it expired or became final, and reserved its amount less what had been captured by
-- then. None has expired before the clock says so: it is behind the moment when it was set back.
-- name: HoldsAt :one
SELECT (SELECT coalesce(sum(t.amount - CASE WHEN d.posted_amount > 0
                 THEN (SELECT coalesce(sum(c.amount), 0)
                       FROM transfer_detail AS k
                       JOIN transfer AS c ON c.transfer_id = k.transfer_id
                       WHERE k.parent_id = d.transfer_id AND c.from_sequence IS NOT NULL AND c.create_time <= @as_of)
                 ELSE 0 END), 0)
        FROM transfer_detail AS d
        JOIN transfer AS t ON t.transfer_id = d.transfer_id
        WHERE d.from_account_id = @account_id AND d.kind = 'HOLD'
          AND t.create_time <= @as_of AND (d.due_time IS NULL OR d.due_time > least(@as_of, @clock::timestamptz))
          AND (t.status = 'INIT' OR t.update_time > @as_of))::numeric AS held,
       (SELECT coalesce(sum(t.amount - CASE WHEN d.posted_amount > 0
                 THEN (SELECT coalesce(sum(c.amount), 0)
                       FROM transfer_detail AS k
                       JOIN transfer AS c ON c.transfer_id = k.transfer_id
                       WHERE k.parent_id = d.transfer_id AND c.from_sequence IS NOT NULL AND c.create_time <= @as_of)
                 ELSE 0 END), 0)
        FROM transfer_detail AS d
        JOIN transfer AS t ON t.transfer_id = d.transfer_id
        WHERE d.to_account_id = @account_id AND d.kind = 'HOLD'
          AND t.create_time <= @as_of AND (d.due_time IS NULL OR d.due_time > least(@as_of, @clock::timestamptz))
          AND (t.status = 'INIT' OR t.update_time > @as_of))::numeric AS incoming;

-- TotalsByCreateTime sums an account's entries of a period, among its first ones.
-- name: TotalsByCreateTime :one
SELECT coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0)::numeric AS credits,
       coalesce(-sum(e.amount) FILTER (WHERE e.amount < 0), 0)::numeric AS debits,
       count(*) AS entries
FROM (SELECT -f.amount AS amount
      FROM transfer AS f
      WHERE f.from_account_id = @account_id
        AND f.from_sequence <= @position::bigint
        AND f.create_time >= @start_time::timestamptz
        AND f.create_time < @end_time::timestamptz
      UNION ALL
      SELECT t.amount
      FROM transfer AS t
      WHERE t.to_account_id = @account_id
        AND t.to_sequence <= @position::bigint
        AND t.create_time >= @start_time::timestamptz
        AND t.create_time < @end_time::timestamptz) AS e;

-- TotalsByEffectiveTime does the same by effective time: entries without one are those of
-- TotalsByCreateTime, the others have an index of their own. backdated is the sum of those that
-- count before the period but were made within or after it: no entry counts later than it was made,
-- so with the balance when the period began that is the opening balance.
-- name: TotalsByEffectiveTime :one
SELECT coalesce(sum(e.amount) FILTER (WHERE e.amount > 0), 0)::numeric AS credits,
       coalesce(-sum(e.amount) FILTER (WHERE e.amount < 0), 0)::numeric AS debits,
       count(*) AS entries,
       ((SELECT coalesce(sum(b.amount), 0)
         FROM transfer_detail AS c
         JOIN transfer AS b ON b.transfer_id = c.transfer_id
         WHERE c.to_account_id = @account_id AND c.effective_time < @start_time::timestamptz
           AND b.to_sequence <= @position::bigint AND b.create_time >= @start_time::timestamptz)
        - (SELECT coalesce(sum(b.amount), 0)
           FROM transfer_detail AS c
           JOIN transfer AS b ON b.transfer_id = c.transfer_id
           WHERE c.from_account_id = @account_id AND c.effective_time < @start_time::timestamptz
             AND b.from_sequence <= @position::bigint AND b.create_time >= @start_time::timestamptz))::numeric AS backdated
FROM (SELECT -f.amount AS amount
      FROM transfer AS f
      LEFT JOIN transfer_detail AS d ON d.transfer_id = f.transfer_id
      WHERE f.from_account_id = @account_id
        AND f.from_sequence <= @position::bigint
        AND f.create_time >= @start_time::timestamptz
        AND f.create_time < @end_time::timestamptz
        AND d.effective_time IS NULL
      UNION ALL
      SELECT t.amount
      FROM transfer AS t
      LEFT JOIN transfer_detail AS d ON d.transfer_id = t.transfer_id
      WHERE t.to_account_id = @account_id
        AND t.to_sequence <= @position::bigint
        AND t.create_time >= @start_time::timestamptz
        AND t.create_time < @end_time::timestamptz
        AND d.effective_time IS NULL
      UNION ALL
      SELECT -f.amount
      FROM transfer_detail AS d
      JOIN transfer AS f ON f.transfer_id = d.transfer_id
      WHERE d.from_account_id = @account_id
        AND d.effective_time >= @start_time::timestamptz
        AND d.effective_time < @end_time::timestamptz
        AND f.from_sequence <= @position::bigint
      UNION ALL
      SELECT t.amount
      FROM transfer_detail AS d
      JOIN transfer AS t ON t.transfer_id = d.transfer_id
      WHERE d.to_account_id = @account_id
        AND d.effective_time >= @start_time::timestamptz
        AND d.effective_time < @end_time::timestamptz
        AND t.to_sequence <= @position::bigint) AS e;

-- EntriesByCreateTime lists the entries of a period, among an account's first ones, after a place
-- in the list. Along an account sequences are in the order of positions, so each side is read in
-- order by its index; what is read of the place's own moment and skipped is at most one batch.
-- name: EntriesByCreateTime :many
SELECT e.transfer_id, e.counterparty_id, e.amount::numeric AS amount, e.balance::numeric AS balance,
       e.sequence::bigint AS sequence, e.reference, e.create_time, d.effective_time
FROM ((SELECT f.transfer_id, f.to_account_id AS counterparty_id, -f.amount AS amount, f.from_balance AS balance,
              f.from_sequence AS sequence, f.reference, f.create_time
       FROM transfer AS f
       WHERE f.from_account_id = @account_id
         AND f.from_sequence <= @position::bigint
         AND (f.create_time, f.from_sequence) > (@after_time::timestamptz, @after_sequence::bigint)
         AND f.create_time < @end_time::timestamptz
       ORDER BY f.create_time, f.position
       LIMIT @row_limit)
      UNION ALL
      (SELECT t.transfer_id, t.from_account_id AS counterparty_id, t.amount, t.to_balance AS balance,
              t.to_sequence AS sequence, t.reference, t.create_time
       FROM transfer AS t
       WHERE t.to_account_id = @account_id
         AND t.to_sequence <= @position::bigint
         AND (t.create_time, t.to_sequence) > (@after_time::timestamptz, @after_sequence::bigint)
         AND t.create_time < @end_time::timestamptz
       ORDER BY t.create_time, t.position
       LIMIT @row_limit)) AS e
LEFT JOIN transfer_detail AS d ON d.transfer_id = e.transfer_id
ORDER BY e.sequence
LIMIT @row_limit;

-- EntriesByEffectiveTime lists those entries of a period that have an effective time, in its order,
-- likewise.
-- name: EntriesByEffectiveTime :many
SELECT e.transfer_id, e.counterparty_id, e.amount::numeric AS amount, e.balance::numeric AS balance,
       e.sequence::bigint AS sequence, e.reference, e.create_time, e.effective_time
FROM ((SELECT f.transfer_id, f.to_account_id AS counterparty_id, -f.amount AS amount, f.from_balance AS balance,
              f.from_sequence AS sequence, f.reference, f.create_time, d.effective_time
       FROM transfer_detail AS d
       JOIN transfer AS f ON f.transfer_id = d.transfer_id
       WHERE d.from_account_id = @account_id
         AND d.effective_time >= @after_time::timestamptz
         AND (d.effective_time, f.from_sequence) > (@after_time::timestamptz, @after_sequence::bigint)
         AND d.effective_time < @end_time::timestamptz
         AND f.from_sequence <= @position::bigint
       ORDER BY d.effective_time, f.from_sequence
       LIMIT @row_limit)
      UNION ALL
      (SELECT t.transfer_id, t.from_account_id AS counterparty_id, t.amount, t.to_balance AS balance,
              t.to_sequence AS sequence, t.reference, t.create_time, d.effective_time
       FROM transfer_detail AS d
       JOIN transfer AS t ON t.transfer_id = d.transfer_id
       WHERE d.to_account_id = @account_id
         AND d.effective_time >= @after_time::timestamptz
         AND (d.effective_time, t.to_sequence) > (@after_time::timestamptz, @after_sequence::bigint)
         AND d.effective_time < @end_time::timestamptz
         AND t.to_sequence <= @position::bigint
       ORDER BY d.effective_time, t.to_sequence
       LIMIT @row_limit)) AS e
ORDER BY e.effective_time, e.sequence
LIMIT @row_limit;
