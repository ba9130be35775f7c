//! What a job refuses to begin with: it says what to do, shows no password, and leaves nothing.

use culvert_tests::certificates::Certificates;
use culvert_tests::{Culvert, Database, PgOptions, PgVersion, Postgres, WalLevel, postgres_both, scratch};

use super::job::{JobSpec, LIMIT, TestJob, until_rows};

/// The password of every account here; nothing else contains it.
const PASSWORD: &str = "zebra-S3cret-41";

struct Bed<'a> {
    source: Database<'a>,
    target: Database<'a>,
    name: String,
}

impl<'a> Bed<'a> {
    async fn new(server: &'a Postgres, what: &str) -> Bed<'a> {
        let source = Database::fresh(server, what).await;
        let target = Database::fresh(server, "copy").await;
        source.run(&["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"]).await;
        let name = format!("{} {}", source.name(), server.port());
        Bed { source, target, name }
    }

    /// A job file with some of its text replaced.
    fn job(&self, changes: &[(&str, &str)]) -> TestJob {
        let mut text = JobSpec::mirror(&self.name, &self.source, &["t"], &self.target).text();
        for (from, to) in changes {
            assert!(text.contains(from), "`{from}` is not in:\n{text}");
            // The source comes first; both blocks name user and password.
            text = text.replacen(from, to, 1);
        }
        TestJob::new(&self.name, &text)
    }

    /// Refused, and neither a slot, a publication nor a table is left behind.
    async fn refused(&self, changes: &[(&str, &str)], said: &[&str]) -> String {
        let stderr = self.job(changes).refused(said);
        assert!(!stderr.contains(PASSWORD), "a password was printed: {stderr}");
        let slots = format!(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'",
            JobSpec::slot(&self.name)
        );
        assert_eq!(self.source.value(&slots).await.as_deref(), Some("0"), "a slot is left: {stderr}");
        let publications = "SELECT count(*) FROM pg_publication";
        assert_eq!(
            self.source.value(publications).await.as_deref(),
            Some("0"),
            "a publication is left: {stderr}"
        );
        let tables = "SELECT string_agg(relname, ',') FROM pg_class WHERE relkind = 'r' AND relname <> 'culvert_commit' \
                      AND relnamespace = 'public'::regnamespace";
        assert_eq!(self.target.value(tables).await, None, "a table was made: {stderr}");
        stderr
    }

    /// Makes the publication that the job would make.
    async fn publish(&self) {
        let publication = JobSpec::slot(&self.name);
        self.source.run(&[&format!("CREATE PUBLICATION {publication} FOR TABLE t")]).await;
    }

    /// Makes a role with [`PASSWORD`] and returns the changes of the job file that use it.
    async fn role(&self, server: &Postgres, name: &str, attributes: &str, rights: &[&str]) -> String {
        let role = format!("{name}_{}", self.source.name());
        server.create_role(&role, attributes, self.source.name(), rights).await;
        self.source.run(&[&format!("ALTER ROLE \"{role}\" PASSWORD '{PASSWORD}'")]).await;
        format!("username = {role}\n  password = \"{PASSWORD}\"")
    }
}

const ACCOUNT: &str = "username = postgres\n  password = root";

#[tokio::test]
async fn accounts_and_rights() {
    postgres_both(async |server| {
        let bed = Bed::new(server, "rights").await;
        let wrong = "username = postgres\n  password = \"zebra-S3cret-41\"";
        let address = format!("127.0.0.1:{}", server.port());
        bed.refused(&[(ACCOUNT, wrong)], &["password authentication failed", &address]).await;
        let nobody = "username = nobody_here\n  password = root";
        bed.refused(&[(ACCOUNT, nobody)], &["nobody_here", &address]).await;

        let everything = "SELECT ON ALL TABLES IN SCHEMA public";
        let create = format!("CREATE ON DATABASE \"{}\"", bed.source.name());
        // No right to make a publication, and not the table's owner: the statement that somebody has
        // to run is named.
        let account = bed.role(server, "guest", "REPLICATION", &[everything]).await;
        bed.refused(&[(ACCOUNT, &account)], &["CREATE PUBLICATION", "\"t\""]).await;
        let account = bed.role(server, "stranger", "REPLICATION", &[everything, &create]).await;
        bed.refused(&[(ACCOUNT, &account)], &["CREATE PUBLICATION", "\"t\""]).await;
        // No right to read the log, and none to read the table: that is found once there is a slot.
        bed.publish().await;
        let account = bed.role(server, "plain", "", &[everything, &create]).await;
        let said = bed.job(&[(ACCOUNT, &account)]).refused(&["ALTER ROLE", "REPLICATION"]);
        assert!(!said.contains(PASSWORD), "a password was printed: {said}");
        let account = bed.role(server, "blind", "REPLICATION", &[&create]).await;
        let said = bed.job(&[(ACCOUNT, &account)]).refused(&["public.t", "SELECT"]);
        assert!(!said.contains(PASSWORD), "a password was printed: {said}");
    })
    .await;
}

#[tokio::test]
async fn the_target_refuses() {
    postgres_both(async |server| {
        let bed = Bed::new(server, "target").await;
        let role = format!("weak_{}", bed.source.name());
        server.create_role(&role, "", bed.target.name(), &[]).await;
        bed.target.run(&["REVOKE ALL ON SCHEMA public FROM PUBLIC"]).await;
        let text = JobSpec::mirror(&bed.name, &bed.source, &["t"], &bed.target).text();
        let (source, sink) = text.split_at(text.find("sink {").expect("it has a sink"));
        let sink = sink.replace("username = postgres", &format!("username = {role}"));
        let said = TestJob::new(&bed.name, &format!("{source}{sink}")).refused(&["culvert_commit"]);
        assert!(said.contains("CREATE") || said.contains("permission denied"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn tables_and_options() {
    postgres_both(async |server| {
        let bed = Bed::new(server, "tables").await;
        let table = format!("{}.public.t", bed.source.name());
        bed.refused(&[(&table, "x.public.nothing")], &["nothing", "table"]).await;
        bed.refused(
            &[("slot.name", "decoding.plugin.name = wal2json\n  slot.name")],
            &["decoding.plugin.name", "pgoutput"],
        )
        .await;
        bed.refused(&[("slot.name = \"", "slot.name = \"Not A Slot! ")], &["slot.name"]).await;
        bed.refused(&[("jdbc:postgresql", "jdbc:mysql")], &["url", "jdbc:postgresql"]).await;
        let database = format!("/{}\"", bed.source.name());
        bed.refused(&[(&database, "/no_such_db\"")], &["no_such_db"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_without_a_logical_log() {
    for version in PgVersion::ALL {
        let options = PgOptions { wal_level: WalLevel::Replica, ..PgOptions::default() };
        let server = Postgres::start(version, options).await;
        let bed = Bed::new(&server, "level").await;
        bed.refused(&[], &["wal_level", "logical"]).await;
    }
}

#[tokio::test]
async fn a_server_without_room_for_a_slot() {
    let server =
        Postgres::start(PgVersion::V15, PgOptions::default().setting("max_replication_slots", "1")).await;
    let bed = Bed::new(&server, "room").await;
    bed.source.run(&["SELECT pg_create_logical_replication_slot('taken', 'pgoutput')"]).await;
    bed.refused(&[], &["max_replication_slots"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_verified() {
    let (own, stranger) =
        (Certificates::generate(&scratch::folder("c")), Certificates::generate(&scratch::folder("c")));
    for version in PgVersion::ALL {
        let options = PgOptions {
            tls: Some(own.clone()),
            hba: vec![
                "hostnossl replication secure 127.0.0.1/32 reject".into(),
                "hostnossl all secure 127.0.0.1/32 reject".into(),
            ],
            ..PgOptions::default()
        };
        let server = Postgres::start(version, options).await;
        let bed = Bed::new(&server, "tls").await;
        server.create_role("secure", "SUPERUSER", bed.source.name(), &[]).await;
        let url = |parameters: &str| format!("{}\"", bed.source.url() + parameters);
        let from = format!("{}\"", bed.source.url());
        let secure = "username = secure\n  password = root";
        let with = |parameters: &str| url(parameters);
        let trusted = format!("?sslmode=verify-full&sslrootcert={}", own.ca.display());
        let other = format!("?sslmode=verify-full&sslrootcert={}", stranger.ca.display());
        bed.refused(&[(&from, &with(&other)), (ACCOUNT, secure)], &["certificate"]).await;
        bed.refused(&[(&from, &with("?sslmode=disable")), (ACCOUNT, secure)], &["secure"]).await;
        for good in [&*trusted, "?sslmode=require"] {
            let job = bed.job(&[(&from, &with(good)), (ACCOUNT, secure)]).start_with(&["--fresh"]);
            until_rows(&bed.target, "t", 2, &job).await;
            job.stop();
            bed.target.run(&["DELETE FROM t"]).await;
        }
    }
}

#[tokio::test]
async fn check_finds_the_same_and_changes_nothing() {
    postgres_both(async |server| {
        let bed = Bed::new(server, "check").await;
        let check = |job: &TestJob| {
            let file = job.file.display().to_string();
            Culvert::new(&["check", "-c", &file, "--connect"]).run(LIMIT)
        };
        bed.source.run(&["ALTER TABLE t REPLICA IDENTITY FULL"]).await;
        let sound = check(&bed.job(&[]));
        sound.assert_code(0);
        // The servers of the tests wait for no disk.
        let told: Vec<&str> = sound.stdout.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(matches!(told[..], [fsync] if fsync.contains("fsync is off")), "{}", sound.stdout);
        bed.source.run(&["ALTER TABLE t REPLICA IDENTITY NOTHING"]).await;
        let unsound = check(&bed.job(&[]));
        unsound.assert_code(1);
        assert!(unsound.stdout.contains("REPLICA IDENTITY"), "{}", unsound.stdout);
        let slots = "SELECT count(*) FROM pg_publication";
        assert_eq!(bed.source.value(slots).await.as_deref(), Some("0"), "check made a publication");
    })
    .await;
}

/// A row that the account may not see would be missing in silence.
#[tokio::test]
async fn a_table_whose_rows_are_hidden_from_the_account() {
    postgres_both(async |server| {
        let bed = Bed::new(server, "hidden").await;
        bed.source
            .run(&["ALTER TABLE t ENABLE ROW LEVEL SECURITY", "CREATE POLICY one ON t USING (id = 1)"])
            .await;
        bed.publish().await;
        let account = bed.role(server, "some", "REPLICATION", &["SELECT ON t"]).await;
        let said = bed.job(&[(ACCOUNT, &account)]).refused(&["public.t"]);
        assert!(said.contains("row security") || said.contains("row-level security"), "{said}");
    })
    .await;
}

/// Its rows are not in the log.
#[tokio::test]
async fn a_table_without_a_log() {
    postgres_both(async |server| {
        let bed = Bed::new(server, "unlogged").await;
        bed.source.run(&["ALTER TABLE t SET UNLOGGED"]).await;
        bed.refused(&[], &["public.t", "unlogged"]).await;
    })
    .await;
}
