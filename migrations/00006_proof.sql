-- Proofs: how the last one ended, and what the last one that succeeded found, for the next one to go on from.

-- +goose Up

-- How the last proof ended, whoever made it: one row, or before the first proof none.
CREATE TABLE last_proof (
    proof_id    smallint    NOT NULL,
    -- When its snapshot was taken.
    check_time  timestamptz NOT NULL,
    incremental boolean     NOT NULL,
    -- The names of the invariants that it found broken.
    broken      text[]      NOT NULL,
    CONSTRAINT last_proof_pkey PRIMARY KEY (proof_id),
    CONSTRAINT last_proof_is_one CHECK (proof_id = 1)
);

-- When the proof was, and what could still change then. There is always this one row.
CREATE TABLE checkpoint (
    checkpoint_id smallint    NOT NULL,
    -- When its snapshot was taken; NULL: there is nothing to go on from.
    snapshot_time timestamptz,
    -- The greatest position that had been given then.
    position      bigint      NOT NULL DEFAULT 0,
    -- The transfers that were INIT.
    pending_ids   uuid[]      NOT NULL DEFAULT '{}',
    CONSTRAINT checkpoint_pkey PRIMARY KEY (checkpoint_id),
    CONSTRAINT checkpoint_is_one CHECK (checkpoint_id = 1)
);
INSERT INTO checkpoint (checkpoint_id) VALUES (1);

-- What each account was then. A transfer that was not committed yet has later entry numbers than these, and a create_time
-- that is no earlier than update_time: whoever makes one holds the account's row lock, and update_time never goes back.
CREATE TABLE account_checkpoint (
    account_id  uuid        NOT NULL,
    entry_count bigint      NOT NULL,
    balance     numeric     NOT NULL,
    version     bigint      NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT account_checkpoint_pkey PRIMARY KEY (account_id)
) WITH (fillfactor = 80);

-- +goose Down
DROP TABLE account_checkpoint;
DROP TABLE checkpoint;
DROP TABLE last_proof;
