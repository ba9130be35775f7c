//! Files; objects are tested on a real service, by the suites.
#![allow(clippy::unwrap_used)]

use super::*;

fn at(folder: &tempfile::TempDir, name: &str) -> String {
    join(&folder.path().display().to_string(), name)
}

#[tokio::test]
async fn of_those_who_create_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let location = at(&folder, "deep/er/v1.json");
    let calls = (0..16u8).map(|id| {
        let location = location.clone();
        tokio::spawn(async move {
            (id, Storage::Local.create(&location, Bytes::from(vec![id; 100])).await.unwrap())
        })
    });
    let mut won = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let (id, is_first) = call.await.unwrap();
        won.extend(is_first.then_some(id));
    }
    let [winner] = won[..] else { panic!("{won:?} won") };
    assert_eq!(Storage::Local.read(&location).await.unwrap().unwrap(), vec![winner; 100]);
    // Nothing is left of the others.
    let all: Vec<_> = Storage::Local.list(&at(&folder, "")).await.unwrap().collect().await;
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn an_upload_is_there_when_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("file://{}", at(&folder, "data/a.parquet"));
    let mut upload = Storage::Local.upload(&location).await.unwrap();
    upload.write(Bytes::from_static(b"ab")).await.unwrap();
    assert_eq!(Storage::Local.head(&location).await.unwrap(), None);
    upload.write(Bytes::from_static(b"cd")).await.unwrap();
    assert_eq!(upload.finish().await.unwrap(), 4);
    assert_eq!(Storage::Local.read(&location).await.unwrap().unwrap(), "abcd");
    assert_eq!(Storage::Local.read_range(&location, 1..3).await.unwrap(), "bc");
    assert_eq!(Storage::Local.head(&location).await.unwrap().unwrap().bytes, 4);

    let upload = Storage::Local.upload(&at(&folder, "data/b.parquet")).await.unwrap();
    upload.abort().await.unwrap();
    Storage::Local.delete(&location).await.unwrap();
    Storage::Local.delete(&location).await.unwrap();
    assert_eq!(Storage::Local.any(&at(&folder, "")).await.unwrap(), None);
}

#[test]
fn locations_that_lead_nowhere_are_refused() {
    for location in ["", "a/b", "/a/../b", "gs://bucket/a", "file://a"] {
        let error = Storage::of(location, || panic!("no S3")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{location}");
    }
    assert!(matches!(Storage::of("s3a://b/k", || Ok(S3Options::default())).unwrap(), Storage::S3(_)));
}

#[test]
fn secrets_are_not_shown() {
    let options = S3Options {
        secret_key: Some("hush".to_owned()),
        session_token: Some("hush".to_owned()),
        ..S3Options::default()
    };
    assert!(!format!("{:?}", Buckets::new(options)).contains("hush"));
}
