//! The examples of SeaTunnel's documents, as they stand there, over a table with their rows.

use culvert_tests::{Database, Flavor, shared};

use crate::postgres::job::TestJob;

/// A table of the documents, an example, and the rows that the documents show behind it.
struct Example {
    table: &'static str,
    input: &'static str,
    output: &'static str,
    transform: &'static str,
    rows: &'static [&'static str],
}

const PERSON: &str = "CREATE TABLE person (name varchar(20), age int, card int)";
const PEOPLE: &str = "INSERT INTO person VALUES ('Joy Ding', 20, 123), ('May Ding', 20, 123), ('Kin Dom', 20, 123), ('Joy Dom', 20, 123)";
const NUMBERED: &str = "CREATE TABLE numbered (id int PRIMARY KEY, name varchar(20), age int, card int)";
const NUMBERED_PEOPLE: &str = "INSERT INTO numbered VALUES (1, 'Joy Ding', 20, 123), (2, 'May Ding', 20, 123), \
     (3, 'Kin Dom', 20, 123), (4, 'Joy Dom', 20, 123)";
const MAIL: &str = "CREATE TABLE mail (id int PRIMARY KEY, email varchar(40), log_entry varchar(80))";
const MAILS: &str = "INSERT INTO mail VALUES (1, 'user1@example.com', '2023-12-01 10:30:45 INFO User login successful'), \
     (2, 'admin@test.org', '2023-12-01 11:15:22 ERROR Database connection failed'), \
     (3, 'guest@domain.net', '2023-12-01 12:00:00 WARN Memory usage high')";

const EXAMPLES: &[Example] = &[
    Example {
        table: "person",
        input: "fake",
        output: "fake1",
        transform: "Copy {\n plugin_input = \"fake\"\n plugin_output = \"fake1\"\n fields {\n name1 = name\n name2 = name\n age1 = age\n }\n }",
        rows: &[
            "Joy Ding, 20, 123, Joy Ding, Joy Ding, 20",
            "Joy Dom, 20, 123, Joy Dom, Joy Dom, 20",
            "Kin Dom, 20, 123, Kin Dom, Kin Dom, 20",
            "May Ding, 20, 123, May Ding, May Ding, 20",
        ],
    },
    Example {
        table: "numbered",
        input: "fake",
        output: "fake1",
        transform: "FieldMapper {\n plugin_input = \"fake\"\n plugin_output = \"fake1\"\n field_mapper = {\n id = id\n card = card\n name = new_name\n }\n }",
        rows: &["1, 123, Joy Ding", "2, 123, May Ding", "3, 123, Kin Dom", "4, 123, Joy Dom"],
    },
    Example {
        table: "person",
        input: "fake",
        output: "fake1",
        transform: "Filter {\n plugin_input = \"fake\"\n plugin_output = \"fake1\"\n include_fields = [name, card]\n }",
        rows: &["Joy Ding, 123", "Joy Dom, 123", "Kin Dom, 123", "May Ding, 123"],
    },
    Example {
        table: "person",
        input: "fake",
        output: "fake1",
        transform: "Filter {\n plugin_input = \"fake\"\n plugin_output = \"fake1\"\n exclude_fields = [age]\n }",
        rows: &["Joy Ding, 123", "Joy Dom, 123", "Kin Dom, 123", "May Ding, 123"],
    },
    Example {
        table: "person",
        input: "fake",
        output: "fake1",
        transform: "Replace {\n plugin_input = \"fake\"\n plugin_output = \"fake1\"\n replace_field = \"name\"\n pattern = \" \"\n replacement = \"_\"\n is_regex = true\n }",
        rows: &["Joy_Ding, 20, 123", "Joy_Dom, 20, 123", "Kin_Dom, 20, 123", "May_Ding, 20, 123"],
    },
    Example {
        table: "person",
        input: "fake",
        output: "fake1",
        transform: "Split {\n plugin_input = \"fake\"\n plugin_output = \"fake1\"\n separator = \" \"\n split_field = \"name\"\n output_fields = [first_name, second_name]\n }",
        rows: &[
            "Joy Ding, 20, 123, Joy, Ding",
            "Joy Dom, 20, 123, Joy, Dom",
            "Kin Dom, 20, 123, Kin, Dom",
            "May Ding, 20, 123, May, Ding",
        ],
    },
    Example {
        table: "mail",
        input: "fake",
        output: "regex_result",
        transform: "RegexExtract {\n plugin_input = \"fake\"\n plugin_output = \"regex_result\"\n source_field = \"email\"\n regex_pattern = \"([^@]+)@([^.]+)\\\\.(.+)\"\n output_fields = [\"username\", \"domain\", \"tld\"]\n default_values = [\"unknown\", \"unknown\", \"unknown\"]\n }",
        rows: &[
            "1, user1@example.com, 2023-12-01 10:30:45 INFO User login successful, user1, example, com",
            "2, admin@test.org, 2023-12-01 11:15:22 ERROR Database connection failed, admin, test, org",
            "3, guest@domain.net, 2023-12-01 12:00:00 WARN Memory usage high, guest, domain, net",
        ],
    },
    Example {
        table: "numbered",
        input: "mysql_cdc_source",
        output: "metadata_added",
        transform: "Metadata {\n plugin_input = \"mysql_cdc_source\"\n plugin_output = \"metadata_added\"\n metadata_fields {\n Table = source_table          # Extract table name\n RowKind = change_type         # Extract change type\n EventTime = event_timestamp   # Extract event time\n Delay = sync_delay_ms         # Extract sync delay\n }\n }",
        rows: &[
            "1, Joy Ding, 20, 123, numbered, +I, null, null",
            "2, May Ding, 20, 123, numbered, +I, null, null",
            "3, Kin Dom, 20, 123, numbered, +I, null, null",
            "4, Joy Dom, 20, 123, numbered, +I, null, null",
        ],
    },
    Example {
        table: "numbered",
        input: "source_table",
        output: "validated_table",
        transform: "DataValidator {\n plugin_input = \"source_table\"\n plugin_output = \"validated_table\"\n row_error_handle_way = \"SKIP\"\n field_rules = [\n {\n field_name = \"name\"\n rule_type = \"NOT_NULL\"\n },\n {\n field_name = \"name\"\n rule_type = \"LENGTH\"\n min_length = 2\n max_length = 7\n }\n ]\n }",
        rows: &["3, Kin Dom, 20, 123", "4, Joy Dom, 20, 123"],
    },
    Example {
        table: "numbered",
        input: "a",
        output: "c",
        transform: "FieldEncrypt {\n plugin_input = a, plugin_output = b\n fields = [\"name\"]\n key = \"base64:AAAAAAAAAAAAAAAAAAAAAA==\"\n algorithm = \"AES_CBC\"\n mode = \"ENCRYPT\"\n }\n FieldEncrypt {\n plugin_input = b, plugin_output = c\n fields = [\"name\"]\n key = \"base64:AAAAAAAAAAAAAAAAAAAAAA==\"\n algorithm = \"AES_CBC\"\n mode = \"DECRYPT\"\n }",
        rows: &["1, Joy Ding, 20, 123", "2, May Ding, 20, 123", "3, Kin Dom, 20, 123", "4, Joy Dom, 20, 123"],
    },
    Example {
        table: "numbered",
        input: "source1",
        output: "transform_a_1",
        transform: "TableFilter {\n plugin_input = \"source1\"\n plugin_output = \"transform_a_1\"\n table_pattern = \"number\\\\w+\"\n pattern_mode = \"EXCLUDE\"\n }",
        rows: &[],
    },
    Example {
        table: "numbered",
        input: "in",
        output: "out",
        transform: "Copy {\n plugin_input = in, plugin_output = out\n rule_match_mode = \"ALL_MATCH\"\n table_transform = [{\n table_path = \"${database}.numbered\"\n src_field = \"name\"\n dest_field = \"name2\"\n }, {\n table_path = \"${database}.numbered\"\n src_field = \"name2\"\n dest_field = \"name3\"\n }]\n }",
        rows: &[
            "1, Joy Ding, 20, 123, Joy Ding, Joy Ding",
            "2, May Ding, 20, 123, May Ding, May Ding",
            "3, Kin Dom, 20, 123, Kin Dom, Kin Dom",
            "4, Joy Dom, 20, 123, Joy Dom, Joy Dom",
        ],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_gives_the_documented_rows() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "examples").await;
    let statements =
        [PERSON, PEOPLE, NUMBERED, NUMBERED_PEOPLE, MAIL, MAILS].map(|text| text.replace('\n', " "));
    source.run(&statements.each_ref().map(String::as_str)).await;
    for (number, example) in EXAMPLES.iter().enumerate() {
        let text = format!(
            "env {{ job.mode = \"BATCH\" }}\n\
             source {{ MySQL-CDC {{\n plugin_output = \"{}\"\n url = \"{}\"\n username = root\n password = root\n \
             table-names = [\"{}.{}\"]\n startup.mode = \"snapshot-only\"\n }} }}\n\
             transform {{\n {}\n}}\n\
             sink {{ Console {{ plugin_input = \"{}\" }} }}\n",
            example.input,
            source.url(),
            source.name(),
            example.table,
            example.transform.replace("${database}", source.name()),
            example.output,
        );
        let finished = TestJob::new(&format!("example {number} {}", source.name()), &text).run();
        finished.assert_code(0);
        let mut rows: Vec<&str> = finished
            .stdout
            .lines()
            .filter_map(|line| line.split_once("SeaTunnelRow#kind=INSERT : ")?.1.into())
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, example.rows, "{}", example.transform);
    }
}
