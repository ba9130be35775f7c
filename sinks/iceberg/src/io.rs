//! The library's files, on our storage.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use culvert_storage::{Storage, Upload};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile,
    Storage as IcebergStorage, StorageConfig, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The storage behind the library's files. It is never written down: the library asks that it could be.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Files {
    #[serde(skip)]
    storage: Option<Storage>,
}

/// The library's view of a storage.
pub(crate) fn file_io(storage: &Storage) -> FileIO {
    FileIOBuilder::new(Arc::new(Files { storage: Some(storage.clone()) })).build()
}

fn carry(error: culvert_api::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "the storage failed").with_source(error)
}

fn missing(path: &str) -> Error {
    let error = culvert_api::Error::new(culvert_api::ErrorKind::Corrupt, "a file of the table is gone")
        .context("location", path)
        .hint("restore it, or roll the table back to a snapshot that does without it");
    carry(error)
}

impl Files {
    fn storage(&self) -> Result<&Storage> {
        self.storage.as_ref().ok_or_else(|| Error::new(ErrorKind::Unexpected, "files without a storage"))
    }
}

#[typetag::serde(name = "CulvertFilesFactory")]
impl StorageFactory for Files {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn IcebergStorage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "CulvertFiles")]
impl IcebergStorage for Files {
    async fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.storage()?.head(path).await.map_err(carry)?.is_some())
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let found = self.storage()?.head(path).await.map_err(carry)?.ok_or_else(|| missing(path))?;
        Ok(FileMetadata { size: found.bytes })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.storage()?.read(path).await.map_err(carry)?.ok_or_else(|| missing(path))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader { storage: self.storage()?.clone(), path: path.to_owned() }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.storage()?.write(path, bytes).await.map_err(carry)
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let upload = self.storage()?.upload(path).await.map_err(carry)?;
        Ok(Box::new(Writer { upload: Some(upload) }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.storage()?.delete(path).await.map_err(carry)
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        let storage = self.storage()?;
        let mut objects = storage.list(path).await.map_err(carry)?;
        while let Some(object) = objects.next().await {
            storage.delete(&object.map_err(carry)?.location).await.map_err(carry)?;
        }
        Ok(())
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct Reader {
    storage: Storage,
    path: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.storage.read_range(&self.path, range).await.map_err(carry)
    }
}

struct Writer {
    upload: Option<Upload>,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.upload {
            Some(upload) => upload.write(bytes).await.map_err(carry),
            None => Err(Error::new(ErrorKind::Unexpected, "a file is written on behind its end")),
        }
    }

    async fn close(&mut self) -> Result<()> {
        match self.upload.take() {
            Some(upload) => upload.finish().await.map(drop).map_err(carry),
            None => Err(Error::new(ErrorKind::Unexpected, "a file is ended twice")),
        }
    }
}
