-- ApiKeysLock lets one transaction at a time change keys, until it ends: whether a key is the last of
-- an administrator depends on the others.
-- name: ApiKeysLock :exec
SELECT pg_advisory_xact_lock(c.oid::bigint)
FROM pg_catalog.pg_class AS c
WHERE c.oid = 'api_key'::regclass;

-- ApiKeyInsert adds a key.
-- name: ApiKeyInsert :one
INSERT INTO api_key (api_key_id, display_name, role, grants, networks, secret_hash, expire_time, create_time)
VALUES (@api_key_id, @display_name, @role, @grants, @networks, @secret_hash::bytea, @expire_time,
        ledger_now())
RETURNING create_time;

-- ApiKeyGet reads a key, a revoked one too.
-- name: ApiKeyGet :one
SELECT sqlc.embed(k)
FROM api_key AS k
WHERE k.api_key_id = @api_key_id;

-- ApiKeyList reads keys, newest first, before an id: their ids begin with the time.
-- name: ApiKeyList :many
SELECT sqlc.embed(k)
FROM api_key AS k
WHERE k.api_key_id < @before_id
ORDER BY k.api_key_id DESC
LIMIT @row_limit;

-- ApiKeysUsable reads all keys that were not revoked.
-- name: ApiKeysUsable :many
SELECT sqlc.embed(k)
FROM api_key AS k
WHERE k.revoke_time IS NULL
ORDER BY k.api_key_id
LIMIT @row_limit;

-- ApiKeysState reads what differs after each change of keys. A change never makes the sum smaller, so
-- it is seen whatever the order of the commits.
-- name: ApiKeysState :one
SELECT count(*) AS key_count,
       count(*) FILTER (WHERE revoke_time IS NULL) AS usable_count,
       coalesce(sum(version), 0)::bigint AS version_sum
FROM api_key;

-- ApiKeyUpdate changes a key that was not revoked.
-- name: ApiKeyUpdate :execrows
UPDATE api_key
SET display_name = @display_name,
    role = @role,
    grants = @grants,
    networks = @networks,
    expire_time = @expire_time,
    version = version + 1
WHERE api_key_id = @api_key_id
  AND revoke_time IS NULL;

-- ApiKeyRotate gives a key that was not revoked a new secret. The old one is taken for some time, or
-- not at all.
-- name: ApiKeyRotate :execrows
UPDATE api_key
SET old_secret_hash = CASE WHEN o.micros > 0 THEN secret_hash END,
    old_secret_expire_time = CASE WHEN o.micros > 0 THEN ledger_now() + o.micros * interval '1 microsecond' END,
    secret_hash = @secret_hash::bytea,
    version = version + 1
FROM (SELECT @overlap_micros::bigint AS micros) AS o
WHERE api_key_id = @api_key_id
  AND revoke_time IS NULL;

-- ApiKeyRevoke ends a key, unless it has ended.
-- name: ApiKeyRevoke :execrows
UPDATE api_key
SET revoke_time = ledger_now(),
    old_secret_hash = NULL,
    old_secret_expire_time = NULL,
    version = version + 1
WHERE api_key_id = @api_key_id
  AND revoke_time IS NULL;

-- ApiKeysUsed notes when and from where keys were last used.
-- name: ApiKeysUsed :exec
UPDATE api_key AS k
SET last_use_time = u.use_time,
    last_use_address = u.address
FROM (SELECT unnest(@api_key_ids::uuid[]) AS api_key_id,
             unnest(@use_times::timestamptz[]) AS use_time,
             unnest(@addresses::text[]) AS address) AS u
WHERE k.api_key_id = u.api_key_id
  AND k.revoke_time IS NULL
  AND (k.last_use_time IS NULL OR k.last_use_time < u.use_time);
