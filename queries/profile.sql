-- ProfilesGet reads what people see of accounts, in no order.
-- name: ProfilesGet :many
SELECT account_id, currency, display_name, image_url, metadata, version
FROM account
WHERE account_id = ANY (@account_ids::uuid[]);

-- ProfilesListen has this connection told of every change of a profile that is committed from now on.
-- name: ProfilesListen :exec
LISTEN account_profile;

-- ProfileNotify tells every listener that a profile has changed, as the trigger on account does.
-- name: ProfileNotify :exec
SELECT pg_notify('account_profile', @account_id::text);
