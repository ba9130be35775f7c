//! Foreign keys of the target neither stop rows nor lose any.

use culvert_api::{ErrorKind, RowKindSet, Sink};
use culvert_tests::postgres_both;

use crate::postgres::support::{lines, people_in, sink};
use crate::support::{Run, checked, context, failure, people, rows};

const ALL: RowKindSet = RowKindSet::ALL;

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_can_wait_wait_for_the_commit() {
    postgres_both(async |server| {
        let db = server.fresh_database("deferred").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE parent (id int PRIMARY KEY, name varchar(50))",
                    "CREATE TABLE child (id int PRIMARY KEY REFERENCES parent DEFERRABLE, name varchar(50))",
                ],
            )
            .await;
        let (parent, child) = (people("parent", &["id"], ALL), people("child", &["id"], ALL));
        let sink = sink(server, &db, &[("batch_size", "1")]).unwrap();
        let mut run = Run::start(&sink, &[parent.clone(), child.clone()]).await.unwrap();
        run.write(rows(&child, &[("+I", 1, "x"), ("+I", 2, "y")])).await.unwrap();
        run.deliver(rows(&parent, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
        run.write(rows(&parent, &[("-D", 1, "a")])).await.unwrap();
        run.deliver(rows(&child, &[("-D", 1, "x")])).await.unwrap();
        assert_eq!(people_in(server, &db, "child").await, ["2 y"]);
        // What is wrong at the commit does not arrive, and says so.
        run.write(rows(&child, &[("+I", 7, "secret")])).await.unwrap();
        let error = failure(run.commit().await);
        assert_eq!(error.kind(), ErrorKind::Value, "{error}");
        assert!(
            error.to_string().contains("child_id_fkey") && !error.to_string().contains("secret"),
            "{error}"
        );
        run.close().await;
        assert_eq!(people_in(server, &db, "child").await, ["2 y"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_wait_get_their_order_within_a_flush() {
    postgres_both(async |server| {
        for action in ["NO ACTION", "RESTRICT", "CASCADE"] {
            let db = server.fresh_database("ordered").await;
            server
                .execute(
                    &db,
                    &[
                        "CREATE TABLE parent (id int PRIMARY KEY, name varchar(50))",
                        &format!(
                            "CREATE TABLE child (id int PRIMARY KEY, name varchar(50), \
                             parent int GENERATED ALWAYS AS (id / 10) STORED REFERENCES parent ON DELETE {action})"
                        ),
                        &format!(
                            "CREATE TABLE tree (id int PRIMARY KEY, name varchar(50), up int GENERATED ALWAYS AS \
                             (NULLIF(id / 10, 0)) STORED REFERENCES tree ON DELETE {action})"
                        ),
                    ],
                )
                .await;
            let source = |name: &str| people(name, &["id"], ALL);
            let (parent, child, tree) = (source("parent"), source("child"), source("tree"));
            let sink = sink(server, &db, &[]).unwrap();
            let mut run = Run::start(&sink, &[child.clone(), parent.clone(), tree.clone()]).await.unwrap();
            run.write(rows(&child, &[("+I", 10, "x"), ("+I", 11, "y"), ("+I", 20, "z")])).await.unwrap();
            run.write(rows(&tree, &[("+I", 345, "leaf"), ("+I", 3, "root"), ("+I", 34, "mid")])).await.unwrap();
            run.deliver(rows(&parent, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
            // Parents go before their children; a child moves to a parent that comes later.
            run.write(rows(&parent, &[("-D", 1, "a"), ("+I", 3, "c")])).await.unwrap();
            run.write(rows(&child, &[("-D", 10, "x"), ("-D", 11, "y"), ("+I", 30, "y")])).await.unwrap();
            run.write(rows(&tree, &[("-D", 3, "root"), ("-D", 34, "mid"), ("-D", 345, "leaf"), ("+I", 5, "new")]))
                .await
                .unwrap();
            run.commit().await.unwrap();
            assert_eq!(people_in(server, &db, "parent").await, ["2 b", "3 c"], "{action}");
            assert_eq!(people_in(server, &db, "child").await, ["20 z", "30 y"], "{action}");
            assert_eq!(people_in(server, &db, "tree").await, ["5 new"], "{action}");
            run.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updating_a_parent_leaves_its_children_alone() {
    postgres_both(async |server| {
        let db = server.fresh_database("inplace").await;
        server
            .execute(
                &db,
                &[
                    "CREATE TABLE parent (id int PRIMARY KEY, name varchar(50) UNIQUE)",
                    "CREATE TABLE child (id int PRIMARY KEY REFERENCES parent ON DELETE CASCADE)",
                    "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
                    "INSERT INTO child VALUES (1), (2)",
                ],
            )
            .await;
        let parent = people("parent", &["id"], ALL);
        let mut run =
            Run::start(&sink(server, &db, &[]).unwrap(), std::slice::from_ref(&parent)).await.unwrap();
        let changes = [("+U", 1, "a2"), ("+U", 2, "a"), ("+I", 3, "b")];
        run.deliver(rows(&parent, &changes)).await.unwrap();
        assert_eq!(people_in(server, &db, "parent").await, ["1 a2", "2 a", "3 b"]);
        assert_eq!(lines(server, &db, "SELECT id FROM child ORDER BY id").await, ["1", "2"]);
        run.close().await;
    })
    .await;
}

/// Tables that refer to each other, and a trigger of the user's on the parent.
const TIED: [&str; 6] = [
    "CREATE TABLE parent (id int PRIMARY KEY, name varchar(50))",
    "CREATE TABLE child (id int PRIMARY KEY REFERENCES parent ON DELETE CASCADE, name varchar(50))",
    "CREATE TABLE seen (id int)",
    "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NULL; END $$",
    "CREATE TRIGGER plain AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION see()",
    "CREATE TRIGGER always AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION see()",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_may_ignore_them() {
    postgres_both(async |server| {
        let db = server.fresh_database("load").await;
        server.execute(&db, &TIED).await;
        server.execute(&db, &["ALTER TABLE child ENABLE ALWAYS TRIGGER always"]).await;
        let (parent, child) = (people("parent", &["id"], ALL), people("child", &["id"], ALL));
        let both = [child.clone(), parent.clone()];
        // Children are committed before their parents: said before it happens, and told how to go on.
        let checking = sink(server, &db, &[]).unwrap();
        let findings = checked(&checking, &both).await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].subject, "public.child");
        assert!(findings[0].hint.as_ref().unwrap().contains("foreign_keys = \"IGNORE\""), "{findings:?}");
        let mut run = Run::start(&checking, &both).await.unwrap();
        let error = failure(run.deliver(rows(&child, &[("+I", 1, "x")])).await);
        assert!(error.hint_text().unwrap().contains("foreign_keys = \"IGNORE\""), "{error}");
        run.close().await;

        let ignoring = sink(server, &db, &[("foreign_keys", "IGNORE")]).unwrap();
        let findings = checked(&ignoring, &both).await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].subject == "public.parent" && findings[0].message.contains("MySQL"),
            "{findings:?}"
        );
        let mut run = Run::open(&ignoring, 2).await.unwrap();
        run.open.writer.prepare_tables(&both, true).await.unwrap();
        run.deliver(rows(&child, &[("+I", 1, "x"), ("+I", 2, "y")])).await.unwrap();
        run.deliver(rows(&parent, &[("+I", 1, "a"), ("+I", 2, "b")])).await.unwrap();
        run.deliver(rows(&parent, &[("-D", 2, "b")])).await.unwrap();
        assert_eq!(people_in(server, &db, "child").await, ["1 x", "2 y"]);
        assert_eq!(people_in(server, &db, "parent").await, ["1 a"]);
        assert_eq!(lines(server, &db, "SELECT id FROM seen ORDER BY id").await, ["1", "2"]);
        run.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ignoring_them_needs_a_right() {
    postgres_both(async |server| {
        let db = server.fresh_database("replica").await;
        let user = format!("u_{db}");
        server.create_role(&user, "", &db, &["ALL ON SCHEMA public"]).await;
        let pairs = [("username", user.as_str()), ("foreign_keys", "IGNORE")];
        let sink = sink(server, &db, &pairs).unwrap();
        let error = failure(sink.open(&context(1)).await);
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let hint = error.hint_text().unwrap();
        let (_, statement) = hint.split_once(": ").unwrap();
        assert!(statement.contains(&user), "{error}");
        // What it says is what is needed.
        server.execute(&db, &[statement]).await;
        Run::open(&sink, 1).await.unwrap().close().await;
    })
    .await;
}
