//! What a group cannot do is refused, and what was lost is never started anew quietly.

use culvert_tests::{Culvert, Database, Isolation, PgVersion, kafka_shared, postgres_shared, wait};

use super::scene::jdbc;
use crate::postgres::job::{Job, LIMIT, TestJob, tail};

/// A job from a topic of flat messages.
fn text(bootstrap: &str, topic: &str, source: &str, sink: &str) -> String {
    format!(
        "env {{ job.mode = \"STREAMING\", checkpoint.interval = 100, job.retry.interval.seconds = 0 }}\n\
         source {{ Kafka {{\n  bootstrap.servers = \"{bootstrap}\"\n  topic = \"{topic}\"\n  format = json\n  \
         partition-discovery.interval-millis = 1000\n  kafka.config {{ session.timeout.ms = 6000 }}\n  {source}\n  \
         schema {{ fields {{ id = bigint, name = string }}, primaryKey {{ columnNames = [id] }} }}\n}} }}\n\
         sink {{ {sink} }}\n"
    )
}

/// A topic, a target, and the job between them.
struct Small {
    topic: String,
    target: Database<'static>,
    job: TestJob,
}

impl Small {
    async fn new(partitions: i32, source: &str) -> Small {
        let kafka = kafka_shared().await;
        let topic = kafka.fresh_name("small");
        kafka.create_topic(&topic, partitions, &[]).await;
        let target = Database::fresh(postgres_shared(PgVersion::V17).await, "small").await;
        let job =
            TestJob::new(&format!("job {topic}"), &text(&kafka.bootstrap(), &topic, source, &jdbc(&target)));
        Small { topic, target, job }
    }

    fn start(&self) -> Job {
        Job::of(self.job.shared(&[]).start())
    }

    async fn names(&self) -> Vec<String> {
        if !self.target.has_table("item").await {
            return Vec::new();
        }
        let rows = self.target.rows("SELECT name FROM item ORDER BY id").await;
        rows.into_iter().flatten().flatten().collect()
    }

    async fn until_names(&self, job: &Job, wanted: &[&str]) {
        wait::until_ok(LIMIT, "the rows of the messages", async || {
            job.assert_running();
            let names = self.names().await;
            if names == wanted { Ok(()) } else { Err(format!("{names:?}; {}", tail(&job.stderr()))) }
        })
        .await;
    }

    fn ends(&self, more: &[&str], code: i32, said: &[&str]) -> String {
        let finished = self.job.shared(more).run(LIMIT);
        finished.assert_code(code);
        for part in said {
            assert!(finished.stderr.contains(part), "`{part}` is not in:\n{}", finished.stderr);
        }
        finished.stderr
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_marker_is_no_new_start_and_fresh_is_one() {
    let kafka = kafka_shared().await;
    let small = Small::new(2, "start_mode = earliest").await;
    kafka.send(&small.topic, 0, &[r#"{"id":1,"name":"one"}"#]).await;
    kafka.send(&small.topic, 1, &[r#"{"id":2,"name":"two"}"#]).await;
    let job = small.start();
    small.until_names(&job, &["one", "two"]).await;
    small.ends(&["--fresh"], 2, &["has members"]);
    small.until_names(&job, &["one", "two"]).await;
    job.stop();
    small.target.run(&["DELETE FROM culvert_commit"]).await;
    small.ends(&[], 2, &["consumer group", "no commit marker", "--fresh"]);
    small.target.run(&["DELETE FROM item"]).await;
    let job = Job::of(small.job.shared(&["--fresh"]).start());
    small.until_names(&job, &["one", "two"]).await;
    job.stop();
}

/// All shares of a new job find their table missing at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_shares_make_one_table() {
    let kafka = kafka_shared().await;
    let small = Small::new(16, "start_mode = earliest").await;
    kafka.send(&small.topic, 3, &[r#"{"id":1,"name":"one"}"#]).await;
    for _ in 0..4 {
        let job = Job::of(small.job.shared(&["--fresh"]).start());
        small.until_names(&job, &["one"]).await;
        job.stop();
        small.target.run(&["DROP TABLE item", "DROP TABLE culvert_commit"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_belongs_to_one_job() {
    let kafka = kafka_shared().await;
    let group = kafka.fresh_name("group");
    let small = Small::new(1, &format!("start_mode = earliest, consumer.group = \"{group}\"")).await;
    kafka.send(&small.topic, 0, &[r#"{"id":1,"name":"one"}"#]).await;
    let job = small.start();
    small.until_names(&job, &["one"]).await;
    let file = small.job.file.to_string_lossy().into_owned();
    let other = Culvert::new(&["run", "-c", &file, "-n", "the other"]).start();
    let mut other = other;
    // While the group has one partition only, the other process waits for its turn.
    other.wait_for_stderr(LIMIT, "job read").await;
    job.stop();
    let ended = other.wait(LIMIT);
    ended.assert_code(2);
    assert!(ended.stderr.contains(&format!("belongs to job 'job {}'", small.topic)), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_stops_the_job_or_is_left_out() {
    let kafka = kafka_shared().await;
    let small = Small::new(1, "start_mode = earliest").await;
    let secret = r#"{"id":"hunter2","name":"x"}"#;
    kafka.send(&small.topic, 0, &[r#"{"id":1,"name":"one"}"#, secret, r#"{"id":3,"name":"three"}"#]).await;
    let place = format!("{}/0 offset 1", small.topic);
    let log = small.ends(&[], 1, &[&place, "format_error_handle_way", "id"]);
    assert!(!log.contains("hunter2"), "{log}");
    let source = "start_mode = earliest, format_error_handle_way = SKIP";
    small.job.rewrite(&text(&kafka.bootstrap(), &small.topic, source, &jdbc(&small.target)));
    let job = small.start();
    small.until_names(&job, &["one", "three"]).await;
    job.until_said("left out a message").await;
    job.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_deleted_before_they_were_read_stop_the_job() {
    let kafka = kafka_shared().await;
    let small = Small::new(1, "start_mode = earliest").await;
    kafka.send(&small.topic, 0, &[r#"{"id":1,"name":"one"}"#]).await;
    let job = small.start();
    small.until_names(&job, &["one"]).await;
    job.stop();
    kafka.send(&small.topic, 0, &[r#"{"id":2,"name":"two"}"#, r#"{"id":3,"name":"three"}"#]).await;
    kafka.delete_below(&small.topic, 0, 2).await;
    small.ends(&[], 2, &["cannot be read on at offset 1", "--fresh"]);
    assert_eq!(small.names().await, ["one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_partitions_are_read_from_their_first_message() {
    let kafka = kafka_shared().await;
    let small = Small::new(1, "start_mode = latest").await;
    kafka.send(&small.topic, 0, &[r#"{"id":1,"name":"before"}"#]).await;
    let job = small.start();
    job.until_said("starting").await;
    kafka.send(&small.topic, 0, &[r#"{"id":2,"name":"two"}"#]).await;
    small.until_names(&job, &["two"]).await;
    kafka.add_partitions(&small.topic, 2).await;
    // Most likely before the job knows of the partition; either way it is there.
    kafka.send(&small.topic, 1, &[r#"{"id":3,"name":"three"}"#]).await;
    small.until_names(&job, &["two", "three"]).await;
    job.stop();
    // What was read is not read again.
    kafka.send(&small.topic, 1, &[r#"{"id":4,"name":"four"}"#]).await;
    let job = small.start();
    small.until_names(&job, &["two", "three", "four"]).await;
    job.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_markers_the_group_is_the_memory() {
    let kafka = kafka_shared().await;
    let (from, to) = (kafka.fresh_name("from"), kafka.fresh_name("to"));
    kafka.create_topic(&from, 2, &[]).await;
    let sink = format!("Kafka {{ bootstrap.servers = \"{}\", topic = \"{to}\" }}", kafka.bootstrap());
    let job = TestJob::new(&from, &text(&kafka.bootstrap(), &from, "start_mode = earliest", &sink));
    for round in 0..3 {
        let value = format!(r#"{{"id":{round},"name":"n"}}"#);
        kafka.send(&from, round % 2, &[&value]).await;
        let running = Job::of(job.shared(&[]).start());
        let wanted = usize::try_from(round).expect("small") + 1;
        wait::until_ok(LIMIT, "the message", async || {
            running.assert_running();
            let found = kafka.read(&to, Isolation::Committed).await.len();
            if found >= wanted { Ok(()) } else { Err(format!("{found}; {}", tail(&running.stderr()))) }
        })
        .await;
        running.stop();
        assert_eq!(kafka.read(&to, Isolation::Committed).await.len(), wanted, "nothing is read twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_looks_for_the_topic_and_changes_nothing() {
    let kafka = kafka_shared().await;
    let small = Small::new(2, "start_mode = earliest").await;
    let file = small.job.file.to_string_lossy().into_owned();
    let check = || Culvert::new(&["check", "--connect", "-c", &file]).run(LIMIT);
    check().assert_code(0);
    assert!(!small.target.has_table("item").await, "a check writes nothing");
    let missing = kafka.fresh_name("missing");
    small.job.rewrite(&text(&kafka.bootstrap(), &missing, "", &jdbc(&small.target)));
    let finished = check();
    finished.assert_code(1);
    assert!(finished.stdout.contains("the topic is missing"), "{}", finished.stdout);
    assert_eq!(kafka.partitions(&missing).await, 0, "asking makes no topic");
}

#[tokio::test]
async fn a_check_names_what_cannot_be_shared() {
    let jdbc = |more: &str| {
        format!(
            "Jdbc {{ url = \"jdbc:postgresql://127.0.0.1:1/x\", username = u, password = p, generate_sink_sql = true, \
             database = x, table = \"public.item\"{more} }}"
        )
    };
    let input = ", plugin_input = t";
    let two = format!("{}\n{}", jdbc(input), jdbc(&format!("{input}, marker_table = other")));
    for (source, sink, said) in [
        ("", jdbc(", data_save_mode = DROP_DATA"), "data_save_mode"),
        ("", jdbc(", schema_save_mode = RECREATE_SCHEMA"), "schema_save_mode"),
        ("plugin_output = t", two, "several sinks"),
        ("pattern = true", jdbc(""), "pattern"),
        ("commit_on_checkpoint = false", jdbc(""), "commit_on_checkpoint"),
        ("kafka.config { isolation.level = read_uncommitted }", jdbc(""), "isolation.level"),
        ("start_mode = timestamp", jdbc(""), "start_mode.timestamp"),
        ("start_mode = specific_offsets, start_mode.offsets { other-0 = 1 }", jdbc(""), "other-0"),
    ] {
        let job = TestJob::new("check", &text("127.0.0.1:1", "t", source, &sink));
        let file = job.file.to_string_lossy().into_owned();
        let finished = Culvert::new(&["check", "-c", &file]).run(LIMIT);
        finished.assert_code(1);
        assert!(finished.stdout.contains(said), "`{said}` is not in:\n{}", finished.stdout);
    }
}
