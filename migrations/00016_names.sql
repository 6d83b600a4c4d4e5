-- Functions find their ledger whatever its schema is called: none keeps a name, which would become another ledger's when
-- the schema is renamed.

-- +goose Up

-- A body of standard SQL is resolved here, once. From then on it means these tables, whatever their names.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION event_writers() RETURNS text[] LANGUAGE sql VOLATILE
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION webhook_account_waits(of_endpoint uuid, of_account uuid, before bigint) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = of_endpoint AND d.account_id = of_account
                   AND d.position < before AND d.status = 'PENDING')
        OR EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = of_endpoint AND d.other_account_id = of_account
                   AND d.position < before AND d.status = 'PENDING');
END;
-- +goose StatementEnd

-- Triggers write beside the table that fires them. The search_path has no schema of anybody's, so that nothing is found
-- but what is named.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION account_keep_opened() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION account_keep_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notify_profile() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('SELECT pg_notify(%I.profile_channel($1), $2)', TG_TABLE_SCHEMA)
        USING TG_RELID::regclass, NEW.account_id::text;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- lock_additions keeps everybody from adding rows to these tables until the transaction ends, and waits for those who are
-- at it. It is for mark_demo, whose body cannot lock: only the owner may call it.
-- +goose StatementBegin
CREATE FUNCTION lock_additions(first regclass, second regclass) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s, %s IN SHARE ROW EXCLUSIVE MODE', first, second);
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION lock_additions(regclass, regclass) FROM PUBLIC;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION mark_demo(seed bytea) RETURNS bytea LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT lock_additions('account'::regclass, 'transfer'::regclass)
    WHERE NOT EXISTS (SELECT FROM setting WHERE name = 'demo');
    -- Each statement sees what was committed before it. Another server may have been faster.
    INSERT INTO setting (name, value)
    SELECT 'demo', mark_demo.seed
    WHERE NOT EXISTS (SELECT FROM setting WHERE name = 'demo')
      AND NOT EXISTS (SELECT FROM account WHERE NOT is_equity)
      AND NOT EXISTS (SELECT FROM transfer)
    ON CONFLICT (name) DO NOTHING;
    SELECT value FROM setting WHERE name = 'demo';
END;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION mark_demo;
DROP FUNCTION lock_additions;
-- +goose StatementBegin
CREATE FUNCTION mark_demo(seed bytea) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM setting WHERE name = 'demo') THEN
        -- Keeps everybody from adding accounts and transfers until the transaction ends, and waits for those who are at it.
        LOCK TABLE account, transfer IN SHARE ROW EXCLUSIVE MODE;
        INSERT INTO setting (name, value)
        SELECT 'demo', seed
        WHERE NOT EXISTS (SELECT FROM account WHERE NOT is_equity)
          AND NOT EXISTS (SELECT FROM transfer)
        -- Another server may have been faster.
        ON CONFLICT (name) DO NOTHING;
    END IF;
    RETURN (SELECT value FROM setting WHERE name = 'demo');
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION mark_demo(bytea) FROM PUBLIC;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION notify_profile() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify(profile_channel(TG_RELID::regclass), NEW.account_id::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION account_keep_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_change (account_id, opened, balance, held, incoming, min_balance, max_balance, policy, status, version,
                                update_time, display_name, image_url, metadata)
    VALUES (NEW.account_id, false, NEW.balance, NEW.held, NEW.incoming, NEW.min_balance, NEW.max_balance, NEW.policy, NEW.status,
            NEW.version, NEW.update_time, NEW.display_name, NEW.image_url, NEW.metadata);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION account_keep_opened() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO account_change (account_id, opened, balance, held, incoming, min_balance, max_balance, policy, status, version,
                                update_time, display_name, image_url, metadata)
    SELECT o.account_id, true, 0, 0, 0, o.min_balance, o.max_balance, o.policy, o.status, 1, o.create_time, o.display_name,
           o.image_url, o.metadata
    FROM opened AS o;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION webhook_account_waits(of_endpoint uuid, of_account uuid, before bigint) RETURNS boolean
    LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = of_endpoint AND d.account_id = of_account
                   AND d.position < before AND d.status = 'PENDING')
        OR EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = of_endpoint AND d.other_account_id = of_account
                   AND d.position < before AND d.status = 'PENDING')
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION event_writers() RETURNS text[] LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction || coalesce(' of process ' || l.pid, '')), '{}')
    FROM pg_locks AS l
    WHERE l.locktype = 'relation'
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.relation IN ('transfer'::regclass, 'transfer_change'::regclass, 'account_change'::regclass)
      AND l.mode = 'RowExclusiveLock'
      AND l.granted
$$;
-- +goose StatementEnd
