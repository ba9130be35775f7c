//! A sink that takes rows and keeps none.

use super::{LIMIT, Local};

const JOB: &str = r#"
env { job.mode = "BATCH" }
source { FakeSource { row.num = 1234, schema { table = "shop.orders", fields { id = bigint } } } }
sink { InMemory { MORE } }
"#;

#[test]
fn rows_are_taken_and_counted() {
    let job = Local::new(&JOB.replace("MORE", ""));
    job.check().assert_code(0);
    let done = job.run();
    done.assert_code(0);
    assert!(done.stdout.contains("1234") || done.stdout.contains("1,234"), "{}", done.stdout);
}

#[test]
fn options_are_compared_for_each_table() {
    let same =
        "assert_options_key = \"${database_name}.${table_name}\", assert_options_value = \"shop.orders\"";
    let job = Local::new(&JOB.replace("MORE", same));
    job.run().assert_code(0);
    job.write(&JOB.replace("MORE", &same.replace("shop.orders", "shop.others")));
    let failed = job.program(&["--fresh"]).run(LIMIT);
    failed.assert_code(2);
    assert!(
        failed.stderr.contains("is shop.orders, and 'assert_options_value' is shop.others"),
        "{}",
        failed.stderr
    );
}

#[test]
fn options_that_make_a_job_fail_are_refused() {
    for option in ["throw_exception = true", "writer_sleep = true", "throw_runtime_exception_list = [x]"] {
        let refused = Local::new(&JOB.replace("MORE", option)).check();
        let name = option.split(' ').next().unwrap_or_default();
        assert!(refused.code == Some(1) && refused.stdout.contains(name), "{}", refused.stdout);
    }
}
