-- Transfers: plain ones, and the whole life of holds, scheduled transfers, reversals, groups and sweeps.
--
-- What only some transfers have is in a table of its own, so that a plain transfer pays for none of it: neither with
-- wider rows nor with more indexes.

-- +goose Up

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
    -- Whether it was born INIT: a hold or a scheduled transfer. Such a transfer is never an entry of its own: what moves
    -- money for it are transfers that name it as their parent.
    deferred        boolean     NOT NULL DEFAULT false,
    CONSTRAINT transfer_pkey PRIMARY KEY (transfer_id),
    CONSTRAINT transfer_accounts_differ CHECK (from_account_id <> to_account_id),
    CONSTRAINT transfer_amount_positive CHECK (amount > 0 AND amount < 'Infinity'),
    CONSTRAINT transfer_status_known CHECK (status IN ('INIT', 'SUCCESS', 'FAILED')),
    CONSTRAINT transfer_reason_iff_failed CHECK ((status = 'FAILED') = (error_reason IS NOT NULL)),
    CONSTRAINT transfer_entries_iff_success CHECK (
        num_nulls(from_sequence, to_sequence) = CASE WHEN status = 'SUCCESS' AND NOT deferred THEN 0 ELSE 2 END
        AND (status <> 'SUCCESS' OR num_nulls(from_balance, to_balance) = 0)),
    CONSTRAINT transfer_only_deferred_is_init CHECK (status <> 'INIT' OR deferred)
);

-- ListTransfers and ListEntries: all, by account (either side), by reference, and the few that did not succeed.
CREATE INDEX transfer_by_time ON transfer (create_time, position);
CREATE INDEX transfer_by_from ON transfer (from_account_id, create_time, position);
CREATE INDEX transfer_by_to ON transfer (to_account_id, create_time, position);
CREATE INDEX transfer_by_reference ON transfer (reference, create_time, position) WHERE reference <> '';
CREATE INDEX transfer_not_success ON transfer (status, create_time, position) WHERE status <> 'SUCCESS';
-- The events of transfers in order.
CREATE UNIQUE INDEX transfer_by_position ON transfer (position);

CREATE TRIGGER transfer_final_is_immutable BEFORE UPDATE ON transfer
    FOR EACH ROW WHEN (OLD.status <> 'INIT') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_is_kept BEFORE DELETE ON transfer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_is_not_truncated BEFORE TRUNCATE ON transfer EXECUTE FUNCTION refuse_change();
-- What a transfer is never changes, also while it is INIT.
CREATE TRIGGER transfer_identity_is_immutable
    BEFORE UPDATE OF transfer_id, position, from_account_id, to_account_id, amount, currency, asked_currency, deferred,
        create_time, reference, metadata ON transfer
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE transfer_detail (
    transfer_id         uuid NOT NULL,
    kind                text NOT NULL,
    -- Of a HOLD or SCHEDULED, and of every transfer with an effective_time: its accounts, for the indexes below.
    from_account_id     uuid,
    to_account_id       uuid,
    -- When a HOLD expires (NULL: never) or a SCHEDULED is due.
    due_time            timestamptz,
    -- What a HOLD still reserves, 0 of a SCHEDULED; NULL when it is no longer INIT.
    open_amount         numeric,
    -- What was captured of a HOLD.
    posted_amount       numeric,
    -- Of a CAPTURE, EXECUTION or REVERSAL: the transfer that it captures, executes or reverses.
    parent_id           uuid,
    -- What was reversed of it.
    reversed_amount     numeric,
    group_id            uuid,
    -- When it counts, where that is not when it was made.
    effective_time      timestamptz,
    -- The upper bound that was asked for; the transfer's amount is what moved.
    asked_amount        numeric,
    -- SHA-256 of what else was asked for, to tell a repeated call from another one.
    request_fingerprint bytea,
    -- Why it was refused, in figures.
    refusal             jsonb,
    -- The floor that a sweep was asked for with; NULL: zero. The account's own floor holds all the same.
    up_to_floor         numeric,
    CONSTRAINT transfer_detail_pkey PRIMARY KEY (transfer_id),
    CONSTRAINT transfer_detail_transfer_fkey FOREIGN KEY (transfer_id) REFERENCES transfer (transfer_id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT transfer_detail_kind_known CHECK (kind IN ('TRANSFER', 'HOLD', 'SCHEDULED', 'CAPTURE', 'EXECUTION',
        'REVERSAL')),
    CONSTRAINT transfer_detail_open_amount CHECK (open_amount >= 0 AND open_amount < 'Infinity'),
    CONSTRAINT transfer_detail_posted_amount CHECK (posted_amount >= 0 AND posted_amount < 'Infinity'),
    CONSTRAINT transfer_detail_reversed_amount CHECK (reversed_amount > 0 AND reversed_amount < 'Infinity'),
    CONSTRAINT transfer_detail_asked_amount CHECK (asked_amount > 0 AND asked_amount < 'Infinity'),
    CONSTRAINT transfer_detail_up_to_floor CHECK (up_to_floor IS NULL
        OR (asked_amount IS NOT NULL AND up_to_floor > '-Infinity' AND up_to_floor < 'Infinity')),
    CONSTRAINT transfer_detail_open_has_accounts CHECK (open_amount IS NULL
        OR (kind IN ('HOLD', 'SCHEDULED') AND num_nulls(from_account_id, to_account_id) = 0)),
    CONSTRAINT transfer_detail_hold_is_posted CHECK ((kind = 'HOLD') = (posted_amount IS NOT NULL)),
    CONSTRAINT transfer_detail_parent_iff_child CHECK (
        (kind IN ('CAPTURE', 'EXECUTION', 'REVERSAL')) = (parent_id IS NOT NULL))
);

-- The open holds of an account, those that are due first; for the worker, all that are due.
CREATE INDEX transfer_detail_open_from ON transfer_detail (from_account_id, due_time) WHERE open_amount IS NOT NULL;
CREATE INDEX transfer_detail_open_to ON transfer_detail (to_account_id, due_time) WHERE open_amount IS NOT NULL;
CREATE INDEX transfer_detail_due ON transfer_detail (due_time, transfer_id)
    WHERE open_amount IS NOT NULL AND due_time IS NOT NULL;
CREATE INDEX transfer_detail_by_parent ON transfer_detail (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX transfer_detail_by_group ON transfer_detail (group_id) WHERE group_id IS NOT NULL;
-- Statements by effective time.
CREATE INDEX transfer_detail_effective_from ON transfer_detail (from_account_id, effective_time)
    WHERE effective_time IS NOT NULL;
CREATE INDEX transfer_detail_effective_to ON transfer_detail (to_account_id, effective_time)
    WHERE effective_time IS NOT NULL;
-- Holds in the past, for the balance as of then.
CREATE INDEX transfer_detail_hold_from ON transfer_detail (from_account_id) WHERE kind = 'HOLD';
CREATE INDEX transfer_detail_hold_to ON transfer_detail (to_account_id) WHERE kind = 'HOLD';

CREATE TRIGGER transfer_detail_identity_is_immutable
    BEFORE UPDATE OF transfer_id, kind, from_account_id, to_account_id, due_time, parent_id, group_id, effective_time,
        asked_amount, request_fingerprint, up_to_floor ON transfer_detail
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
-- A hold that has ended stays ended, and nothing captured or reversed is taken back.
CREATE TRIGGER transfer_detail_only_advances BEFORE UPDATE ON transfer_detail
    FOR EACH ROW WHEN ((OLD.open_amount IS NULL AND NEW.open_amount IS NOT NULL)
        OR NEW.posted_amount < OLD.posted_amount OR NEW.reversed_amount < OLD.reversed_amount
        OR (OLD.reversed_amount IS NOT NULL AND NEW.reversed_amount IS NULL))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_detail_is_kept BEFORE DELETE ON transfer_detail FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_detail_is_not_truncated BEFORE TRUNCATE ON transfer_detail EXECUTE FUNCTION refuse_change();

-- Each group that was decided, so that its id is never given to another one, by any server, and a repeated call can be told
-- from one for a part of it.
CREATE TABLE transfer_group (
    group_id uuid    NOT NULL,
    size     integer NOT NULL,
    CONSTRAINT transfer_group_pkey PRIMARY KEY (group_id),
    CONSTRAINT transfer_group_size_positive CHECK (size > 0)
);

CREATE TRIGGER transfer_group_is_kept BEFORE UPDATE OR DELETE ON transfer_group
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_group_is_not_truncated BEFORE TRUNCATE ON transfer_group EXECUTE FUNCTION refuse_change();

-- A transfer with all that there is of it.
CREATE VIEW transfer_full AS
SELECT t.transfer_id, t.position, t.from_account_id, t.to_account_id, t.amount, t.currency, t.asked_currency, t.status,
       t.error_reason, t.from_balance, t.to_balance, t.from_sequence, t.to_sequence, t.version, t.create_time,
       t.update_time, t.reference, t.metadata, t.deferred, d.kind, d.due_time, d.open_amount, d.posted_amount,
       d.parent_id, d.reversed_amount, d.group_id, d.effective_time, d.asked_amount, d.request_fingerprint, d.refusal,
       d.up_to_floor
FROM transfer AS t
LEFT JOIN transfer_detail AS d ON d.transfer_id = t.transfer_id;

-- +goose Down
DROP VIEW transfer_full;
DROP TABLE transfer_group;
DROP TABLE transfer_detail;
DROP TABLE transfer;
