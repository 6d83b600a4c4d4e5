-- Webhooks: events, delivered to URLs.
--
-- A delivery that succeeds at once leaves no row: the endpoint's cursor passes it. Only what did not succeed is kept, and
-- the cursor passes that too. So all events up to the cursor are delivered, or are among the rows.

-- +goose Up

CREATE TABLE webhook_endpoint (
    endpoint_id            uuid        NOT NULL,
    url                    text        NOT NULL,
    description            text        NOT NULL,
    filter                 jsonb       NOT NULL,
    status                 text        NOT NULL DEFAULT 'ENABLED',
    -- The key of its signatures, none of a deleted endpoint, and the one before until it expires.
    secret                 bytea,
    old_secret             bytea,
    old_secret_expire_time timestamptz,
    cursor_position        bigint      NOT NULL,
    -- Grows with each change that a call makes, and with each new lease: who delivers by an older one is out of date.
    version                bigint      NOT NULL DEFAULT 1,
    -- Who delivers, and until when it does so if it is not heard of again; NULL: nobody.
    holder                 uuid,
    lease_expire_time      timestamptz,
    last_success_time      timestamptz,
    last_failure_time      timestamptz,
    last_failure           text        NOT NULL DEFAULT '',
    create_time            timestamptz NOT NULL,
    update_time            timestamptz NOT NULL,
    -- SHA-256 of what was asked for, so that a repeated call can be told from another one.
    create_fingerprint     bytea       NOT NULL,
    CONSTRAINT webhook_endpoint_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT webhook_endpoint_status_known CHECK (status IN ('ENABLED', 'DISABLED', 'DELETED')),
    CONSTRAINT webhook_endpoint_secret_unless_deleted CHECK ((status = 'DELETED') = (secret IS NULL)),
    CONSTRAINT webhook_endpoint_secret_long CHECK (octet_length(secret) >= 24 AND octet_length(old_secret) >= 24),
    CONSTRAINT webhook_endpoint_old_secret_expires CHECK ((old_secret IS NULL) = (old_secret_expire_time IS NULL)),
    CONSTRAINT webhook_endpoint_old_secret_unless_deleted CHECK (old_secret IS NULL OR status <> 'DELETED'),
    CONSTRAINT webhook_endpoint_cursor_not_negative CHECK (cursor_position >= 0),
    CONSTRAINT webhook_endpoint_lease_iff_held CHECK ((holder IS NULL) = (lease_expire_time IS NULL)),
    CONSTRAINT webhook_endpoint_version_positive CHECK (version >= 1)
) WITH (fillfactor = 50);

-- ListWebhookEndpoints, and all that may be delivered to.
CREATE INDEX webhook_endpoint_by_time ON webhook_endpoint (create_time, endpoint_id) WHERE status <> 'DELETED';

-- An event that was not delivered at the first attempt, or was asked for again.
CREATE TABLE webhook_delivery (
    endpoint_id       uuid        NOT NULL,
    position          bigint      NOT NULL,
    -- The accounts that the event is about: one, or the two of a transfer.
    account_id        uuid        NOT NULL,
    other_account_id  uuid,
    status            text        NOT NULL DEFAULT 'PENDING',
    attempts          integer     NOT NULL DEFAULT 0,
    -- NULL: it waits for an earlier event of its accounts, or is over.
    next_attempt_time timestamptz,
    last_attempt_time timestamptz,
    last_failure      text        NOT NULL DEFAULT '',
    CONSTRAINT webhook_delivery_pkey PRIMARY KEY (endpoint_id, position),
    CONSTRAINT webhook_delivery_endpoint_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoint (endpoint_id),
    CONSTRAINT webhook_delivery_position_positive CHECK (position > 0),
    CONSTRAINT webhook_delivery_accounts_differ CHECK (account_id <> other_account_id),
    CONSTRAINT webhook_delivery_status_known CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD')),
    CONSTRAINT webhook_delivery_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT webhook_delivery_tried_if_over CHECK (status = 'PENDING' OR (attempts > 0 AND last_attempt_time IS NOT NULL)),
    CONSTRAINT webhook_delivery_next_only_pending CHECK (status = 'PENDING' OR next_attempt_time IS NULL)
) WITH (fillfactor = 80);

-- ListWebhookDeliveries by status, and how many there are of each.
CREATE INDEX webhook_delivery_by_status ON webhook_delivery (endpoint_id, status, position);
-- What is due: few of those that are pending when many wait for one.
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, next_attempt_time) WHERE next_attempt_time IS NOT NULL;
-- What an account's events wait for.
CREATE INDEX webhook_delivery_by_account ON webhook_delivery (endpoint_id, account_id, position) WHERE status = 'PENDING';
CREATE INDEX webhook_delivery_by_other ON webhook_delivery (endpoint_id, other_account_id, position) WHERE status = 'PENDING';

-- Whether an earlier event of the account is pending.
-- +goose StatementBegin
CREATE FUNCTION webhook_account_waits(of_endpoint uuid, of_account uuid, before bigint) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = of_endpoint AND d.account_id = of_account
                   AND d.position < before AND d.status = 'PENDING')
        OR EXISTS (SELECT 1 FROM webhook_delivery AS d WHERE d.endpoint_id = of_endpoint AND d.other_account_id = of_account
                   AND d.position < before AND d.status = 'PENDING');
END;
-- +goose StatementEnd

-- What an endpoint is for and how far it has come never changes backwards; a deleted one never changes at all.
CREATE TRIGGER webhook_endpoint_identity_is_immutable
    BEFORE UPDATE OF endpoint_id, create_time, create_fingerprint ON webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER webhook_endpoint_moves_on BEFORE UPDATE ON webhook_endpoint
    FOR EACH ROW WHEN (OLD.status = 'DELETED' OR NEW.cursor_position < OLD.cursor_position OR NEW.version < OLD.version)
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER webhook_endpoint_is_kept BEFORE DELETE ON webhook_endpoint FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER webhook_endpoint_is_not_truncated BEFORE TRUNCATE ON webhook_endpoint EXECUTE FUNCTION refuse_change();
CREATE TRIGGER webhook_delivery_is_kept BEFORE DELETE ON webhook_delivery FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER webhook_delivery_is_not_truncated BEFORE TRUNCATE ON webhook_delivery EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP FUNCTION webhook_account_waits;
DROP TABLE webhook_delivery;
DROP TABLE webhook_endpoint;
