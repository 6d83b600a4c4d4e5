-- Groups of transfers that happen all or none.

-- +goose Up

-- Each group that was decided, so that its id is never given to another one, by any server, and a repeated call can be told
-- from one for a part of it.
CREATE TABLE transfer_group (
    group_id uuid    NOT NULL,
    size     integer NOT NULL,
    CONSTRAINT transfer_group_pkey PRIMARY KEY (group_id),
    CONSTRAINT transfer_group_size_positive CHECK (size > 0)
);
INSERT INTO transfer_group (group_id, size)
SELECT group_id, count(*) FROM transfer_detail WHERE group_id IS NOT NULL GROUP BY group_id;

CREATE TRIGGER transfer_group_is_kept BEFORE UPDATE OR DELETE ON transfer_group
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transfer_group_is_not_truncated BEFORE TRUNCATE ON transfer_group EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE transfer_group;
