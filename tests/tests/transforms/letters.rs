//! Rows that break a rule go to a dead-letter table, in the same commit as the others.

use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};
use serde_json::{Value, json};

use crate::postgres::job::{JobSpec, until, until_rows};

const RULES: &str = r#"DataValidator {
    row_error_handle_way = "ROUTE_TO_TABLE"
    row_error_handle_way.error_table = "error_data"
    field_rules = [
      {
        field_name = "name"
        rule_type = "NOT_NULL"
      },
      {
        field_name = "age"
        rule_type = "RANGE"
        min_value = 0
        max_value = 150
      }
    ]
  }"#;

/// Good rows, bad ones, good ones that go bad, and bad ones that get well.
async fn routed(source: Database<'_>, target: Database<'_>, full: &str) {
    let name = format!("letters {} {}", source.name(), source.port());
    source.run(&["CREATE TABLE person (id int PRIMARY KEY, name varchar(20), age int)"]).await;
    if !full.is_empty() {
        source.run(&[full]).await;
    }
    source.run(&["INSERT INTO person VALUES (1, 'Ann', 30), (2, NULL, 200), (3, 'Tom', 40)"]).await;
    let job = JobSpec { transform: RULES, ..JobSpec::mirror(&name, &source, &["person"], &target) }.ready();
    let running = job.start();
    until_rows(&target, "person", 2, &running).await;
    source
        .run(&[
            "UPDATE person SET age = 151 WHERE id = 1",
            "UPDATE person SET name = 'Bob', age = 50 WHERE id = 2",
            "UPDATE person SET age = 41 WHERE id = 3",
            "INSERT INTO person VALUES (4, 'Eve', -1)",
            "DELETE FROM person WHERE id = 4",
            "INSERT INTO person VALUES (5, 'end', 1)",
        ])
        .await;
    until(&target, "SELECT count(*) FROM person WHERE id = 5", "1", &running).await;
    let valid = target.rows("SELECT id, name, age FROM person ORDER BY id").await;
    let row = |id: &str, name: &str, age: &str| vec![Some(id.into()), Some(name.into()), Some(age.into())];
    assert_eq!(valid, [row("2", "Bob", "50"), row("3", "Tom", "41"), row("5", "end", "1")]);

    let columns = "source_table_id, source_table_path, original_data, validation_errors";
    let letters =
        target.rows(&format!("SELECT {columns} FROM error_data WHERE create_time IS NOT NULL")).await;
    let mut told: Vec<(Value, Value)> = Vec::new();
    for letter in &letters {
        let text = |place: usize| letter[place].as_deref().expect("no column is NULL");
        assert_eq!(text(0), "person");
        assert!(text(1).starts_with(source.name()) && text(1).ends_with(".person"), "{}", text(1));
        let json = |place: usize| serde_json::from_str(text(place)).expect("JSON");
        told.push((json(2), json(3)));
    }
    told.sort_by_key(|(row, _)| row["id"].as_i64());
    let error = |field: &str, message: &str| json!({"field_name": field, "error_message": message});
    let range = |age: i64| error("age", &format!("Field 'age' value {age} is not within range [0, 150]"));
    let expected = [
        (json!({"id": 1, "name": "Ann", "age": 151}), json!([range(151)])),
        (
            json!({"id": 2, "name": null, "age": 200}),
            json!([error("name", "Field 'name' cannot be null"), range(200)]),
        ),
        (json!({"id": 4, "name": "Eve", "age": -1}), json!([range(-1)])),
    ];
    assert_eq!(told, expected);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_mariadb_into_postgresql() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "letters").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "letters").await;
    routed(source, target, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_postgresql_into_mariadb() {
    let source = Database::fresh(postgres_shared(PgVersion::V17).await, "letters").await;
    let target = Database::fresh(shared(Flavor::MariaDb).await, "letters").await;
    routed(source, target, "ALTER TABLE person REPLICA IDENTITY FULL").await;
}
