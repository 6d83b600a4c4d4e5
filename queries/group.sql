-- GroupsGet reads groups, in no order.
-- name: GroupsGet :many
SELECT sqlc.embed(transfer_group)
FROM transfer_group
WHERE group_id = ANY (@group_ids::uuid[]);

-- GroupsInsert adds groups, by id, so that two batches with the same ones cannot deadlock.
-- name: GroupsInsert :execrows
INSERT INTO transfer_group (group_id, size)
SELECT n.group_id, n.size
FROM (SELECT unnest(@group_ids::uuid[]) AS group_id, unnest(@sizes::int[]) AS size) AS n
ORDER BY n.group_id;
