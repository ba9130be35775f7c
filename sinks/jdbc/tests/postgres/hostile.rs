//! What lies on the user's search path never stands in for the server's own.

use arrow_schema::DataType;
use culvert_api::{Column, RowKindSet, SchemaChange, SourceType};
use culvert_tests::{Postgres, postgres_both};

use crate::postgres::support::{lines, people_in, sink};
use crate::support::{Run, checked, people, rows, schema};

const ALL: RowKindSet = RowKindSet::ALL;

/// A role that all of it lies in wait for.
async fn trapped_role(server: &Postgres, db: &str) -> String {
    let user = format!("u_{db}");
    server.create_role(&user, "", db, &["ALL ON SCHEMA public", &format!("ALL ON DATABASE \"{db}\"")]).await;
    server.set_traps(db, &user).await;
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_operators_and_types_of_a_hostile_schema_are_never_used() {
    postgres_both(async |server| {
        let db = server.fresh_database("hostile").await;
        server
            .execute(
                &db,
                &[
                    "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
                    "CREATE TABLE plain (id int PRIMARY KEY, name varchar(50))",
                    "CREATE TABLE swapped (id int PRIMARY KEY, name varchar(50) UNIQUE)",
                    "CREATE TABLE kept (id int PRIMARY KEY, name varchar(50) UNIQUE)",
                    "CREATE TABLE child (id int REFERENCES kept ON DELETE CASCADE)",
                    "CREATE TABLE alone (id int PRIMARY KEY, name varchar(50), EXCLUDE (name WITH =))",
                    "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, name varchar(50))",
                    "CREATE TABLE word (id int, name varchar(50) COLLATE folded PRIMARY KEY)",
                ],
            )
            .await;
        let user = trapped_role(server, &db).await;
        server.execute(&db, &[&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO \"{user}\"")]).await;
        let tables: Vec<_> = ["plain", "swapped", "kept", "alone", "late", "made"]
            .iter()
            .map(|table| people(table, &["id"], ALL))
            .chain([people("word", &["name"], ALL)])
            .collect();
        for upsert in ["true", "false"] {
            let pairs = [("username", user.as_str()), ("enable_upsert", upsert), ("batch_size", "2")];
            let sink = sink(server, &db, &pairs).unwrap();
            checked(&sink, &tables).await;
            let mut run = Run::open(&sink, if upsert == "true" { 1 } else { 2 }).await.unwrap();
            run.open.writer.prepare_tables(&tables, true).await.unwrap();
            for table in &tables {
                run.write(rows(table, &[("+I", 1, "a"), ("+I", 2, "b"), ("+I", 3, "c")])).await.unwrap();
            }
            run.commit().await.unwrap();
            for table in &tables {
                let changes: &[(&str, i32, &str)] = match table.id.table.as_str() {
                    "word" => &[("+U", 7, "A"), ("-D", 2, "B"), ("-D", 3, "c"), ("+U", 8, "a")],
                    _ => &[("+U", 1, "d"), ("-D", 3, "c"), ("+U", 2, "a")],
                };
                run.write(rows(table, changes)).await.unwrap();
            }
            run.commit().await.unwrap();
            run.close().await;
            for table in ["plain", "swapped", "kept", "alone", "late", "made"] {
                assert_eq!(people_in(server, &db, table).await, ["1 d", "2 a"], "{table}");
                server.execute(&db, &[&format!("DELETE FROM {table}")]).await;
            }
            assert_eq!(lines(server, &db, "SELECT id, lower(name) FROM word").await, ["8 a"]);
            server.execute(&db, &["DELETE FROM word"]).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_and_changed_with_the_servers_own_types() {
    postgres_both(async |server| {
        let db = server.fresh_database("types").await;
        let user = trapped_role(server, &db).await;
        let sink = sink(server, &db, &[("username", user.as_str())]).unwrap();
        let column = |name: &str, declared: &str| Column {
            name: name.into(),
            data_type: if name == "id" { DataType::Int32 } else { DataType::Utf8 },
            nullable: name != "id",
            source_type: Some(SourceType::postgres(declared)),
        };
        let (id, note, code) = (column("id", "integer"), column("note", "text"), column("code", "uuid"));
        let before = schema("t", vec![id.clone(), note.clone()], &["id"], ALL);
        let after = schema("t", vec![id, note, code], &["id"], ALL);
        let mut run = Run::start(&sink, std::slice::from_ref(&before)).await.unwrap();
        let change = SchemaChange { before: Some(before), after: Some(after), statement: String::new() };
        run.open.writer.apply_schema_change(&change).await.unwrap();
        run.close().await;
        let types = "SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum) FROM pg_attribute \
                     WHERE attrelid = 't'::regclass AND attnum > 0";
        assert_eq!(lines(server, &db, types).await, ["integer text uuid"]);
    })
    .await;
}

/// What a statement of the user's names, lies on the user's path; so does what a trigger names.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_statements_of_the_user_keep_the_users_path() {
    postgres_both(async |server| {
        let db = server.fresh_database("path").await;
        let user = format!("u_{db}");
        server.create_role(&user, "", &db, &["ALL ON SCHEMA public"]).await;
        server
            .execute(
                &db,
                &[
                    "CREATE SCHEMA mine",
                    &format!("GRANT ALL ON SCHEMA mine TO \"{user}\""),
                    &format!("ALTER ROLE \"{user}\" SET search_path = mine, public"),
                    "CREATE TABLE mine.seen (id int)",
                    "CREATE TABLE mine.w (id int PRIMARY KEY, name varchar(50))",
                    "CREATE FUNCTION mine.see() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NEW; END $$",
                    "CREATE TRIGGER see BEFORE INSERT ON mine.w FOR EACH ROW EXECUTE FUNCTION mine.see()",
                    &format!("GRANT ALL ON ALL TABLES IN SCHEMA mine TO \"{user}\""),
                ],
            )
            .await;
        let as_user = [("username", user.as_str()), ("schema", "mine")];
        let source = people("w", &["id"], ALL);
        let mut run =
            Run::start(&sink(server, &db, &as_user).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 1, "a")])).await.unwrap();
        run.close().await;
        let query = [
            ("username", user.as_str()),
            ("generate_sink_sql", "false"),
            ("query", "INSERT INTO w (id, name) VALUES (?, ?)"),
            ("marker_table", "other"),
        ];
        let source = people("w", &["id"], RowKindSet::INSERT_ONLY);
        let mut run =
            Run::start(&sink(server, &db, &query).unwrap(), std::slice::from_ref(&source)).await.unwrap();
        run.deliver(rows(&source, &[("+I", 2, "b")])).await.unwrap();
        run.close().await;
        assert_eq!(lines(server, &db, "SELECT id FROM mine.seen ORDER BY id").await, ["1", "2"]);
        assert_eq!(people_in(server, &db, "mine.w").await, ["1 a", "2 b"]);
    })
    .await;
}
