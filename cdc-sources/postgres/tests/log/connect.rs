//! Getting in: every way of logging in, encrypted and not, for statements and for the log.

use culvert_api::ErrorKind;
use culvert_postgres::Endpoint;
use culvert_source_postgres::log::LogStream;
use culvert_tests::certificates::Certificates;
use culvert_tests::postgres::USER;
use culvert_tests::{PgOptions, PgVersion, Postgres, postgres_both, scratch};

use super::{Scene, endpoint};

/// Opens both kinds of connection; gives the error's kind.
async fn both_connect(endpoint: &Endpoint, scene: &Scene<'_>) -> Result<(), ErrorKind> {
    let client = endpoint.connect().await;
    let stream = LogStream::open(endpoint, scene.options()).await;
    match (client, stream) {
        (Ok(client), Ok(stream)) => {
            assert!(client.simple_query("SELECT 1").await.is_ok());
            stream.close().await;
            Ok(())
        }
        (Err(client), Err(stream)) => {
            assert_eq!(client.kind(), stream.kind(), "{client} | {stream}");
            assert!(!format!("{client}{stream}").contains("wrong-password"));
            Err(client.kind())
        }
        (client, stream) => panic!("{client:?} {stream:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_logging_in() {
    for version in PgVersion::ALL {
        let methods =
            [("md5user", "md5"), ("clear", "password"), ("trusted", "trust"), ("rejected", "reject")];
        let hba = methods.map(|(user, method)| format!("host all {user} 127.0.0.1/32 {method}"));
        let options = PgOptions { hba: hba.to_vec(), ..PgOptions::default() };
        let server = Postgres::start(version, options).await;
        let scene = Scene::new(&server, &[]).await;
        server
            .execute(
                &scene.database,
                &["SET password_encryption = 'md5'; CREATE ROLE md5user LOGIN REPLICATION PASSWORD 'root'"],
            )
            .await;
        for user in ["clear", "trusted", "rejected", "plain"] {
            server
                .create_role(user, if user == "plain" { "" } else { "REPLICATION" }, &scene.database, &[])
                .await;
        }
        let url = server.url(&scene.database);
        for user in [USER, "md5user", "clear", "trusted"] {
            assert_eq!(both_connect(&endpoint(&url, "", user), &scene).await, Ok(()), "{user}");
        }
        for user in ["rejected", "nobody-of-this-name"] {
            assert_eq!(
                both_connect(&endpoint(&url, "", user), &scene).await,
                Err(ErrorKind::Permission),
                "{user}"
            );
        }
        for user in [USER, "md5user", "clear"] {
            for password in ["wrong-password", ""] {
                let mut endpoint = endpoint(&url, "", user);
                endpoint.password = culvert_config::Secret::new(password);
                assert_eq!(both_connect(&endpoint, &scene).await, Err(ErrorKind::Permission), "{user}");
            }
        }
        // A role that may not replicate.
        let error = LogStream::open(&endpoint(&url, "", "plain"), scene.options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("REPLICATION")), "{error}");
        // A database that is not there.
        let nowhere = endpoint(&server.url("nowhere"), "", USER);
        assert_eq!(both_connect(&nowhere, &scene).await, Err(ErrorKind::Schema));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_connections_as_the_url_asks() {
    let folder = scratch::folder("c");
    let certificates = Certificates::generate(&folder);
    for version in PgVersion::ALL {
        let options = PgOptions {
            tls: Some(certificates.clone()),
            hba: vec![
                "hostnossl all tlsonly 127.0.0.1/32 reject".into(),
                "hostnossl all all 127.0.0.1/32 scram-sha-256".into(),
            ],
            ..PgOptions::default()
        };
        let server = Postgres::start(version, options).await;
        let scene = Scene::new(&server, &[]).await;
        server.create_role("tlsonly", "REPLICATION", &scene.database, &[]).await;
        let url = server.url(&scene.database);
        let ca = certificates.ca.display();
        for parameters in ["sslmode=require", "", &format!("sslmode=verify-full&sslrootcert={ca}")] {
            let endpoint = endpoint(&url, parameters, "tlsonly");
            assert_eq!(both_connect(&endpoint, &scene).await, Ok(()), "{parameters}");
            let client = endpoint.connect().await.unwrap();
            let row = client
                .query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
                .await
                .unwrap();
            assert!(row.get::<_, bool>(0));
        }
        let plain = endpoint(&url, "sslmode=disable", "tlsonly");
        assert_eq!(both_connect(&plain, &scene).await, Err(ErrorKind::Permission));
        // Not signed by a public authority; and the file is not there.
        for parameters in ["sslmode=verify-full", "sslmode=verify-full&sslrootcert=/nowhere.pem"] {
            let endpoint = endpoint(&url, parameters, "tlsonly");
            assert_eq!(both_connect(&endpoint, &scene).await, Err(ErrorKind::Config), "{parameters}");
        }
    }
    drop(std::fs::remove_dir_all(folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &[]).await;
        assert_eq!(both_connect(&scene.endpoint(""), &scene).await, Ok(()));
        assert_eq!(both_connect(&scene.endpoint("sslmode=require"), &scene).await, Err(ErrorKind::Config));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_as_our_decoders_expect() {
    postgres_both(async |server| {
        let scene = Scene::new(server, &[]).await;
        scene
            .execute(&[&format!(
                "ALTER DATABASE \"{0}\" SET DateStyle = 'SQL, DMY'; ALTER DATABASE \"{0}\" SET TimeZone = 'Asia/Tokyo'; \
                 ALTER DATABASE \"{0}\" SET IntervalStyle = 'iso_8601'; ALTER DATABASE \"{0}\" SET bytea_output = 'escape'; \
                 ALTER DATABASE \"{0}\" SET extra_float_digits = 0; ALTER DATABASE \"{0}\" SET statement_timeout = '1s'",
                scene.database
            ), &format!("ALTER DATABASE \"{}\" SET lc_monetary = 'POSIX'", scene.database), "CREATE TYPE mood AS ENUM ('a')",
            "CREATE TABLE t (id int PRIMARY KEY, d date, i interval, b bytea, f float8, z timestamptz, r regtype, m money)"])
            .await;
        let statement = "SELECT d::text, i::text, b::text, f::text, z::text, r::text, m::text, current_setting('lc_monetary') FROM public.t";
        scene.execute(&["INSERT INTO t VALUES (1, '2024-02-01', '1 day 2 hours', '\\x00ff', 0.1::float8 + 0.2::float8, '2024-01-01 00:00:00+00', 'mood', -1234.5)"]).await;
        let client = scene.endpoint("").connect().await.unwrap();
        let row = client.query_one(statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(7), "C");
        let read: Vec<Option<String>> = (0..7).map(|at| Some(row.get::<_, String>(at))).collect();
        let expected = ["2024-02-01", "1 day 02:00:00", "\\x00ff", "0.30000000000000004", "2024-01-01 00:00:00+00", "public.mood", "-$1,234.50"];
        assert_eq!(read, expected.map(|text| Some(text.to_owned())));
        // The log prints them the same.
        let mut stream = scene.open().await;
        let items = super::until(&mut stream, scene.head().await).await;
        let logged = items.iter().find_map(|item| match item {
            culvert_source_postgres::log::LogItem::Insert { new, .. } => Some(super::replica::row(new)),
            _ => None,
        });
        assert_eq!(logged.unwrap()[1..], read);
    })
    .await;
}
