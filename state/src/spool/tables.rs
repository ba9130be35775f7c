//! The file of a spool's tables: how many there are, then each schema.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, TableSchema};
use serde::{Deserialize, Serialize};

use super::failed;
use super::record::{self, Record};

/// Version of these files written now.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    tables: usize,
}

/// Writes the file, synced.
pub(super) fn write(path: &Path, tables: &[Arc<TableSchema>]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = BufWriter::new(file.map_err(|error| failed(path, error))?);
    let head = Head { version: VERSION, tables: tables.len() };
    let head = serde_json::to_vec(&head).map_err(|error| record::unwritable("head", error))?;
    let mut put = |kind, body: &[u8]| -> Result<()> {
        let frame = record::frame(kind, body)?;
        file.write_all(&frame).and_then(|()| file.write_all(body)).map_err(|error| failed(path, error))
    };
    put(record::HEAD, &head)?;
    for schema in tables {
        put(record::SCHEMA, &record::encode_schema(schema)?)?;
    }
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| failed(path, error))
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Vec<Arc<TableSchema>>> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    read_records(&mut BufReader::new(file)).map_err(|error| match error.kind() {
        ErrorKind::Corrupt => {
            Error::new(ErrorKind::Corrupt, format!("{} does not read", path.display())).caused_by(error)
        }
        _ => error,
    })
}

fn read_records(file: &mut BufReader<File>) -> Result<Vec<Arc<TableSchema>>> {
    let Record { kind: record::HEAD, body } = record::read(file)? else {
        return Err(record::damaged("it does not begin with its head"));
    };
    let head: Head = serde_json::from_slice(&body)
        .map_err(|error| record::damaged("its head does not read").caused_by(error))?;
    if head.version != VERSION {
        return Err(Error::new(
            ErrorKind::StateMismatch,
            format!("version {} of the format of tables", head.version),
        )
        .hint("use the program that wrote it, or a newer one"));
    }
    let mut tables = Vec::new();
    for _ in 0..head.tables {
        let Record { kind: record::SCHEMA, body } = record::read(file)? else {
            return Err(record::damaged("a schema is missing"));
        };
        tables.push(Arc::new(record::decode_schema(&body)?));
    }
    Ok(tables)
}
