//! `format = avro` with a registry: what another implementation of Avro reads with the registry's schemas
//! is what the source has, and shapes that change are new versions, or refused.

use apache_avro::types::Value as Avro;
use apache_avro::{Decimal, Schema, from_avro_datum};
use culvert_tests::certificates::Certificates;
use culvert_tests::kafka::Record;
use culvert_tests::{
    Culvert, Database, Flavor, Kafka, PgVersion, Proxy, Registry, kafka_shared, postgres_shared,
    registry_shared, scratch, shared,
};

use super::scene::{job_text, until};
use crate::postgres::job::{LIMIT, TestJob, tail};

/// A record's fields.
type Fields = Vec<(String, Avro)>;

/// Reads what stands behind the number of a schema, with that schema.
async fn read(registry: &Registry, bytes: &[u8]) -> (u32, Fields) {
    let [0, a, b, c, d, record @ ..] = bytes else { panic!("no message of a registry: {bytes:?}") };
    let id = u32::from_be_bytes([*a, *b, *c, *d]);
    let answer = registry.get(&format!("schemas/ids/{id}")).await.expect("the schema is there");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let schema = Schema::parse_str(answer["schema"].as_str().expect("a schema")).expect("a schema");
    let mut rest = record;
    let read = from_avro_datum(&schema, &mut rest, None).expect("a record");
    let Avro::Record(fields) = read else { panic!("no record: {read:?}") };
    assert!(rest.is_empty(), "{rest:?} is behind the record");
    (id, fields)
}

async fn value(registry: &Registry, record: &Record) -> (u32, Fields) {
    read(registry, record.bytes.1.as_deref().expect("a value")).await
}

/// The name and the value of a column that may be NULL.
fn some(name: &str, value: Avro) -> (String, Avro) {
    (name.to_owned(), Avro::Union(1, Box::new(value)))
}

fn none(name: &str) -> (String, Avro) {
    (name.to_owned(), Avro::Union(0, Box::new(Avro::Null)))
}

fn text(text: &str) -> Avro {
    Avro::String(text.to_owned())
}

fn decimal(unscaled: i128) -> Avro {
    let bytes = unscaled.to_be_bytes();
    let spare = bytes
        .windows(2)
        .take_while(|two| two[0] == 0 && two[1] & 0x80 == 0 || two[0] == 0xff && two[1] & 0x80 != 0);
    Avro::Decimal(Decimal::from(&bytes[spare.count()..]))
}

fn sink(kafka: &Kafka, topic: &str, url: &str, more: &str) -> String {
    format!(
        "Kafka {{ bootstrap.servers = \"{}\", topic = \"{topic}\", format = avro, semantics = EXACTLY_ONCE\n\
         progress_topic = \"{topic}.progress\", schema.registry.url = \"{url}\"\n{more} }}",
        kafka.bootstrap()
    )
}

/// Microseconds since 1970 of 2026-11-20 10:00:00.5 UTC, and the day.
const INSTANT: i64 = 1_795_168_800_500_000;
const DAY: i32 = 20_777;

const MARIADB: [&str; 2] = [
    "CREATE TABLE w (id BIGINT UNSIGNED PRIMARY KEY, ti TINYINT NOT NULL, i INT, iu INT UNSIGNED, b BIGINT, f FLOAT, \
     d DOUBLE, n DECIMAL(20,4), bits BIT(10), y YEAR, da DATE, tm TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, \
     c VARCHAR(20), bl BLOB, e ENUM('a','b'))",
    "INSERT INTO w VALUES (18446744073709551615, -128, -2147483648, 4294967295, -9223372036854775808, 0.5, -0.1, \
     -12.5, b'1000000001', 2026, '2026-11-20', '-838:59:59.000001', '2026-11-20 10:00:00.5', \
     FROM_UNIXTIME(1795168800.5), 'é', x'00ff', 'b')",
];

fn mariadb_row() -> Fields {
    vec![
        ("id".to_owned(), decimal(u64::MAX.into())),
        ("ti".to_owned(), Avro::Int(-128)),
        some("i", Avro::Int(i32::MIN)),
        some("iu", Avro::Long(u32::MAX.into())),
        some("b", Avro::Long(i64::MIN)),
        some("f", Avro::Float(0.5)),
        some("d", Avro::Double(-0.1)),
        some("n", decimal(-125_000)),
        some("bits", decimal(513)),
        some("y", Avro::Int(2026)),
        some("da", Avro::Date(DAY)),
        some("tm", text("-838:59:59.000001")),
        some("dt", Avro::LocalTimestampMicros(INSTANT)),
        some("ts", Avro::TimestampMicros(INSTANT)),
        some("c", text("é")),
        some("bl", Avro::Bytes(vec![0, 255])),
        some("e", text("b")),
    ]
}

const POSTGRES: [&str; 2] = [
    "CREATE TABLE w (id bigint PRIMARY KEY, ti smallint NOT NULL, b boolean, r real, d double precision, n numeric(10,2), \
     free numeric, t text, by bytea, u uuid, j jsonb, da date, tm time, ts timestamp, tz timestamptz, ar int[])",
    "INSERT INTO w VALUES (-1, 7, true, 0.5, 'NaN', -12.5, 1e30, 'é', '\\x00ff', \
     '00000000-0000-0000-0000-000000000001', '{\"a\": 1}', '2026-11-20', '23:59:59.999999', '2026-11-20 10:00:00.5', \
     '2026-11-20 10:00:00.5+00', '{1,NULL}')",
];

fn postgres_row() -> Fields {
    vec![
        ("id".to_owned(), Avro::Long(-1)),
        ("ti".to_owned(), Avro::Int(7)),
        some("b", Avro::Boolean(true)),
        some("r", Avro::Float(0.5)),
        some("d", Avro::Double(f64::NAN)),
        some("n", decimal(-1250)),
        some("free", text("1000000000000000000000000000000")),
        some("t", text("é")),
        some("by", Avro::Bytes(vec![0, 255])),
        some("u", text("00000000-0000-0000-0000-000000000001")),
        some("j", text("{\"a\": 1}")),
        some("da", Avro::Date(DAY)),
        some("tm", Avro::TimeMicros(86_399_999_999)),
        some("ts", Avro::LocalTimestampMicros(INSTANT)),
        some("tz", Avro::TimestampMicros(INSTANT)),
        some("ar", text("{1,NULL}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_read_back() {
    let (kafka, registry) = (kafka_shared().await, registry_shared().await);
    let sources = [
        (Database::fresh(shared(Flavor::MariaDb).await, "avro").await, MARIADB, mariadb_row()),
        (Database::fresh(postgres_shared(PgVersion::V17).await, "avro").await, POSTGRES, postgres_row()),
    ];
    for (source, statements, wanted) in sources {
        source.run(&statements).await;
        let topic = kafka.fresh_name(&format!("avro-{}-{}", source.name(), source.port()));
        let sink = sink(kafka, &topic, &registry.url(), "tombstones_on_delete = true");
        let job = TestJob::new(&topic, &job_text(&source, &["w"], "", &sink));
        let running = job.start();
        let snapshot = until(kafka, &topic, 1, &running).await;
        source.run(&["INSERT INTO w (id, ti) VALUES (5, 1)", "DELETE FROM w WHERE id = 5"]).await;
        let all = until(kafka, &topic, 3, &running).await;
        running.stop();
        let (id, fields) = value(registry, &snapshot[0]).await;
        // NaN is not the same as itself.
        assert_eq!(format!("{fields:?}"), format!("{wanted:?}"));
        let (_, nulls) = value(registry, &all[1]).await;
        let missing: Fields = wanted[2..].iter().map(|(name, _)| none(name)).collect();
        assert_eq!(nulls[2..], missing);
        let kinds: Vec<Option<&str>> = all.iter().map(|record| record.header("row_kind")).collect();
        assert_eq!(kinds, [Some("+I"), Some("+I"), Some("-D")]);
        assert_eq!(all[2].bytes.1, None, "a tombstone");
        let (key_id, key) = read(registry, all[0].bytes.0.as_deref().expect("a key")).await;
        assert_eq!(key, wanted[..1]);
        assert_eq!(all[1].bytes.0, all[2].bytes.0);
        for (subject, id) in [("value", id), ("key", key_id)] {
            let latest = registry.get(&format!("subjects/{topic}-{subject}/versions/latest")).await;
            let latest: serde_json::Value = serde_json::from_str(&latest.expect("a version")).expect("JSON");
            assert_eq!((&latest["id"], &latest["version"]), (&id.into(), &1.into()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_shape_is_a_new_version_or_refused_by_subject() {
    let (kafka, registry) = (kafka_shared().await, registry_shared().await);
    let proxy = Proxy::start(registry.port()).await;
    let source = Database::fresh(shared(Flavor::MariaDb).await, "shapes").await;
    source.run(&["CREATE TABLE w (id INT PRIMARY KEY)", "INSERT INTO w VALUES (1)"]).await;
    let topic = kafka.fresh_name(&format!("shapes-{}", source.port()));
    let sink = sink(kafka, &topic, &registry.url_at(proxy.port()), "");
    let text = job_text(&source, &["w"], "", &sink);
    let text = text.replacen("snapshot.split.size = 300", "schema-changes.enabled = true", 1);
    let job = TestJob::new(&topic, &text);
    let running = job.start();
    let first = until(kafka, &topic, 1, &running).await;
    // A registry that is away matters to new shapes alone.
    proxy.refuse(true).await;
    proxy.cut();
    source.run(&["INSERT INTO w VALUES (2)"]).await;
    until(kafka, &topic, 2, &running).await;
    source.run(&["ALTER TABLE w ADD n INT", "INSERT INTO w VALUES (3, 7)"]).await;
    running.until_said("could not reach the schema registry").await;
    proxy.heal().await;
    let all = until(kafka, &topic, 3, &running).await;
    let id = ("id".to_owned(), Avro::Int(3));
    assert_eq!(value(registry, &all[2]).await.1, [id, some("n", Avro::Int(7))]);
    assert_eq!(value(registry, &all[0]).await, value(registry, &first[0]).await);
    let subject = format!("{topic}-value");
    let versions = registry.get(&format!("subjects/{subject}/versions")).await;
    assert_eq!(versions.as_deref().map(str::trim), Some("[1,2]"));
    // Who reads old messages with the new schema finds nothing in place of such a column.
    registry.set_compatibility(&subject, "BACKWARD").await;
    source.run(&["ALTER TABLE w ADD m INT NOT NULL DEFAULT 0", "INSERT INTO w VALUES (4, 8, 9)"]).await;
    let log = running.ended(2);
    assert!(log.contains("not compatible") && log.contains(&subject), "{}", tail(&log));
    let file = job.file.to_string_lossy().into_owned();
    let checked = Culvert::new(&["check", "-c", &file, "--connect"]).run(LIMIT);
    let said = checked.stdout.clone() + &checked.stderr;
    assert!(checked.code != Some(0) && said.contains(&subject) && said.contains("not compatible"), "{said}");
    registry.set_compatibility(&subject, "NONE").await;
    let running = job.start();
    let all = until(kafka, &topic, 4, &running).await;
    running.stop();
    assert_eq!(all.len(), 4);
    assert_eq!(value(registry, &all[3]).await.1[2], ("m".to_owned(), Avro::Int(9)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_is_verified_before_anything_is_said() {
    let (kafka, registry) = (kafka_shared().await, registry_shared().await);
    let strangers = Certificates::generate(&scratch::folder("c"));
    let source = Database::fresh(shared(Flavor::MariaDb).await, "verified").await;
    source.run(&["CREATE TABLE w (id INT PRIMARY KEY)", "INSERT INTO w VALUES (1)"]).await;
    let topic = kafka.fresh_name(&format!("verified-{}", source.port()));
    let job = |more: &str| {
        let sink = sink(kafka, &topic, &registry.secure_url(), more);
        TestJob::new(&topic, &job_text(&source, &["w"], "", &sink))
    };
    let trusting =
        |file: &std::path::Path| format!("schema.registry.ssl.ca.location = \"{}\"", file.display());
    let account = "schema.registry.user = alice, schema.registry.password = hunter2\n";
    for wrong in [trusting(&strangers.ca), String::new()] {
        let log =
            job(&(account.to_owned() + &wrong)).refused(&["schema registry", "-key", "ssl.ca.location"]);
        assert!(!log.contains("hunter2"), "{log}");
    }
    assert_eq!(registry.get(&format!("subjects/{topic}-value/versions")).await, None);
    let sound = job(&trusting(registry.authority()));
    let file = sound.file.to_string_lossy().into_owned();
    Culvert::new(&["check", "-c", &file, "--connect"]).run(LIMIT).assert_code(0);
    assert_eq!(
        registry.get(&format!("subjects/{topic}-value/versions")).await,
        None,
        "a check writes nothing"
    );
    let running = sound.start();
    let all = until(kafka, &topic, 1, &running).await;
    running.stop();
    assert_eq!(value(registry, &all[0]).await.1, [("id".to_owned(), Avro::Int(1))]);
}
