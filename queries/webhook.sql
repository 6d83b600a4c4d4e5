-- WebhookInsert adds an endpoint, unless its id is taken or there are too many: then it adds no
-- row.
-- name: WebhookInsert :execrows
INSERT INTO webhook_endpoint (endpoint_id, url, description, filter, secret, cursor_position, create_time, update_time,
                              create_fingerprint)
SELECT @endpoint_id, @url, @description, @filter, @secret::bytea, @cursor_position, n.now, n.now, @fingerprint
FROM (SELECT ledger_now() AS now) AS n
WHERE (SELECT count(*) FROM webhook_endpoint WHERE status <> 'DELETED') < @endpoints_max::bigint
ON CONFLICT (endpoint_id) DO NOTHING;

-- WebhookGet reads one endpoint, and how many deliveries are pending and dead.
-- name: WebhookGet :one
SELECT sqlc.embed(webhook_endpoint),
       (SELECT count(*) FROM webhook_delivery AS p
        WHERE p.endpoint_id = webhook_endpoint.endpoint_id AND p.status = 'PENDING') AS pending_count,
       (SELECT count(*) FROM webhook_delivery AS d
        WHERE d.endpoint_id = webhook_endpoint.endpoint_id AND d.status = 'DEAD') AS dead_count,
       coalesce(old_secret_expire_time > ledger_now(), false)::boolean AS overlaps
FROM webhook_endpoint
WHERE webhook_endpoint.endpoint_id = @endpoint_id;

-- WebhookLock locks one endpoint and returns its status. Who records deliveries is waited for.
-- name: WebhookLock :one
SELECT status
FROM webhook_endpoint
WHERE endpoint_id = @endpoint_id
FOR NO KEY UPDATE;

-- WebhookList lists endpoints that are not deleted, newest first, before a place in the list.
-- name: WebhookList :many
SELECT sqlc.embed(webhook_endpoint),
       (SELECT count(*) FROM webhook_delivery AS p
        WHERE p.endpoint_id = webhook_endpoint.endpoint_id AND p.status = 'PENDING') AS pending_count,
       (SELECT count(*) FROM webhook_delivery AS d
        WHERE d.endpoint_id = webhook_endpoint.endpoint_id AND d.status = 'DEAD') AS dead_count,
       coalesce(old_secret_expire_time > ledger_now(), false)::boolean AS overlaps
FROM webhook_endpoint
WHERE (create_time, endpoint_id) < (@before_time::timestamptz, @before_id::uuid)
  AND status <> 'DELETED'
ORDER BY create_time DESC, endpoint_id DESC
LIMIT @row_limit;

-- WebhookUpdate changes an endpoint whose row lock is held, unless it is so already. Nobody holds
-- one that is disabled.
-- name: WebhookUpdate :exec
UPDATE webhook_endpoint
SET url = @url,
    description = @description,
    filter = @filter,
    status = @status,
    version = version + 1,
    holder = CASE WHEN @status = 'ENABLED' THEN holder END,
    lease_expire_time = CASE WHEN @status = 'ENABLED' THEN lease_expire_time END,
    update_time = greatest(update_time, ledger_now())
WHERE endpoint_id = @endpoint_id
  AND (url, description, filter, status) IS DISTINCT FROM (@url, @description, @filter, @status);

-- WebhookDelete ends an endpoint for good, and forgets its secrets.
-- name: WebhookDelete :exec
UPDATE webhook_endpoint
SET status = 'DELETED',
    secret = NULL,
    old_secret = NULL,
    old_secret_expire_time = NULL,
    version = version + 1,
    holder = NULL,
    lease_expire_time = NULL,
    update_time = greatest(update_time, ledger_now())
WHERE endpoint_id = @endpoint_id
  AND status <> 'DELETED';

-- WebhookRotate gives an endpoint a new secret, and keeps the old one for a while, or not at all.
-- name: WebhookRotate :exec
UPDATE webhook_endpoint
SET secret = @secret::bytea,
    old_secret = CASE WHEN @keep_old::boolean THEN secret END,
    old_secret_expire_time = CASE WHEN @keep_old::boolean THEN ledger_now() + @overlap_time::interval END,
    update_time = greatest(update_time, ledger_now())
WHERE endpoint_id = @endpoint_id;

-- WebhooksRenew renews those leases of a holder that end soon, and shortens any that end later than
-- a lease can, because the clock was set back: else others would wait for a holder that died as
-- long as it was set back. A row that is locked is just being renewed by who records its
-- deliveries, or changed by a call.
-- name: WebhooksRenew :exec
UPDATE webhook_endpoint AS e
SET lease_expire_time = ledger_now() + @lease::interval
FROM (SELECT w.endpoint_id
      FROM webhook_endpoint AS w
      WHERE w.status = 'ENABLED'
        AND ((w.holder = @holder::uuid AND w.lease_expire_time < ledger_now() + @renew_before::interval)
             OR w.lease_expire_time > ledger_now() + @lease::interval)
      FOR NO KEY UPDATE SKIP LOCKED) AS k
WHERE e.endpoint_id = k.endpoint_id;

-- WebhooksClaim leases endpoints that nobody holds, or whose holder was not heard of.
-- name: WebhooksClaim :exec
UPDATE webhook_endpoint AS e
SET holder = @holder::uuid,
    version = e.version + 1, -- what holds it by an earlier lease, of the same holder too, is out of date
    lease_expire_time = ledger_now() + @lease::interval
FROM (SELECT w.endpoint_id
      FROM webhook_endpoint AS w
      WHERE w.status = 'ENABLED'
        AND (w.holder IS NULL OR w.lease_expire_time <= ledger_now())
      ORDER BY w.create_time, w.endpoint_id
      LIMIT @row_limit
      FOR NO KEY UPDATE SKIP LOCKED) AS k
WHERE e.endpoint_id = k.endpoint_id;

-- WebhooksHeld returns what a holder has to deliver to. An old secret that has expired is none.
-- name: WebhooksHeld :many
SELECT endpoint_id, version, url, filter, cursor_position, secret,
       CASE WHEN old_secret_expire_time > ledger_now() THEN old_secret END::bytea AS old_secret
FROM webhook_endpoint
WHERE holder = @holder::uuid
  AND status = 'ENABLED'
ORDER BY create_time, endpoint_id
LIMIT @row_limit;

-- WebhooksRelease lets go of all that a holder has.
-- name: WebhooksRelease :exec
UPDATE webhook_endpoint
SET holder = NULL,
    lease_expire_time = NULL
WHERE holder = @holder::uuid
  AND status <> 'DELETED';

-- WebhookAdvance writes how far an endpoint's holder has come, renews its lease, and locks the row
-- for what else the transaction records. It changes no row when the holder is no longer that, or
-- the endpoint was changed meanwhile.
-- name: WebhookAdvance :execrows
UPDATE webhook_endpoint
SET cursor_position = greatest(cursor_position, @cursor_position),
    last_success_time = CASE WHEN @succeeded::boolean THEN n.now ELSE last_success_time END,
    last_failure_time = CASE WHEN @failure::text <> '' THEN n.now ELSE last_failure_time END,
    last_failure = CASE WHEN @failure::text <> '' THEN @failure::text ELSE last_failure END,
    status = CASE WHEN @gone::boolean THEN 'DISABLED' ELSE status END,
    version = version + CASE WHEN @gone::boolean THEN 1 ELSE 0 END,
    holder = CASE WHEN NOT @gone::boolean THEN holder END,
    lease_expire_time = CASE WHEN NOT @gone::boolean THEN ledger_now() + @lease::interval END
FROM (SELECT ledger_now() AS now) AS n
WHERE endpoint_id = @endpoint_id
  AND holder = @holder::uuid
  AND version = @version
  AND status = 'ENABLED';

-- WebhookDeliveriesInsert keeps events that were not delivered at the first attempt, or not tried
-- since they wait behind others (a delay of -1). The nil UUID stands for NULL. One that is there
-- already stays as it is: whoever kept it died before the cursor had passed it.
-- name: WebhookDeliveriesInsert :execrows
INSERT INTO webhook_delivery (endpoint_id, position, account_id, other_account_id, attempts, next_attempt_time,
                              last_attempt_time, last_failure)
SELECT @endpoint_id, n.position, n.account_id, nullif(n.other_account_id, '00000000-0000-0000-0000-000000000000'),
       CASE WHEN n.delay >= 0 THEN 1 ELSE 0 END,
       CASE WHEN n.delay >= 0 THEN c.now + n.delay * interval '1 microsecond' END,
       CASE WHEN n.delay >= 0 THEN c.now END,
       n.failure
FROM (SELECT unnest(@positions::bigint[]) AS position,
             unnest(@account_ids::uuid[]) AS account_id,
             unnest(@others::uuid[]) AS other_account_id,
             unnest(@delays::bigint[]) AS delay,
             unnest(@failures::text[]) AS failure) AS n,
     (SELECT ledger_now() AS now) AS c
ON CONFLICT (endpoint_id, position) DO NOTHING;

-- WebhookDeliveriesTried writes what became of attempts at pending deliveries. Those that are over
-- have no delay.
-- name: WebhookDeliveriesTried :exec
UPDATE webhook_delivery AS d
SET status = n.status,
    attempts = d.attempts + 1,
    next_attempt_time = CASE WHEN n.status = 'PENDING' THEN c.now + n.delay * interval '1 microsecond' END,
    last_attempt_time = c.now,
    last_failure = n.failure
FROM (SELECT unnest(@positions::bigint[]) AS position,
             unnest(@statuses::text[]) AS status,
             unnest(@delays::bigint[]) AS delay,
             unnest(@failures::text[]) AS failure) AS n,
     (SELECT ledger_now() AS now) AS c
WHERE d.endpoint_id = @endpoint_id
  AND d.position = n.position
  AND d.status = 'PENDING';

-- WebhookDeliveriesHasten has no delivery wait longer for its next attempt than it may after so
-- many attempts, none included. Those do that were put off before the clock was set back. A row
-- that is locked is just being written, by the clock as it is now.
-- name: WebhookDeliveriesHasten :exec
UPDATE webhook_delivery AS d
SET next_attempt_time = k.latest
FROM (SELECT w.endpoint_id, w.position, n.now + m.delay * interval '1 microsecond' AS latest
      FROM webhook_delivery AS w
      JOIN (SELECT generate_series(0, cardinality(@delays_max::bigint[]) - 1) AS attempts,
                   unnest(@delays_max::bigint[]) AS delay) AS m ON m.attempts = w.attempts
      CROSS JOIN (SELECT ledger_now() AS now) AS n
      WHERE w.status = 'PENDING'
        AND w.next_attempt_time > n.now + m.delay * interval '1 microsecond'
      FOR NO KEY UPDATE OF w SKIP LOCKED) AS k
WHERE d.endpoint_id = k.endpoint_id
  AND d.position = k.position;

-- WebhookDeliveriesFree makes the first pending delivery of each of the accounts due, if it has
-- waited for an earlier one and does so no more. The positions are an array, so that only these
-- rows are read, however many are pending.
-- name: WebhookDeliveriesFree :exec
UPDATE webhook_delivery AS d
SET next_attempt_time = ledger_now()
WHERE d.endpoint_id = @endpoint_id
  AND d.position = ANY (ARRAY(
      SELECT least((SELECT min(p.position) FROM webhook_delivery AS p
                    WHERE p.endpoint_id = @endpoint_id AND p.account_id = t.account_id AND p.status = 'PENDING'),
                   (SELECT min(o.position) FROM webhook_delivery AS o
                    WHERE o.endpoint_id = @endpoint_id AND o.other_account_id = t.account_id AND o.status = 'PENDING'))
      FROM (SELECT unnest(@account_ids::uuid[]) AS account_id) AS t))
  AND d.status = 'PENDING'
  AND d.next_attempt_time IS NULL
  AND NOT webhook_account_waits(d.endpoint_id, d.account_id, d.position)
  AND NOT webhook_account_waits(d.endpoint_id, d.other_account_id, d.position);

-- WebhookDeliveriesFreeAll does that for all accounts.
-- name: WebhookDeliveriesFreeAll :exec
UPDATE webhook_delivery AS d
SET next_attempt_time = n.now
FROM (SELECT ledger_now() AS now) AS n
WHERE d.endpoint_id = @endpoint_id
  AND d.status = 'PENDING'
  AND d.next_attempt_time IS NULL
  AND NOT webhook_account_waits(d.endpoint_id, d.account_id, d.position)
  AND NOT webhook_account_waits(d.endpoint_id, d.other_account_id, d.position);

-- WebhookAccountsPending returns which of the accounts have pending deliveries.
-- name: WebhookAccountsPending :many
SELECT t.account_id::uuid AS account_id
FROM (SELECT unnest(@account_ids::uuid[]) AS account_id) AS t
WHERE webhook_account_waits(@endpoint_id, t.account_id, 9223372036854775807);

-- WebhookAccountsAllPending returns all accounts that have pending deliveries, some of them twice.
-- name: WebhookAccountsAllPending :many
SELECT d.account_id
FROM webhook_delivery AS d
WHERE d.endpoint_id = @endpoint_id AND d.status = 'PENDING'
UNION ALL
SELECT o.other_account_id::uuid
FROM webhook_delivery AS o
WHERE o.endpoint_id = @endpoint_id AND o.status = 'PENDING' AND o.other_account_id IS NOT NULL
LIMIT @row_limit;

-- WebhookPendingCount counts pending deliveries.
-- name: WebhookPendingCount :one
SELECT count(*)
FROM webhook_delivery
WHERE endpoint_id = @endpoint_id AND status = 'PENDING';

-- WebhookBacklogs counts the endpoints of each status and their pending deliveries, and reads how
-- far the one is that is furthest behind, and the first position whose event may not have reached
-- one.
-- name: WebhookBacklogs :many
SELECT b.status, count(*) AS endpoint_count, sum(b.pending_count)::bigint AS pending_count,
       min(b.cursor_position)::bigint AS cursor_position, min(b.oldest_position)::bigint AS oldest_position
FROM (SELECT e.status, e.cursor_position,
             (SELECT count(*) FROM webhook_delivery AS p
              WHERE p.endpoint_id = e.endpoint_id AND p.status = 'PENDING') AS pending_count,
             least(e.cursor_position + 1, (SELECT min(o.position) FROM webhook_delivery AS o
                                           WHERE o.endpoint_id = e.endpoint_id AND o.status = 'PENDING')) AS oldest_position
      FROM webhook_endpoint AS e
      WHERE e.status <> 'DELETED'
      LIMIT @row_limit) AS b
GROUP BY b.status;

-- WebhookDeliveriesDue returns pending deliveries that are due and wait for no earlier one, the
-- longest due first, without those under way. The time is a subquery, since a volatile function
-- would be called for each row.
-- name: WebhookDeliveriesDue :many
SELECT d.position, d.attempts, d.account_id, d.other_account_id
FROM webhook_delivery AS d
WHERE d.endpoint_id = @endpoint_id
  AND d.status = 'PENDING'
  AND d.next_attempt_time <= (SELECT ledger_now())
  AND d.position <> ALL (@under_way::bigint[])
  AND NOT webhook_account_waits(d.endpoint_id, d.account_id, d.position)
  AND NOT webhook_account_waits(d.endpoint_id, d.other_account_id, d.position)
ORDER BY d.next_attempt_time, d.position
LIMIT @row_limit;

-- WebhookDeliveryList lists the deliveries of an endpoint, newest first, before a place in the
-- list.
-- name: WebhookDeliveryList :many
SELECT sqlc.embed(webhook_delivery)
FROM webhook_delivery
WHERE endpoint_id = @endpoint_id
  AND position < @before_position
  AND (@status::text = '' OR status = @status)
ORDER BY position DESC
LIMIT @row_limit;

-- WebhookDeliveriesAgain makes events pending once more. Those that are pending keep their
-- attempts, and are due now unless they wait behind others. The nil UUID stands for NULL.
-- name: WebhookDeliveriesAgain :exec
INSERT INTO webhook_delivery AS d (endpoint_id, position, account_id, other_account_id)
SELECT @endpoint_id, n.position, n.account_id, nullif(n.other_account_id, '00000000-0000-0000-0000-000000000000')
FROM (SELECT unnest(@positions::bigint[]) AS position,
             unnest(@account_ids::uuid[]) AS account_id,
             unnest(@others::uuid[]) AS other_account_id) AS n
ON CONFLICT (endpoint_id, position) DO UPDATE
SET status = 'PENDING',
    attempts = CASE WHEN d.status = 'PENDING' THEN d.attempts ELSE 0 END,
    next_attempt_time = CASE WHEN d.next_attempt_time IS NOT NULL THEN ledger_now() END;

-- WebhookTouch has who delivers to an endpoint begin anew.
-- name: WebhookTouch :exec
UPDATE webhook_endpoint
SET version = version + 1
WHERE endpoint_id = @endpoint_id;
