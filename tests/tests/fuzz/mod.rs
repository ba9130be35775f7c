//! Broken bytes never break the process: real events of both servers, mutated, through everything
//! that reads bytes from a server.
//!
//! Runs for `CULVERT_FUZZ_SECONDS`, otherwise a minute when `CI=true` and five seconds elsewhere.
//! `CULVERT_TEST_SEED` repeats a run. A panic, an input that takes long, and memory out of
//! proportion fail the test, with the input in a file.

mod memory;
mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use culvert_api::{RowKindSet, TableId, TableSchema};
use culvert_source_mysql::column::{Conversion, MySqlColumn, ZeroDatePolicy};
use culvert_source_mysql::decode::{RowDecoder, RowsBuilder, decode_untrusted};
use culvert_source_mysql::event::{
    ChecksumAlgorithm, Event, FormatDescription, ParseContext, kind, parse, split,
};
use culvert_tests::random::generator;
use culvert_tests::{Flavor, Server, ServerOptions, seed};

use crate::types::corpus::{LATER, tables};
use crate::types::job::{conn, run};
use crate::types::log_file;
use mutation::Mutator;

/// The most bytes anything compressed may expand to.
const EXPANDED_MAX: usize = 1 << 20;
/// What one input may take beyond what its size explains. Expanding stops at a MiB; text in
/// Arrow's and the decoder's buffers doubles as it grows.
const MEMORY_MAX: usize = 32 << 20;
/// Bytes per byte of input: a byte of a charset becomes up to four, in buffers that double.
const MEMORY_FACTOR: usize = 64;
/// What one input may take on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(5);

/// An event that was really written.
struct Sample {
    whole: Vec<u8>,
    /// For rows: the table map before it and the table's columns.
    table: Option<(Vec<u8>, usize)>,
}

/// What the servers wrote.
#[derive(Default)]
struct Corpus {
    samples: Vec<Sample>,
    shapes: Vec<Vec<MySqlColumn>>,
    /// Documents and other insides of events that are worth a start of their own.
    events_per_type: std::collections::BTreeMap<u8, usize>,
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_events_never_panic_nor_eat_memory() {
    let mut corpus = Corpus::default();
    for flavor in Flavor::ALL {
        collect(flavor, &mut corpus).await;
    }
    for expected in [
        kind::TABLE_MAP,
        kind::WRITE_ROWS,
        kind::UPDATE_ROWS,
        kind::DELETE_ROWS,
        kind::TRANSACTION_PAYLOAD,
        kind::GTID,
        kind::MARIADB_GTID,
        kind::MARIADB_WRITE_ROWS_COMPRESSED_V1,
        kind::MARIADB_QUERY_COMPRESSED,
    ] {
        assert!(
            corpus.events_per_type.contains_key(&expected),
            "no event of type {expected} was written: {:?}",
            corpus.events_per_type
        );
    }
    let seed = seed();
    // On a thread of its own: what is counted is that thread's memory.
    let outcome = tokio::task::spawn_blocking(move || fuzz(&corpus, seed)).await;
    outcome.expect("the fuzzing thread ends");
}

/// Lets a server write the whole corpus of types, plain and compressed, and takes its log.
async fn collect(flavor: Flavor, corpus: &mut Corpus) {
    let server = Server::start(flavor, ServerOptions::default()).await;
    let mut conn = conn(&server).await;
    run(&mut conn, "CREATE DATABASE fuzz").await;
    let compress = match flavor {
        Flavor::MariaDb => "SET GLOBAL log_bin_compress = ON",
        Flavor::MySql => "SET SESSION binlog_transaction_compression = ON",
    };
    let tables = tables(flavor);
    for table in &tables {
        run(&mut conn, &table.create("fuzz")).await;
    }
    for first in [1, LATER] {
        for table in &tables {
            for statement in table.inserts("fuzz", first) {
                run(&mut conn, &statement).await;
            }
            run(&mut conn, &format!("UPDATE {} SET touched = 1 WHERE id % 5 = 0", table.quoted("fuzz")))
                .await;
            run(&mut conn, &format!("DELETE FROM {} WHERE id % 7 = 0", table.quoted("fuzz"))).await;
        }
        run(&mut conn, compress).await;
        run(
            &mut conn,
            "CREATE TABLE IF NOT EXISTS fuzz.statement (id INT COMMENT 'long enough to be compressed')",
        )
        .await;
    }
    run(&mut conn, "FLUSH BINARY LOGS").await;
    let mut shapes = std::collections::BTreeMap::new();
    for table in &tables {
        let columns = log_file::columns(&mut conn, "fuzz", table.name).await;
        shapes.insert(table.name.to_string(), corpus.shapes.len());
        corpus.shapes.push(columns);
    }
    for file in log_file::files(&server) {
        let bytes = std::fs::read(file).expect("the log is readable");
        corpus.take(log_file::events(&bytes), &shapes);
    }
}

impl Corpus {
    fn take(&mut self, events: Vec<Vec<u8>>, shapes: &std::collections::BTreeMap<String, usize>) {
        let context = ParseContext { format: FormatDescription::assumed(), expanded_bytes_max: EXPANDED_MAX };
        let mut table = None;
        for whole in events {
            let raw = split(&whole, ChecksumAlgorithm::Crc32).expect("a whole event");
            *self.events_per_type.entry(raw.header.event_type).or_default() += 1;
            let parsed = parse(raw.header.event_type, raw.header.flags, raw.body, &context);
            let of_rows = match parsed.expect("what servers write can be parsed") {
                Event::TableMap(map) => {
                    table = shapes.get(map.table).map(|shape| (raw.body.to_vec(), *shape));
                    None
                }
                Event::Rows(_) => table.clone(),
                _ => None,
            };
            self.samples.push(Sample { whole, table: of_rows });
        }
    }
}

fn fuzz(corpus: &Corpus, seed: u64) {
    let duration = duration();
    let mut mutator =
        Mutator::new(generator(seed), corpus.samples.iter().map(|sample| sample.whole.as_slice()));
    // Panics are caught and counted once; their messages would fill the screen.
    let begun = Instant::now();
    let (mut inputs, mut highest, mut slowest) = (0_u64, 0, Duration::ZERO);
    while begun.elapsed() < duration {
        let place = mutator.choose();
        let sample = &corpus.samples[place];
        let input = mutator.mutate(&sample.whole);
        let map = sample.table.as_ref().map(|(map, shape)| (mutator.sometimes(map), &corpus.shapes[*shape]));
        let started = Instant::now();
        memory::begin();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            decode_untrusted(&input);
            // From the inside: the type, and the event without its header.
            if let Some(inside) = input.get(18..).filter(|inside| !inside.is_empty()) {
                let mut inside = inside.to_vec();
                inside[0] = input[4];
                decode_untrusted(&inside);
            }
            if let Some((map, columns)) = &map {
                decode_rows(&input, map, columns);
            }
        }));
        let (peak, took) = (memory::peak(), started.elapsed());
        let allowed = MEMORY_MAX + input.len() * MEMORY_FACTOR;
        let fault = match outcome {
            Err(_) => Some("panicked".to_string()),
            Ok(()) if peak > allowed => Some(format!("took {peak} bytes of memory, {allowed} are allowed")),
            Ok(()) if took > TIME_MAX => Some(format!("took {took:?}")),
            Ok(()) => None,
        };
        if let Some(fault) = fault {
            let kept = keep(&input, map.as_ref().map(|(map, _)| map.as_slice()));
            panic!(
                "input {inputs} of seed {seed} (event type {}) {fault}; it lies in {}",
                sample.whole[4],
                kept.display()
            );
        }
        inputs += 1;
        highest = highest.max(peak);
        slowest = slowest.max(took);
    }
    eprintln!("{inputs} inputs in {duration:?}; most memory {highest} bytes, slowest {slowest:?}");
    assert!(inputs > 100, "only {inputs} inputs in {duration:?}");
}

/// The row event through the decoder of the table it was written for; the table map may be broken,
/// too.
fn decode_rows(whole: &[u8], map: &[u8], columns: &[MySqlColumn]) {
    let context = ParseContext { format: FormatDescription::assumed(), expanded_bytes_max: EXPANDED_MAX };
    let Ok(Event::TableMap(map)) = parse(kind::TABLE_MAP, 0, map, &context) else { return };
    let conversion = Conversion { zero_dates: ZeroDatePolicy::Null, ..Conversion::default() };
    let Ok(decoder) = RowDecoder::new(columns, &map, EXPANDED_MAX) else { return };
    let shape = columns.iter().map(|column| column.to_column(&conversion)).collect();
    let schema = TableSchema::new(TableId::new("fuzz", "t"), 1, shape, vec!["id".into()], RowKindSet::ALL);
    let mut builder = RowsBuilder::new(&schema, columns, &conversion).expect("one schema");
    let Ok(raw) = split(whole, ChecksumAlgorithm::Crc32) else { return };
    let Ok(Event::Rows(rows)) = parse(raw.header.event_type, 0, raw.body, &context) else { return };
    let decoded = decoder.decode(&rows, &mut builder, 0, 0);
    let appended = builder.len();
    assert_eq!(decoded.unwrap_or(0), appended, "what failed leaves nothing");
    let finished = builder.finish().expect("whole rows form a batch");
    assert_eq!(finished.rows.num_rows(), appended);
}

fn duration() -> Duration {
    let seconds = match std::env::var("CULVERT_FUZZ_SECONDS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("CULVERT_FUZZ_SECONDS is not a number: {text}")),
        Err(_) if std::env::var("CI").is_ok_and(|ci| ci == "true") => 60,
        Err(_) => 5,
    };
    Duration::from_secs(seconds)
}

/// Writes a failing input where it outlives the test.
fn keep(input: &[u8], map: Option<&[u8]>) -> PathBuf {
    let file = std::env::temp_dir().join(format!("culvert-fuzz-{}", std::process::id()));
    std::fs::write(&file, input).expect("the temporary folder is writable");
    if let Some(map) = map {
        std::fs::write(file.with_extension("map"), map).expect("the temporary folder is writable");
    }
    file
}
