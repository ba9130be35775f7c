//! Uploads of a writer, from their beginning until they are completed or dropped.
//!
//! A file gathers a part in memory before anything is sent, and its upload begins with its first part. The names of all
//! uploads that are begun and not completed stand in an object per epoch, so that the next run drops what this one
//! leaves behind:
//!
//! ```text
//! {"version":1,"uploads":[{"to":"s3://bucket/out/T_j.csv","upload":"…"}]}
//! ```
//!
//! It is put before the first part is sent, so that what a crash hides from it is an upload without parts: it costs
//! nothing, and the bucket's rule for uploads that were not completed takes it.

use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use culvert_api::failpoint::pass;
use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::{PART_BYTES, PARTS_MAX, Storage, join};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::bucket::{REQUESTS_AT_ONCE, Sent};
use crate::manifest::{Manifest, Placed};

/// The version that is written. Older ones are read for good.
const VERSION: u32 = 1;

/// A file that is being written. Writing to it fills memory; sending is another's work.
pub(crate) struct Writing {
    epoch: u64,
    to: String,
    /// Once it is begun.
    upload: Option<String>,
    parts: Vec<String>,
    /// The part that is under way: one at a time.
    sending: Option<Receiver<Result<String>>>,
    gathered: BytesMut,
}

/// The uploads of a writer that are begun and not completed.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    storage: Storage,
    /// The folder of the objects that name them, one for each epoch.
    folder: String,
    begun: Arc<Mutex<Vec<Begun>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    to: String,
    upload: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    version: u32,
    uploads: Vec<Begun>,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Writing {
    pub(crate) fn new(epoch: u64, to: String) -> Writing {
        Writing { epoch, to, upload: None, parts: Vec::new(), sending: None, gathered: BytesMut::new() }
    }

    /// Waits for the part that is under way.
    fn sent(&mut self) -> Result<()> {
        if let Some(sending) = self.sending.take() {
            self.parts.push(answer(&sending)?);
        }
        Ok(())
    }
}

/// Starts requests on the event loop, from a thread that may block.
fn start<T: Send + 'static>(
    requests: impl Future<Output = Result<T>> + Send + 'static,
) -> Receiver<Result<T>> {
    let (tell, answer) = channel();
    Handle::current().spawn(async move {
        // Nobody listens any more when the job has ended.
        let _ = tell.send(requests.await);
    });
    answer
}

fn answer<T>(answer: &Receiver<Result<T>>) -> Result<T> {
    let given_up = |_| Error::new(ErrorKind::Internal, "work on a bucket was given up");
    answer.recv().map_err(given_up)?.map_err(told)
}

/// Waits for requests, on a thread that may block.
pub(crate) fn wait<T: Send + 'static>(
    requests: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    answer(&start(requests))
}

/// With the options that a person looks at.
fn told(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Config => error.context("option", "bucket"),
        ErrorKind::Permission => error.context("options", "access_key, secret_key"),
        _ => error,
    }
}

/// The last part of a file, where anything is left for it.
async fn last(part: Option<impl Future<Output = Result<String>>>) -> Result<Option<String>> {
    match part {
        Some(sending) => sending.await.map(Some),
        None => Ok(None),
    }
}

impl Uploads {
    pub(crate) fn new(storage: Storage, folder: String) -> Uploads {
        Uploads { storage, folder, begun: Arc::default() }
    }

    /// Sends the parts of a file that are full.
    pub(crate) fn send_full(&self, file: &mut Writing) -> Result<()> {
        while file.gathered.len() >= PART_BYTES {
            self.begin(std::slice::from_mut(file))?;
            file.sent()?;
            if file.parts.len() + 1 >= PARTS_MAX {
                return Err(Error::new(ErrorKind::Config, "a file has more parts than an object may have")
                    .context("object", &file.to)
                    .hint("make files smaller with batch_size"));
            }
            let part = file.gathered.split_to(PART_BYTES).freeze();
            file.sending = Some(start(self.send(file, part)));
        }
        Ok(())
    }

    /// Sends what is left of files.
    pub(crate) fn send_rest(&self, mut files: Vec<Writing>) -> Result<Vec<Sent>> {
        files.iter_mut().try_for_each(|file| self.send_full(file))?;
        self.begin(&mut files)?;
        let mut rests = Vec::with_capacity(files.len());
        for file in &mut files {
            file.sent()?;
            let rest = file.gathered.split().freeze();
            rests.push((!rest.is_empty()).then(|| self.send(file, rest)));
        }
        let sent: Vec<Option<String>> =
            wait(stream::iter(rests).map(last).buffered(REQUESTS_AT_ONCE).try_collect())?;
        let all = files.into_iter().zip(sent).map(|(mut file, last)| {
            file.parts.extend(last);
            Sent { upload: file.upload.unwrap_or_default(), parts: file.parts }
        });
        Ok(all.collect())
    }

    /// The next part of a file.
    fn send(&self, file: &Writing, part: Bytes) -> impl Future<Output = Result<String>> + Send + 'static {
        let (storage, to, number) = (self.storage.clone(), file.to.clone(), file.parts.len());
        let upload = file.upload.clone().unwrap_or_default();
        async move { storage.send_part(&to, &upload, number, part).await }
    }

    /// Begins the uploads of files that have none yet, and writes their names down.
    fn begin(&self, files: &mut [Writing]) -> Result<()> {
        let mut new: Vec<&mut Writing> = files.iter_mut().filter(|file| file.upload.is_none()).collect();
        let Some(epoch) = new.first().map(|file| file.epoch) else { return Ok(()) };
        let storage = self.storage.clone();
        let places: Vec<String> = new.iter().map(|file| file.to.clone()).collect();
        let begin = move |to: String| {
            let storage = storage.clone();
            async move {
                let upload = storage.begin_parts(&to).await?;
                Ok(Begun { to, upload })
            }
        };
        let begun: Vec<Begun> =
            wait(stream::iter(places).map(begin).buffered(REQUESTS_AT_ONCE).try_collect())?;
        pass("s3_file.begun.before")?;
        let uploads = {
            let mut all = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(begun.iter().cloned());
            all.clone()
        };
        let named = serde_json::to_vec(&Named { version: VERSION, uploads }).map_err(|cause| {
            Error::new(ErrorKind::Internal, "the names of uploads were not written").caused_by(cause)
        })?;
        let (storage, object) = (self.storage.clone(), join(&self.folder, &epoch.to_string()));
        wait(async move { storage.write(&object, named.into()).await })?;
        for (file, begun) in new.iter_mut().zip(begun) {
            file.upload = Some(begun.upload);
        }
        pass("s3_file.begun.after")
    }

    /// These are completed, or dropped.
    pub(crate) fn forget(&self, files: &[Placed<Sent>]) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|begun| files.iter().all(|file| file.from.upload != begun.upload));
    }

    /// Drops uploads. A missing right is no reason to stop: the bucket's rule takes them.
    pub(crate) fn abort(&self, uploads: Vec<(String, String)>) -> Result<()> {
        let storage = self.storage.clone();
        let abort = move |(to, upload): (String, String)| {
            let storage = storage.clone();
            async move {
                match storage.abort_parts(&to, &upload).await {
                    Err(error) if error.kind() == ErrorKind::Permission => {
                        tracing::warn!(
                            "an upload that was not completed is left to the bucket's rules: {error}"
                        );
                        Ok(())
                    }
                    done => done,
                }
            }
        };
        wait(stream::iter(uploads).map(abort).buffer_unordered(REQUESTS_AT_ONCE).try_collect::<()>())
    }

    /// Drops what earlier runs began and did not complete. The files of this manifest are completed.
    pub(crate) fn clean(&self, manifest: &Manifest<Sent>) -> Result<()> {
        let (storage, folder) = (self.storage.clone(), self.folder.clone());
        let objects: Vec<_> = wait(async move { storage.list(&folder).await?.try_collect().await })?;
        for object in objects {
            let (storage, named) = (self.storage.clone(), object.location.clone());
            let Some(bytes) = wait(async move { storage.read(&named).await })? else { continue };
            let left = uploads_of(&bytes).map_err(|error| error.context("object", &object.location))?;
            let completed =
                |begun: &Begun| manifest.files.iter().any(|file| file.from.upload == begun.upload);
            let left = left.into_iter().filter(|begun| !completed(begun));
            self.abort(left.map(|begun| (begun.to, begun.upload)).collect())?;
            let storage = self.storage.clone();
            wait(async move { storage.delete(&object.location).await })?;
        }
        Ok(())
    }
}

fn uploads_of(bytes: &[u8]) -> Result<Vec<Begun>> {
    match serde_json::from_slice::<Named>(bytes) {
        Ok(named) if named.version == VERSION => Ok(named.uploads),
        Ok(named) => {
            let what = format!("the names of uploads have the format {}, which is not known", named.version);
            Err(Error::new(ErrorKind::Unsupported, what).hint("run the version of culvert that wrote them"))
        }
        Err(cause) => Err(Error::new(ErrorKind::Corrupt, "the names of uploads are damaged")
            .hint("remove this object: the bucket's rule for uploads that were not completed takes what it named")
            .caused_by(cause)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The first version, as it was written. It is read for good.
    const GOLDEN: &str = r#"{"version":1,"uploads":[{"to":"s3://b/out/T_j.csv","upload":"u"}]}"#;

    #[test]
    fn the_stored_form_stays() {
        let begun = Begun { to: "s3://b/out/T_j.csv".to_owned(), upload: "u".to_owned() };
        let named = Named { version: VERSION, uploads: vec![begun.clone()] };
        assert_eq!(serde_json::to_string(&named).unwrap(), GOLDEN);
        assert_eq!(uploads_of(GOLDEN.as_bytes()).unwrap(), [begun]);
    }

    #[test]
    fn damage_and_what_is_not_known_are_errors() {
        let kind = |text: &str| uploads_of(text.as_bytes()).unwrap_err().kind();
        assert_eq!(kind(&GOLDEN.replace("\"version\":1", "\"version\":2")), ErrorKind::Unsupported);
        assert_eq!(kind(&GOLDEN[..GOLDEN.len() - 1]), ErrorKind::Corrupt);
    }
}
