-- Currencies and accounts.
--
-- The rules that matter are constraints, here and in the files that follow: they hold for an UPDATE typed by hand too.
-- Every constraint is named, because the service tells errors apart by these names. Functions find their ledger whatever
-- its schema is called: none keeps a name, which would become another ledger's when the schema is renamed.

-- +goose Up

-- The one clock that decides for all servers. It is a function so that tests can step it; being one expression, it is
-- inlined and costs nothing.
CREATE FUNCTION ledger_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()';

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

-- Values that every instance on this database shares.
CREATE TABLE setting (
    name  text  NOT NULL,
    value bytea NOT NULL,
    CONSTRAINT setting_pkey PRIMARY KEY (name)
);

-- The key that signs page tokens: 244 random bits, hashed to a key's length.
INSERT INTO setting (name, value)
VALUES ('page_token_key', sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

-- A currency is a code and the number of decimals of its amounts; neither ever changes.
CREATE TABLE currency (
    code              text        NOT NULL,
    scale             smallint    NOT NULL,
    equity_account_id uuid        NOT NULL,
    create_time       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT currency_pkey PRIMARY KEY (code),
    CONSTRAINT currency_equity_account_key UNIQUE (equity_account_id),
    CONSTRAINT currency_code_form CHECK (code ~ '^[A-Z][A-Z0-9]{2,11}$'),
    CONSTRAINT currency_scale_range CHECK (scale BETWEEN 0 AND 18)
);

-- Room is left on each page (fillfactor), so that a balance update stays on its page and touches no index (HOT): no
-- index below holds a column that a movement changes.
CREATE TABLE account (
    account_id         uuid        NOT NULL,
    currency           text        NOT NULL,
    balance            numeric     NOT NULL DEFAULT 0,
    held               numeric     NOT NULL DEFAULT 0,
    incoming           numeric     NOT NULL DEFAULT 0,
    min_balance        numeric,
    is_equity          boolean     NOT NULL DEFAULT false,
    status             text        NOT NULL DEFAULT 'OPEN',
    version            bigint      NOT NULL DEFAULT 1,
    entry_count        bigint      NOT NULL DEFAULT 0,
    create_time        timestamptz NOT NULL DEFAULT now(),
    update_time        timestamptz NOT NULL DEFAULT now(),
    display_name       text        NOT NULL DEFAULT '',
    image_url          text        NOT NULL DEFAULT '',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    -- SHA-256 of the fields that the account was opened with, so that a repeated call can be told from another one
    -- even after the account was changed.
    create_fingerprint bytea       NOT NULL,
    -- The ceiling of balance plus incoming.
    max_balance        numeric,
    -- How low a forced reversal brought what is available, as long as that is below min_balance.
    forced_floor       numeric,
    -- Blocks, cap per transfer and rolling limits, for the service to read; NULL: none. An account without any stays on
    -- the fast path.
    policy             jsonb,
    CONSTRAINT account_pkey PRIMARY KEY (account_id),
    CONSTRAINT account_currency_fkey FOREIGN KEY (currency) REFERENCES currency (code),
    CONSTRAINT account_balance_floor CHECK (min_balance IS NULL
        OR balance - held >= least(min_balance, forced_floor)),
    CONSTRAINT account_balance_ceiling CHECK (balance + incoming <= max_balance),
    CONSTRAINT account_ceiling_finite CHECK (max_balance < 'Infinity' AND max_balance > '-Infinity'),
    CONSTRAINT account_forced_floor_finite CHECK (forced_floor < 'Infinity' AND forced_floor > '-Infinity'),
    CONSTRAINT account_equity_without_policy CHECK (NOT is_equity OR num_nonnulls(max_balance, policy) = 0),
    -- Only a currency's equity account has no floor. NaN sorts above Infinity, so both are refused here.
    CONSTRAINT account_floor_unless_equity CHECK ((min_balance IS NULL) = is_equity),
    CONSTRAINT account_amounts_finite CHECK (balance > '-Infinity' AND balance < 'Infinity'
        AND held < 'Infinity' AND incoming < 'Infinity'
        AND (min_balance IS NULL OR (min_balance > '-Infinity' AND min_balance < 'Infinity'))),
    CONSTRAINT account_holds_not_negative CHECK (held >= 0 AND incoming >= 0),
    CONSTRAINT account_status_known CHECK (status IN ('OPEN', 'FROZEN', 'CLOSED')),
    CONSTRAINT account_closed_is_empty CHECK (status <> 'CLOSED' OR (balance = 0 AND held = 0 AND incoming = 0)),
    CONSTRAINT account_version_counts_entries CHECK (entry_count >= 0 AND version > entry_count)
) WITH (fillfactor = 80);

ALTER TABLE currency ADD CONSTRAINT currency_equity_account_fkey
    FOREIGN KEY (equity_account_id) REFERENCES account (account_id) DEFERRABLE INITIALLY DEFERRED;

-- ListAccounts: all, by currency, and the few that are not open.
CREATE INDEX account_by_time ON account (create_time, account_id);
CREATE INDEX account_by_currency ON account (currency, create_time, account_id);
CREATE INDEX account_not_open ON account (status, create_time, account_id) WHERE status <> 'OPEN';

CREATE TRIGGER account_is_kept BEFORE DELETE ON account FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_is_not_truncated BEFORE TRUNCATE ON account EXECUTE FUNCTION refuse_change();
-- What an account is never changes. The trigger looks at the columns named in an UPDATE, so a movement does not pay for it.
CREATE TRIGGER account_identity_is_immutable
    BEFORE UPDATE OF account_id, currency, is_equity, create_time, create_fingerprint ON account
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER currency_is_immutable BEFORE UPDATE OR DELETE ON currency
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The ids of these equity accounts are the same in every ledger; the account table is empty, so they are free.
INSERT INTO currency (code, scale, equity_account_id)
VALUES ('USD', 2, 'fcc612ef-05c7-51eb-9f2a-022abd238d80'),
       ('EUR', 2, '2bcbf72b-8c4e-55d7-b767-af6320e777e5'),
       ('GBP', 2, '1f734590-9129-5061-800a-b2da923c3779'),
       ('JPY', 0, '01f804b5-3feb-5b75-8ac3-3c1efc6c91b7'),
       ('BTC', 8, '81245fc6-e2f3-57e0-8ef9-f9ab7e9df7cc'),
       ('ETH', 18, 'ca051759-51cf-5f92-a2b0-1e2c5db90e47');
INSERT INTO account (account_id, currency, is_equity, display_name, create_fingerprint)
SELECT equity_account_id, code, true, code || ' equity', '' FROM currency;

-- What people see of an account is kept in memory by each server. A change, also one by hand, is told to all of them.
-- Notifications are the whole database's, so each ledger has a channel of its own, named by its table.
CREATE FUNCTION profile_channel(account regclass) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT 'account_profile_' || account::oid::text
$$;

-- +goose StatementBegin
CREATE FUNCTION notify_profile() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('SELECT pg_notify(%I.profile_channel($1), $2)', TG_TABLE_SCHEMA)
        USING TG_RELID::regclass, NEW.account_id::text;
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
DROP TABLE setting;
ALTER TABLE currency DROP CONSTRAINT currency_equity_account_fkey;
DROP TABLE account;
DROP TABLE currency;
DROP FUNCTION notify_profile;
DROP FUNCTION profile_channel;
DROP FUNCTION refuse_change;
DROP FUNCTION ledger_now;
