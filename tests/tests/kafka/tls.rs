//! TLS to the broker: verified, or refused.

use culvert_tests::certificates::Certificates;
use culvert_tests::{Culvert, Database, Flavor, Isolation, Kafka, KafkaOptions, scratch, shared, wait};

use super::scene::job_text;
use crate::postgres::job::{LIMIT, TestJob, tail};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_verified_before_anything_is_said() {
    let certificates = Certificates::generate(&scratch::folder("c"));
    let strangers = Certificates::generate(&scratch::folder("c"));
    let kafka =
        Kafka::start(KafkaOptions { tls: Some(certificates.clone()), ..KafkaOptions::default() }).await;
    let source = Database::fresh(shared(Flavor::MariaDb).await, "tls").await;
    source.run(&["CREATE TABLE w (id INT PRIMARY KEY)", "INSERT INTO w VALUES (1)"]).await;
    let topic = kafka.fresh_name("tls");
    let job = |ca: &Certificates, protocol: &str| {
        let sink = format!(
            "Kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", semantics = EXACTLY_ONCE, format = json\n\
             progress_topic = \"{topic}.progress\"\n\
             kafka.config {{ security.protocol = {protocol}, ssl.ca.location = \"{}\" }} }}",
            kafka.secure_bootstrap(),
            ca.ca.display()
        );
        TestJob::new(&topic, &job_text(&source, &["w"], "", &sink))
    };
    // A stranger's authority, and no TLS where the broker speaks nothing else.
    let wrong = [("authority", job(&strangers, "ssl")), ("protocol", job(&certificates, "plaintext"))];
    // Both at once: each waits for a broker that it can speak to.
    let checks = wrong.map(|(what, job)| {
        let file = job.file.to_string_lossy().into_owned();
        (what, Culvert::new(&["check", "-c", &file, "--connect"]).start())
    });
    for (what, check) in checks {
        let checked = check.wait(LIMIT);
        let said = checked.stdout.clone() + &checked.stderr;
        assert_ne!(checked.code, Some(0), "the wrong {what}: {said}");
        assert!(said.contains("broker"), "the wrong {what}: {said}");
        assert!(kafka.read(&topic, Isolation::Uncommitted).await.is_empty(), "nothing was said");
    }
    let running = job(&certificates, "ssl").start();
    wait::until_ok(LIMIT, "the row in the topic", async || {
        running.assert_running();
        let found = kafka.read(&topic, Isolation::Committed).await.len();
        if found == 1 { Ok(()) } else { Err(tail(&running.stderr())) }
    })
    .await;
    running.stop();
}
