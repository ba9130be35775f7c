//! The properties of a sink whose contract is at least once.

use std::collections::BTreeSet;
use std::sync::Arc;

use culvert_api::{DeliveryContract, SchemaChange};

use super::stand::{JOB, Lines, SINK, Stand, inserts, log_table, once, topics, widened};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_what_is_replayed_may_be_there_twice() {
    for stand in [topics("AT_LEAST_ONCE").await, topics("NON").await, Stand::Lines(Lines::default())] {
        let name = stand.name();
        let sink = stand.sink();
        assert_eq!(sink.contract(), DeliveryContract::AtLeastOnce, "{name}");
        let table = log_table("t");
        for epoch in 1..=3 {
            let mut run = stand.open(&sink, epoch, &table).await;
            assert_eq!(run.holds, 0, "{name} keeps no marker");
            run.write(inserts(&table, 0..20)).await.unwrap();
            let staged = run.prepare().await.unwrap();
            // What is prepared is there: a crash before the commit loses nothing.
            assert!(stand.seen("t").await.len() >= 20, "{name}");
            if epoch == 3 {
                run.sink.committer.commit(&staged).await.unwrap();
                run.sink.writer.close().await;
            }
        }
        let found: BTreeSet<(i64, String)> = stand.seen("t").await.into_iter().collect();
        assert_eq!(found, once(0..20).into_iter().collect(), "{name}");
        assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap(), None, "{name}");
        sink.forget(JOB, SINK).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_and_very_large_checkpoints_and_changes_of_shape() {
    for stand in [topics("AT_LEAST_ONCE").await, Stand::Lines(Lines::default())] {
        let name = stand.name();
        let sink = stand.sink();
        let table = log_table("t");
        let mut run = stand.open(&sink, 1, &table).await;
        run.commit().await.unwrap();
        assert_eq!(stand.seen("t").await, [], "{name}: nothing came");
        run.deliver(inserts(&table, 0..20_000)).await.unwrap();
        assert_eq!(stand.seen("t").await.len(), 20_000, "{name}");
        let wider = widened(&table);
        let change = SchemaChange {
            before: Some(Arc::clone(&table)),
            after: Some(Arc::clone(&wider)),
            statement: "ALTER TABLE t ADD x0 bigint".to_owned(),
        };
        run.sink.writer.apply_schema_change(&change).await.unwrap();
        run.sink.writer.apply_schema_change(&change).await.unwrap();
        run.deliver(inserts(&wider, 20_000..20_001)).await.unwrap();
        let seen = stand.seen("t").await;
        assert!(seen.iter().any(|(id, _)| *id == 20_000), "{name}: a row of the new shape");
        run.sink.writer.close().await;
    }
}
