//! Tables that are not there, wrong passwords, missing rights.

use culvert_tests::both;

use super::fixture::Bed;

#[tokio::test]
async fn an_unknown_table_is_named() {
    both(async |server| {
        let bed = Bed::new(server, "table").await;
        let job = bed.job().source("table-names", format!("[\"{0}.w\", \"{0}.nothing_here\"]", bed.db));
        bed.refused(&job, &[&format!("no table matches '{}.nothing_here'", bed.db), "database.table"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_told_without_showing_it() {
    both(async |server| {
        let bed = Bed::new(server, "password").await;
        let address = format!("127.0.0.1:{}", server.port());
        let wrong = "\"not-the-one-Zulu9\"";
        for job in [bed.job().source("password", wrong), bed.job().sink("password", wrong)] {
            let finished = bed.refused(&job, &["Access denied", &bed.user, &address]).await;
            assert!(!finished.stderr.contains("Zulu9") && !finished.stdout.contains("Zulu9"));
        }
        let job = bed.job().source("username", "\"nobody_here\"");
        let finished = bed.refused(&job, &["nobody_here", &address]).await;
        // MySQL does not tell strangers apart from users: it asks for any plugin it has.
        let plugin = "MySQL also answers so to a user it does not know";
        let told = ["Access denied", plugin].iter().any(|said| finished.stderr.contains(said));
        assert!(told, "{}", finished.stderr);
    })
    .await;
}

#[tokio::test]
async fn a_missing_right_is_told_and_nothing_is_written() {
    both(async |server| {
        let bed = Bed::new(server, "rights").await;
        let reader = |name: &str| format!("{name}_{}", bed.db);
        let job = |name: &str| bed.job().source("username", format!("\"{}\"", reader(name)));
        let select = format!("SELECT ON {}.*", bed.db);

        // No right to read the log.
        bed.account(&reader("a"), &[&select, "REPLICATION CLIENT ON *.*"]).await;
        bed.refused(&job("a"), &["denied", "REPLICATION SLAVE"]).await;

        // No right to ask where the log ends.
        bed.account(&reader("b"), &[&select, "REPLICATION SLAVE ON *.*"]).await;
        bed.refused(&job("b"), &["denied", "REPLICATION CLIENT"]).await;

        // No right to read the table: the server does not even show it.
        bed.account(&reader("c"), &["REPLICATION SLAVE, REPLICATION CLIENT ON *.*"]).await;
        bed.refused(&job("c"), &[&format!("no table matches '{}.w'", bed.db), "SELECT"]).await;

        // No right to write the target, in its two forms.
        bed.account(&reader("d"), &[&select]).await;
        let sink = |name: &str| bed.job().sink("username", format!("\"{}\"", reader(name)));
        bed.refused(&sink("d"), &["culvert_commit", "CREATE TABLE"]).await;
        bed.account(&reader("e"), &[]).await;
        bed.refused(&sink("e"), &["denied", &bed.db]).await;
    })
    .await;
}
