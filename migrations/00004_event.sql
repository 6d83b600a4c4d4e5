-- The order of all changes, for those who follow them.
--
-- An event's position is from the sequence that numbers transfers. Who writes events draws positions while holding the
-- row locks of the accounts concerned, so that along an account they are in the order of its changes. A plain transfer is
-- its own event and writes nothing more; what happens to rows that change is kept here.

-- +goose Up

-- What a transfer that changes after it was made was like at first, at its own position, and after each change. A first
-- row is written with the first change, so that who makes a hold pays nothing for it. Rows of transfers and accounts are
-- never deleted, so nothing here refers to them by foreign keys, which would be checked row by row.
CREATE TABLE transfer_change (
    position        bigint      NOT NULL,
    transfer_id     uuid        NOT NULL,
    change_time     timestamptz NOT NULL,
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
    CONSTRAINT transfer_change_pkey PRIMARY KEY (position)
);
-- The history of one transfer.
CREATE INDEX transfer_change_by_transfer ON transfer_change (transfer_id, position);

-- What an account was like when it was opened, before its opening balance was moved, and after each change that was no
-- movement.
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
    -- What is written by hand and cannot be read back must not become an event, which stays for ever.
    CONSTRAINT account_change_metadata_texts CHECK (jsonb_typeof(metadata) = 'object'
        AND NOT jsonb_path_exists(metadata, '$.* ? (@.type() != "string")'))
);

-- The transactions that may write events: whoever draws a position holds a lock on one of these tables, from before that
-- until after others see whether it was committed. Unlike a snapshot's oldest transaction this is not held up by what
-- others do in the same cluster. A standby does not know, so servers connect to a primary only.
-- A body of standard SQL is resolved here, once: it means these tables from then on, whatever their names.
-- +goose StatementBegin
CREATE FUNCTION event_writers() RETURNS text[] LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction || coalesce(' of process ' || l.pid, '')), '{}')
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation'
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
      AND l.relation IN ('transfer'::regclass, 'transfer_change'::regclass, 'account_change'::regclass)
      AND l.mode = 'RowExclusiveLock'
      AND l.granted;
END;
-- +goose StatementEnd

-- Accounts keep their changes by themselves, also those that are made by hand. A new account is kept as it was before its
-- opening balance was moved, which is an event of its own. The trigger for changes looks at the columns named in an UPDATE, so a
-- movement does not pay for it.
--
-- Triggers write beside the table that fires them. Their search_path has no schema of anybody's, so that nothing is found
-- but what is named.
-- +goose StatementBegin
CREATE FUNCTION account_keep_opened() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('
        INSERT INTO %I.account_change (account_id, opened, balance, held, incoming, min_balance, max_balance, policy,
                                       status, version, update_time, display_name, image_url, metadata)
        SELECT o.account_id, true, 0, 0, 0, o.min_balance, o.max_balance, o.policy, o.status, 1, o.create_time,
               o.display_name, o.image_url, o.metadata
        FROM opened AS o', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_keep_opened AFTER INSERT ON account REFERENCING NEW TABLE AS opened
    FOR EACH STATEMENT EXECUTE FUNCTION account_keep_opened();

-- +goose StatementBegin
CREATE FUNCTION account_keep_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('
        INSERT INTO %I.account_change (account_id, opened, balance, held, incoming, min_balance, max_balance, policy,
                                       status, version, update_time, display_name, image_url, metadata)
        SELECT ($1).account_id, false, ($1).balance, ($1).held, ($1).incoming, ($1).min_balance, ($1).max_balance,
               ($1).policy, ($1).status, ($1).version, ($1).update_time, ($1).display_name, ($1).image_url, ($1).metadata',
        TG_TABLE_SCHEMA) USING NEW;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER account_keep_changed
    AFTER UPDATE OF min_balance, max_balance, policy, status, display_name, image_url, metadata ON account
    FOR EACH ROW EXECUTE FUNCTION account_keep_changed();

-- The equity accounts are there already.
INSERT INTO account_change (account_id, opened, balance, held, incoming, min_balance, max_balance, policy, status, version,
                            update_time, display_name, image_url, metadata)
SELECT a.account_id, true, a.balance, a.held, a.incoming, a.min_balance, a.max_balance, a.policy, a.status, a.version,
       a.update_time, a.display_name, a.image_url, a.metadata
FROM account AS a
ORDER BY a.create_time, a.account_id;

CREATE TRIGGER transfer_change_is_kept BEFORE UPDATE OR DELETE ON transfer_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_change_is_not_truncated BEFORE TRUNCATE ON transfer_change EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_change_is_kept BEFORE UPDATE OR DELETE ON account_change
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER account_change_is_not_truncated BEFORE TRUNCATE ON account_change EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TRIGGER account_keep_changed ON account;
DROP TRIGGER account_keep_opened ON account;
DROP FUNCTION account_keep_changed;
DROP FUNCTION account_keep_opened;
DROP FUNCTION event_writers;
DROP TABLE account_change;
DROP TABLE transfer_change;
