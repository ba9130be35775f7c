//! Every type: the snapshot, the log in text and the log in binary give the same values, which are the
//! server's.

use culvert_api::{ErrorKind, Source as _};
use culvert_tests::{Postgres, postgres_both, random, seed};
use rand::Rng;

use super::mirror::Row;
use super::{Mirror, assert_error, database, rows, source};

/// Types whose binary form is read, each with values at its limits.
const PLAIN: &[(&str, &[&str])] = &[
    ("boolean", &["t", "f"]),
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    ("real", &["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1"]),
    ("double precision", &["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1"]),
    ("numeric(10,2)", &["0", "-99999999.99", "99999999.99", "0.01", "5"]),
    ("numeric(38,0)", &["99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"]),
    (
        "numeric(38,38)",
        &["0.00000000000000000000000000000000000001", "-0.99999999999999999999999999999999999999"],
    ),
    (
        "numeric(76,30)",
        &["9999999999999999999999999999999999999999999999.999999999999999999999999999999", "-1e-30"],
    ),
    (
        "numeric",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "0.000",
            "-1.50",
            "1e130",
            "1e-130",
            "12345678901234567890.123456789",
        ],
    ),
    ("numeric(100,5)", &["1e90", "-0.00001", "NaN"]),
    ("numeric(5,-2)", &["1200", "-9999900"]),
    ("numeric(2,5)", &["0.00012", "-0.00099"]),
    ("text", &["", "a", "é😀\n\\x", "null"]),
    ("varchar(10)", &["", "äöü"]),
    ("character(5)", &["a", "", "abcde"]),
    ("name", &["", "a name"]),
    ("json", &["{\"a\" :  1, \"a\":2}", "null", "[]"]),
    ("jsonb", &["{\"b\": 1, \"a\": [1.0, null]}", "null", "\"x\""]),
    ("bytea", &["", "\\x00ff5c27", "\\x"]),
    ("bit(5)", &["00000", "10101"]),
    ("bit varying", &["", "1", "101010101"]),
    ("date", &["4714-11-24 BC", "5874897-12-31", "infinity", "-infinity", "1970-01-01", "0001-12-31 BC"]),
    ("time", &["00:00:00", "24:00:00", "23:59:59.999999", "12:00:00.5"]),
    ("time(0)", &["12:34:56"]),
    (
        "timestamp",
        &[
            "4714-11-24 00:00:00 BC",
            "294247-01-10 04:00:54.775806",
            "infinity",
            "-infinity",
            "1969-12-31 23:59:59.999999",
        ],
    ),
    ("timestamp(3)", &["2024-02-29 12:34:56.789"]),
    (
        "timestamptz",
        &[
            "4714-11-24 00:00:00+00 BC",
            "294247-01-10 04:00:54.775806+00",
            "infinity",
            "-infinity",
            "2024-06-30 12:00:00+05:30",
        ],
    ),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "FFEEDDCC-BBAA-9988-7766-554433221100"]),
    ("public.mood", &["sad", "so 'so'"]),
    ("public.small", &["1", "-7"]),
    ("public.money_of_ours", &["12.5", "-0.01"]),
    ("citext", &["AbC", ""]),
];

/// Types that are carried as printed.
const PRINTED: &[(&str, &[&str])] = &[
    ("\"char\"", &["a", ""]),
    ("money", &["-92233720368547758.08", "1234.5"]),
    ("xml", &["<a>é</a>", "text"]),
    ("interval", &["0", "-1 years +2 mons -3 days +04:05:06.789", "178000000 years"]),
    ("timetz", &["24:00:00-15:59", "12:00:00.5+05:30"]),
    ("inet", &["1.2.3.4", "1.2.3.4/8", "::1"]),
    ("cidr", &["10.0.0.0/8", "::/0"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("int[]", &["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[2:3]={7,8}"]),
    ("text[]", &["{\"a,b\",\"\",NULL,\"NULL\"}"]),
    ("timestamptz[]", &["{\"2024-01-01 00:00:00+02\",infinity}"]),
    ("public.mood[]", &["{sad,\"so 'so'\"}"]),
    ("public.pair", &["(1,)", "(,\"x,\"\"y\")", "(,)"]),
    ("int4range", &["empty", "[1,5)", "(,)"]),
    ("tstzrange", &["[\"2024-01-01 00:00:00+00\",)"]),
    ("int4multirange", &["{}", "{[1,3),[5,9)}"]),
    ("hstore", &["a=>1, \"b c\"=>NULL"]),
    ("ltree", &["a.b.c"]),
    ("tsvector", &["'a':1A 'b':2"]),
    ("tsquery", &["'a' & !'b'"]),
    ("point", &["(1,-0.1)"]),
    ("box", &["(2,2),(0,0)"]),
    ("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
    ("polygon", &["((0,0),(1,1),(1,0))"]),
    ("circle", &["<(0,0),1.5>"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("pg_lsn", &["16/B374D848"]),
    ("jsonpath", &["$.a[*]?(@ > 1)"]),
    ("regclass", &["pg_class"]),
    ("public.list", &["{1,2}"]),
    ("txid_snapshot", &["10:20:10,14,15"]),
    ("bit(3)[]", &["{101}"]),
];

const TYPES: &[&str] = &[
    "CREATE EXTENSION citext",
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION ltree",
    "CREATE TYPE public.mood AS ENUM ('so ''so''', 'sad')",
    "CREATE TYPE public.pair AS (a int, b text)",
    "CREATE DOMAIN public.small AS int CHECK (VALUE < 100)",
    "CREATE DOMAIN public.smaller AS numeric(8,3)",
    "CREATE DOMAIN public.money_of_ours AS public.smaller",
    "CREATE DOMAIN public.list AS int[]",
];

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A table of the types, and statements that fill it: a row per value, and one of NULLs.
fn table(name: &str, types: &[(&str, &[&str])]) -> (String, Vec<String>) {
    let columns: Vec<String> =
        types.iter().enumerate().map(|(at, (declared, _))| format!("c{at} {declared}")).collect();
    let create = format!("CREATE TABLE {name} (id int PRIMARY KEY, {})", columns.join(", "));
    let mut inserts = vec![format!("INSERT INTO {name} (id) VALUES (0)")];
    for row in 0..types.iter().map(|(_, values)| values.len()).max().unwrap_or(0) {
        let (mut names, mut values) = (vec!["id".to_owned()], vec![(row + 1).to_string()]);
        for (at, (_, of_type)) in types.iter().enumerate() {
            if let Some(value) = of_type.get(row) {
                names.push(format!("c{at}"));
                values.push(literal(value));
            }
        }
        inserts.push(format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), values.join(", ")));
    }
    (create, inserts)
}

/// The same rows by the snapshot, by the log with binary values, and by the log with text.
async fn three_ways(server: &Postgres, database: &str, plain: &str, fill: &[String]) -> [Vec<Row>; 3] {
    let full = format!("{database}.public.{plain}");
    let latest = ("startup.mode", "LATEST");
    let name = format!("binary_{database}");
    let latest_binary = [latest, ("slot.name", name.as_str())];
    let mut in_binary = Mirror::new(source(server, database, &[&full], &latest_binary), "binary");
    let name = format!("text_{database}");
    let latest_text = [latest, ("slot.name", name.as_str())];
    // A table of printed values keeps the whole log in text.
    let mut in_text = Mirror::new(source(server, database, &[&full, "public.printed"], &latest_text), "text");
    for mirror in [&mut in_binary, &mut in_text] {
        mirror.run(|_, _| super::Fate::Stop).await.unwrap();
    }
    let fill: Vec<&str> = fill.iter().map(String::as_str).collect();
    server.execute(database, &fill).await;
    for mirror in [&mut in_binary, &mut in_text] {
        mirror.catch_up(server, database).await.unwrap();
    }
    let name = format!("snapshot_{database}");
    let mut by_snapshot = Mirror::new(
        source(server, database, &[&full], &[("slot.name", name.as_str()), ("stop.mode", "LATEST")]),
        "snapshot",
    );
    by_snapshot.run(|_, _| super::Fate::On).await.unwrap();
    [by_snapshot.table(&full), in_binary.table(&full), in_text.table(&full)]
}

/// What the server itself says a column is, in the form the mirror has it.
fn as_mirrored(column: &str, declared: &str) -> String {
    let base = declared.split('(').next().unwrap();
    match base {
        "date" => format!(
            "CASE {column} WHEN 'infinity' THEN 2147483647 WHEN '-infinity' THEN -2147483648 ELSE {column} - '1970-01-01'::date END"
        ),
        "time" => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
        "timestamp" | "timestamptz" => format!(
            "CASE {column} WHEN 'infinity' THEN 9223372036854775807 WHEN '-infinity' THEN -9223372036854775808 \
             ELSE (extract(epoch FROM {column}) * 1000000)::bigint END"
        ),
        // Rust writes doubles in another way; the bits are compared below.
        "real" | "double precision" => "NULL".to_owned(),
        _ => column.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_by_snapshot_and_by_log_in_either_form() {
    postgres_both(async |server| {
        let mut statements = TYPES.to_vec();
        let ((plain, fill_plain), (printed, fill_printed)) = (table("plain", PLAIN), table("printed", PRINTED));
        statements.extend([plain.as_str(), printed.as_str()]);
        let database = database(server, &statements).await;
        // Sessions of applications differ from ours; that must not show.
        server.execute("postgres", &[
            &format!("ALTER DATABASE \"{database}\" SET DateStyle = 'SQL, DMY'"),
            &format!("ALTER DATABASE \"{database}\" SET TimeZone = 'Asia/Kolkata'"),
            &format!("ALTER DATABASE \"{database}\" SET IntervalStyle = 'iso_8601'"),
            &format!("ALTER DATABASE \"{database}\" SET extra_float_digits = 0"),
            &format!("ALTER DATABASE \"{database}\" SET bytea_output = 'escape'"),
        ]).await;
        let fill: Vec<String> = fill_plain.iter().chain(&fill_printed).map(|insert| format!("SET DateStyle = ISO; SET IntervalStyle = postgres; {insert}")).collect();
        let [by_snapshot, in_binary, in_text] = three_ways(server, &database, "plain", &fill).await;
        assert_eq!(by_snapshot.len(), fill_plain.len());
        for (at, (declared, _)) in PLAIN.iter().enumerate() {
            let name = format!("c{at}");
            let of = |rows: &[Row]| super::columns(rows, &["id", &name]);
            assert_eq!(of(&by_snapshot), of(&in_binary), "{declared}");
            assert_eq!(of(&by_snapshot), of(&in_text), "{declared}");
            let ours = format!("SET TimeZone = 'UTC'; SET DateStyle = ISO; SET bytea_output = hex; SELECT id, {} FROM plain", as_mirrored(&name, declared));
            if !matches!(*declared, "real" | "double precision") {
                assert_eq!(of(&by_snapshot), rows(server, &database, &ours).await, "{declared}");
            }
        }
        let name = format!("printed_{database}");
        let mut mirror = Mirror::new(source(server, &database, &["public.printed"], &[("slot.name", name.as_str()), ("stop.mode", "LATEST")]), "printed");
        mirror.run(|_, _| super::Fate::On).await.unwrap();
        let by_snapshot = mirror.table(&format!("{database}.public.printed"));
        assert_eq!(by_snapshot.len(), fill_printed.len());
        for (at, (declared, _)) in PRINTED.iter().enumerate() {
            let name = format!("c{at}");
            let of = |rows: &[Row]| super::columns(rows, &["id", &name]);
            let ours = format!(
                "SET search_path = ''; SET TimeZone = 'UTC'; SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; \
                 SELECT id, CASE WHEN {name} IS DISTINCT FROM NULL THEN format('%s', {name}) END FROM public.printed"
            );
            assert_eq!(of(&by_snapshot), rows(server, &database, &ours).await, "{declared}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_values_are_the_same_in_the_log() {
    postgres_both(async |server| {
        let (printed, fill) = table("printed", PRINTED);
        let mut statements = TYPES.to_vec();
        statements.push(&printed);
        let database = database(server, &statements).await;
        server
            .execute(
                "postgres",
                &[
                    &format!("ALTER DATABASE \"{database}\" SET IntervalStyle = 'iso_8601'"),
                    &format!("ALTER DATABASE \"{database}\" SET TimeZone = 'Asia/Kolkata'"),
                    &format!("ALTER DATABASE \"{database}\" SET extra_float_digits = 0"),
                ],
            )
            .await;
        let slot = format!("log_{database}");
        let mut log = Mirror::new(
            source(
                server,
                &database,
                &["public.printed"],
                &[("slot.name", slot.as_str()), ("startup.mode", "LATEST")],
            ),
            "log",
        );
        log.run(|_, _| super::Fate::Stop).await.unwrap();
        let fill: Vec<&str> = fill.iter().map(String::as_str).collect();
        server.execute(&database, &fill).await;
        log.catch_up(server, &database).await.unwrap();
        let slot = format!("snap_{database}");
        let mut snapshot = Mirror::new(
            source(
                server,
                &database,
                &["public.printed"],
                &[("slot.name", slot.as_str()), ("stop.mode", "LATEST")],
            ),
            "snap",
        );
        snapshot.run(|_, _| super::Fate::On).await.unwrap();
        let table = format!("{database}.public.printed");
        for (at, (declared, _)) in PRINTED.iter().enumerate() {
            let name = format!("c{at}");
            assert_eq!(
                super::columns(&snapshot.table(&table), &["id", &name]),
                super::columns(&log.table(&table), &["id", &name]),
                "{declared}"
            );
        }
        assert_eq!(log.table(&table).len(), fill.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_values_are_the_same_in_either_form() {
    postgres_both(async |server| {
        let create = "CREATE TABLE plain (id int PRIMARY KEY, a numeric, b numeric(38,10), c numeric(70,35), d float8, e real, \
             f date, g timestamp, h timestamptz, i time, j bytea, k bit varying, l uuid, m int8)";
        let database = database(server, &[create, "CREATE TABLE printed (id int PRIMARY KEY, v int[])"]).await;
        let mut rng = random::generator(seed());
        let mut digits = |most: usize| {
            let count = rng.random_range(1..=most);
            (0..count).map(|_| char::from(b'0' + rng.random_range(0..10))).collect::<String>()
        };
        let mut fill = Vec::new();
        for id in 0..400 {
            let sign = if id % 2 == 0 { "-" } else { "" };
            fill.push(format!(
                "INSERT INTO plain SELECT {id}, {sign}{}.{}, {sign}{}.{}, {sign}{}.{}, random() * power(10, (random() * 600 - 300)::int), \
                 (random() * power(10, (random() * 60 - 30)::int))::real, '4714-11-24 BC'::date + (random() * 2147483000)::int, \
                 to_timestamp(0) at time zone 'UTC' + random() * interval '290000 years' - random() * interval '6600 years', \
                 to_timestamp(random() * 1e10 - 1e10), time '00:00' + random() * interval '86399 s', \
                 decode(md5(random()::text), 'hex'), (random() * 1e15)::bigint::bit(64)::varbit, md5(random()::text)::uuid, \
                 (random() * 9e18 - 9e18)::bigint",
                digits(60), digits(60), digits(28), digits(10), digits(35), digits(35)
            ));
        }
        let [by_snapshot, in_binary, in_text] = three_ways(server, &database, "plain", &fill).await;
        assert_eq!(by_snapshot.len(), 400);
        assert_eq!(by_snapshot, in_binary);
        assert_eq!(by_snapshot, in_text);
        let exact = rows(server, &database, "SELECT id, a, b, c, j, k, l, m FROM plain").await;
        assert_eq!(super::columns(&by_snapshot, &["id", "a", "b", "c", "j", "k", "l", "m"]), exact);
        let parsed = |name: &str| by_snapshot.iter().map(|row| row[name].as_ref().unwrap().parse::<f64>().unwrap()).collect::<Vec<_>>();
        let mut told: Vec<f64> = rows(server, &database, "SELECT d FROM plain").await.into_iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
        let mut found = parsed("d");
        told.sort_by(f64::total_cmp);
        found.sort_by(f64::total_cmp);
        assert_eq!(found, told);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decimal_cannot_be_nan_unless_null_will_do() {
    postgres_both(async |server| {
        let statements = [
            "CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2) NOT NULL)",
            "INSERT INTO t VALUES (1, 'NaN')",
        ];
        let database = database(server, &statements).await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        let error = mirror.fail().await;
        assert_error(&error, ErrorKind::Value, &["column=n", "public.t", "numeric-nan.policy"]);
        let source = source(
            server,
            &database,
            &["public.t"],
            &[("numeric-nan.policy", "NULL"), ("stop.mode", "LATEST")],
        );
        assert!(source.tables(None).await.unwrap()[0].columns[1].nullable);
        let mut mirror = Mirror::new(source, &database);
        mirror.run(|_, _| super::Fate::On).await.unwrap();
        let found = mirror.table(&format!("{database}.public.t"));
        assert_eq!(super::columns(&found, &["id", "n"]), [[Some("1".to_owned()), None]]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_that_does_not_fit_stops_the_job() {
    postgres_both(async |server| {
        let database = database(
            server,
            &[
                "CREATE TABLE t (id int PRIMARY KEY, at timestamp)",
                "INSERT INTO t VALUES (1, '294276-12-31')",
            ],
        )
        .await;
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[]), &database);
        assert_error(&mirror.fail().await, ErrorKind::Value, &["column=at", "294247-01-10"]);
    })
    .await;
}
