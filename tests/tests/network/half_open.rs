//! A connection that is open and dead for good while new ones work: it is left, and nothing is lost or doubled.
//! One on which the server works is not, however long that takes.

use std::time::Instant;

use culvert_tests::{Database, Flavor, Kafka, KafkaOptions, PgVersion, Proxy, postgres_shared};
use culvert_tests::{shared, wait};
use futures_util::join;

use super::scene::{Scene, To};
use crate::postgres::job::{Job, LIMIT, tail};
use crate::workers::scene::{Makes, Scene as Topic, Worker};

/// Seconds that a statement is made to wait: more than it takes to leave a dead connection.
const LONG_WAIT_SECS: u32 = 15;

/// How the connections die.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// New ones work at once.
    Alone,
    /// Nothing works for a while, and what was begun meanwhile stays dead as well.
    WithTheNetwork,
}

async fn die(death: Death, proxy: &Proxy, busy: impl AsyncFn()) {
    match death {
        Death::Alone => {
            proxy.abandon();
            busy().await;
        }
        Death::WithTheNetwork => {
            proxy.stall(true);
            busy().await;
            let before = proxy.accepted();
            wait::until(LIMIT, "new connections to be tried", async || proxy.accepted() > before).await;
            proxy.abandon();
            proxy.stall(false);
        }
    }
}

async fn is_left(what: &str, scene: Scene<'_>, at_source: bool) {
    let job = scene.started().await;
    for death in [Death::Alone, Death::WithTheNetwork] {
        let proxy = if at_source { &scene.to_source } else { scene.to_target() };
        let mark = std::cell::Cell::new(0);
        die(death, proxy, async || mark.set(scene.mark().await)).await;
        let since = Instant::now();
        scene.arrived(mark.get(), &job, LIMIT, &format!("{what}, {death:?}")).await;
        println!("{what}, {death:?}: left and gone on within {:.1} s", since.elapsed().as_secs_f64());
    }
    scene.ended_well(job).await;
}

/// The same for a topic as the source.
async fn topic_is_left(what: &str) {
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let (source, target) = (shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await);
    let scene = Topic::by(source, (&kafka, kafka.proxied_bootstrap()), target, (Makes::Mirror, 20)).await;
    let producer = scene.producer.start();
    wait::until(LIMIT, "the topic", async || kafka.partitions(&scene.topic).await > 0).await;
    let mut worker = scene.worker();
    worker.start();
    let mut workers = [worker];
    scene.caught_up(&workers).await;
    for (id, death) in [(-1, Death::Alone), (-2, Death::WithTheNetwork)] {
        let insert = format!("INSERT INTO item VALUES ({id}, 0, 'behind it', NULL, NULL)");
        die(death, kafka.proxy(), async || scene.source.run(&[&insert]).await).await;
        let since = Instant::now();
        let query = format!("SELECT name FROM item WHERE id = {id}");
        wait::until_ok(LIMIT, &format!("row {id} at the target, {death:?}"), async || {
            let there = scene.target.value(&query).await.is_some();
            if there { Ok(()) } else { Err(tail(&workers[0].job().stderr())) }
        })
        .await;
        println!("{what}, {death:?}: left and gone on within {:.1} s", since.elapsed().as_secs_f64());
    }
    scene.caught_up(&workers).await;
    workers.iter_mut().for_each(|worker: &mut Worker| {
        worker.stop();
    });
    producer.stop();
    scene.compare().await;
}

/// All at once, for each takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_is_left_in_every_role() {
    let (mariadb, mysql) = (shared(Flavor::MariaDb).await, shared(Flavor::MySql).await);
    let postgres = postgres_shared(PgVersion::V17).await;
    let kafka = Kafka::start(KafkaOptions { proxied: true, ..KafkaOptions::default() }).await;
    let to = |server| To::Database(server);
    join!(
        async { is_left("MySQL source", Scene::new(mysql, to(postgres.into())).await, true).await },
        async { is_left("MariaDB source", Scene::new(mariadb, to(postgres.into())).await, true).await },
        async { is_left("PostgreSQL source", Scene::new(postgres, to(mysql.into())).await, true).await },
        async { is_left("PostgreSQL target", Scene::new(mariadb, to(postgres.into())).await, false).await },
        async { is_left("MySQL target", Scene::new(mariadb, to(mysql.into())).await, false).await },
        async { is_left("MariaDB target", Scene::new(mysql, to(mariadb.into())).await, false).await },
        async { is_left("Kafka target", Scene::new(mariadb, To::Kafka(&kafka)).await, false).await },
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_connection_to_a_topic_is_left() {
    topic_is_left("Kafka source").await;
}

/// A lock on the target's table, of a session of its own.
struct Lock<'a>(Database<'a>);

impl<'a> Lock<'a> {
    async fn take(target: &Database<'a>) -> Lock<'a> {
        let holder = Database::open(target.server(), target.name());
        match holder.is_postgres() {
            true => holder.run(&["BEGIN", "LOCK TABLE public.m IN ACCESS EXCLUSIVE MODE"]).await,
            false => holder.run(&["LOCK TABLES m WRITE"]).await,
        }
        Lock(holder)
    }

    /// Waits until a session of the database has waited for the lock for so long.
    async fn awaited(&self, seconds: u32, job: &Job) {
        let query = match self.0.is_postgres() {
            true => format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                 AND clock_timestamp() - query_start >= interval '{seconds} s'"
            ),
            false => format!(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() \
                 AND STATE LIKE 'Waiting for%lock' AND TIME >= {seconds}"
            ),
        };
        wait::until_ok(LIMIT, "the job to wait for the lock", async || {
            match self.0.value(&query).await.as_deref() {
                Some("1") => Ok(()),
                found => Err(format!("{found:?}; {}", tail(&job.stderr()))),
            }
        })
        .await;
    }

    async fn release(self) {
        self.0.run(&[if self.0.is_postgres() { "COMMIT" } else { "UNLOCK TABLES" }]).await;
    }
}

/// A statement waits for a lock for longer than any limit of ours; the connection is looked at, and stays.
async fn a_lock_is_waited_for(scene: Scene<'_>) {
    let job = scene.started().await;
    let lock = Lock::take(scene.target()).await;
    let mark = scene.mark().await;
    lock.awaited(0, &job).await;
    let before = scene.to_target().accepted();
    lock.awaited(LONG_WAIT_SECS, &job).await;
    assert!(scene.to_target().accepted() > before, "nobody asked what the statement waits for");
    lock.release().await;
    scene.arrived(mark, &job, LIMIT, "a lock").await;
    let log = job.stderr();
    assert!(!log.contains("next attempt in"), "{}", tail(&log));
    scene.ended_well(job).await;
}

/// Whether a transaction that is open has written this row.
async fn has_written(target: &Database<'_>, mark: i64) -> bool {
    if target.is_postgres() {
        let writers = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND backend_xid IS NOT NULL AND state = 'idle in transaction'";
        return target.value(writers).await.as_deref() == Some("1");
    }
    // INNODB_TRX would be no answer: it is a cache that is not filled anew while it is asked often. The lock itself is
    // asked for instead. An insert locks its row, and one that is not there yet is no row.
    match target.query(&format!("SELECT id FROM m WHERE id = {mark} FOR UPDATE NOWAIT")).await {
        Ok(rows) => {
            assert!(rows.is_empty(), "committed, and so without a lock");
            false
        }
        // MySQL's word and MariaDB's word for a lock that another transaction has.
        Err(refused) if refused.contains("ERROR 3572 ") || refused.contains("ERROR 1205 ") => true,
        Err(error) => panic!("{}: {error}", target.name()),
    }
}

/// The server did what it was asked and waits with the rows locked; nobody hears of it. The next attempt writes the
/// same rows.
async fn is_left_with_its_locks(scene: Scene<'_>) {
    let job = scene.started().await;
    let lock = Lock::take(scene.target()).await;
    let mark = scene.mark().await;
    lock.awaited(0, &job).await;
    scene.to_target().mute(true);
    lock.release().await;
    let target = scene.target();
    wait::until(LIMIT, "a row that is written and not committed", async || has_written(target, mark).await)
        .await;
    let unseen = target.rows("SELECT id FROM m ORDER BY id").await;
    assert!(!unseen.contains(&vec![Some(mark.to_string())]), "committed, and so without a lock");
    scene.to_target().abandon();
    scene.to_target().mute(false);
    let since = Instant::now();
    scene.arrived(mark, &job, LIMIT, "a dead connection with locks").await;
    println!("left with its locks and gone on within {:.1} s", since.elapsed().as_secs_f64());
    scene.ended_well(job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_long_is_waited_for() {
    let (mariadb, mysql) = (shared(Flavor::MariaDb).await, shared(Flavor::MySql).await);
    let postgres = postgres_shared(PgVersion::V17).await;
    let to = |server| To::Database(server);
    join!(
        async { a_lock_is_waited_for(Scene::new(mariadb, to(postgres.into())).await).await },
        async { a_lock_is_waited_for(Scene::new(mariadb, to(mysql.into())).await).await },
        async { a_lock_is_waited_for(Scene::new(mysql, to(mariadb.into())).await).await },
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_connection_has_locked_is_given_free() {
    let (mariadb, mysql) = (shared(Flavor::MariaDb).await, shared(Flavor::MySql).await);
    let postgres = postgres_shared(PgVersion::V17).await;
    let to = |server| To::Database(server);
    join!(
        async { is_left_with_its_locks(Scene::new(mariadb, to(postgres.into())).await).await },
        async { is_left_with_its_locks(Scene::new(mariadb, to(mysql.into())).await).await },
        async { is_left_with_its_locks(Scene::new(mysql, to(mariadb.into())).await).await },
    );
}
