//! Made-up rows and rows of the job file.

use super::{LIMIT, Local};

/// Every type there is, one in another as well, written down and judged value by value. Other programs' files
/// have the same types, in this form.
pub(super) const EVERY_TYPE: &str = r#"
env { parallelism = 1, job.mode = BATCH }
source {
  FakeSource {
    row.num = 1
    schema = {
      fields {
        c_null = "null"
        c_string = string
        c_boolean = boolean
        c_tinyint = tinyint
        c_smallint = smallint
        c_int = int
        c_bigint = bigint
        c_float = float
        c_double = double
        c_decimal = "decimal(30, 8)"
        c_date = date
        c_timestamp = timestamp
        c_time = time
        c_bytes = bytes
        c_array = "array<int>"
        c_map = "map<time, string>"
        c_map_nest = "map<string, {c_int = int, c_string = string}>"
        c_row = { c_null = "null", c_decimal = "decimal(30, 8)", c_array = "array<int>", c_map = "map<string, string>" }
      }
    }
    rows = [{
      kind = INSERT
      fields = [
        null, "AAA", false, 1, 1, 333, 323232, 3.1, 9.33333, 99999.99999999, "2012-12-21", "2012-12-21T12:34:56", "12:34:56",
        "bWlJWmo=", [0, 1, 2], "{ 12:01:26 = v0 }", { k1 = [123, "BBB-BB"] }, [null, 99999.99999999, [0, 1], { k0 = v0 }]
      ]
    }]
    plugin_output = "fake"
  }
}
sink {
  Assert {
    plugin_input = "fake"
    rules = {
      row_rules = [{ rule_type = MAX_ROW, rule_value = 1 }, { rule_type = MIN_ROW, rule_value = 1 }]
      field_rules = [
        { field_name = c_null, field_type = "null", field_value = [{ rule_type = NULL }] }
        { field_name = c_string, field_type = string, field_value = [{ rule_type = NOT_NULL, equals_to = "AAA" }] }
        { field_name = c_boolean, field_type = boolean, field_value = [{ rule_type = NOT_NULL, equals_to = false }] }
        { field_name = c_tinyint, field_type = tinyint, field_value = [{ rule_type = NOT_NULL, equals_to = 1 }] }
        { field_name = c_smallint, field_type = smallint, field_value = [{ rule_type = NOT_NULL, equals_to = 1 }] }
        { field_name = c_int, field_type = int, field_value = [{ rule_type = NOT_NULL, equals_to = 333 }] }
        { field_name = c_bigint, field_type = bigint, field_value = [{ rule_type = NOT_NULL, equals_to = 323232 }] }
        { field_name = c_float, field_type = float, field_value = [{ rule_type = NOT_NULL, equals_to = 3.1 }] }
        { field_name = c_double, field_type = double, field_value = [{ rule_type = NOT_NULL, equals_to = 9.33333 }] }
        { field_name = c_decimal, field_type = "decimal(30, 8)", field_value = [{ rule_type = NOT_NULL, equals_to = 99999.99999999 }] }
        { field_name = c_date, field_type = date, field_value = [{ rule_type = NOT_NULL, equals_to = "2012-12-21" }] }
        { field_name = c_timestamp, field_type = timestamp, field_value = [{ rule_type = NOT_NULL, equals_to = "2012-12-21T12:34:56" }] }
        { field_name = c_time, field_type = time, field_value = [{ rule_type = NOT_NULL, equals_to = "12:34:56" }] }
        { field_name = c_bytes, field_type = bytes, field_value = [{ rule_type = NOT_NULL, equals_to = "bWlJWmo=" }] }
        { field_name = c_array, field_type = "array<int>", field_value = [{ rule_type = NOT_NULL, equals_to = [0, 1, 2] }] }
        { field_name = c_map, field_type = "map<time, string>", field_value = [{ rule_type = NOT_NULL, equals_to = "{ 12:01:26 = v0 }" }] }
        {
          field_name = c_map_nest
          field_type = "map<string, {c_int = int, c_string = string}>"
          field_value = [{ rule_type = NOT_NULL, equals_to = { k1 = [123, "BBB-BB"] } }]
        }
        {
          field_name = c_row
          field_type = { c_null = "null", c_decimal = "decimal(30, 8)", c_array = "array<int>", c_map = "map<string, string>" }
          field_value = [{ rule_type = NOT_NULL, equals_to = [null, 99999.99999999, [0, 1], { k0 = v0 }] }]
        }
      ]
    }
  }
}
"#;

#[test]
fn every_type_comes_through_as_it_was_written() {
    let job = Local::new(EVERY_TYPE);
    job.check().assert_code(0);
    job.run().assert_code(0);
    // The same job would not pass with another value.
    job.write(&EVERY_TYPE.replace("equals_to = \"{ 12:01:26 = v0 }\"", "equals_to = \"{ 12:01:26 = v1 }\""));
    let failed = job.program(&["--fresh"]).run(LIMIT);
    failed.assert_code(1);
    assert!(failed.stderr.contains("field=c_map, row=1"), "{}", failed.stderr);
}

const TEMPLATES: &str = r#"
env { execution.parallelism = 1, job.mode = "BATCH", spark.master = local }
source {
  FakeSource {
    row.num = 500
    string.fake.mode = "template"
    string.template = ["tyran", "hailin", "kris", "fanjia"]
    tinyint.fake.mode = "template"
    tinyint.template = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    smallint.min = 10
    smallint.max = 19
    int.template = [20, 29]
    bigint.min = 30
    bigint.max = 39
    float.min = 40.0
    float.max = 43.0
    double.template = [44.0, 45.0, 46.0, 47.0]
    schema {
      fields { c_string = string, c_tinyint = tinyint, c_smallint = smallint, c_int = int, c_bigint = bigint, c_float = float, c_double = double }
    }
  }
}
sink {
  Assert {
    rules {
      row_rules = [{ rule_type = MAX_ROW, rule_value = 500 }, { rule_type = MIN_ROW, rule_value = 500 }]
      field_rules = [
        { field_name = c_string, field_type = string, field_value = [{ rule_type = MIN_LENGTH, rule_value = 4 }, { rule_type = MAX_LENGTH, rule_value = 6 }] }
        { field_name = c_tinyint, field_type = byte, field_value = [{ rule_type = MIN, rule_value = 1 }, { rule_type = MAX, rule_value = 9 }] }
        { field_name = c_smallint, field_type = short, field_value = [{ rule_type = MIN, rule_value = 10 }, { rule_type = MAX, rule_value = 19 }] }
        { field_name = c_int, field_type = int, field_value = [{ rule_type = MIN, rule_value = 20 }, { rule_type = MAX, rule_value = 29 }] }
        { field_name = c_bigint, field_type = long, field_value = [{ rule_type = MIN, rule_value = 30 }, { rule_type = MAX, rule_value = 39 }] }
        { field_name = c_float, field_type = float, field_value = [{ rule_type = MIN, rule_value = 40 }, { rule_type = MAX, rule_value = 43 }] }
        { field_name = c_double, field_type = double, field_value = [{ rule_type = MIN, rule_value = 44 }, { rule_type = MAX, rule_value = 47 }] }
      ]
    }
  }
}
"#;

#[test]
fn made_up_values_are_those_that_were_asked_for() {
    let job = Local::new(TEMPLATES);
    job.check().assert_code(0);
    job.run().assert_code(0);
}

const SEVERAL_TABLES: &str = r#"
env { job.mode = "BATCH" }
source {
  FakeSource {
    tables_configs = [
      {
        row.num = 100
        schema = {
          table = "test.table1"
          columns = [{ name = id, type = bigint }, { name = name, type = string }, { name = age, type = int }]
          primaryKey = { name = "primary key", columnNames = ["id"] }
        }
      },
      {
        row.num = 17
        schema = { table = "test.table2", columns = [{ name = id, type = bigint }, { name = name, type = string }] }
      }
    ]
    result_table_name = "fake"
  }
}
sink {
  Assert {
    source_table_name = "fake"
    rules {
      table-names = ["test.table1", "test.table2"]
      row_rules = [{ rule_type = MIN_ROW, rule_value = 117 }]
      tables_configs = [
        {
          table_path = "test.table1"
          row_rules = [{ rule_type = MAX_ROW, rule_value = 100 }, { rule_type = MIN_ROW, rule_value = 100 }]
          catalog_table_rule {
            primary_key_rule = { primary_key_name = "primary key", primary_key_columns = ["id"] }
            column_rule = [{ name = "id", type = bigint }, { name = "name", type = string }, { name = "age", type = int }]
          }
        },
        { table_path = "test.table2", row_rules = [{ rule_type = MAX_ROW, rule_value = 17 }] }
      ]
    }
  }
}
"#;

#[test]
fn several_tables_have_rows_and_rules_of_their_own() {
    Local::new(SEVERAL_TABLES).run().assert_code(0);
    let failed = Local::new(&SEVERAL_TABLES.replace("row.num = 17", "row.num = 18")).run();
    failed.assert_code(1);
    assert!(
        failed.stderr.contains("MAX_ROW 17 is broken") && failed.stderr.contains("test.table2"),
        "{}",
        failed.stderr
    );
}

const CHANGES: &str = r#"
env { job.mode = "BATCH" }
source {
  FakeSource {
    schema = { table = "d.t", fields { id = int, name = string }, primaryKey { columnNames = [id] } }
    rows = [
      { kind = INSERT, fields = [1, "A"] }
      { kind = UPDATE_BEFORE, fields = [1, "A"] }
      { kind = UPDATE_AFTER, fields = [1, "A_1"] }
      { kind = DELETE, fields = [1, "A_1"] }
    ]
  }
}
sink { Console {} }
"#;

#[test]
fn changes_leave_as_they_were_written() {
    let done = Local::new(CHANGES).run();
    done.assert_code(0);
    let rows: Vec<&str> =
        done.stdout.lines().filter_map(|line| line.split("SeaTunnelRow#kind=").nth(1)).collect();
    assert_eq!(rows, ["INSERT : 1, A", "UPDATE_BEFORE : 1, A", "UPDATE_AFTER : 1, A_1", "DELETE : 1, A_1"]);
}

#[tokio::test]
async fn a_streaming_job_goes_on_behind_the_last_row_until_it_is_stopped() {
    let job = Local::new(&CHANGES.replace("BATCH", "STREAMING"));
    let mut running = job.start();
    running.wait_for_stdout(LIMIT, "DELETE : 1, A_1").await;
    assert!(running.ended().is_none());
    let ended = running.terminate(LIMIT);
    ended.assert_code(0);
    assert!(ended.stdout.contains("stopped"), "{}", ended.stdout);
}

#[test]
fn a_type_that_is_not_made_is_refused_by_name() {
    let job = Local::new(&CHANGES.replace("name = string", "name = float_vector"));
    let refused = job.check();
    assert!(
        refused.code == Some(1)
            && refused.stdout.contains("column name whose type is not known: 'float_vector'"),
        "{}",
        refused.stdout
    );
}
