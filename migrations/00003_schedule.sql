-- Schedules: transfers that happen again and again.

-- +goose Up

CREATE TABLE schedule (
    schedule_id        uuid        NOT NULL,
    from_account_id    uuid        NOT NULL,
    to_account_id      uuid        NOT NULL,
    amount             numeric     NOT NULL,
    currency           text        NOT NULL,
    -- Either a cron expression in a time zone, or a distance in time from start_time on.
    cron               text,
    time_zone          text,
    interval_micros    bigint,
    start_time         timestamptz NOT NULL,
    end_time           timestamptz,
    max_count          bigint,
    catch_up           text        NOT NULL,
    reference          text        NOT NULL,
    metadata           jsonb       NOT NULL,
    status             text        NOT NULL DEFAULT 'ACTIVE',
    -- When the next occurrence is due; NULL: none is to come.
    next_time          timestamptz,
    occurrence_count   bigint      NOT NULL DEFAULT 0,
    last_transfer_id   uuid,
    create_time        timestamptz NOT NULL,
    update_time        timestamptz NOT NULL,
    version            bigint      NOT NULL DEFAULT 1,
    -- SHA-256 of what was asked for, so that a repeated call can be told from another one.
    create_fingerprint bytea       NOT NULL,
    CONSTRAINT schedule_pkey PRIMARY KEY (schedule_id),
    CONSTRAINT schedule_from_account_fkey FOREIGN KEY (from_account_id) REFERENCES account (account_id),
    CONSTRAINT schedule_to_account_fkey FOREIGN KEY (to_account_id) REFERENCES account (account_id),
    CONSTRAINT schedule_currency_fkey FOREIGN KEY (currency) REFERENCES currency (code),
    CONSTRAINT schedule_accounts_differ CHECK (from_account_id <> to_account_id),
    CONSTRAINT schedule_amount_positive CHECK (amount > 0 AND amount < 'Infinity'),
    CONSTRAINT schedule_one_recurrence CHECK (num_nonnulls(cron, interval_micros) = 1
        AND num_nonnulls(time_zone, interval_micros) = 1),
    CONSTRAINT schedule_interval_range CHECK (interval_micros >= 1000000),
    CONSTRAINT schedule_end_after_start CHECK (end_time > start_time),
    CONSTRAINT schedule_count_range CHECK (occurrence_count >= 0 AND max_count >= 1
        AND occurrence_count <= max_count),
    CONSTRAINT schedule_catch_up_known CHECK (catch_up IN ('ALL', 'LATEST', 'NONE')),
    CONSTRAINT schedule_status_known CHECK (status IN ('ACTIVE', 'PAUSED', 'ENDED', 'DELETED')),
    CONSTRAINT schedule_next_iff_active CHECK ((status = 'ACTIVE') = (next_time IS NOT NULL)),
    CONSTRAINT schedule_next_in_bounds CHECK (next_time >= start_time AND (end_time IS NULL OR next_time < end_time)),
    CONSTRAINT schedule_last_iff_any CHECK ((occurrence_count > 0) = (last_transfer_id IS NOT NULL)),
    CONSTRAINT schedule_version_positive CHECK (version >= 1)
);

-- For the workers: all that are due.
CREATE INDEX schedule_due ON schedule (next_time, schedule_id) WHERE next_time IS NOT NULL;
-- ListSchedules: all, by status, by account (either side).
CREATE INDEX schedule_by_time ON schedule (create_time, schedule_id);
CREATE INDEX schedule_by_status ON schedule (status, create_time, schedule_id);
CREATE INDEX schedule_by_from ON schedule (from_account_id, create_time, schedule_id);
CREATE INDEX schedule_by_to ON schedule (to_account_id, create_time, schedule_id);

-- What a schedule is never changes: the ids of its transfers follow from it.
CREATE TRIGGER schedule_identity_is_immutable
    BEFORE UPDATE OF schedule_id, from_account_id, to_account_id, amount, currency, cron, time_zone, interval_micros,
        start_time, end_time, max_count, catch_up, reference, metadata, create_time, create_fingerprint ON schedule
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER schedule_deleted_is_final BEFORE UPDATE ON schedule
    FOR EACH ROW WHEN (OLD.status = 'DELETED' OR NEW.occurrence_count < OLD.occurrence_count)
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER schedule_is_kept BEFORE DELETE ON schedule FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER schedule_is_not_truncated BEFORE TRUNCATE ON schedule EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE schedule;
