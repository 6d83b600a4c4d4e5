-- A role is who a session is for the database. docs/roles.sql says what each role of a ledger
-- needs, and internal/pgdb verifies it. Nothing of the ledger is read here.

-- RightsMissing reads which of these rights the session's role lacks, by their ordinals. A right to
-- something that is not there, as in an older schema, is not lacking.
-- name: RightsMissing :many
SELECT r.ordinal::int AS ordinal
FROM (SELECT unnest(@ordinals::int[]) AS ordinal,
             unnest(@privileges::text[]) AS privilege,
             unnest(@kinds::text[]) AS kind,
             unnest(@objects::text[]) AS object,
             unnest(@columns::text[]) AS column_name) AS r
JOIN pg_catalog.pg_namespace AS n ON n.nspname = @schema::text
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = r.object
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = r.column_name
LEFT JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid AND p.proname = r.object
WHERE NOT coalesce(CASE r.kind
                       WHEN 'SCHEMA' THEN has_schema_privilege(n.oid, r.privilege)
                       WHEN 'SEQUENCE' THEN has_sequence_privilege(c.oid, r.privilege)
                       WHEN 'FUNCTION' THEN has_function_privilege(p.oid, r.privilege)
                       WHEN 'COLUMN' THEN has_column_privilege(c.oid, a.attnum, r.privilege)
                       ELSE has_table_privilege(c.oid, r.privilege)
                   END, true)
ORDER BY r.ordinal;

-- RowSecurityTables reads the tables of a schema of which policies hide rows from the session's
-- role.
-- name: RowSecurityTables :many
SELECT c.relname::text AS name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = @schema::text
  AND c.relkind = 'r'
  AND row_security_active(c.oid)
ORDER BY c.relname
LIMIT 100;

-- SchemaMeddled reads what somebody has changed about the tables of a schema so that what is written
-- may be lost, and the statement that undoes it: a rule in place of an INSERT or UPDATE, a trigger
-- that does not fire, a table that is empty after a crash, rows of another table that are among the
-- ledger's.
-- name: SchemaMeddled :many
SELECT m.found::text AS found, m.fix::text AS fix
FROM (SELECT format('the table %s has the rule %s', c.relname, r.rulename) AS found,
             format('DROP RULE %I ON %I.%I', r.rulename, n.nspname, c.relname) AS fix
      FROM pg_catalog.pg_namespace AS n
      JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
      JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.oid
      WHERE n.nspname = @schema::text
      UNION ALL
      SELECT format('the trigger %s of the table %s does not fire', t.tgname, c.relname),
             format('ALTER TABLE %I.%I ENABLE TRIGGER %I', n.nspname, c.relname, t.tgname)
      FROM pg_catalog.pg_namespace AS n
      JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
      JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid
      WHERE n.nspname = @schema::text AND NOT t.tgisinternal AND t.tgenabled IN ('D', 'R')
      UNION ALL
      SELECT format('the table %s is not logged', c.relname),
             format('ALTER TABLE %I.%I SET LOGGED', n.nspname, c.relname)
      FROM pg_catalog.pg_namespace AS n
      JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
      WHERE n.nspname = @schema::text AND c.relpersistence <> 'p'
      UNION ALL
      SELECT format('the table %s has the rows of %s.%s, which inherits from it', c.relname, s.nspname, h.relname),
             format('ALTER TABLE %I.%I NO INHERIT %I.%I', s.nspname, h.relname, n.nspname, c.relname)
      FROM pg_catalog.pg_namespace AS n
      JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
      JOIN pg_catalog.pg_inherits AS k ON k.inhparent = c.oid
      JOIN pg_catalog.pg_class AS h ON h.oid = k.inhrelid
      JOIN pg_catalog.pg_namespace AS s ON s.oid = h.relnamespace
      WHERE n.nspname = @schema::text) AS m
ORDER BY m.found
LIMIT 100;

-- SchemaMissing reads which of these parts a schema lacks: relations, columns, constraints, unique
-- indexes, triggers and functions. The shape of a part is what every version of PostgreSQL spells
-- alike, whatever the settings of a session are. A part of another shape is missing, and is_other is set: one of its name is there.
-- name: SchemaMissing :many
WITH relation AS (
    SELECT c.oid, c.relname::text AS name, c.relkind
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
    WHERE n.nspname = @schema::text AND c.relkind NOT IN ('i', 'I', 't')
), part AS (
    SELECT 'relation' AS kind, r.name AS relation, '' AS name, r.relkind::text AS shape
    FROM relation AS r
    UNION ALL
    SELECT 'column', r.name, a.attname::text,
           concat_ws(' ', CASE WHEN a.attnotnull THEN 'required' END, CASE WHEN a.atthasdef THEN 'default' END,
                     CASE WHEN a.attidentity <> '' THEN 'identity' END)
    FROM relation AS r
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'constraint', r.name, o.conname::text,
           concat_ws(' ', o.contype, (SELECT string_agg(a.attname::text, ' ' ORDER BY a.attname)
                                      FROM pg_catalog.pg_attribute AS a
                                      WHERE a.attrelid = r.oid AND a.attnum = ANY (o.conkey)),
                     CASE WHEN o.condeferrable THEN 'deferrable' END, CASE WHEN o.condeferred THEN 'deferred' END,
                     CASE WHEN NOT o.convalidated THEN 'not valid' END)
    FROM relation AS r
    JOIN pg_catalog.pg_constraint AS o ON o.conrelid = r.oid
    WHERE o.contype IN ('p', 'u', 'f', 'c')
    UNION ALL
    SELECT 'unique index', r.name, x.relname::text,
           (SELECT string_agg(a.attname::text, ' ' ORDER BY a.attname)
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = i.indexrelid)
    FROM relation AS r
    JOIN pg_catalog.pg_index AS i ON i.indrelid = r.oid
    JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
    WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS o WHERE o.conrelid = r.oid AND o.conindid = i.indexrelid)
    UNION ALL
    SELECT 'trigger', r.name, t.tgname::text,
           concat_ws(' ', t.tgtype, f.proname, CASE WHEN t.tgqual IS NOT NULL THEN 'when' END)
    FROM relation AS r
    JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.oid
    JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'function', '', f.proname::text, concat_ws(' ', f.pronargs, y.typname)
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_proc AS f ON f.pronamespace = n.oid
    JOIN pg_catalog.pg_type AS y ON y.oid = f.prorettype
    WHERE n.nspname = @schema::text
), missing AS (
    SELECT unnest(@kinds::text[]) AS kind, unnest(@relations::text[]) AS relation,
           unnest(@names::text[]) AS name, unnest(@shapes::text[]) AS shape
    EXCEPT
    SELECT p.kind, p.relation, p.name, p.shape FROM part AS p
)
SELECT m.kind::text AS kind, m.relation::text AS relation, m.name::text AS name,
       EXISTS (SELECT FROM part AS p
               WHERE p.kind = m.kind AND p.relation = m.relation AND p.name = m.name)::boolean AS is_other
FROM missing AS m;

-- RoleExcess reads the worst that the session's role is or may do and a server need not; empty:
-- nothing. What a server needs are INSERT on some tables and UPDATE of some columns. It deletes
-- nothing: it only asks about that right.
-- @sqlc-vet-disable no-delete
-- name: RoleExcess :one
WITH relation AS (SELECT c.oid, c.relname, c.relowner
                  FROM pg_catalog.pg_class AS c
                  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                  WHERE n.nspname = @schema::text AND c.relkind = 'r'),
     needed AS (SELECT unnest(@privileges::text[]) AS privilege,
                       unnest(@objects::text[]) AS object,
                       unnest(@columns::text[]) AS column_name)
SELECT coalesce((
    SELECT e.excess
    FROM (SELECT 1 AS rank, 'is a superuser' AS excess
          FROM pg_catalog.pg_roles AS s
          WHERE s.rolname = current_user AND s.rolsuper
          UNION ALL
          SELECT 2, 'owns the table ' || o.relname
          FROM relation AS o
          WHERE pg_has_role(o.relowner, 'USAGE')
          UNION ALL
          SELECT 3, 'is a member of ' || g.rolname
          FROM pg_catalog.pg_roles AS g
          WHERE g.rolname IN ('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files',
                              'pg_write_all_data')
            AND pg_has_role(g.oid, 'USAGE')
          UNION ALL
          SELECT 4, 'may make roles or databases, replicate, or bypass row security'
          FROM pg_catalog.pg_roles AS r
          WHERE r.rolname = current_user
            AND (r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
          UNION ALL
          SELECT 5, 'may CREATE in the schema'
          FROM pg_catalog.pg_namespace AS n
          WHERE n.nspname = @schema::text AND has_schema_privilege(n.oid, 'CREATE')
          UNION ALL
          SELECT 6, 'may ' || p.privilege || ' on ' || t.relname
          FROM relation AS t,
               (SELECT unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES', 'INSERT']) AS privilege) AS p
          WHERE has_table_privilege(t.oid, p.privilege)
            AND NOT EXISTS (SELECT FROM needed AS d WHERE d.object = t.relname AND d.privilege = p.privilege)
          UNION ALL
          SELECT 7, 'may UPDATE ' || u.relname || '.' || a.attname
          FROM relation AS u
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = u.oid AND a.attnum > 0 AND NOT a.attisdropped
          WHERE has_column_privilege(u.oid, a.attnum, 'UPDATE')
            AND NOT EXISTS (SELECT FROM needed AS d
                            WHERE d.object = u.relname AND d.privilege = 'UPDATE' AND d.column_name = a.attname)) AS e
    ORDER BY e.rank, e.excess
    LIMIT 1), '')::text AS excess;

-- RoleMayMigrate reports whether the session's role may make the ledger in a schema, or change the
-- one that is there.
-- name: RoleMayMigrate :one
SELECT (CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
             ELSE has_schema_privilege(n.oid, 'CREATE')
        END
        AND NOT EXISTS (SELECT
                        FROM pg_catalog.pg_class AS c
                        WHERE c.relnamespace = n.oid
                          AND c.relkind = 'r'
                          AND c.relname IN ('goose_db_version', 'currency', 'account', 'transfer', 'setting')
                          AND NOT pg_has_role(c.relowner, 'USAGE')))::boolean AS may
FROM (SELECT @schema::text AS name) AS s
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.name;
