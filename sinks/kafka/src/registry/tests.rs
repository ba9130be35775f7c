#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use arrow_schema::DataType;
use culvert_api::{Column, ErrorClass, RowKindSet, TableId, TableSchema};

use super::*;
use crate::options::tests::settings;

/// What a request was: its first line and headers, and its body.
type Request = (String, String);

fn request(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Answers one connection after the other with these, and tells what was asked.
fn answering(answers: Vec<(u16, &'static str)>) -> (String, std::thread::JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let serve = |(status, body): (u16, &str)| {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = request(&mut stream);
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).unwrap();
            asked
        };
        answers.into_iter().map(serve).collect()
    });
    (url, served)
}

fn registry(url: &str, more: &[(&str, &str)]) -> Arc<Registry> {
    let pairs = [&[("format", "avro"), ("schema.registry.url", url)], more].concat();
    settings(&pairs).unwrap().registry.unwrap()
}

/// A table with one column.
fn plan(key: &[usize]) -> AvroPlan {
    let columns = vec![Column::derived("id", DataType::Int64, false)];
    let table = TableSchema::new(TableId::new("d", "t"), 1, columns, vec![], RowKindSet::ALL);
    AvroPlan::new(&table, key, &[0], false).unwrap()
}

async fn failure(answers: Vec<(u16, &'static str)>, more: &[(&str, &str)]) -> Error {
    let (url, served) = answering(answers);
    let error = registry(&url, more).id("t-value".into(), &"{}".into()).await.unwrap_err();
    served.join().unwrap();
    assert!(error.to_string().contains("subject=t-value"), "{error}");
    error
}

#[tokio::test]
async fn a_schema_is_registered_once_and_with_the_account() {
    let (url, served) = answering(vec![(200, r#"{"id":7}"#), (200, r#"{"id":8}"#)]);
    let account = [("schema.registry.user", "alice"), ("schema.registry.password", "p:w")];
    let registry = registry(&url, &account);
    let (one, other): (Arc<str>, Arc<str>) = ("\"int\"".into(), "\"long\"".into());
    for _ in 0..3 {
        assert_eq!(registry.id("t-value".into(), &one).await.unwrap(), 7);
    }
    assert_eq!(registry.id("t-value".into(), &other).await.unwrap(), 8);
    let asked = served.join().unwrap();
    assert!(asked[0].0.starts_with("POST /subjects/t-value/versions HTTP/1.1\r\n"), "{}", asked[0].0);
    // base64 of `alice:p:w`
    assert!(asked[0].0.contains("Basic YWxpY2U6cDp3\r\n"), "{}", asked[0].0);
    assert_eq!(asked[0].1, r#"{"schema":"\"int\""}"#);
    // The registry is gone, and nobody asks for it.
    assert_eq!(registry.id("t-value".into(), &one).await.unwrap(), 7);
}

#[tokio::test]
async fn what_a_status_means() {
    let said = r#"{"error_code":1,"message":"so it is"}"#;
    for (status, kind) in [
        (401, ErrorKind::Permission),
        (403, ErrorKind::Permission),
        (409, ErrorKind::Schema),
        (422, ErrorKind::Schema),
        (404, ErrorKind::Config),
        (307, ErrorKind::Config),
        (429, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
    ] {
        let error = failure(vec![(status, said)], &[]).await;
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(status == 307 || error.to_string().contains("so it is"), "{error}");
        assert!(error.hint_text().is_some(), "{error}");
    }
    assert_eq!(failure(vec![(200, "<html>")], &[]).await.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_password_that_is_echoed_is_not_shown() {
    let account = [("schema.registry.user", "alice"), ("schema.registry.password", "hunter2")];
    let error = failure(vec![(401, r#"{"message":"hunter2 is wrong"}"#)], &account).await;
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn addresses_are_tried_in_their_order() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (ill, ill_served) = answering(vec![(500, "")]);
    let (well, served) = answering(vec![(200, r#"{"id":9}"#)]);
    let all = registry(&format!("http://{closed}, {ill}, {well}"), &[]);
    assert_eq!(all.id("t-key".into(), &"{}".into()).await.unwrap(), 9);
    assert_eq!((ill_served.join().unwrap().len(), served.join().unwrap().len()), (1, 1));
    let none = registry(&format!("http://{closed}"), &[]);
    let error = none.id("t-key".into(), &"{}".into()).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Connection, ErrorClass::Transient));
    assert!(error.to_string().contains("subject=t-key"), "{error}");
}

#[tokio::test]
async fn a_file_of_authorities_must_hold_one() {
    for file in ["/dev/null", "/no/such/file"] {
        let pairs = [("schema.registry.ssl.ca.location", file)];
        let registry = registry("https://127.0.0.1:1", &pairs);
        let error = registry.id("t-value".into(), &"{}".into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("schema.registry.ssl.ca.location"), "{error}");
    }
}

#[tokio::test]
async fn a_check_asks_about_what_is_new_and_writes_nothing() {
    let plan = plan(&[]);
    let none = r#"{"error_code":40401,"message":"no subject"}"#;
    let (url, served) = answering(vec![(404, none), (404, none), (200, r#"{"id":7}"#)]);
    let registry = registry(&url, &[]);
    assert!(registry.obstacles("t", &plan).await.unwrap().is_empty());
    assert_eq!(registry.ids("t", &plan).await.unwrap(), Ids { key: None, value: 7 });
    let asked = served.join().unwrap();
    assert!(asked[0].0.starts_with("POST /subjects/t-value HTTP"), "{}", asked[0].0);
    let compatibility = "POST /compatibility/subjects/t-value/versions/latest HTTP";
    assert!(asked[1].0.starts_with(compatibility), "{}", asked[1].0);
    // What is known needs no registry; what is new does.
    assert!(registry.obstacles("t", &plan).await.unwrap().is_empty());
    let found = registry.obstacles("u", &plan).await.unwrap();
    assert_eq!(found[0].0, "u-value");
    assert_eq!(found[0].1.class(), ErrorClass::Transient);
}

#[tokio::test]
async fn a_check_names_the_subject_that_stands_in_the_way() {
    let plan = plan(&[0]);
    let none = r#"{"error_code":40401}"#;
    let fits = |fits| if fits { r#"{"is_compatible":true}"# } else { r#"{"is_compatible":false}"# };
    let (url, served) = answering(vec![(404, none), (200, fits(true)), (404, none), (200, fits(false))]);
    let found = registry(&url, &[]).obstacles("t", &plan).await.unwrap();
    assert_eq!(served.join().unwrap().len(), 4);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0.as_str(), found[0].1.kind()), ("t-value", ErrorKind::Schema));
}
