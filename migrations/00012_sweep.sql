-- How low a sweep may bring its payer, where it says so.

-- +goose Up

ALTER TABLE transfer_detail
    -- The floor that a sweep was asked for with; NULL: zero. The account's own floor holds all the same.
    ADD COLUMN up_to_floor numeric,
    ADD CONSTRAINT transfer_detail_up_to_floor CHECK (up_to_floor IS NULL
        OR (asked_amount IS NOT NULL AND up_to_floor > '-Infinity' AND up_to_floor < 'Infinity'));

CREATE TRIGGER transfer_detail_floor_is_immutable BEFORE UPDATE OF up_to_floor ON transfer_detail
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE VIEW transfer_full AS
SELECT t.transfer_id, t.position, t.from_account_id, t.to_account_id, t.amount, t.currency, t.asked_currency, t.status,
       t.error_reason, t.from_balance, t.to_balance, t.from_sequence, t.to_sequence, t.version, t.create_time,
       t.update_time, t.reference, t.metadata, t.deferred, d.kind, d.due_time, d.open_amount, d.posted_amount,
       d.parent_id, d.reversed_amount, d.group_id, d.effective_time, d.asked_amount, d.request_fingerprint, d.refusal,
       d.up_to_floor
FROM transfer AS t
LEFT JOIN transfer_detail AS d ON d.transfer_id = t.transfer_id;

-- +goose Down
DROP VIEW transfer_full;
CREATE VIEW transfer_full AS
SELECT t.transfer_id, t.position, t.from_account_id, t.to_account_id, t.amount, t.currency, t.asked_currency, t.status,
       t.error_reason, t.from_balance, t.to_balance, t.from_sequence, t.to_sequence, t.version, t.create_time,
       t.update_time, t.reference, t.metadata, t.deferred, d.kind, d.due_time, d.open_amount, d.posted_amount,
       d.parent_id, d.reversed_amount, d.group_id, d.effective_time, d.asked_amount, d.request_fingerprint, d.refusal
FROM transfer AS t
LEFT JOIN transfer_detail AS d ON d.transfer_id = t.transfer_id;
DROP TRIGGER transfer_detail_floor_is_immutable ON transfer_detail;
ALTER TABLE transfer_detail DROP COLUMN up_to_floor;
