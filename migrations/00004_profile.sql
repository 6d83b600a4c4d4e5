-- What people see of an account is kept in memory by each server. Whoever changes it, also by hand, tells them all.

-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION notify_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('account_profile', NEW.account_id::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- The trigger looks at the columns named in an UPDATE, so a movement does not pay for it.
CREATE TRIGGER account_profile_is_told
    AFTER UPDATE OF display_name, image_url, metadata ON account
    FOR EACH ROW WHEN ((OLD.display_name, OLD.image_url, OLD.metadata)
        IS DISTINCT FROM (NEW.display_name, NEW.image_url, NEW.metadata))
    EXECUTE FUNCTION notify_profile();

-- +goose Down
DROP TRIGGER account_profile_is_told ON account;
DROP FUNCTION notify_profile;
