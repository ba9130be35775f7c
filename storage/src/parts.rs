//! Uploads in parts that are completed by whoever knows the parts, now or after a crash.
//!
//! What is sent is kept by the service and shown to nobody until the upload is completed; then the object is there
//! as a whole. Other than [`crate::Upload`], which begins, sends and completes in one go, every step stands for
//! itself here, and what it needs is text that can be written down.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>

use std::sync::Arc;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;

use crate::s3::{failed, found};
use crate::{Storage, is_s3};

/// Parts of an upload at most, by the service's rules.
pub const PARTS_MAX: usize = 10_000;

impl Storage {
    fn bucket(&self, location: &str) -> Result<(Arc<AmazonS3>, Path)> {
        match self {
            Storage::S3(buckets) if is_s3(location) => buckets.resolve(location),
            _ => Err(Error::new(ErrorKind::Internal, "only objects are uploaded in parts")
                .context("location", location)),
        }
    }

    /// Begins an upload, and returns the name that the service gave it. An answer that is lost leaves an upload without
    /// parts behind, which nobody knows.
    pub async fn begin_parts(&self, location: &str) -> Result<String> {
        let (client, key) = self.bucket(location)?;
        client.create_multipart(&key).await.map_err(|cause| failed(location, cause))
    }

    /// Sends a part; they are numbered from 0, and all but the last have the same size. Sending it again is nothing. The
    /// answer is what completing asks for.
    pub async fn send_part(
        &self,
        location: &str,
        upload: &str,
        number: usize,
        part: Bytes,
    ) -> Result<String> {
        let (client, key) = self.bucket(location)?;
        let sent = client.put_part(&key, &upload.to_owned(), number, part.into()).await;
        sent.map(|part| part.content_id).map_err(|cause| failed(location, cause))
    }

    /// Makes the object of its parts. Who asks again, because the answer was lost, gets `Ok` as long as the object is
    /// there. False: neither the upload nor the object is there.
    pub async fn complete_parts(&self, location: &str, upload: &str, parts: Vec<String>) -> Result<bool> {
        let (client, key) = self.bucket(location)?;
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        let Err(cause) = client.complete_multipart(&key, &upload.to_owned(), parts).await else {
            return Ok(true);
        };
        // Services differ in what they say of an upload that is completed; that the object is there says it.
        if self.head(location).await?.is_some() {
            return Ok(true);
        }
        Ok(found(location, Err::<(), _>(cause))?.is_some())
    }

    /// Drops an upload and its parts. One that is not there is nothing to do.
    pub async fn abort_parts(&self, location: &str, upload: &str) -> Result<()> {
        let (client, key) = self.bucket(location)?;
        found(location, client.abort_multipart(&key, &upload.to_owned()).await).map(drop)
    }
}
