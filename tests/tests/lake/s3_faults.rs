//! What a service does wrong at each step of a commit doubles and loses nothing.

use culvert_tests::s3::{Fault, Requests, S3};

use super::s3_file::{lines, sink};
use crate::local::{Local, assert_once, rows_into};

/// The requests of each step: a name, a method, what the request names.
const STEPS: &[(&str, &str, &str)] = &[
    ("the marker is read", "GET", ".json"),
    ("the marker is written", "PUT", ".json"),
    ("an upload is begun", "POST", "?uploads"),
    ("uploads are written down", "PUT", ".uploads/"),
    ("a part is sent", "PUT", "partNumber="),
    ("an upload is completed", "POST", "uploadId="),
    ("what was left behind is listed", "GET", "list-type="),
];

/// Faults at a step, after some requests of it went well.
fn faulty(s3: &S3, step: &(&str, &'static str, &str), count: usize, fault: Fault) {
    let (name, method, part) = step;
    let bucket = s3.fresh_bucket("lake");
    let job = Local::new(&rows_into(&sink(s3, &bucket, "")));
    s3.next(count, Requests::of(method).with(part), fault);
    let done = job.run();
    done.assert_code(0);
    assert_eq!(s3.faults_pending(), 0, "{fault:?} where {name} was not met");
    assert_once(&lines(s3, &bucket, "out/"));
}

#[test]
fn an_answer_that_is_lost_behind_a_step_doubles_and_loses_nothing() {
    let s3 = S3::start();
    for step in STEPS {
        faulty(&s3, step, 2, Fault::Lose);
    }
}

#[test]
fn a_connection_that_is_cut_in_front_of_a_step_doubles_and_loses_nothing() {
    let s3 = S3::start();
    for step in STEPS {
        faulty(&s3, step, 2, Fault::Cut);
    }
}

/// Some are waited out inside an attempt; more of them end it, and the next one goes on.
#[test]
fn a_service_that_asks_to_slow_down_is_given_time() {
    let s3 = S3::start();
    for step in STEPS {
        for count in [2, 6] {
            faulty(&s3, step, count, Fault::Error("SlowDown"));
        }
    }
    for step in STEPS {
        faulty(&s3, step, 1, Fault::Error("InternalError"));
    }
}
