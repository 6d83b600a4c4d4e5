-- Accounts by the words of their names.

-- +goose Up

-- The words of a text in lower case, for the index below and for what is looked for with it. What is between words is
-- white space and punctuation, the same on every server; the parser of to_tsvector would take addresses and numbers apart
-- in its own way, and everything else as the locale says.
CREATE FUNCTION search_words(given text) RETURNS tsvector LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT array_to_tsvector(array_remove(regexp_split_to_array(lower(given), '[[:space:]!-/:-@\u005B-\u0060{-~]+'), ''))
$$;

-- In a database with the locale C, which a private server has, lower() knows only ASCII. So it is told the rules of
-- Unicode, from PostgreSQL's own tables where it has them (17 and newer), else from ICU where it was built with that.
-- +goose StatementBegin
DO $do$
DECLARE
    rules text := (SELECT quote_ident(collname) FROM pg_collation
                   WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
                   ORDER BY collname LIMIT 1);
BEGIN
    IF getdatabaseencoding() = 'UTF8' AND rules IS NOT NULL THEN
        EXECUTE format($f$
            CREATE OR REPLACE FUNCTION search_words(given text) RETURNS tsvector
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
            SELECT array_to_tsvector(array_remove(regexp_split_to_array(
                lower(normalize(given, NFC) COLLATE pg_catalog.%s),
                '[[:space:]!-/:-@\u005B-\u0060{-~\u00A0-\u00BF\u2000-\u206F\u3000-\u303F]+'), ''))
            $$ $f$, rules);
    END IF;
END
$do$;
-- +goose StatementEnd

-- ListAccounts by the words of names that accounts have or had. It is not an index of account: to make one there now would tell
-- the planner that this table is tiny, and statements that were planned then would read all of it when it has grown.
-- Without fastupdate, no search reads a list of what was not filed yet.
CREATE INDEX account_change_by_words ON account_change USING gin (search_words(display_name)) WITH (fastupdate = off)
    WHERE display_name <> '';

-- +goose Down
DROP INDEX account_change_by_words;
DROP FUNCTION search_words;
