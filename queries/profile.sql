-- ProfilesGet reads what people see of accounts, in no order.
-- name: ProfilesGet :many
SELECT account_id, currency, display_name, image_url, metadata, version
FROM account
WHERE account_id = ANY (@account_ids::uuid[]);

-- ProfileChannel returns the channel that tells of every change of a profile of this ledger.
-- name: ProfileChannel :one
SELECT profile_channel('account'::regclass)::text AS channel;

-- ProfileNotify tells every listener that a profile has changed, as the trigger on account does.
-- name: ProfileNotify :exec
SELECT pg_notify(profile_channel('account'::regclass), @account_id::text);
