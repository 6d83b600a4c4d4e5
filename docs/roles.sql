-- The roles of a ledger, and what each may do.
--
--   ledger_owner   makes the tables:   internaltransfers migrate, import
--   ledger_writer  serves the API:     internaltransfers serve
--   ledger_reader  only looks:         internaltransfers check, export
--
-- Apply this file in the ledger's database as a superuser, or as the owner of the database if that
-- may make roles (CREATEROLE):
--
--   psql -v ON_ERROR_STOP=1 -f roles.sql
--
-- 1. Apply it: it makes the roles and the schema.
-- 2. Run "internaltransfers migrate" as ledger_owner: it makes the tables.
-- 3. Apply it again: it grants the rights.
--
-- After each upgrade run "migrate" of the new version and apply the new version's file, before its
-- servers start. From then on ledger_owner may apply it too. It can be applied any number of times.
-- What it does takes effect all at once.
--
-- The names are yours: replace ledger_owner, ledger_writer, ledger_reader and the schema ledger.
-- The schema must hold nothing else. Give each role a password (ALTER ROLE ... PASSWORD ...), or
-- grant it to a role that you have (GRANT ledger_writer TO app).

BEGIN;

SET LOCAL search_path = ledger;

DO $$
BEGIN
    IF to_regrole('ledger_owner') IS NULL THEN
        CREATE ROLE ledger_owner LOGIN;
        -- "migrate" then makes the ledger in this schema, also without DB_SCHEMA.
        ALTER ROLE ledger_owner SET search_path = ledger;
    END IF;
    IF to_regrole('ledger_writer') IS NULL THEN
        CREATE ROLE ledger_writer LOGIN;
    END IF;
    IF to_regrole('ledger_reader') IS NULL THEN
        CREATE ROLE ledger_reader LOGIN;
    END IF;
    -- Who is no superuser acts for the owner as its member.
    IF NOT pg_has_role('ledger_owner', 'USAGE') THEN
        GRANT ledger_owner TO CURRENT_USER;
    END IF;
    IF current_schema() IS NULL THEN
        CREATE SCHEMA ledger AUTHORIZATION ledger_owner;
    END IF;
END
$$;

-- Nobody but the owner makes anything here.
REVOKE ALL ON SCHEMA ledger FROM PUBLIC, ledger_writer, ledger_reader;
GRANT ALL ON SCHEMA ledger TO ledger_owner;
-- Everything below needs the schema itself.
GRANT USAGE ON SCHEMA ledger TO ledger_writer, ledger_reader;

DO $$
BEGIN
    -- The newest of what is named below.
    IF to_regclass('api_key') IS NULL THEN
        RAISE NOTICE 'No tables of this version: run "internaltransfers migrate", then this again.';
        RETURN;
    END IF;

    -- What an earlier version of this file has granted goes, with the rights to single columns.
    REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM PUBLIC, ledger_writer, ledger_reader;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA ledger FROM PUBLIC, ledger_writer, ledger_reader;
    -- Anybody may call a function unless this is said.
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC, ledger_writer, ledger_reader;

    -- The writer. It never deletes, and it never changes the amount, the accounts or the currency
    -- of anything: it may only change the columns that are named here.

    -- It reads what the API shows, and the version of the schema.
    GRANT SELECT ON goose_db_version, setting, currency, account, transfer, transfer_detail,
        transfer_full, transfer_group, transfer_change, account_change, schedule, webhook_endpoint,
        webhook_delivery, checkpoint, account_checkpoint, last_proof, api_key TO ledger_writer;
    -- It opens currencies, accounts and transfers, and keeps their history.
    GRANT INSERT ON currency, account, transfer, transfer_detail, transfer_group, transfer_change,
        account_change TO ledger_writer;
    -- Schedules, and webhooks with what could not be delivered at once.
    GRANT INSERT ON schedule, webhook_endpoint, webhook_delivery TO ledger_writer;
    -- API keys. A trigger refuses to change one that was revoked.
    GRANT INSERT ON api_key TO ledger_writer;
    -- What a proof of the ledger found, for the next one to go on from.
    GRANT INSERT ON account_checkpoint, last_proof TO ledger_writer;

    -- Money moves: a balance and what is held of it, with the number of the account's last entry.
    GRANT UPDATE (balance, held, incoming, forced_floor, entry_count, version, update_time)
        ON account TO ledger_writer;
    -- UpdateAccount: what people see of an account, its limits and its status.
    GRANT UPDATE (display_name, image_url, metadata, min_balance, max_balance, policy, status)
        ON account TO ledger_writer;
    -- A hold or a scheduled transfer ends. A trigger refuses to change one that has ended.
    GRANT UPDATE (status, error_reason, from_balance, to_balance, version, update_time)
        ON transfer TO ledger_writer;
    -- What is left of a hold, and what was captured or reversed.
    GRANT UPDATE (open_amount, posted_amount, reversed_amount, refusal)
        ON transfer_detail TO ledger_writer;
    -- A schedule makes its next transfer, pauses or ends.
    GRANT UPDATE (status, next_time, occurrence_count, last_transfer_id, version, update_time)
        ON schedule TO ledger_writer;
    -- An endpoint is changed by calls, gets new secrets, and is held by who delivers to it.
    GRANT UPDATE (url, description, filter, status, secret, old_secret, old_secret_expire_time,
        cursor_position, version, holder, lease_expire_time, last_success_time, last_failure_time,
        last_failure, update_time) ON webhook_endpoint TO ledger_writer;
    -- A delivery is tried again.
    GRANT UPDATE (status, attempts, next_attempt_time, last_attempt_time, last_failure)
        ON webhook_delivery TO ledger_writer;
    -- A key is changed, gets a new secret, is used, or is revoked.
    GRANT UPDATE (display_name, role, grants, networks, secret_hash, old_secret_hash,
        old_secret_expire_time, expire_time, revoke_time, last_use_time, last_use_address, version)
        ON api_key TO ledger_writer;
    -- A proof succeeded: the next one goes on from here.
    GRANT UPDATE (snapshot_time, position, pending_ids) ON checkpoint TO ledger_writer;
    GRANT UPDATE (entry_count, balance, version, update_time)
        ON account_checkpoint TO ledger_writer;
    GRANT UPDATE (check_time, incremental, broken) ON last_proof TO ledger_writer;

    -- Positions of events are drawn from it.
    GRANT USAGE ON SEQUENCE transfer_position_seq TO ledger_writer;
    -- The clock; who is writing events; the order of an account's deliveries; the words of a name;
    -- the channel that tells of changed profiles; and "serve --demo".
    GRANT EXECUTE ON FUNCTION ledger_now, event_writers, webhook_account_waits, search_words,
        profile_channel, mark_demo TO ledger_writer;

    -- The reader. It sees everything, also the secrets of webhooks, for "export --webhooks". Where
    -- nobody does that, leave webhook_endpoint and webhook_delivery out.
    GRANT SELECT ON goose_db_version, setting, currency, account, transfer, transfer_detail,
        transfer_group, transfer_change, account_change, schedule, webhook_endpoint,
        webhook_delivery, checkpoint, account_checkpoint, last_proof TO ledger_reader;
    -- The clock.
    GRANT EXECUTE ON FUNCTION ledger_now TO ledger_reader;
END
$$;

COMMIT;
