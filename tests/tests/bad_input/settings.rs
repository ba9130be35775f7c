//! Servers that cannot be captured from: no binlog, statements in it, rows with columns left out.

use culvert_tests::{Flavor, ServerOptions, both_with};

use super::fixture::{Bed, spoilable};

/// The findings of `culvert check --connect` name the setting and the statement that mends it.
fn check_says(bed: &Bed<'_>, subject: &str, hint: &str) {
    let checked = bed.check(&bed.job(), &["--connect", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&checked.assert_code(1).stdout).unwrap();
    let errors = report["errors"].as_array().unwrap();
    let found = errors.iter().find(|item| item["subject"] == subject);
    let found = found.unwrap_or_else(|| panic!("no error about {subject}: {report:#}"));
    assert!(found["hint"].as_str().unwrap().contains(hint), "{found:#}");
}

#[tokio::test]
async fn a_server_without_a_binlog_is_refused() {
    both_with(ServerOptions { log_bin: false, ..Default::default() }, async |server| {
        let bed = Bed::new(&server, "log_bin").await;
        check_says(&bed, "log_bin", "log-bin");
        bed.refused(&bed.job(), &["log_bin = OFF", "--log-bin"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_binlog_of_statements_or_of_partial_rows_is_refused() {
    for flavor in Flavor::ALL {
        let held = spoilable(flavor).await;
        let server = &held.server;
        let bed = Bed::new(server, "format").await;
        for (variable, value) in [
            ("binlog_format", "STATEMENT"),
            ("binlog_format", "MIXED"),
            ("binlog_row_image", "MINIMAL"),
            ("binlog_row_image", "NOBLOB"),
        ] {
            let sound = if variable == "binlog_format" { "ROW" } else { "FULL" };
            server.execute(&[&format!("SET GLOBAL {variable} = '{value}'")]).await;
            let mend = format!("SET GLOBAL {variable} = '{sound}'");
            check_says(&bed, variable, &mend);
            bed.refused(&bed.job(), &[&format!("{variable} = {value}"), &mend]).await;
            server.execute(&[&mend]).await;
        }
        // Mended as it said, the same job runs.
        let running = bed.start(&bed.job()).await;
        running.terminate(super::fixture::LIMIT).assert_code(0);
    }
}
