-- StatusTotals returns how much there is of each currency and how many accounts it has, its equity
-- account not counted: no more than count_limit are counted, with that one. What all others hold is
-- what the equity account lacks.
-- name: StatusTotals :many
SELECT c.code, c.scale, (-e.balance)::numeric AS amount,
       (SELECT count(*) - 1
        FROM (SELECT a.account_id
              FROM account AS a
              WHERE a.currency = c.code
              ORDER BY a.create_time -- so that no plan looks for them in the table
              LIMIT @count_limit) AS k)::bigint AS counted
FROM currency AS c
JOIN account AS e ON e.account_id = c.equity_account_id
ORDER BY c.code
LIMIT @row_limit;

-- AccountsEstimate returns how many accounts each of some currencies had when the table was last
-- analyzed. A currency that it did not find to be frequent is left out.
-- name: AccountsEstimate :many
SELECT f.code::text AS code, (r.reltuples * f.frequency)::bigint AS account_count
FROM pg_catalog.pg_class AS r
JOIN (SELECT unnest(s.most_common_vals::text::text[]) AS code, unnest(s.most_common_freqs) AS frequency
      FROM pg_catalog.pg_stats AS s
      WHERE s.schemaname = current_schema() AND s.tablename = 'account' AND s.attname = 'currency') AS f
    ON f.code = ANY (@codes::text[])
WHERE r.oid = 'account'::regclass;

-- ProofPut keeps how a proof ended, unless a later one is kept already.
-- name: ProofPut :exec
INSERT INTO last_proof (proof_id, check_time, incremental, broken)
VALUES (1, @check_time, @incremental, @broken)
ON CONFLICT (proof_id) DO UPDATE
SET check_time = excluded.check_time,
    incremental = excluded.incremental,
    broken = excluded.broken
WHERE last_proof.check_time <= excluded.check_time
   OR last_proof.check_time > ledger_now(); -- the clock was set back since

-- ProofGet reads how the last proof ended; no row before the first.
-- name: ProofGet :one
SELECT check_time, incremental, broken
FROM last_proof
WHERE proof_id = 1;

-- ActivityRead counts the transfers that were made within a time, second by second. A transfer that
-- is or was INIT counts by that alone: what moves money for it are transfers of their own.
-- name: ActivityRead :many
SELECT date_bin('1 second', t.create_time, 'epoch')::timestamptz AS second,
       t.deferred,
       (CASE WHEN t.deferred THEN '' ELSE coalesce(t.error_reason, '') END)::text AS reason,
       (CASE WHEN t.status = 'SUCCESS' AND NOT t.deferred THEN t.currency ELSE '' END)::text AS currency,
       count(*) AS transfer_count,
       sum(t.amount)::numeric AS amount
FROM transfer AS t
WHERE t.create_time >= @from_time
  AND t.create_time < @until_time
GROUP BY 1, 2, 3, 4
LIMIT @row_limit;

-- ActivityAhead counts, without the seconds, the transfers that were made from a time on. No more
-- than count_limit are counted, so that it takes no longer however far the clock was set back.
-- name: ActivityAhead :many
SELECT t.deferred,
       (CASE WHEN t.deferred THEN '' ELSE coalesce(t.error_reason, '') END)::text AS reason,
       (CASE WHEN t.status = 'SUCCESS' AND NOT t.deferred THEN t.currency ELSE '' END)::text AS currency,
       count(*) AS transfer_count,
       sum(t.amount)::numeric AS amount
FROM (SELECT a.deferred, a.error_reason, a.status, a.currency, a.amount
      FROM transfer AS a
      WHERE a.create_time >= @from_time
      ORDER BY a.create_time
      LIMIT @count_limit) AS t
GROUP BY 1, 2, 3
LIMIT @row_limit;

-- SearchWords returns the words of a text as the index of names has them.
-- name: SearchWords :one
SELECT tsvector_to_array(search_words(@text))::text[] AS words;

-- SearchCount counts the accounts whose names have the words, a tsquery; no more than row_limit.
-- name: SearchCount :one
SELECT count(*)
FROM (SELECT c.position
      FROM account_change AS c
      JOIN account AS a ON a.account_id = c.account_id AND a.display_name = c.display_name
      WHERE search_words(c.display_name) @@ (@words::text)::tsquery AND c.display_name <> ''
      LIMIT @row_limit) AS k;

-- AccountSearch lists accounts, newest first, before a place in the list, whose names have the
-- words, a tsquery, or whose ids are in a range, with the expired holds as in AccountsGet. It is
-- for words that few have: all of these are read. The index has the names that accounts once had,
-- too.
-- name: AccountSearch :many
SELECT sqlc.embed(a),
       (CASE WHEN a.held > 0
             THEN (SELECT coalesce(sum(d.open_amount), 0)
                   FROM transfer_detail AS d
                   WHERE d.from_account_id = a.account_id AND d.open_amount IS NOT NULL AND d.due_time <= ledger_now())
             ELSE 0 END)::numeric AS expired_held,
       (CASE WHEN a.incoming > 0
             THEN (SELECT coalesce(sum(d.open_amount), 0)
                   FROM transfer_detail AS d
                   WHERE d.to_account_id = a.account_id AND d.open_amount IS NOT NULL AND d.due_time <= ledger_now())
             ELSE 0 END)::numeric AS expired_incoming
FROM (SELECT c.account_id
      FROM account_change AS c
      WHERE search_words(c.display_name) @@ (@words::text)::tsquery AND c.display_name <> ''
      UNION
      SELECT i.account_id
      FROM account AS i
      WHERE i.account_id BETWEEN @first_id AND @last_id) AS k
JOIN account AS a ON a.account_id = k.account_id
WHERE (search_words(a.display_name) @@ (@words::text)::tsquery OR a.account_id BETWEEN @first_id AND @last_id)
  AND (a.create_time, a.account_id) < (@before_time::timestamptz, @before_id::uuid)
  AND (@currency::text = '' OR a.currency = @currency)
  AND (@status::text = '' OR a.status = @status)
ORDER BY a.create_time DESC, a.account_id DESC
LIMIT @row_limit;

-- AccountScan lists the same, for words that many have: it reads the newest accounts until there
-- are enough that have them.
-- name: AccountScan :many
SELECT sqlc.embed(a),
       (CASE WHEN a.held > 0
             THEN (SELECT coalesce(sum(d.open_amount), 0)
                   FROM transfer_detail AS d
                   WHERE d.from_account_id = a.account_id AND d.open_amount IS NOT NULL AND d.due_time <= ledger_now())
             ELSE 0 END)::numeric AS expired_held,
       (CASE WHEN a.incoming > 0
             THEN (SELECT coalesce(sum(d.open_amount), 0)
                   FROM transfer_detail AS d
                   WHERE d.to_account_id = a.account_id AND d.open_amount IS NOT NULL AND d.due_time <= ledger_now())
             ELSE 0 END)::numeric AS expired_incoming
FROM account AS a
WHERE (search_words(a.display_name) @@ (@words::text)::tsquery OR a.account_id BETWEEN @first_id AND @last_id)
  AND (a.create_time, a.account_id) < (@before_time::timestamptz, @before_id::uuid)
  AND (@currency::text = '' OR a.currency = @currency)
  AND (@status::text = '' OR a.status = @status)
ORDER BY a.create_time DESC, a.account_id DESC
LIMIT @row_limit;
