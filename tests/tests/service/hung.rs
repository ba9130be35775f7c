//! A job whose sink takes nothing any more: the others go on, and the service ends in time.

use culvert_tests::{Database, Flavor, Proxy, shared, wait};

use super::folder::{ROWS, copy};
use super::{LIMIT, Service};

#[tokio::test]
async fn a_sink_that_does_not_answer_holds_up_neither_other_jobs_nor_the_end() {
    let target = Database::fresh(shared(Flavor::MariaDb).await, "hung").await;
    let proxy = Proxy::start(target.port()).await;
    let url = target.url().replace(&format!(":{}/", target.port()), &format!(":{}/", proxy.port()));
    let sink = format!(
        "Jdbc {{ url = \"{url}\", driver = \"com.mysql.cj.jdbc.Driver\", username = root, password = root, \
         database = \"{}\", table = \"${{table_name}}\", generate_sink_sql = true }}",
        target.name()
    );
    let service = Service::with_rows();
    service.write(
        "jobs/hung.conf",
        &copy("x", 2_000, "")
            .replace("checkpoint.interval", "stall.timeout = 2000, checkpoint.interval")
            .replace("LocalFile { path = \"FOLDER/x\" }", &sink),
    );
    let mut running = service.start();
    let count = format!("SELECT COUNT(*) FROM {}", target.table("t"));
    let arrived = async |least: usize| {
        wait::until_ok(LIMIT, &format!("{least} rows at the target"), async || {
            let found = target.query(&count).await.map_err(|error| error.to_string())?;
            let rows = found[0][0].as_deref().and_then(|rows| rows.parse::<usize>().ok());
            if rows >= Some(least) { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    };
    arrived(1).await;
    proxy.stall(true);
    service.write("jobs/a.conf", &copy("a", 20_000, ""));
    service.wait_for_rows("a", ROWS).await;
    service.assert_copied_once("a");
    running.wait_for_stderr(LIMIT, "STALLED: ").await;
    // The job cannot finish its checkpoint; it is given up, and nothing is lost by it.
    let ended = running.terminate(LIMIT);
    ended.assert_code(0);
    assert!(ended.stderr.contains("are given up"), "{}", ended.stderr);
    proxy.heal().await;
    let running = service.start();
    arrived(ROWS).await;
    running.terminate(LIMIT).assert_code(0);
    let exact = format!("SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id) FROM {}", target.table("t"));
    let found = target.query(&exact).await.expect("the target answers");
    let all = ROWS.to_string();
    let expected = [&all, &all, "1", &all].map(|text| Some(text.to_owned()));
    assert_eq!(found, [expected.to_vec()]);
}
