-- A ledger becomes a demo by a function of its owner's, so that a server need not be allowed to lock whole tables, nor to
-- write settings.

-- +goose Up

-- mark_demo marks the ledger as a demo with that seed, unless it has anything besides its equity accounts. It returns the
-- seed of the demo that the ledger is then; NULL: it has data, and is none.
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

-- +goose Down
DROP FUNCTION mark_demo;
