-- AccountsApply takes and gives money: one conditional UPDATE for a whole batch, one row an
-- account. It changes every account or returns fewer rows than it was given; then the caller rolls
-- back and decides transfer by transfer.
--
-- now is the clock as it is: earlier than update_time when the clock was set back.
--
-- No row is read first: the conditions are checked on the newest version of each row, under the row
-- lock that the UPDATE takes. The writers' connections allow only plans that visit accounts in the
-- order of account_id (see WriterSettings), so batches of several instances cannot deadlock.
-- name: AccountsApply :many
UPDATE account AS a
SET balance = a.balance + m.delta,
    entry_count = a.entry_count + m.moves,
    version = a.version + m.moves,
    -- Never before the account's last movement, even when the clock was set back.
    update_time = greatest(a.update_time, ledger_now())
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id,
             unnest(@deltas::numeric[]) AS delta,
             unnest(@debits::numeric[]) AS debits,
             unnest(@moves::bigint[]) AS moves) AS m
WHERE a.account_id = m.account_id
  AND a.status = 'OPEN'
  -- What an account with more rules allows is decided in order.
  AND a.policy IS NULL
  AND a.max_balance IS NULL
  -- The worst case: all debits of the batch and none of its credits. An account that passes needs
  -- no order. One that a forced reversal brought below its floor may still be paid.
  AND (m.debits <= 0 OR a.min_balance IS NULL OR a.balance - a.held - m.debits >= a.min_balance)
  -- A transfer that is there already must not move money again.
  AND NOT EXISTS (SELECT FROM transfer AS t WHERE t.transfer_id = ANY (@known_ids::uuid[]))
RETURNING a.account_id, a.currency, a.balance, a.held, a.min_balance, a.status, a.entry_count, a.update_time,
          ledger_now() AS now;

-- AccountsAdvance brings accounts, whose row locks are held, to the time of their last movement.
-- name: AccountsAdvance :exec
UPDATE account
SET update_time = @update_time
WHERE account_id = ANY (@account_ids::uuid[])
  AND update_time < @update_time;

-- AccountsLock locks accounts in the order of their ids and reads what a decision needs. It joins,
-- as AccountsApply does: for = ANY the planner may take an index whose second column is the id, and
-- read all of it.
-- name: AccountsLock :many
SELECT a.account_id, a.currency, a.balance, a.held, a.incoming, a.min_balance, a.max_balance, a.policy,
       a.status, a.entry_count, a.version, a.update_time
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id) AS m
JOIN account AS a ON a.account_id = m.account_id
ORDER BY a.account_id
FOR NO KEY UPDATE OF a;

-- AccountsPeek reads the same without locks, to say what would happen.
-- name: AccountsPeek :many
SELECT a.account_id, a.currency, a.balance, a.held, a.incoming, a.min_balance, a.max_balance, a.policy,
       a.status, a.entry_count, a.version, a.update_time
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id) AS m
JOIN account AS a ON a.account_id = m.account_id
ORDER BY a.account_id;

-- AccountsSettle changes accounts, whose row locks are held, as was decided. An account that is not
-- as it was when it was locked is left out, and the caller rolls back. An empty text stands for
-- NULL.
-- name: AccountsSettle :many
UPDATE account AS a
SET balance = a.balance + m.delta,
    held = a.held + m.held_delta,
    incoming = a.incoming + m.incoming_delta,
    forced_floor = nullif(m.forced_floor, '')::numeric,
    entry_count = a.entry_count + m.moves,
    version = a.version + m.changes,
    update_time = greatest(a.update_time, @decided_at)
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id,
             unnest(@versions::bigint[]) AS version,
             unnest(@deltas::numeric[]) AS delta,
             unnest(@held_deltas::numeric[]) AS held_delta,
             unnest(@incoming_deltas::numeric[]) AS incoming_delta,
             unnest(@forced_floors::text[]) AS forced_floor,
             unnest(@moves::bigint[]) AS moves,
             unnest(@changes::bigint[]) AS changes) AS m
WHERE a.account_id = m.account_id
  AND a.version = m.version
RETURNING a.account_id, a.balance, a.held, a.incoming, a.entry_count;

-- AccountsInsert opens accounts with their opening balance and returns those that were not there
-- before. The rows go in by id, so that two batches that open the same accounts cannot deadlock.
-- Empty texts stand for NULL.
-- name: AccountsInsert :many
INSERT INTO account (account_id, currency, balance, min_balance, max_balance, policy, version, entry_count, create_time, update_time,
                     display_name, image_url, metadata, create_fingerprint)
SELECT n.account_id, n.currency, n.balance, n.min_balance, nullif(n.max_balance, '')::numeric,
       nullif(n.policy, '')::jsonb, 1 + n.entry_count, n.entry_count, t.now, t.now,
       n.display_name, n.image_url, n.metadata, n.fingerprint
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id,
             unnest(@currencies::text[]) AS currency,
             unnest(@balances::numeric[]) AS balance,
             unnest(@min_balances::numeric[]) AS min_balance,
             unnest(@max_balances::text[]) AS max_balance,
             unnest(@policies::text[]) AS policy,
             unnest(@entry_counts::bigint[]) AS entry_count,
             unnest(@display_names::text[]) AS display_name,
             unnest(@image_urls::text[]) AS image_url,
             unnest(@metadatas::jsonb[]) AS metadata,
             unnest(@fingerprints::bytea[]) AS fingerprint) AS n,
     (SELECT ledger_now() AS now) AS t
ORDER BY n.account_id
ON CONFLICT (account_id) DO NOTHING
RETURNING account_id, create_time;

-- EquityInsert opens a currency's equity account, which alone has no floor.
-- name: EquityInsert :exec
INSERT INTO account (account_id, currency, is_equity, display_name, create_fingerprint)
VALUES (@account_id, @currency, true, @display_name, '');

-- AccountsGet reads accounts, in no order, and how much of held and incoming is of holds that have
-- expired since: nobody need have settled them.
-- name: AccountsGet :many
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
WHERE a.account_id = ANY (@account_ids::uuid[]);

-- AccountGetForUpdate locks one account and reads all of it, with the expired holds as in
-- AccountsGet.
-- name: AccountGetForUpdate :one
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
WHERE a.account_id = @account_id
FOR NO KEY UPDATE OF a;

-- AccountUpdate changes what is not money. The caller holds the row's lock.
-- name: AccountUpdate :one
UPDATE account
SET display_name = @display_name,
    image_url = @image_url,
    metadata = @metadata,
    min_balance = sqlc.narg('min_balance'),
    max_balance = sqlc.narg('max_balance'),
    policy = sqlc.narg('policy'),
    status = @status,
    version = version + 1,
    update_time = greatest(update_time, ledger_now())
WHERE account_id = @account_id
RETURNING version, update_time;

-- AccountList lists accounts, newest first, before a place in the list, with the expired holds as
-- in AccountsGet.
-- name: AccountList :many
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
WHERE (a.create_time, a.account_id) < (@before_time::timestamptz, @before_id::uuid)
  AND (@currency::text = '' OR a.currency = @currency)
  AND (@status::text = '' OR a.status = @status)
ORDER BY a.create_time DESC, a.account_id DESC
LIMIT @row_limit;
