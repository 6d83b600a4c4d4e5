-- The order of all changes, for those who follow them.
--
-- An event's position is from the sequence that numbers transfers. Who writes events draws positions while holding the
-- row locks of the accounts concerned, so that along an account they are in the order of its changes. A plain transfer is
-- its own event and writes nothing more; what happens to rows that change is kept here.

-- +goose Up

-- The events of transfers in order.
CREATE UNIQUE INDEX transfer_by_position ON transfer (position);

-- A transfer that changes after it was made: what it was like at first, at its own position, and after each change.
CREATE TABLE transfer_change (
    position        bigint      NOT NULL,
    transfer_id     uuid        NOT NULL,
    status          text        NOT NULL,
    error_reason    text,
    from_balance    numeric,
    to_balance      numeric,
    version         integer     NOT NULL,
    update_time     timestamptz NOT NULL,
    open_amount     numeric,
    posted_amount   numeric,
    reversed_amount numeric,
    refusal         jsonb,
    CONSTRAINT transfer_change_pkey PRIMARY KEY (position),
    CONSTRAINT transfer_change_transfer_fkey FOREIGN KEY (transfer_id) REFERENCES transfer (transfer_id)
);
-- The history of one transfer.
CREATE INDEX transfer_change_by_transfer ON transfer_change (transfer_id, position);

-- What an account was like when it was opened, and after each change that was no movement.
CREATE TABLE account_change (
    position     bigint      NOT NULL DEFAULT nextval('transfer_position_seq'),
    account_id   uuid        NOT NULL,
    opened       boolean     NOT NULL,
    balance      numeric     NOT NULL,
    held         numeric     NOT NULL,
    incoming     numeric     NOT NULL,
    min_balance  numeric,
    max_balance  numeric,
    policy       jsonb,
    status       text        NOT NULL,
    version      bigint      NOT NULL,
    update_time  timestamptz NOT NULL,
    display_name text        NOT NULL,
    image_url    text        NOT NULL,
    metadata     jsonb       NOT NULL,
    CONSTRAINT account_change_pkey PRIMARY KEY (position),
    CONSTRAINT account_change_account_fkey FOREIGN KEY (account_id) REFERENCES account (account_id)
);

CREATE TRIGGER transfer_change_is_kept BEFORE UPDATE OR DELETE ON transfer_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_change_is_not_truncated BEFORE TRUNCATE ON transfer_change EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_change_is_kept BEFORE UPDATE OR DELETE ON account_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_change_is_not_truncated BEFORE TRUNCATE ON account_change EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE account_change;
DROP TABLE transfer_change;
DROP INDEX transfer_by_position;
