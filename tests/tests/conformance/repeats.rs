//! The properties of a sink whose contract is at least once.

use std::collections::BTreeSet;

use culvert_api::DeliveryContract;

use super::stand::{JOB, SINK, inserts, log_table, once, topics};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_what_is_replayed_may_be_there_twice() {
    let stand = topics("AT_LEAST_ONCE").await;
    let sink = stand.sink();
    assert_eq!(sink.contract(), DeliveryContract::AtLeastOnce);
    let table = log_table("t");
    for epoch in 1..=3 {
        let mut run = stand.open(&sink, epoch, &table).await;
        assert_eq!(run.holds, 0, "it keeps no marker");
        run.write(inserts(&table, 0..20)).await.unwrap();
        let staged = run.prepare().await.unwrap();
        // What is prepared is there: a crash before the commit loses nothing.
        assert!(stand.seen("t").await.len() >= 20);
        if epoch == 3 {
            run.sink.committer.commit(&staged).await.unwrap();
            run.sink.writer.close().await;
        }
    }
    let found: BTreeSet<(i64, String)> = stand.seen("t").await.into_iter().collect();
    assert_eq!(found, once(0..20).into_iter().collect());
    assert_eq!(sink.committed(JOB, SINK, 0).await.unwrap(), None);
    sink.forget(JOB, SINK).await.unwrap();
}
