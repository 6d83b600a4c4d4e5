-- SettingGet reads a value that every instance on this database shares.
-- name: SettingGet :one
SELECT value
FROM setting
WHERE name = @name;
