//! The jobs that SeaTunnel's users know: option blocks of FakeSource, Assert and LocalFile as its pages and tests
//! have them, and what comes of them.

use std::path::Path;

use super::file::lines;
use super::{LIMIT, Local};

/// A job of the folder `jobs`, with files for it in the folder `in`.
fn form(name: &str, files: &[(&str, &[u8])]) -> Local {
    let job = Local::new("");
    for (file, bytes) in files {
        let path = job.folder.join("in").join(file);
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("the folder is made");
        std::fs::write(path, bytes).expect("the file is written");
    }
    turn(&job, name);
    job
}

/// Makes it another job in the same folder.
fn turn(job: &Local, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/local/jobs/{name}.conf"));
    job.write(&std::fs::read_to_string(path).expect("the job file is there"));
}

/// Its lines at the sink.
#[track_caller]
fn out(job: &Local) -> Vec<String> {
    job.run().assert_code(0);
    lines(&job.folder.join("out")).into_keys().collect()
}

#[test]
fn rows_are_made_up_as_asked() {
    for name in ["fake-random", "fake-sizes", "fake-range", "fake-defaults", "fake-count"] {
        form(name, &[]).run().assert_code(0);
    }
}

#[test]
fn rows_are_those_that_are_written_down() {
    let found = out(&form("fake-written", &[]));
    assert_eq!(found.len(), 4);
    let row = |map: &str, array: u8, kind: &str| {
        format!(
            "{{\"c_map\":{{\"a\":\"{map}\"}},\"c_array\":[{array}],\"c_string\":\"c_string\",\"c_boolean\":true,\"c_tinyint\":117,\
             \"c_smallint\":15987,\"c_int\":56387395,\"c_bigint\":7084913402530365000,\"c_float\":1.23,\"c_double\":1.23,\
             \"c_decimal\":2924137191386439303744.39292216,\"c_null\":null,\"c_bytes\":\"bWlJWmo=\",\"c_date\":\"2023-04-22\",\
             \"c_timestamp\":\"2023-04-22T23:20:58\",\"kind\":\"{kind}\"}}"
        )
    };
    assert_eq!(found, [row("b", 101, "+I"), row("c", 102, "-U"), row("e", 103, "+U"), row("f", 104, "-D")]);
}

#[test]
fn tables_of_files_are_those_that_were_written() {
    let job = form("fake-table-names", &[]);
    job.run().assert_code(0);
    for table in ["table1", "table2", "table3"] {
        assert!(job.folder.join("out").join(table).is_dir(), "{table}");
    }
    turn(&job, "file-tables");
    job.program(&["--fresh"]).run(LIMIT).assert_code(0);
}

#[test]
fn values_make_folders_and_a_pattern_makes_names() {
    let job = form("file-partitions", &[]);
    assert_eq!(out(&job), ["hailin\t23", "kris\t26", "tyrantlucifer\t26"]);
    for (folder, rows) in [("age=26", 2), ("age=23", 1)] {
        let folder = job.folder.join("out").join(folder);
        assert_eq!(lines(&folder).len(), rows);
        let name = std::fs::read_dir(&folder).expect("it is there").flatten().next().expect("a file");
        let name = name.file_name().to_string_lossy().into_owned();
        let dots = name.rsplit('_').nth(1).expect("a part for the day").split('.').count();
        assert!(name.starts_with("T_") && name.ends_with(".txt") && dots == 3, "{name}");
    }
}

#[test]
fn lines_are_rows() {
    let text = form("file-text", &[("city=Rome/a.txt", b"tyrantlucifer#26#male\n")]);
    let row = r#"{"name":"tyrantlucifer","age":26,"gender":"male","city":"Rome"}"#;
    assert_eq!(out(&text), [row]);
    // The two characters of the encoding GBK.
    let content = form("file-content", &[("a.txt", b"tyrantlucifer#26#\xd6\xd0\xce\xc4")]);
    assert_eq!(out(&content), [r#"{"content":"tyrantlucifer#26#中文"}"#]);
    let objects = br#"
{"code":  200, "data":  "get success", "success":  true}
{"code":  300, "data":  "get failed", "success":  false}
"#;
    let json = form("file-json", &[("a.json", objects)]);
    assert_eq!(out(&json), ["200,get success,true", "300,get failed,false", "code,data,success"]);
}

#[test]
fn lines_are_judged() {
    form("file-null", &[("a.txt", b"1,a,a,4\n2,a,a,5\n3,a,a,6\n")]).run().assert_code(0);
    let header: &[(&str, &[u8])] =
        &[("1.csv", b"name, id, is_female\ntom, 20, true"), ("2.csv", b"is_female,name,id\nfalse,ann,21\n")];
    form("file-header", header).run().assert_code(0);
    form("file-lines", &[("a.csv", b"20,\"harry\n potter\"\n21,\"tom\"")]).run().assert_code(0);
    form("file-time", &[("a.txt", b"qwer|7|2022-01-10T00:52:00\n")]).run().assert_code(0);
}
