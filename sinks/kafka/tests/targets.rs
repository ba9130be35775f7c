//! What is found at the cluster: topics that are there or not, rights, settings.

use culvert_api::{ErrorKind, Severity, Sink};
use culvert_tests::{Isolation, kafka, kafka_shared};

use crate::support::{JOB, Stage, failure, inserts, people};

/// The settings of a login; the account has the rights it was given.
fn login(password: &str) -> [(&'static str, String); 4] {
    [
        ("kafka.config.security.protocol", "sasl_plaintext".to_owned()),
        ("kafka.config.sasl.mechanism", "PLAIN".to_owned()),
        ("kafka.config.sasl.username", kafka::USER.to_owned()),
        ("kafka.config.sasl.password", password.to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_what_the_start_would_refuse_and_writes_nothing() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "check");
    let bootstrap = kafka.bootstrap();
    let (keyed, keyless) = (people("w", &["id"]), people("v", &[]));
    let sink = stage.sink(&bootstrap, &[]);
    assert_eq!(sink.check(std::slice::from_ref(&keyed)).await.unwrap(), vec![]);
    assert_eq!((kafka.partitions(&stage.topic).await, kafka.partitions(&stage.progress).await), (0, 0));

    let sink = stage.sink(&bootstrap, &[("create_topics", "false")]);
    let findings = sink.check(std::slice::from_ref(&keyed)).await.unwrap();
    assert_eq!(
        (findings.len(), findings[0].severity, &findings[0].subject),
        (1, Severity::Todo, &stage.topic)
    );
    let mut run = stage.open(&sink, 1).await.unwrap();
    let error = failure(run.open.writer.prepare_tables(std::slice::from_ref(&keyed), true).await);
    assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
    assert!(
        error.to_string().contains(&stage.topic) && error.to_string().contains("create_topics"),
        "{error}"
    );
    run.close().await;

    kafka.create_topic(&stage.topic, 2, &[("cleanup.policy", "compact")]).await;
    let too_long = [("kafka.config.transaction.timeout.ms", "1000000"), ("partition", "2")];
    let findings = stage.sink(&bootstrap, &too_long).check(&[keyed, keyless]).await.unwrap();
    let told =
        |words: &str| findings.iter().any(|f| f.severity == Severity::Error && f.message.contains(words));
    assert!(
        told("option 'partition' is 2") && told("have no key") && told("the broker allows 900000"),
        "{findings:?}"
    );

    let wrong = kafka.fresh_name("check-wrong");
    kafka.create_topic(&wrong, 1, &[("cleanup.policy", "delete")]).await;
    let sink = stage.sink(&bootstrap, &[("progress_topic", &wrong)]);
    let findings = sink.check(&[]).await.unwrap();
    assert!(findings.len() == 1 && findings[0].message.contains("cleanup.policy=delete"), "{findings:?}");
    let error = failure(sink.open(&stage.context(1)).await);
    assert!(error.to_string().contains("cleanup.policy"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_and_wrong_passwords_are_for_a_person() {
    let kafka = kafka_shared().await;
    let stage = Stage::new(kafka, "account");
    let source = people("w", &["id"]);
    let sink = |password: &str, semantics: &str| {
        let login = login(password);
        let mut pairs: Vec<(&str, &str)> = login.iter().map(|(key, value)| (*key, value.as_str())).collect();
        pairs.push(("semantics", semantics));
        stage.sink(&kafka.sasl_bootstrap(), &pairs)
    };
    for semantics in ["EXACTLY_ONCE", "NON"] {
        let error = failure(sink("hunter2", semantics).check(std::slice::from_ref(&source)).await);
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let error = failure(sink("hunter2", "EXACTLY_ONCE").open(&stage.context(1)).await);
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(error.to_string().contains("sasl.password"), "{error}");

    // The right account, without a right.
    kafka.create_topic(&stage.topic, 1, &[]).await;
    kafka.create_topic(&stage.progress, 1, &[("cleanup.policy", "compact")]).await;
    let sink = sink(kafka::PASSWORD, "EXACTLY_ONCE");
    let error = failure(sink.open(&stage.context(1)).await);
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(error.to_string().contains(&stage.progress), "{error}");
    let findings = sink.check(std::slice::from_ref(&source)).await.unwrap();
    assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{findings:?}");
    let progress =
        ["Read", "Write", "Describe", "DescribeConfigs"].map(|right| ["--operation", right]).concat();
    kafka.allow(&[&progress[..], &["--topic", &stage.progress]].concat()).await;
    kafka.allow(&["--operation", "Describe", "--topic", &stage.topic]).await;
    let error = failure(sink.open(&stage.context(1)).await);
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(error.to_string().contains("transaction_prefix"), "{error}");
    let id = format!("culvert-{JOB}-{}-0", stage.topic);
    kafka.allow(&["--operation", "Write", "--operation", "Describe", "--transactional-id", &id]).await;
    // A topic that may be seen and not be written to ends the transaction; the error says why.
    let mut run = stage.start(&sink, &source).await;
    let wrote = run.write(inserts(&source, 1..2)).await;
    let error = match wrote {
        Ok(()) => failure(run.prepare().await),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(error.to_string().contains("TopicAuthorizationFailed"), "{error}");
    run.close().await;
    kafka.allow(&["--operation", "Write", "--topic", &stage.topic]).await;
    // What docs/kafka.md asks for is enough.
    let mut run = stage.open(&sink, 2).await.unwrap();
    run.deliver(inserts(&source, 1..3)).await.unwrap();
    run.close().await;
    assert_eq!(stage.committed(&sink).await.unwrap().checkpoint, 1);
    assert_eq!(crate::support::ids(kafka, &stage.topic, Isolation::Committed).await, [1, 2]);
}
