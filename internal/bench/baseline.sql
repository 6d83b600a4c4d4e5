-- What a good engineer would write by hand for the same job. The service does not use any of this: it is what the
-- service is compared with. Like the service it keeps a floor under each balance, a row for each transfer with both
-- running balances, and the indexes to list an account's transfers. It does less: refused transfers leave no row, a
-- repeated id is an error, amounts are not checked against a currency's scale, and there is no network API in front.

-- name: schema
CREATE SCHEMA baseline;

-- name: account_table
CREATE TABLE baseline.account (
    account_id  uuid        NOT NULL,
    currency    text        NOT NULL,
    balance     numeric     NOT NULL,
    min_balance numeric     NOT NULL DEFAULT 0,
    version     bigint      NOT NULL DEFAULT 1,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_pkey PRIMARY KEY (account_id),
    CONSTRAINT account_balance_floor CHECK (balance >= min_balance)
) WITH (fillfactor = 80);

-- name: transfer_table
CREATE TABLE baseline.transfer (
    transfer_id     uuid        NOT NULL,
    from_account_id uuid        NOT NULL,
    to_account_id   uuid        NOT NULL,
    amount          numeric     NOT NULL,
    currency        text        NOT NULL,
    status          text        NOT NULL,
    from_balance    numeric     NOT NULL,
    to_balance      numeric     NOT NULL,
    reference       text        NOT NULL DEFAULT '',
    metadata        jsonb       NOT NULL DEFAULT '{}',
    create_time     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT transfer_pkey PRIMARY KEY (transfer_id),
    CONSTRAINT transfer_accounts_differ CHECK (from_account_id <> to_account_id),
    CONSTRAINT transfer_amount_positive CHECK (amount > 0)
);

-- name: transfer_by_from
CREATE INDEX transfer_by_from ON baseline.transfer (from_account_id, create_time);

-- name: transfer_by_to
CREATE INDEX transfer_by_to ON baseline.transfer (to_account_id, create_time);

-- name: accounts_insert
INSERT INTO baseline.account (account_id, currency, balance)
SELECT unnest($1::uuid[]), 'USD', $2::numeric;

-- name: analyze
ANALYZE baseline.account;

-- The conditional update: no row is read first, and one that cannot pay is not found.
-- name: debit
UPDATE baseline.account
SET balance = balance - $2, version = version + 1, update_time = now()
WHERE account_id = $1 AND balance - $2 >= min_balance
RETURNING balance;

-- name: credit
UPDATE baseline.account
SET balance = balance + $2, version = version + 1, update_time = now()
WHERE account_id = $1
RETURNING balance;

-- name: transfer_insert
INSERT INTO baseline.transfer (transfer_id, from_account_id, to_account_id, amount, currency, status, from_balance, to_balance)
VALUES ($1, $2, $3, $4, 'USD', 'SUCCESS', $5, $6);

-- All in one statement, the payer first. The payee's update waits for the payer's by asking for its row.
-- name: one_statement_payer_first
WITH payer AS (
    UPDATE baseline.account
    SET balance = balance - $4, version = version + 1, update_time = now()
    WHERE account_id = $2 AND balance - $4 >= min_balance
    RETURNING balance
), payee AS (
    UPDATE baseline.account
    SET balance = balance + $4, version = version + 1, update_time = now()
    WHERE account_id = $3 AND EXISTS (SELECT FROM payer)
    RETURNING balance
)
INSERT INTO baseline.transfer (transfer_id, from_account_id, to_account_id, amount, currency, status, from_balance, to_balance)
SELECT $1, $2, $3, $4, 'USD', 'SUCCESS', payer.balance, payee.balance
FROM payer, payee
RETURNING from_balance, to_balance;

-- The same with the payee first, for when the payee's id is the smaller one: all visit accounts in one order, or two
-- transfers in opposite directions would deadlock. The payee is credited by then, so a payer that cannot pay must fail
-- the statement; the CHECK constraint does that.
-- name: one_statement_payee_first
WITH payee AS (
    UPDATE baseline.account
    SET balance = balance + $4, version = version + 1, update_time = now()
    WHERE account_id = $3
    RETURNING balance
), payer AS (
    UPDATE baseline.account
    SET balance = balance - $4, version = version + 1, update_time = now()
    WHERE account_id = $2 AND EXISTS (SELECT FROM payee)
    RETURNING balance
)
INSERT INTO baseline.transfer (transfer_id, from_account_id, to_account_id, amount, currency, status, from_balance, to_balance)
SELECT $1, $2, $3, $4, 'USD', 'SUCCESS', payer.balance, payee.balance
FROM payer, payee
RETURNING from_balance, to_balance;

-- name: lock_both
SELECT account_id, balance, min_balance
FROM baseline.account
WHERE account_id IN ($1, $2)
ORDER BY account_id
FOR UPDATE;

-- name: sum
SELECT count(*), coalesce(sum(balance), 0)::text FROM baseline.account;

-- name: drop
DROP SCHEMA baseline CASCADE;
