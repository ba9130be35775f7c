//! Files under way: one per table and partition, all of them within one budget of memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::join;
use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, PartitionKey, SchemaRef};
use iceberg::writer::CurrentFileStatus;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{failed, option};
use crate::layout::Layout;
use crate::options::Settings;
use crate::snapshot::Wave;

/// Bytes that a file gathers before it writes a row group.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Rows of a row group.
const GROUP_ROWS_MAX: usize = 256 << 10;
/// Bytes that an open file takes beside its rows: encoders, dictionaries, a part that is not sent yet.
const FILE_BYTES: usize = 1 << 20;
/// Bytes of a file where neither the job nor the table says.
const TARGET_BYTES: usize = 128 << 20;

/// A table and one of its partitions.
type Place = (TableIdent, String);

struct Open {
    writer: ParquetWriter,
    partition: Option<PartitionKey>,
    spec_id: i32,
    target_bytes: usize,
    /// Bytes of rows that it was given.
    given: usize,
    /// When it was last written to, counted in writes.
    used: u64,
}

impl Open {
    /// What it may hold in memory.
    fn held(&self) -> usize {
        FILE_BYTES + self.given.min(GROUP_BYTES_MAX)
    }
}

/// The files of a checkpoint.
pub(crate) struct DataFiles {
    settings: Arc<Settings>,
    files: FileIO,
    /// What the names of files begin with: they are this run's alone.
    prefix: String,
    next: u64,
    used: u64,
    open: HashMap<Place, Open>,
    waves: HashMap<TableIdent, Vec<Wave>>,
}

impl DataFiles {
    pub(crate) fn new(settings: Arc<Settings>, files: FileIO, prefix: String) -> DataFiles {
        DataFiles { settings, files, prefix, next: 0, used: 0, open: HashMap::new(), waves: HashMap::new() }
    }

    fn properties(&self, layout: &Layout) -> Result<(WriterProperties, usize)> {
        let table = layout.target.metadata.properties();
        let property = |name: &str| self.settings.property(table, name);
        let codec = property("write.parquet.compression-codec").unwrap_or("zstd");
        let level = property("write.parquet.compression-level").and_then(|text| text.parse::<i32>().ok());
        let wrong = || {
            option(
                "iceberg.table.write-props",
                &format!("has the write.parquet.compression-codec {codec} at a level that is not known"),
            )
        };
        let compression = match codec.to_lowercase().as_str() {
            "zstd" => Compression::ZSTD(
                level.map_or(Ok(ZstdLevel::default()), ZstdLevel::try_new).map_err(|_| wrong())?,
            ),
            "gzip" => {
                let level = level.map_or(Some(GzipLevel::default()), |level| {
                    GzipLevel::try_new(u32::try_from(level).ok()?).ok()
                });
                Compression::GZIP(level.ok_or_else(wrong)?)
            }
            "snappy" => Compression::SNAPPY,
            "lz4" | "lz4_raw" => Compression::LZ4_RAW,
            "uncompressed" | "none" => Compression::UNCOMPRESSED,
            _ => return Err(wrong()),
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
            .set_max_row_group_bytes(Some(GROUP_BYTES_MAX))
            .set_created_by(concat!("culvert ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let target = property("write.target-file-size-bytes").and_then(|text| text.parse().ok());
        Ok((properties, target.unwrap_or(TARGET_BYTES)))
    }

    /// A path that no file has.
    fn path(&mut self, layout: &Layout, partition: Option<&PartitionKey>, ending: &str) -> String {
        let metadata = &layout.target.metadata;
        let data = metadata.properties().get("write.data.path").cloned();
        let mut folder = data.unwrap_or_else(|| join(metadata.location(), "data"));
        if let Some(partition) = partition {
            folder = join(&folder, &partition.to_path());
        }
        self.next += 1;
        join(&folder, &format!("{}-{:06}{ending}.parquet", self.prefix, self.next))
    }

    async fn begin(
        &mut self,
        layout: &Layout,
        partition: Option<&PartitionKey>,
        schema: SchemaRef,
        ending: &str,
    ) -> Result<(ParquetWriter, usize)> {
        let (properties, target) = self.properties(layout)?;
        let path = self.path(layout, partition, ending);
        let beginning = failed("a file was not begun");
        let output = self.files.new_output(&path).map_err(beginning)?;
        let writer = ParquetWriterBuilder::new(properties, schema).build(output).await.map_err(beginning)?;
        Ok((writer, target))
    }

    /// Adds rows to the files of their partitions.
    pub(crate) async fn add(&mut self, layout: &Layout, rows: &RecordBatch) -> Result<()> {
        for (partition, part) in layout.split(rows)? {
            let path = partition.as_ref().map(PartitionKey::to_path).unwrap_or_default();
            let place = (layout.ident().clone(), path);
            if !self.open.contains_key(&place) {
                let schema = Arc::clone(&layout.schema);
                let (writer, target_bytes) = self.begin(layout, partition.as_ref(), schema, "").await?;
                let spec_id = layout.spec.spec_id();
                self.open.insert(
                    place.clone(),
                    Open { writer, partition, spec_id, target_bytes, given: 0, used: 0 },
                );
            }
            self.used += 1;
            let Some(open) = self.open.get_mut(&place) else { continue };
            open.writer.write(&part).await.map_err(failed("rows were not written"))?;
            open.given += part.get_array_memory_size();
            open.used = self.used;
            if open.writer.current_written_size() >= open.target_bytes {
                self.end(&place).await?;
            }
            self.keep_within(self.settings.memory_max / 2).await?;
        }
        Ok(())
    }

    /// Ends files until the others are within a budget; the one that was idle for longest first.
    async fn keep_within(&mut self, budget: usize) -> Result<()> {
        while self.open.len() > 1 && self.open.values().map(Open::held).sum::<usize>() > budget {
            let coldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(place, _)| place.clone());
            let Some(coldest) = coldest else { break };
            self.end(&coldest).await?;
        }
        Ok(())
    }

    async fn end(&mut self, place: &Place) -> Result<()> {
        let Some(open) = self.open.remove(place) else { return Ok(()) };
        let ended = open.writer.close().await.map_err(failed("a file was not ended"))?;
        let wave = self.wave(&place.0);
        for mut builder in ended {
            builder.partition_spec_id(open.spec_id);
            if let Some(partition) = &open.partition {
                builder.partition(partition.data().clone());
            }
            wave.data.push(builder.build().map_err(unfinished)?);
        }
        Ok(())
    }

    /// The wave that files of a table are in now.
    fn wave(&mut self, ident: &TableIdent) -> &mut Wave {
        let waves = self.waves.entry(ident.clone()).or_default();
        if waves.is_empty() {
            waves.push(Wave::default());
        }
        let last = waves.len() - 1;
        &mut waves[last]
    }

    async fn end_table(&mut self, ident: &TableIdent) -> Result<()> {
        let places: Vec<Place> = self.open.keys().filter(|(table, _)| table == ident).cloned().collect();
        for place in places {
            self.end(&place).await?;
        }
        Ok(())
    }

    /// Deletes rows that were given up to now, by their key: these are whole rows, of which the key counts.
    pub(crate) async fn delete(&mut self, layout: &Layout, rows: &RecordBatch) -> Result<()> {
        // What is given from now on is another wave, and these deletes are not about it.
        let ident = layout.ident().clone();
        self.end_table(&ident).await?;
        let waves = self.waves.entry(ident.clone()).or_default();
        if waves.last().is_some_and(|wave| !wave.data.is_empty() || !wave.deletes.is_empty()) {
            waves.push(Wave::default());
        }
        let schema = key_schema(layout)?;
        let places: Vec<usize> = key_places(layout);
        for (partition, part) in layout.split(rows)? {
            let keys = part.project(&places).and_then(|keys| {
                let arrow = iceberg::arrow::schema_to_arrow_schema(&schema)
                    .map_err(|cause| arrow_schema::ArrowError::ExternalError(Box::new(cause)))?;
                RecordBatch::try_new(Arc::new(arrow), keys.columns().to_vec())
            });
            let keys = keys
                .map_err(|cause| Error::new(ErrorKind::Internal, "keys were not picked").caused_by(cause))?;
            let (mut writer, _) =
                self.begin(layout, partition.as_ref(), Arc::clone(&schema), "-deletes").await?;
            writer.write(&keys).await.map_err(failed("deletes were not written"))?;
            let ended = writer.close().await.map_err(failed("a file of deletes was not ended"))?;
            let ids: Vec<i32> = layout.key.iter().map(|(_, id)| *id).collect();
            let spec_id = layout.spec.spec_id();
            let wave = self.wave(&ident);
            for mut builder in ended {
                builder
                    .content(DataContentType::EqualityDeletes)
                    .equality_ids(Some(ids.clone()))
                    .partition_spec_id(spec_id);
                if let Some(partition) = &partition {
                    builder.partition(partition.data().clone());
                }
                wave.deletes.push(builder.build().map_err(unfinished)?);
            }
        }
        Ok(())
    }

    /// Ends all files; nothing is under way any more but what is in the answer.
    pub(crate) async fn finish(&mut self) -> Result<HashMap<TableIdent, Vec<Wave>>> {
        let places: Vec<Place> = self.open.keys().cloned().collect();
        for place in places {
            self.end(&place).await?;
        }
        let mut waves = std::mem::take(&mut self.waves);
        for waves in waves.values_mut() {
            waves.retain(|wave| !wave.data.is_empty() || !wave.deletes.is_empty());
        }
        waves.retain(|_, waves| !waves.is_empty());
        Ok(waves)
    }
}

fn unfinished(cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, "a file was not described").caused_by(cause.to_string())
}

/// Places of the key's columns, in the order of the table's.
fn key_places(layout: &Layout) -> Vec<usize> {
    let mut places: Vec<usize> = layout.key.iter().map(|(at, _)| *at).collect();
    places.sort_unstable();
    places
}

/// The key's columns alone, with their numbers.
fn key_schema(layout: &Layout) -> Result<SchemaRef> {
    let fields = layout.schema.as_struct().fields();
    let key = key_places(layout).into_iter().filter_map(|at| fields.get(at).cloned());
    let schema =
        iceberg::spec::Schema::builder().with_schema_id(layout.schema.schema_id()).with_fields(key).build();
    schema.map(Arc::new).map_err(failed("the key's schema was not made"))
}
