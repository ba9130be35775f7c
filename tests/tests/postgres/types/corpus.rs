//! Tables with every column type of PostgreSQL, and values at the limits of each.

use culvert_tests::oracle::postgres::quoted;

/// One column and what is put into it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) declared: &'static str,
    /// SQL literals.
    pub(crate) values: Vec<String>,
}

/// A table of the corpus. It also has `id`, its key, and `touched`, a counter.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
}

/// The first `id` of rows that come after the job has started.
pub(crate) const LATER: usize = 1000;

/// Types a database needs before the tables of [`own_types`] can be made.
pub(crate) const DEFINITIONS: &[&str] = &[
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION citext",
    "CREATE EXTENSION ltree",
    "CREATE TYPE mood AS ENUM ('sad', 'so, so', 'it''s \"fine\"', 'ok')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TYPE nest AS (p pair, list int[], m mood)",
    "CREATE DOMAIN small AS int CHECK (value < 100)",
    "CREATE DOMAIN code AS varchar(8)",
    "CREATE DOMAIN price AS numeric(10,2)",
    "CREATE DOMAIN couple AS pair",
    "CREATE TYPE floatrange AS RANGE (subtype = float8)",
    "CREATE SCHEMA other",
    "CREATE TYPE other.colour AS ENUM ('red', 'green')",
];

fn column(declared: &'static str, values: &[&str]) -> Column {
    let name = declared.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Column { name, declared, values: values.iter().map(|value| format!("'{value}'")).collect() }
}

/// Tables whose values every target can hold, as themselves or as text.
pub(crate) fn everywhere() -> Vec<Table> {
    vec![
        Table { name: "numbers", columns: numbers() },
        Table { name: "texts", columns: texts() },
        Table { name: "times", columns: times() },
        Table { name: "printed", columns: printed() },
        Table { name: "arrays", columns: arrays() },
    ]
}

/// Values that other databases do not have.
pub(crate) fn extremes() -> Vec<Table> {
    let columns = vec![
        column("real", &["NaN", "Infinity", "-Infinity"]),
        column("double precision", &["NaN", "Infinity", "-Infinity"]),
        column("numeric", &["NaN", "Infinity", "-Infinity", "1e1000", "-1e-1000"]),
        column("date", &["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "5874897-12-31"]),
        column(
            "timestamp without time zone",
            &[
                "infinity",
                "-infinity",
                "0044-03-15 12:00 BC",
                "4713-11-24 00:00 BC",
                "294246-12-31 23:59:59.999999",
            ],
        ),
        column(
            "timestamp with time zone",
            &["infinity", "-infinity", "0001-01-01 00:00+00 BC", "294246-12-31 23:59:59.999999+00"],
        ),
        column("time without time zone", &["24:00:00"]),
    ];
    vec![Table { name: "extremes", columns }]
}

/// Types that were made in the database.
pub(crate) fn own_types() -> Vec<Table> {
    let made = vec![
        column("mood", &["sad", "so, so", "it''s \"fine\""]),
        column("other.colour", &["red", "green"]),
        column("mood[]", &["{sad,\"so, so\",NULL}", "{}"]),
        column("pair", &["(1,one)", "(,)", "(-2,\"with \\\"quotes\\\", and (parentheses)\")", "(3,\"\")"]),
        column("pair[]", &["{\"(1,a)\",NULL,\"(,\\\"b c\\\")\"}"]),
        column("nest", &["(\"(1,x)\",\"{1,NULL,3}\",ok)", "(,,)"]),
        column("small", &["99", "-5"]),
        column("code", &["abc", "", "12345678"]),
        column("price", &["99999999.99", "-0.01"]),
        column("small[]", &["{1,2,NULL}"]),
        column("couple", &["(7,seven)"]),
        column("floatrange", &["[1.5,2.5)", "empty", "(,)"]),
        column("hstore", &["a=>1, b=>NULL", "", "\"k\\\"ey\"=>\"v,al\""]),
        column("citext", &["MiXeD", "", "ß é"]),
        column("ltree", &["Top.Science.Astronomy", ""]),
        column("lquery", &["Top.*{0,2}.a@*|b"]),
    ];
    vec![Table { name: "own types", columns: made }]
}

fn numbers() -> Vec<Column> {
    vec![
        column("smallint", &["-32768", "-1", "0", "32767"]),
        column("integer", &["-2147483648", "0", "2147483647"]),
        column("bigint", &["-9223372036854775808", "0", "9223372036854775807"]),
        column("oid", &["0", "2147483648", "4294967295"]),
        column("real", &["0", "-0", "0.1", "3.4028235e38", "-3.4028235e38", "1.1754944e-38", "16777217"]),
        column(
            "double precision",
            &["0", "-0", "0.1", "1.7976931348623157e308", "-2.2250738585072014e-308", "0.30000000000000004"],
        ),
        column("numeric(5,2)", &["999.99", "-999.99", "0", "0.01", "-0.01"]),
        column("numeric(38,10)", &["9999999999999999999999999999.9999999999", "-0.0000000001", "1"]),
        column("numeric(60,20)", &["9999999999999999999999999999999999999999.99999999999999999999", "-1"]),
        column("numeric(38,0)", &["99999999999999999999999999999999999999", "-1"]),
        column("numeric", &["0", "1.5000", "-123456789012345678901234567890.123456789", "1e60", "0.000"]),
        column("numeric(3,-2)", &["99900", "-12300", "0"]),
        column("numeric(2,5)", &["0.00099", "-0.00001"]),
        column(
            "numeric(90,40)",
            &[
                "12345678901234567890123456789012345678901234567890.0000000000000000000000000000000000000001",
                "-1",
            ],
        ),
        column("money", &["92233720368547758.07", "-0.01", "1234.5"]),
        column("boolean", &["true", "false"]),
        column("bit(1)", &["0", "1"]),
        column("bit(5)", &["00000", "10101"]),
        column("bit(70)", &["1010101010101010101010101010101010101010101010101010101010101010101010"]),
        column("bit varying(10)", &["", "1", "0101010101"]),
        column("bit varying", &["1111"]),
    ]
}

fn texts() -> Vec<Column> {
    let any =
        ["", "plain", "it''s", "back\\slash", "tab\tnew\nline\r", "ünï 漢字 🦀", "\"quoted\"", " blanks "];
    let mut columns = vec![
        column("text", &any),
        column("character varying", &any),
        column("character varying(20)", &any),
        column("character(10)", &["", "ab", "漢字 x", "0123456789"]),
        column("character varying(5)", &["12345", "漢字漢字漢"]),
        column("\"char\"", &["a", ""]),
        column("name", &["a name", "ünï"]),
        column("uuid", &["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]),
        column("json", &["{\"b\": [1, 2.50, null], \"a\":  \"x\"}", "null", "[]", "\"t\\u00e9xt\"", "1e5"]),
        column(
            "jsonb",
            &[
                "{\"b\": [1, 2.50, null], \"a\": \"x\"}",
                "null",
                "[]",
                "\"🦀\"",
                "123456789012345678901234567890.5",
            ],
        ),
        column("xml", &["<a b=\"c\">d</a>", "text"]),
        column("bytea", &["", "\\x00ff5c27", "\\xdeadbeef"]),
    ];
    let long = Column {
        name: "long".into(),
        declared: "text",
        values: vec!["repeat('long value ', 30000)".into(), "repeat('漢', 70000)".into()],
    };
    columns.push(long);
    columns
}

fn times() -> Vec<Column> {
    let stamps = [
        "1970-01-01 00:00:01",
        "2024-02-29 23:59:59.999999",
        "1999-12-31 00:00:00.5",
        "2037-12-31 12:00:00.123",
    ];
    vec![
        column("date", &["1000-01-01", "1970-01-01", "2024-02-29", "9999-12-31"]),
        column("time without time zone", &["00:00:00", "23:59:59.999999", "12:34:56.5"]),
        column("time(3) without time zone", &["12:34:56.789", "00:00:00.001"]),
        column("time with time zone", &["12:34:56.5+05:30", "00:00:00-15:59", "23:59:59.999999+00"]),
        column("timestamp without time zone", &stamps),
        column("timestamp(0) without time zone", &["2024-02-29 23:59:59"]),
        column("timestamp(3) without time zone", &["2024-02-29 23:59:59.999"]),
        column("timestamp with time zone", &stamps),
        column("timestamp(3) with time zone", &["2024-03-31 02:30:00.125+02"]),
        column(
            "interval",
            &["1 year 2 mons -3 days 04:05:06.789", "0", "-178000000 years", "1 day", "-00:00:00.000001"],
        ),
        column("interval day to second(2)", &["3 days 04:05:06.78"]),
    ]
}

fn printed() -> Vec<Column> {
    vec![
        column("inet", &["192.168.0.1/24", "::1", "10.0.0.1"]),
        column("cidr", &["192.168.0.0/24", "2001:db8::/32"]),
        column("macaddr", &["08:00:2b:01:02:03"]),
        column("macaddr8", &["08:00:2b:01:02:03:04:05"]),
        column("int4range", &["[1,10)", "empty", "(,5)"]),
        column("int8range", &["[1,9223372036854775807)"]),
        column("numrange", &["(1.5,2.50]", "[,]"]),
        column("daterange", &["[2024-01-01,2024-02-01)", "[2024-01-01,)"]),
        column("tsrange", &["[2024-01-01 00:00:00,2024-01-01 12:00:00.5]"]),
        column("tstzrange", &["[2024-01-01 00:00:00+05:30,2024-01-01 12:00:00+00)"]),
        column("int4multirange", &["{[1,3),[5,8)}", "{}"]),
        column("tstzmultirange", &["{[2024-01-01 00:00:00+00,2024-01-02 00:00:00+00)}"]),
        column("tsvector", &["''it''''s'':2 a:1A,3B", ""]),
        column("tsquery", &["fat & (rat | !cat) <-> x:*A"]),
        column("point", &["(1.5,-2)", "(0.1,1e300)"]),
        column("line", &["{1,-1,0.5}"]),
        column("lseg", &["[(0,0),(1,1)]"]),
        column("box", &["(2,2),(1,1)"]),
        column("path", &["((0,0),(1,1),(2,0))", "[(0,0),(1,1)]"]),
        column("polygon", &["((0,0),(1,1),(2,0))"]),
        column("circle", &["<(0.1,0.2),3>"]),
        column("pg_lsn", &["16/B374D848", "0/0"]),
        column("jsonpath", &["$.\"a\"[*] ? (@ > 1)"]),
        column("pg_snapshot", &["10:20:10,14,15"]),
        column("regclass", &["pg_class"]),
    ]
}

fn arrays() -> Vec<Column> {
    vec![
        column("integer[]", &["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[0:1]={5,6}"]),
        column("bigint[]", &["{9223372036854775807}"]),
        column("boolean[]", &["{t,f,NULL}"]),
        column(
            "text[]",
            &["{}", "{\"\",\"NULL\",NULL,\"a,b\",\"q\\\"uote\",\"back\\\\slash\",\"{brace}\"}", "{🦀}"],
        ),
        column("character varying(5)[]", &["{abc,de}"]),
        column("character(3)[]", &["{a,bcd}"]),
        column("numeric(5,2)[]", &["{1.50,NULL,-999.99}"]),
        column("numeric[]", &["{NaN,1e20,0.10}"]),
        column("double precision[]", &["{0.1,NaN,-Infinity}"]),
        column("date[]", &["{2024-02-29,infinity}"]),
        column("timestamp with time zone[]", &["{\"2024-01-01 00:00:00+05:30\",NULL}"]),
        column("bytea[]", &["{\"\\\\x00ff\",NULL}"]),
        column("uuid[]", &["{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}"]),
        column("jsonb[]", &["{\"{\\\"a\\\": 1}\",\"null\"}"]),
        column("interval[]", &["{\"1 day\",\"-00:00:01\"}"]),
        column("int4range[]", &["{\"[1,3)\",empty}"]),
    ]
}

impl Table {
    /// `CREATE TABLE` in the schema `public`.
    pub(crate) fn create(&self) -> String {
        let mut parts = vec!["id int PRIMARY KEY".to_string()];
        parts.extend(
            self.columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.declared)),
        );
        parts.push("touched int NOT NULL DEFAULT 0".into());
        format!("CREATE TABLE {} ({})", quoted(self.name), parts.join(", "))
    }

    /// How many rows [`Table::inserts`] makes: as many as the longest list has values, and one in
    /// which everything is NULL.
    pub(crate) fn rows(&self) -> usize {
        1 + self.columns.iter().map(|column| column.values.len()).max().unwrap_or(0)
    }

    /// One statement per row, so that each is a change of its own. Ids count up from `first`.
    pub(crate) fn inserts(&self, first: usize) -> Vec<String> {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let row = |row: usize| {
            let value = |column: &Column| column.values.get(row).map_or("NULL", String::as_str).to_string();
            let values: Vec<String> = self.columns.iter().map(value).collect();
            format!(
                "INSERT INTO {} (id, {}) VALUES ({}, {})",
                quoted(self.name),
                names.join(", "),
                first + row,
                values.join(", ")
            )
        };
        (0..self.rows()).map(row).collect()
    }

    /// Gives the later rows the values of the row after them, all in one statement.
    pub(crate) fn rotate(&self) -> String {
        let set: Vec<String> =
            self.columns.iter().map(|column| format!("{0} = b.{0}", quoted(&column.name))).collect();
        format!(
            "UPDATE {0} a SET {1} FROM {0} b WHERE b.id = a.id - {LATER} + 1 AND a.id >= {LATER}",
            quoted(self.name),
            set.join(", ")
        )
    }
}
