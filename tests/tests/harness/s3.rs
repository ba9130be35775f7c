//! The S3 server: conditions have one winner, uploads in parts are whole or not there, and every fault is
//! the one that was asked for.

use std::time::Duration;

use culvert_tests::s3::{Fault, KEY, REGION, Requests, S3, SECRET};
use culvert_tests::{Proxy, s3_shared, wait};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
    UpdateVersion,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The least that a part but the last may have.
const PART_BYTES: usize = 5 << 20;

/// A client that says at once what went wrong.
fn client(url: &str, bucket: &str, secret: &str) -> AmazonS3 {
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    AmazonS3Builder::new()
        .with_endpoint(url)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_region(REGION)
        .with_access_key_id(KEY)
        .with_secret_access_key(secret)
        .with_retry(retry)
        .build()
        .unwrap()
}

async fn read(client: &AmazonS3, key: &str) -> Result<Vec<u8>, Error> {
    Ok(client.get(&Path::from(key)).await?.bytes().await?.to_vec())
}

async fn put(client: &AmazonS3, key: &str, text: &'static str) -> Result<(), Error> {
    client.put(&Path::from(key), text.into()).await.map(|_| ())
}

#[tokio::test]
async fn objects_are_put_listed_read_and_deleted() {
    let s3 = s3_shared().await;
    let bucket = s3.fresh_bucket("plain");
    let client = client(&s3.url(), &bucket, SECRET);
    put(&client, "a/day=1/x y", "one").await.unwrap();
    put(&client, "b", "two").await.unwrap();
    s3.put(&bucket, "a/z", b"three");
    assert_eq!(s3.keys(&bucket, ""), ["a/day=1/x y", "a/z", "b"]);
    assert_eq!(s3.keys(&bucket, "a/d"), ["a/day=1/x y"]);
    assert_eq!(s3.object(&bucket, "a/day=1/x y").as_deref(), Some(b"one".as_slice()));
    assert_eq!(s3.object(&bucket, "c"), None);
    assert_eq!(read(&client, "a/z").await.unwrap(), b"three");
    assert_eq!(client.get_range(&Path::from("a/z"), 1..3).await.unwrap().as_ref(), b"hr");
    let listed: Vec<_> = client.list(Some(&Path::from("a"))).try_collect().await.unwrap();
    let mut listed: Vec<String> = listed.into_iter().map(|object| object.location.to_string()).collect();
    listed.sort_unstable();
    assert_eq!(listed, ["a/day=1/x y", "a/z"]);
    client.delete(&Path::from("b")).await.unwrap();
    assert!(matches!(read(&client, "b").await, Err(Error::NotFound { .. })));
    let stranger = self::client(&s3.url(), &bucket, "another secret");
    assert!(matches!(put(&stranger, "s", "x").await, Err(Error::PermissionDenied { .. })));
    assert_eq!(s3.keys(&bucket, "s"), Vec::<String>::new());
}

#[tokio::test]
async fn a_condition_has_one_winner() {
    let s3 = s3_shared().await;
    let bucket = s3.fresh_bucket("race");
    let client = client(&s3.url(), &bucket, SECRET);
    let key = Path::from("pointer");
    let create = PutOptions::from(PutMode::Create);
    let writers = (0..16).map(|n| client.put_opts(&key, PutPayload::from(format!("{n}")), create.clone()));
    let results = join_all(writers).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for result in lost {
        assert!(matches!(result, Err(Error::AlreadyExists { .. })), "{result:?}");
    }
    let version: UpdateVersion = won.into_iter().next().unwrap().unwrap().into();
    let update = PutOptions::from(PutMode::Update(version));
    let writers = (0..16).map(|n| client.put_opts(&key, PutPayload::from(format!("-{n}")), update.clone()));
    let (won, lost): (Vec<_>, Vec<_>) = join_all(writers).await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for result in lost {
        assert!(matches!(result, Err(Error::Precondition { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn an_upload_in_parts_is_there_when_it_is_completed() {
    let s3 = S3::start();
    s3.bucket("parts");
    let client = client(&s3.url(), "parts", SECRET);
    let key = Path::from("large");
    let mut upload = client.put_multipart(&key).await.unwrap();
    upload.put_part(PutPayload::from(vec![7; PART_BYTES])).await.unwrap();
    upload.put_part(PutPayload::from(vec![8; 10])).await.unwrap();
    assert_eq!((s3.keys("parts", ""), s3.unfinished_uploads()), (Vec::new(), 1));
    upload.complete().await.unwrap();
    assert_eq!((s3.keys("parts", ""), s3.unfinished_uploads()), (vec!["large".to_owned()], 0));
    assert_eq!(read(&client, "large").await.unwrap().len(), PART_BYTES + 10);
    assert_eq!(s3.seen(&Requests::of("PUT").with("/parts/large?partNumber=")), 2);
    let mut upload = client.put_multipart(&Path::from("other")).await.unwrap();
    upload.put_part(PutPayload::from(vec![7; 10])).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!((s3.keys("parts", "other"), s3.unfinished_uploads()), (Vec::new(), 0));
}

#[tokio::test]
async fn faults_meet_the_requests_they_are_for() {
    let s3 = S3::start();
    s3.bucket("faults");
    let client = client(&s3.url(), "faults", SECRET);
    s3.next(2, Requests::of("PUT").with("/day=1/"), Fault::Error("SlowDown"));
    put(&client, "a", "x").await.unwrap();
    for _ in 0..2 {
        let failure = put(&client, "day=1/a", "x").await.unwrap_err().to_string();
        assert!(failure.contains("503") && failure.contains("SlowDown"), "{failure}");
    }
    assert_eq!(s3.faults_pending(), 0);
    put(&client, "day=1/a", "x").await.unwrap();
    s3.next(1, Requests::any(), Fault::Error("AccessDenied"));
    assert!(matches!(read(&client, "a").await, Err(Error::PermissionDenied { .. })));
    // The work of a lost answer is done, and that of a connection that was cut is not.
    s3.next(1, Requests::of("PUT"), Fault::Lose);
    put(&client, "lost", "x").await.unwrap_err();
    s3.next(1, Requests::of("PUT"), Fault::Cut);
    put(&client, "cut", "x").await.unwrap_err();
    assert_eq!(s3.keys("faults", ""), ["a", "day=1/a", "lost"]);
    s3.refuse(true);
    put(&client, "refused", "x").await.unwrap_err();
    s3.next(1, Requests::any(), Fault::Cut);
    s3.heal();
    put(&client, "healed", "x").await.unwrap();
    assert_eq!(s3.keys("faults", ""), ["a", "day=1/a", "healed", "lost"]);
    assert_eq!(s3.seen(&Requests::of("PUT")), 7);
    let pause = Duration::from_millis(50);
    s3.slow(Some(pause));
    let begun = std::time::Instant::now();
    put(&client, "slow", "x").await.unwrap();
    assert!(begun.elapsed() >= pause);
}

#[tokio::test]
async fn a_held_request_waits_for_its_release() {
    let s3 = S3::start();
    s3.bucket("held");
    let client = client(&s3.url(), "held", SECRET);
    s3.next(1, Requests::of("PUT").with("before"), Fault::Hold);
    s3.next(1, Requests::of("PUT").with("behind"), Fault::HoldAnswer);
    let (one, two) = (client.clone(), client.clone());
    let before = tokio::spawn(async move { put(&one, "before", "x").await });
    let behind = tokio::spawn(async move { put(&two, "behind", "x").await });
    s3.until_held(2).await;
    assert_eq!(s3.keys("held", ""), ["behind"]);
    put(&client, "others", "x").await.unwrap();
    s3.release();
    before.await.unwrap().unwrap();
    behind.await.unwrap().unwrap();
    assert_eq!(s3.keys("held", ""), ["before", "behind", "others"]);
    // Whoever goes away while it is held has asked for nothing.
    s3.next(1, Requests::any(), Fault::Hold);
    let one = client.clone();
    let gone = tokio::spawn(async move { put(&one, "gone", "x").await });
    s3.until_held(1).await;
    gone.abort();
    wait::until(PATIENCE, "the held request to be given up", async || s3.held() == 0).await;
    s3.release();
    put(&client, "last", "x").await.unwrap();
    assert_eq!(s3.keys("held", ""), ["before", "behind", "last", "others"]);
}

#[tokio::test]
async fn an_answer_can_break_off_behind_a_proxy() {
    let s3 = S3::start();
    s3.bucket("far");
    s3.put("far", "long", &vec![7; 1 << 20]);
    let proxy = Proxy::start(s3.port()).await;
    let client = client(&format!("http://127.0.0.1:{}", proxy.port()), "far", SECRET);
    assert_eq!(read(&client, "long").await.unwrap().len(), 1 << 20);
    proxy.cut_after_bytes(100_000);
    read(&client, "long").await.unwrap_err();
    assert_eq!(read(&client, "long").await.unwrap().len(), 1 << 20);
}
