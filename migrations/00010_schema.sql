-- A ledger in a schema of its own: what its functions name is theirs, whatever the search_path of whoever fires them.
--
-- An UPDATE typed by hand, in a session that looks elsewhere first, must not write the events of another ledger.

-- +goose Up

ALTER FUNCTION event_writers() SET search_path FROM CURRENT;
ALTER FUNCTION account_keep_opened() SET search_path FROM CURRENT;
ALTER FUNCTION account_keep_changed() SET search_path FROM CURRENT;
ALTER FUNCTION webhook_account_waits(uuid, uuid, bigint) SET search_path FROM CURRENT;

-- Notifications are the whole database's, so each ledger has a channel of its own, named by its table.
CREATE FUNCTION profile_channel(account regclass) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT 'account_profile_' || account::oid
$$;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notify_profile() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify(profile_channel(TG_RELID::regclass), NEW.account_id::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notify_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('account_profile', NEW.account_id::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
DROP FUNCTION profile_channel;
ALTER FUNCTION webhook_account_waits(uuid, uuid, bigint) RESET search_path;
ALTER FUNCTION account_keep_changed() RESET search_path;
ALTER FUNCTION account_keep_opened() RESET search_path;
ALTER FUNCTION event_writers() RESET search_path;
