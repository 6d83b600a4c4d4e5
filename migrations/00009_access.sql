-- API keys: who calls, and what they may do.

-- +goose Up

CREATE TABLE api_key (
    api_key_id             uuid        NOT NULL,
    display_name           text        NOT NULL,
    -- The name of a role; the program says what it may do. Empty: none.
    role                   text        NOT NULL,
    -- What the key may do beside that, as a list of {"permissions": […]}.
    grants                 jsonb       NOT NULL,
    -- Where it may be used from, such as 10.0.0.0/8; none: anywhere.
    networks               text[]      NOT NULL,
    -- SHA-256 of the secret, and of the one before until that expires. A secret has 256 random bits, so a slow hash would
    -- add nothing.
    secret_hash            bytea       NOT NULL,
    old_secret_hash        bytea,
    old_secret_expire_time timestamptz,
    create_time            timestamptz NOT NULL,
    expire_time            timestamptz,
    revoke_time            timestamptz,
    last_use_time          timestamptz,
    last_use_address       text        NOT NULL DEFAULT '',
    -- Grows with each change but of the last use. Servers look at the sum to see that something has changed.
    version                bigint      NOT NULL DEFAULT 1,
    CONSTRAINT api_key_pkey PRIMARY KEY (api_key_id),
    CONSTRAINT api_key_hash_sha256 CHECK (octet_length(secret_hash) = 32 AND octet_length(old_secret_hash) = 32),
    CONSTRAINT api_key_old_secret_expires CHECK ((old_secret_hash IS NULL) = (old_secret_expire_time IS NULL)),
    CONSTRAINT api_key_grants_list CHECK (jsonb_typeof(grants) = 'array'),
    CONSTRAINT api_key_may_something CHECK (role <> '' OR grants <> '[]'),
    CONSTRAINT api_key_version_positive CHECK (version >= 1)
);

-- A key that was revoked stays so.
-- +goose StatementBegin
CREATE FUNCTION api_key_stays_revoked() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'api_key %: a revoked key is never changed', OLD.api_key_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'api_key_stays_revoked';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER api_key_stays_revoked BEFORE UPDATE ON api_key
    FOR EACH ROW WHEN (OLD.revoke_time IS NOT NULL) EXECUTE FUNCTION api_key_stays_revoked();

CREATE TRIGGER api_key_identity_is_immutable BEFORE UPDATE OF api_key_id, create_time ON api_key
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER api_key_is_kept BEFORE DELETE ON api_key FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER api_key_is_not_truncated BEFORE TRUNCATE ON api_key EXECUTE FUNCTION refuse_change();

-- +goose Down

DROP TABLE api_key;
DROP FUNCTION api_key_stays_revoked;
