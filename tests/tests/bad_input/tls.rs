//! TLS is verified: the wrong authority is refused, the right one works from end to end.

use culvert_tests::Flavor;

use super::fixture::{Bed, LIMIT, keeps_the_secret, says, spoilable};

#[tokio::test]
async fn the_wrong_authority_is_refused_and_the_right_one_works() {
    for flavor in Flavor::ALL {
        let held = spoilable(flavor).await;
        let bed = Bed::new(&held.server, "tls").await;
        // Without TLS the server refuses this account.
        held.server.execute(&[&format!("ALTER USER '{}'@'%' REQUIRE SSL", bed.user)]).await;
        let url = |store: &std::path::Path| {
            let path = store.display();
            let base = held.server.url(&bed.db);
            format!("\"{base}?sslMode=VERIFY_IDENTITY&trustCertificateKeyStoreUrl=file:{path}\"")
        };
        let (right, wrong) = (url(&held.certificates.ca), url(&held.stranger.ca));
        let job = |source: &str, sink: &str| bed.job().source("url", source).sink("url", sink);

        let said = ["trustCertificateKeyStoreUrl", "certificate"];
        bed.refused(&job(&wrong, &right), &said).await;
        bed.refused(&job(&right, &wrong), &said).await;
        let plain = format!("\"{}\"", held.server.url(&bed.db));
        bed.refused(&job(&plain, &right), &["Access denied", &bed.user]).await;
        let missing = url(&bed.path("missing.pem"));
        bed.refused(&job(&missing, &right), &["missing.pem", "trustCertificateKeyStoreUrl"]).await;
        bed.refused(&job(&right, &missing), &["missing.pem", "trustCertificateKeyStoreUrl"]).await;
        bed.file("garbage.pem", "no certificate");
        let garbage = url(&bed.path("garbage.pem"));
        bed.refused(&job(&garbage, &right), &said).await;
        for bad in [job(&wrong, &right), job(&right, &wrong), job(&missing, &right)] {
            let checked = bed.check(&bad, &["--connect"]);
            says(&checked.assert_code(1).stdout, &["error: ", "certificate"]);
        }
        let checked = bed.check(&job(&right, &right), &["--connect"]);
        // Nothing but that the servers of the tests wait for no disk.
        let told = checked.assert_code(0).stdout.clone();
        assert_eq!(told.lines().filter(|line| line.starts_with("warning: ")).count(), 1, "{told}");
        says(&told, &["innodb_flush_log_at_trx_commit is 2"]);

        let mut running = bed.start(&job(&right, &right)).await;
        bed.insert(&[3]).await;
        bed.await_ids(&mut running, "1,2,3").await;
        keeps_the_secret(running.terminate(LIMIT)).assert_code(0);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_such() {
    let server = culvert_tests::shared(Flavor::MariaDb).await;
    let bed = Bed::new(server, "no_tls").await;
    let url = format!("\"{}?sslMode=REQUIRED\"", server.url(&bed.db));
    bed.refused(&bed.job().source("url", &url), &["TLS", "sslMode"]).await;
    bed.refused(&bed.job().sink("url", &url), &["tls"]).await;
}
