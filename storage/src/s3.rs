//! Objects of an S3 service.

use std::collections::HashMap;
use std::error::Error as _;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error as Failed, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig, UpdateVersion,
};

use crate::{Object, Version};

/// Attempts at a request beside the first, and the time that all of them take at most. What fails longer ends the
/// attempt of the job, which waits and begins again.
const RETRIES: usize = 4;
const RETRY_TIME: Duration = Duration::from_secs(40);
/// Time that one request takes at most, its body included.
const REQUEST_TIME: Duration = Duration::from_secs(30);
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How to reach an S3 service.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    /// `https://…`, or `http://…` for a service without TLS. `None`: that of AWS in the region.
    pub endpoint: Option<String>,
    /// `None`: from the environment, or us-east-1.
    pub region: Option<String>,
    /// With `secret_key`; `None`: from the environment or from the machine's role.
    pub access_key: Option<String>,
    /// The secret half. Shown by nobody.
    pub secret_key: Option<String>,
    /// Of temporary credentials. Shown by nobody.
    pub session_token: Option<String>,
    /// `bucket.host` instead of `host/bucket`.
    pub virtual_hosted: bool,
}

impl std::fmt::Debug for S3Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Options").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The buckets of a service, each with its own client.
#[derive(Debug)]
pub struct Buckets {
    options: S3Options,
    clients: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

impl Buckets {
    pub(crate) fn new(options: S3Options) -> Buckets {
        Buckets { options, clients: Mutex::new(HashMap::new()) }
    }

    fn build(&self, bucket: &str) -> Result<AmazonS3> {
        let options = &self.options;
        let http = options.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let client = ClientOptions::new()
            .with_timeout(REQUEST_TIME)
            .with_connect_timeout(CONNECT_TIME)
            .with_allow_http(http);
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        };
        let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIME };
        let keys = options.access_key.as_ref().zip(options.secret_key.as_ref());
        // Keys of ours do not go with a token of the environment's.
        let builder = if keys.is_some() { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        let mut builder = builder
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_allow_http(http)
            .with_retry(retry)
            .with_virtual_hosted_style_request(options.virtual_hosted);
        if let Some(endpoint) = &options.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            builder = builder.with_endpoint(match endpoint.split_once("://") {
                Some((scheme, host)) if options.virtual_hosted => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            });
        }
        let region = || std::env::var("AWS_REGION").or_else(|_| std::env::var("AWS_DEFAULT_REGION")).ok();
        if let Some(region) = options.region.clone().or_else(region) {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = keys {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        if let Some(token) = &options.session_token {
            builder = builder.with_token(token);
        }
        builder.build().map_err(|cause| failed(bucket, cause))
    }

    /// The client of a location's bucket, and the key in it.
    pub fn resolve(&self, location: &str) -> Result<(Arc<AmazonS3>, Path)> {
        let unfit = |what: &str| Error::new(ErrorKind::Config, what).context("location", location);
        let (_, rest) =
            location.split_once("://").ok_or_else(|| unfit("this is no location of an S3 service"))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(unfit("this location names no bucket"));
        }
        let key = Path::parse(key.trim_end_matches('/'))
            .map_err(|cause| unfit("this key cannot be used").caused_by(cause))?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(bucket) {
            return Ok((Arc::clone(client), key));
        }
        let client = Arc::new(self.build(bucket)?);
        clients.insert(bucket.to_owned(), Arc::clone(&client));
        Ok((client, key))
    }

    pub(crate) async fn read(&self, location: &str) -> Result<Option<(Bytes, Version)>> {
        let (client, key) = self.resolve(location)?;
        let result = match found(location, client.get(&key).await)? {
            None => return Ok(None),
            Some(result) => result,
        };
        let version = Version(result.meta.e_tag.clone());
        let bytes = result.bytes().await.map_err(|cause| failed(location, cause))?;
        Ok(Some((bytes, version)))
    }

    pub(crate) async fn read_range(&self, location: &str, range: Range<u64>) -> Result<Bytes> {
        let (client, key) = self.resolve(location)?;
        client.get_range(&key, range).await.map_err(|cause| failed(location, cause))
    }

    pub(crate) async fn head(&self, location: &str) -> Result<Option<Object>> {
        let (client, key) = self.resolve(location)?;
        let meta = found(location, client.head(&key).await)?;
        Ok(meta.map(|meta| Object { location: location.to_owned(), ..object(location, &meta) }))
    }

    pub(crate) async fn write(&self, location: &str, bytes: Bytes) -> Result<()> {
        let (client, key) = self.resolve(location)?;
        client.put(&key, bytes.into()).await.map(drop).map_err(|cause| failed(location, cause))
    }

    async fn conditional(&self, location: &str, bytes: Bytes, mode: PutMode) -> Result<bool> {
        let (client, key) = self.resolve(location)?;
        let options = PutOptions { mode, ..PutOptions::default() };
        match client.put_opts(&key, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(Failed::AlreadyExists { .. } | Failed::Precondition { .. }) => Ok(false),
            Err(cause) => Err(failed(location, cause)),
        }
    }

    pub(crate) async fn create(&self, location: &str, bytes: Bytes) -> Result<bool> {
        self.conditional(location, bytes, PutMode::Create).await
    }

    pub(crate) async fn replace(&self, location: &str, bytes: Bytes, version: &Version) -> Result<bool> {
        let version = UpdateVersion { e_tag: version.0.clone(), version: None };
        self.conditional(location, bytes, PutMode::Update(version)).await
    }

    pub(crate) fn list(&self, folder: &str) -> Result<BoxStream<'static, Result<Object>>> {
        let (client, key) = self.resolve(folder)?;
        let folder = folder.to_owned();
        let objects = client.list(Some(&key)).map(move |meta| match meta {
            Ok(meta) => Ok(object(&folder, &meta)),
            Err(cause) => Err(failed(&folder, cause)),
        });
        Ok(objects.boxed())
    }

    pub(crate) async fn delete(&self, location: &str) -> Result<()> {
        let (client, key) = self.resolve(location)?;
        found(location, client.delete(&key).await).map(drop)
    }
}

/// An object as its listing shows it, with the scheme and bucket of the folder that was listed.
fn object(folder: &str, meta: &ObjectMeta) -> Object {
    let (scheme, rest) = folder.split_once("://").unwrap_or(("s3", folder));
    let bucket = rest.split('/').next().unwrap_or_default();
    Object {
        location: format!("{scheme}://{bucket}/{}", meta.location),
        bytes: meta.size,
        modified_ms: meta.last_modified.timestamp_millis(),
    }
}

/// The answer, or `None` where nothing is. A bucket that is missing is more than that.
pub(crate) fn found<T>(location: &str, result: object_store::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Failed::NotFound { source, path }) if !words(&*source).contains("NoSuchBucket") => {
            tracing::trace!(path, "no object");
            Ok(None)
        }
        Err(cause) => Err(failed(location, cause)),
    }
}

/// What an error and what it came from say, once each. Of a service's answer only its code and words: the rest repeats
/// the request, with the access key.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        next = cause.source();
    }
    let Some((before, answer)) = text.split_once("<Error>") else { return text };
    let between = |open: &str, close: &str| {
        answer.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or("", |(inside, _)| inside)
    };
    let before = before.split("<?xml").next().unwrap_or_default().trim_end();
    format!("{before} {}: {}", between("<Code>", "</Code>"), between("<Message>", "</Message>"))
}

/// What an error of the service means.
pub(crate) fn failed(location: &str, cause: Failed) -> Error {
    let text = words(&cause);
    let denied = "check the access key, its secret, and what its policy allows for this bucket";
    let (kind, what, hint) = match &cause {
        _ if text.contains("NoSuchBucket") => {
            (ErrorKind::Config, "the bucket is missing", "make it, or correct its name")
        }
        Failed::PermissionDenied { .. } | Failed::Unauthenticated { .. } => {
            (ErrorKind::Permission, "the S3 service refuses access", denied)
        }
        // What a listing says comes as text alone.
        _ if ["status code: 401", "status code: 403", "ExpiredToken"]
            .iter()
            .any(|code| text.contains(code)) =>
        {
            (ErrorKind::Permission, "the S3 service refuses access", denied)
        }
        Failed::NotFound { .. } => {
            (ErrorKind::Corrupt, "an object is gone", "restore it, or see who removes objects of this bucket")
        }
        Failed::InvalidPath { .. } | Failed::UnknownConfigurationKey { .. } | Failed::NotSupported { .. } => {
            (ErrorKind::Config, "the S3 service cannot be used like this", "correct the location")
        }
        _ if cause.source().is_some_and(|source| source.to_string().contains("Missing")) => (
            ErrorKind::Config,
            "the S3 service cannot be used like this",
            "complete the options of the service",
        ),
        _ => (ErrorKind::Unavailable, "the S3 service did not do it", "the job tries again by itself"),
    };
    Error::new(kind, what).context("location", location).hint(hint).caused_by(text)
}
