//! The properties of a sink whose contract is exactly once.

use std::sync::Arc;

use culvert_api::{DeliveryContract, ErrorKind, RowKind, SchemaChange, Sink, SourceState, TableSchema};
use culvert_tests::wait;

use super::stand::{
    JOB, Run, SINK, Stand, inserts, keyed_table, log_table, once, rows, stands, state, widened,
};
use crate::postgres::job::LIMIT;

async fn on_all(property: impl AsyncFn(&Stand, Arc<dyn Sink>)) {
    for stand in stands().await {
        // The output of a failed test ends with the sink it failed on.
        eprintln!("on {}", stand.name());
        let sink = stand.sink();
        assert_eq!(sink.contract(), DeliveryContract::ExactlyOnce);
        property(&stand, sink).await;
    }
}

async fn holds(sink: &Arc<dyn Sink>) -> Option<u64> {
    sink.committed(JOB, SINK, 0).await.unwrap().map(|marker| marker.checkpoint)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_there_with_their_commit_and_not_before() {
    on_all(async |stand, sink| {
        assert_eq!(holds(&sink).await, None, "nobody was here");
        let table = log_table("t");
        let mut run = stand.open(&sink, 1, &table).await;
        assert_eq!(holds(&sink).await, Some(0));
        run.write(inserts(&table, 0..10)).await.unwrap();
        run.sink.writer.flush().await.unwrap();
        assert_eq!(stand.seen("t").await, []);
        let staged = run.prepare().await.unwrap();
        assert_eq!((stand.seen("t").await, holds(&sink).await), (vec![], Some(0)));
        run.sink.committer.commit(&staged).await.unwrap();
        assert_eq!((stand.seen("t").await, holds(&sink).await), (once(0..10), Some(1)));
        // Committing twice is once; an empty checkpoint moves the marker; a batch of no rows is none.
        run.sink.committer.commit(&staged).await.unwrap();
        run.holds = 1;
        run.commit().await.unwrap();
        run.write(inserts(&table, 0..0)).await.unwrap();
        run.commit().await.unwrap();
        assert_eq!((stand.seen("t").await, holds(&sink).await), (once(0..10), Some(3)));
        run.sink.writer.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_before_the_commit_leaves_nothing() {
    on_all(async |stand, sink| {
        let table = log_table("t");
        for (epoch, step) in (1..).zip(["write", "flush", "prepare", "abort", "close"]) {
            let mut run = stand.open(&sink, epoch, &table).await;
            assert_eq!(run.holds, 0, "before {step}");
            run.write(inserts(&table, 0..5)).await.unwrap();
            match step {
                "write" => {}
                "flush" => run.sink.writer.flush().await.unwrap(),
                "prepare" => drop(run.prepare().await.unwrap()),
                "abort" => {
                    let staged = run.prepare().await.unwrap();
                    run.sink.committer.abort(&staged).await.unwrap();
                }
                _ => run.sink.writer.close().await,
            }
            // A crash, as far as the target can tell: nobody says goodbye.
            drop(run);
            assert_eq!(stand.seen("t").await, [], "after {step}");
        }
        // The replay of what was not committed, and of a prefix of it first.
        let mut run = stand.open(&sink, 10, &table).await;
        run.write(inserts(&table, 0..3)).await.unwrap();
        drop(run);
        let mut run = stand.open(&sink, 11, &table).await;
        run.deliver(inserts(&table, 0..5)).await.unwrap();
        drop(run);
        let run = stand.open(&sink, 12, &table).await;
        assert_eq!((run.holds, stand.seen("t").await), (1, once(0..5)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_told_by_the_marker() {
    on_all(async |stand, sink| {
        if matches!(stand, Stand::Files { .. } | Stand::Objects { .. }) {
            // A rename is asked of nobody far away. The commit to a bucket asks first what is there, so nothing takes effect
            // where no answer comes; answers that are lost request by request are in `lake::s3_faults`.
            return;
        }
        let table = log_table("t");
        let by_proxy = stand.sink_by_proxy();
        let mut run = stand.open(&by_proxy, 1, &table).await;
        run.write(inserts(&table, 0..5)).await.unwrap();
        let staged = run.prepare().await.unwrap();
        stand.proxy().mute(true);
        let committing = tokio::spawn(async move {
            let result = run.sink.committer.commit(&staged).await;
            (run, result)
        });
        // It was written, and the answer never came.
        wait::until(LIMIT, "the commit to take effect", async || holds(&sink).await == Some(1)).await;
        stand.proxy().cut();
        stand.proxy().heal().await;
        // A client that asks again may learn of it; one that does not must not say otherwise than "perhaps".
        let (run, result) = committing.await.unwrap();
        if let Err(error) = result {
            assert_eq!(error.class(), culvert_api::ErrorClass::Transient, "{error}");
        }
        drop(run);
        let mut run = stand.open(&sink, 2, &table).await;
        assert_eq!((run.holds, stand.seen("t").await), (1, once(0..5)));
        run.deliver(inserts(&table, 5..7)).await.unwrap();
        assert_eq!(stand.seen("t").await, once(0..7));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_commits_nothing_wherever_it_was() {
    on_all(async |stand, sink| {
        let table = log_table("t");
        // Another process's: one process ends its own earlier session before it takes over.
        let others = stand.sink();
        let mut epoch = 1;
        for step in ["open", "write", "prepare"] {
            let before = stand.seen("t").await;
            let mut zombie = stand.open(&sink, epoch, &table).await;
            if step != "open" {
                zombie.write(inserts(&table, 900..905)).await.unwrap();
            }
            let staged = if step == "prepare" { Some(zombie.prepare().await.unwrap()) } else { None };
            // On some servers whoever takes over waits for the lock on the marker of who has prepared.
            let next = {
                let (others, table) = (Arc::clone(&others), Arc::clone(&table));
                tokio::spawn(async move { Run::open(&others, (JOB, SINK, 0), epoch + 1, &table).await })
            };
            if let Some(staged) = staged {
                // Either it is fenced, or it had committed before the other one came; never both.
                let result = zombie.sink.committer.commit(&staged).await;
                drop(zombie);
                let next = next.await.unwrap().unwrap();
                let came = stand.seen("t").await != before;
                assert_eq!(result.is_ok(), came, "what it said is what happened");
                assert_eq!(next.holds == 3, came, "the marker says so as well: {}", next.holds);
            } else {
                let mut next = next.await.unwrap().unwrap();
                let error = match zombie.write(inserts(&table, 905..906)).await {
                    Err(error) => error,
                    Ok(()) => zombie.commit().await.expect_err("an older epoch"),
                };
                assert_eq!(error.kind(), ErrorKind::Fenced, "after {step}: {error}");
                next.commit().await.unwrap();
                assert_eq!(stand.seen("t").await, before, "after {step}");
            }
            epoch += 2;
        }
        let late = stand.try_open(&sink, 2, &table).await;
        assert_eq!(late.map(|_| ()).unwrap_err().kind(), ErrorKind::Fenced, "an epoch that is not larger");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_come_back_byte_for_byte_and_disturb_no_other() {
    on_all(async |stand, sink| {
        let table = log_table("t");
        let mut run = stand.open(&sink, 7, &table).await;
        let large = SourceState {
            enumerator: (0..1_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
            reader: vec![0; 100_000],
        };
        let marker = run.marker(&large);
        let staged = run.sink.writer.prepare_commit(&marker).await.unwrap();
        run.sink.committer.commit(&staged).await.unwrap();
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap().unwrap(), marker);
        // Other names and indices in the same target.
        for (job, name, writer) in [("another", SINK, 0), (JOB, "sïnk.2", 0), (JOB, SINK, 1)] {
            let mut other = Run::open(&sink, (job, name, writer), 1, &table).await.unwrap();
            assert_eq!(other.holds, 0, "{job} {name} {writer}");
            other.commit().await.unwrap();
            other.commit().await.unwrap();
            other.sink.writer.close().await;
        }
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap().unwrap(), marker);
        run.sink.writer.close().await;
        sink.forget("another", SINK).await.unwrap();
        assert_eq!(sink.committed("another", SINK, 0).await.unwrap(), None);
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap().unwrap(), marker);
        // Each writer has its own, and whoever asks for one is told of no other.
        let second = sink.committed(JOB, SINK, 1).await.unwrap().unwrap();
        assert_eq!((second.writer, second.epoch, second.checkpoint), (1, 1, 2));
        assert_eq!(sink.committed(JOB, SINK, 2).await.unwrap(), None);
        sink.forget(JOB, SINK).await.unwrap();
        assert_eq!(holds(&sink).await, None);
        assert_eq!(sink.committed(JOB, SINK, 1).await.unwrap(), None, "all writers are forgotten");
        assert_eq!(sink.committed(JOB, "sïnk.2", 0).await.unwrap().map(|marker| marker.checkpoint), Some(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_per_key_is_kept_within_and_across_batches_and_checkpoints() {
    on_all(async |stand, sink| {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        let table = keyed_table("k");
        let mut run = stand.open(&sink, 1, &table).await;
        let first = [
            (Insert, 1, Some("a")),
            (UpdateBefore, 1, Some("a")),
            (UpdateAfter, 1, Some("b")),
            (Insert, 2, None),
            (Delete, 1, Some("b")),
            (Insert, 1, Some("c")),
        ];
        run.write(rows(&table, &first)).await.unwrap();
        run.write(rows(&table, &[(UpdateBefore, 2, None), (UpdateAfter, 2, Some("d"))])).await.unwrap();
        run.commit().await.unwrap();
        let seen = |id: i64, text: &str| (id, text.to_owned());
        assert_eq!(stand.seen("k").await, [seen(1, "c"), seen(2, "d")]);
        run.write(rows(&table, &[(UpdateBefore, 1, Some("c")), (UpdateAfter, 1, None)])).await.unwrap();
        run.write(rows(&table, &[(Delete, 2, Some("d")), (Insert, 3, Some(""))])).await.unwrap();
        run.commit().await.unwrap();
        assert_eq!(stand.seen("k").await, [seen(1, "NULL"), seen(3, "")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_shape_between_two_checkpoints_may_come_twice() {
    on_all(async |stand, sink| {
        let narrow = log_table("t");
        let wide: Arc<TableSchema> = widened(&narrow);
        let change = SchemaChange {
            before: Some(Arc::clone(&narrow)),
            after: Some(Arc::clone(&wide)),
            statement: "ALTER TABLE t ADD COLUMN x0 bigint".into(),
        };
        let mut run = stand.open(&sink, 1, &narrow).await;
        run.deliver(inserts(&narrow, 0..2)).await.unwrap();
        run.sink.writer.apply_schema_change(&change).await.unwrap();
        // A crash behind the change and before the next checkpoint: it comes again.
        drop(run);
        let mut run = stand.open(&sink, 2, &narrow).await;
        assert_eq!(run.holds, 1);
        run.sink.writer.apply_schema_change(&change).await.unwrap();
        run.deliver(inserts(&wide, 2..4)).await.unwrap();
        assert_eq!(stand.seen("t").await, once(0..4));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_very_large_checkpoint_is_one() {
    on_all(async |stand, sink| {
        const BATCHES: i64 = 60;
        const ROWS: i64 = 1000;
        let table = log_table("t");
        let mut run = stand.open(&sink, 1, &table).await;
        for batch in 0..BATCHES {
            run.write(inserts(&table, batch * ROWS..(batch + 1) * ROWS)).await.unwrap();
        }
        let staged = run.prepare().await.unwrap();
        assert_eq!(stand.seen("t").await, []);
        assert_eq!(state(run.holds + 1), run.marker(&state(1)).source.unwrap());
        run.sink.committer.commit(&staged).await.unwrap();
        assert_eq!(stand.seen("t").await, once(0..BATCHES * ROWS));
    })
    .await;
}
