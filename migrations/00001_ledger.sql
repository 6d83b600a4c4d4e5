-- The ledger: currencies, accounts and transfers.
--
-- The rules that matter are here as constraints, the second lock on the door that the service keeps: they hold for a
-- hand-typed UPDATE too. Every constraint is named, because the service tells errors apart by these names.

-- +goose Up

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
    CONSTRAINT account_pkey PRIMARY KEY (account_id),
    CONSTRAINT account_currency_fkey FOREIGN KEY (currency) REFERENCES currency (code),
    CONSTRAINT account_balance_floor CHECK (min_balance IS NULL OR balance - held >= min_balance),
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

-- The ledger: one row a transfer, refused ones too. A row of a transfer that succeeded is also both its entries: the
-- balance and the entry number of each side are in it, written in the commit that moved the money.
--
-- The account columns have no foreign keys: a refused transfer may name an account that does not exist, and for the
-- others the same commit has just updated both account rows.
CREATE TABLE transfer (
    transfer_id     uuid        NOT NULL,
    -- The order of decision: unique, growing along each account; with create_time the order of every list.
    position        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    from_account_id uuid        NOT NULL,
    to_account_id   uuid        NOT NULL,
    amount          numeric     NOT NULL,
    currency        text        NOT NULL,
    -- What the caller asked for, to tell a repeated call from another one; currency is what it turned out to be.
    asked_currency  text        NOT NULL,
    status          text        NOT NULL,
    error_reason    text,
    from_balance    numeric,
    to_balance      numeric,
    from_sequence   bigint,
    to_sequence     bigint,
    version         integer     NOT NULL DEFAULT 1,
    create_time     timestamptz NOT NULL,
    update_time     timestamptz NOT NULL,
    reference       text        NOT NULL DEFAULT '',
    metadata        jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT transfer_pkey PRIMARY KEY (transfer_id),
    CONSTRAINT transfer_accounts_differ CHECK (from_account_id <> to_account_id),
    CONSTRAINT transfer_amount_positive CHECK (amount > 0 AND amount < 'Infinity'),
    CONSTRAINT transfer_status_known CHECK (status IN ('INIT', 'SUCCESS', 'FAILED')),
    CONSTRAINT transfer_reason_iff_failed CHECK ((status = 'FAILED') = (error_reason IS NOT NULL)),
    CONSTRAINT transfer_entries_iff_success CHECK (
        num_nulls(from_sequence, to_sequence) = CASE WHEN status = 'SUCCESS' THEN 0 ELSE 2 END
        AND (status <> 'SUCCESS' OR num_nulls(from_balance, to_balance) = 0))
);

-- ListTransfers and ListEntries: all, by account (either side), by reference, and the few that did not succeed.
CREATE INDEX transfer_by_time ON transfer (create_time, position);
CREATE INDEX transfer_by_from ON transfer (from_account_id, create_time, position);
CREATE INDEX transfer_by_to ON transfer (to_account_id, create_time, position);
CREATE INDEX transfer_by_reference ON transfer (reference, create_time, position) WHERE reference <> '';
CREATE INDEX transfer_not_success ON transfer (status, create_time, position) WHERE status <> 'SUCCESS';

-- Values that every instance on this database shares.
CREATE TABLE setting (
    name  text  NOT NULL,
    value bytea NOT NULL,
    CONSTRAINT setting_pkey PRIMARY KEY (name)
);

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER transfer_final_is_immutable BEFORE UPDATE ON transfer
    FOR EACH ROW WHEN (OLD.status <> 'INIT') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_is_kept BEFORE DELETE ON transfer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_is_not_truncated BEFORE TRUNCATE ON transfer EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_is_kept BEFORE DELETE ON account FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_is_not_truncated BEFORE TRUNCATE ON account EXECUTE FUNCTION refuse_change();
-- What an account is never changes. The trigger looks at the columns named in an UPDATE, so a movement does not pay for it.
CREATE TRIGGER account_identity_is_immutable
    BEFORE UPDATE OF account_id, currency, is_equity, create_time, create_fingerprint ON account
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER currency_is_immutable BEFORE UPDATE OR DELETE ON currency
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- The key that signs page tokens: 244 random bits, hashed to a key's length.
INSERT INTO setting (name, value)
VALUES ('page_token_key', sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

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

-- +goose Down
DROP TABLE setting;
DROP TABLE transfer;
ALTER TABLE currency DROP CONSTRAINT currency_equity_account_fkey;
DROP TABLE account;
DROP TABLE currency;
DROP FUNCTION refuse_change;
