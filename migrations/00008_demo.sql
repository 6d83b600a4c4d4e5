-- A ledger becomes a demo by a function of its owner's, so that a server need not be allowed to lock whole tables, nor to
-- write settings.

-- +goose Up

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
CREATE FUNCTION mark_demo(seed bytea) RETURNS bytea LANGUAGE sql SECURITY DEFINER
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
REVOKE ALL ON FUNCTION mark_demo(bytea) FROM PUBLIC;

-- +goose Down
DROP FUNCTION mark_demo;
DROP FUNCTION lock_additions;
