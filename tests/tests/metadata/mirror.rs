//! A mirror whose source and target are named by an id, and whose passwords change while it runs.

use culvert_tests::process::Running;
use culvert_tests::{Culvert, Flavor, PgVersion, Server, postgres_shared, shared, wait};
use mysql_async::prelude::Queryable;

use super::{LIMIT, Scene, holding};

/// Passwords that nothing but the provider's file may hold.
const FIRST: &str = "needle-first-7f3a";
const SECOND: &str = "needle-second-91bc";

const JOB: &str = r#"
env { job.mode = "STREAMING", checkpoint.interval = 300, job.retry.interval.seconds = 0 }
source { MySQL-CDC { metadata_datasource_id = origin, server-id = NUMBER, table-names = ["SOURCE.t"] } }
sink { Jdbc { metadata_datasource_id = mirror, database = "TARGET", table = copy, generate_sink_sql = true } }
"#;

/// A server with a table to be mirrored, by an account of its own.
struct Mirror {
    server: &'static Server,
    source: String,
    target: String,
    account: String,
}

impl Mirror {
    async fn new(flavor: Flavor) -> Mirror {
        let server = shared(flavor).await;
        let source = server.fresh_database("named").await;
        let target = server.fresh_database("mirrored").await;
        let account = format!("rotated_{source}");
        let on_target = format!("all privileges on {target}.*");
        server
            .create_user(
                &account,
                &["select, reload, replication slave, replication client on *.*", &on_target],
            )
            .await;
        server
            .execute(&[
                &format!("CREATE TABLE {source}.t (id INT PRIMARY KEY)"),
                &format!("INSERT INTO {source}.t VALUES (1)"),
            ])
            .await;
        let mirror = Mirror { server, source, target, account };
        mirror.change_password(FIRST).await;
        mirror
    }

    fn job(&self) -> String {
        // Jobs of several tests read one server, each under a number of its own.
        let number = self.source.rsplit('_').next().expect("a number");
        JOB.replace("SOURCE", &self.source)
            .replace("TARGET", &self.target)
            .replace("NUMBER", &format!("58{number}"))
    }

    /// The provider's file.
    fn metadata(&self, password: &str) -> String {
        let url = |database: &str| self.server.url(database);
        let account = &self.account;
        format!(
            "datasource {{\n  origin {{ url = \"{}\", username = {account}, password = \"{password}\" }}\n  \
             mirror {{ url = \"{}\", driver = \"com.mysql.cj.jdbc.Driver\", username = {account}, password = \"{password}\" }}\n}}\n",
            url(&self.source),
            url(&self.target)
        )
    }

    async fn change_password(&self, password: &str) {
        self.server
            .execute(&[&format!("ALTER USER '{}'@'%' IDENTIFIED BY '{password}'", self.account)])
            .await;
    }

    /// Ends every connection of the account.
    async fn kill_connections(&self) {
        let mut conn = self.server.conn().await;
        let of_account =
            format!("SELECT id FROM information_schema.processlist WHERE user = '{}'", self.account);
        let ids: Vec<u64> = conn.query(of_account).await.expect("it answers");
        assert!(!ids.is_empty(), "the job is connected");
        for id in ids {
            // One may have ended by itself.
            let _ = conn.query_drop(format!("KILL {id}")).await;
        }
    }

    async fn insert(&self, id: u32) {
        self.server.execute(&[&format!("INSERT INTO {}.t VALUES ({id})", self.source)]).await;
    }

    async fn until_there(&self, id: u32, job: &Running) {
        let mut conn = self.server.conn().await;
        let query = format!("SELECT COUNT(*) FROM {}.copy WHERE id = {id}", self.target);
        wait::until_ok(LIMIT, &format!("row {id}"), async || {
            match conn.query_first::<u64, _>(query.as_str()).await {
                Ok(Some(1)) => Ok(()),
                found => Err(format!("{found:?}; the job says {}", job.stderr())),
            }
        })
        .await;
    }
}

async fn passwords_change_under_a_job(flavor: Flavor) {
    let mirror = Mirror::new(flavor).await;
    let scene = Scene::new();
    scene.write("culvert.conf", "metadata { kind = file, file.path = metadata.conf }");
    scene.write("metadata.conf", &mirror.metadata(FIRST));
    scene.write("job.conf", &mirror.job());
    scene.check(&["--strict", "--connect"]).assert_code(0);
    let mut running = scene.start();
    mirror.until_there(1, &running).await;
    // The server first: the job is refused, and the file follows.
    mirror.change_password(SECOND).await;
    mirror.kill_connections().await;
    running.wait_for_stderr(LIMIT, "may be about to change").await;
    scene.write("metadata.conf", &mirror.metadata(SECOND));
    mirror.insert(2).await;
    mirror.until_there(2, &running).await;
    // The file first: what is known to work counts until the connections end.
    scene.write("metadata.conf", &mirror.metadata(FIRST));
    mirror.change_password(FIRST).await;
    mirror.kill_connections().await;
    mirror.insert(3).await;
    mirror.until_there(3, &running).await;
    // A file that is gone stops no job that runs.
    std::fs::remove_file(scene.folder.join("metadata.conf")).expect("it is there");
    mirror.kill_connections().await;
    mirror.insert(4).await;
    mirror.until_there(4, &running).await;
    let ended = running.terminate(LIMIT);
    ended.assert_code(0);
    for password in [FIRST, SECOND] {
        assert!(!ended.stderr.contains(password) && !ended.stdout.contains(password), "{}", ended.stderr);
        assert_eq!(holding(&scene.folder, password), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_change_under_a_job_mariadb() {
    passwords_change_under_a_job(Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_change_under_a_job_mysql() {
    passwords_change_under_a_job(Flavor::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_its_provider_and_keeps_nothing_of_what_it_gives() {
    let mirror = Mirror::new(Flavor::MariaDb).await;
    let scene = Scene::new();
    let service = "service { data = \"FOLDER/data\", jobs.folder = \"FOLDER/jobs\", jobs.folder.interval = 100 }\n\
                   http { port = 0 }\nmetadata { kind = file, file.path = metadata.conf }\n";
    scene.write("culvert.conf", service);
    std::fs::create_dir_all(scene.folder.join("jobs")).expect("the folder is ours");
    let started = || Culvert::new(&["serve", "--config", &scene.path("culvert.conf")]).start();
    // The provider is not there yet: the file of the job is looked at again.
    let mut running = started();
    scene.write("jobs/named.conf", &mirror.job());
    running.wait_for_stderr(LIMIT, "cannot be asked for datasource 'origin'").await;
    scene.write("metadata.conf", &mirror.metadata(FIRST));
    mirror.until_there(1, &running).await;
    let asked = |words: &[&str]| {
        let done = Culvert::new(words).env("CULVERT_DATA", scene.path("data")).run(LIMIT);
        done.assert_code(0);
        assert!(!done.stdout.contains(FIRST) && !done.stderr.contains(FIRST), "{words:?}: {}", done.stdout);
        done.stdout
    };
    let list: serde_json::Value =
        serde_json::from_str(&asked(&["list", "--format", "json"])).expect("it is JSON");
    let id = list["jobs"][0]["id"].as_str().expect("a job").to_owned();
    for words in [["status", &id], ["metrics", &id], ["logs", &id]] {
        assert!(!asked(&words).is_empty(), "{words:?}");
    }
    running.kill();
    assert_eq!(holding(&scene.folder.join("data"), FIRST), Vec::<std::path::PathBuf>::new());
    // A service that begins before its provider has jobs that wait for it.
    std::fs::rename(scene.folder.join("metadata.conf"), scene.folder.join("away")).expect("it is there");
    let mut running = started();
    running.wait_for_stderr(LIMIT, "waits to be started again").await;
    running.wait_for_stderr(LIMIT, "the service is ready").await;
    assert!(asked(&["status", &id]).contains("PENDING"));
    std::fs::rename(scene.folder.join("away"), scene.folder.join("metadata.conf")).expect("it is there");
    mirror.insert(2).await;
    mirror.until_there(2, &running).await;
    running.terminate(LIMIT).assert_code(0);
    assert_eq!(holding(&scene.folder.join("data"), FIRST), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_postgres_changes_under_a_job() {
    let postgres = postgres_shared(PgVersion::V15).await;
    let source = culvert_tests::Database::fresh(postgres, "named").await;
    let role = format!("rotated_{}", source.name());
    source
        .run(&[
            &format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{FIRST}'"),
            "CREATE TABLE t (id INT PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
        ])
        .await;
    let scene = Scene::new();
    let metadata = |password: &str| {
        format!(
            "datasource {{ pg {{ url = \"{}\", username = {role}, password = \"{password}\" }} }}",
            source.url()
        )
    };
    scene.write("culvert.conf", "metadata { kind = file, file.path = metadata.conf }");
    scene.write("metadata.conf", &metadata(FIRST));
    let (name, driver) = (source.name(), "driver = \"org.postgresql.Driver\", generate_sink_sql = true");
    scene.write(
        "job.conf",
        &format!(
            "env {{ job.mode = STREAMING, checkpoint.interval = 300, job.retry.interval.seconds = 0 }}\n\
             source {{ Postgres-CDC {{ metadata_datasource_id = pg, slot.name = {role}, table-names = [\"{name}.public.t\"] }} }}\n\
             sink {{ Jdbc {{ metadata_datasource_id = pg, database = {name}, table = \"public.copy\", {driver} }} }}\n",
        ),
    );
    let mut running = scene.start();
    let there = async |wanted: &str, running: &Running| {
        wait::until_ok(LIMIT, &format!("{wanted} rows"), async || {
            match source.query("SELECT COUNT(*) FROM copy").await {
                Ok(rows) if rows == [vec![Some(wanted.to_owned())]] => Ok(()),
                found => Err(format!("{found:?}; the job says {}", running.stderr())),
            }
        })
        .await;
    };
    there("1", &running).await;
    source
        .run(&[
            &format!("ALTER ROLE {role} PASSWORD '{SECOND}'"),
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"),
        ])
        .await;
    running.wait_for_stderr(LIMIT, "may be about to change").await;
    scene.write("metadata.conf", &metadata(SECOND));
    source.run(&["INSERT INTO t VALUES (2)"]).await;
    there("2", &running).await;
    running.terminate(LIMIT).assert_code(0);
    assert_eq!(holding(&scene.folder.join("state"), SECOND), Vec::<std::path::PathBuf>::new());
}
