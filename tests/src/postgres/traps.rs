//! A schema of somebody who wants to be called in the server's place.

use crate::oracle::postgres::quoted;
use crate::postgres::Postgres;

impl Postgres {
    /// Puts a schema at the beginning of a role's search path, before `pg_catalog`, with functions,
    /// operators and types by the names of the server's own. Whatever of it is called raises an error.
    pub async fn set_traps(&self, database: &str, role: &str) {
        let role = quoted(role);
        let path = format!("ALTER ROLE {role} SET search_path = trap, pg_catalog, public");
        self.execute(database, &["CREATE SCHEMA trap", "GRANT USAGE ON SCHEMA trap TO PUBLIC", TRAPS, &path])
            .await;
    }
}

const TRAPS: &str = r#"
DO $do$
DECLARE
    one record;
    body text := 'BEGIN RAISE EXCEPTION ''trapped''; END';
BEGIN
    FOR one IN
        SELECT DISTINCT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments
        FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'w') AND NOT EXISTS (
            SELECT 1 FROM pg_type t WHERE t.oid = ANY (p.proargtypes::oid[]) AND t.typtype = 'p')
        AND provariadic = 0
        AND proname IN ('quote_ident', 'format_type', 'current_setting', 'has_table_privilege', 'clock_timestamp',
            'has_schema_privilege', 'has_database_privilege', 'current_database', 'to_regtype', 'generate_series',
            'pg_is_in_recovery', 'row_security_active', 'set_config', 'lower', 'row_number', 'version')
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION trap.%I(%s) RETURNS text LANGUAGE plpgsql AS %L',
            one.proname, one.arguments, body);
    END LOOP;
    CREATE FUNCTION trap.quote_ident(name) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
    CREATE AGGREGATE trap.count(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '1000000');
    FOR one IN
        SELECT o.oprname, format_type(l.typ, NULL) AS lefts, format_type(r.typ, NULL) AS rights, row_number() OVER () AS n
        FROM (VALUES ('='), ('<>'), ('<'), ('>'), ('<='), ('>='), ('||'), ('+'), ('-')) AS o(oprname),
        unnest('{int2,int4,int8,text,varchar,bpchar,name,oid,tid,"\"char\"",bool,uuid,timestamptz}'::regtype[]::oid[]) AS l(typ),
        unnest('{int2,int4,int8,text,varchar,bpchar,name,oid,tid,"\"char\"",bool,uuid,timestamptz}'::regtype[]::oid[]) AS r(typ)
    LOOP
        EXECUTE format('CREATE FUNCTION trap.raises_%s(%s, %s) RETURNS bool LANGUAGE plpgsql AS %L',
            one.n, one.lefts, one.rights, body);
        EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.raises_%s)',
            one.oprname, one.lefts, one.rights, one.n);
    END LOOP;
    FOR one IN SELECT unnest('{text,uuid,int2,int4,int8,timestamptz,bytea,oid,name,date,json,jsonb,regclass}'::text[]) AS t LOOP
        EXECUTE format('CREATE DOMAIN trap.%I AS pg_catalog.%I CHECK (false)', one.t, one.t);
    END LOOP;
END $do$"#;
