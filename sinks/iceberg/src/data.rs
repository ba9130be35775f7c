//! Files under way: one per table and partition, all of them within one budget of memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Result};
use iceberg::TableIdent;
use iceberg::io::FileIO;
use iceberg::spec::{PartitionKey, SchemaRef};

use crate::error::failed;
use crate::file::OpenFile;
use crate::layout::Layout;
use crate::options::Settings;
use crate::snapshot::Wave;

/// A table and one of its partitions, by its values: NULL and the text `null` look alike in a folder's name.
type Place = (TableIdent, String);

struct Open {
    file: OpenFile,
    /// When it was last written to, counted in writes.
    used: u64,
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

    async fn begin(
        &mut self,
        layout: &Layout,
        partition: Option<PartitionKey>,
        schema: &SchemaRef,
        ending: &str,
    ) -> Result<OpenFile> {
        self.next += 1;
        let name = format!("{}-{:06}{ending}", self.prefix, self.next);
        let place = (layout.spec.spec_id(), partition);
        OpenFile::begin((&self.settings, &self.files), &layout.target.metadata, place, schema, &name).await
    }

    /// Adds rows to the files of their partitions.
    pub(crate) async fn add(&mut self, layout: &Layout, rows: &RecordBatch) -> Result<()> {
        for (partition, part) in layout.split(rows)? {
            let values = partition.as_ref().map(|key| format!("{:?}", key.data())).unwrap_or_default();
            let place = (layout.ident().clone(), values);
            if !self.open.contains_key(&place) {
                let file = self.begin(layout, partition, &layout.schema, "").await?;
                self.open.insert(place.clone(), Open { file, used: 0 });
            }
            self.used += 1;
            let Some(open) = self.open.get_mut(&place) else { continue };
            open.file.write(&part).await?;
            open.used = self.used;
            if open.file.is_full() {
                self.end(&place).await?;
            }
            self.keep_within(self.settings.memory_max / 2).await?;
        }
        Ok(())
    }

    /// Ends files until the others are within a budget; the one that was idle for longest first.
    async fn keep_within(&mut self, budget: usize) -> Result<()> {
        while self.open.len() > 1 && self.open.values().map(|open| open.file.held()).sum::<usize>() > budget {
            let coldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(place, _)| place.clone());
            let Some(coldest) = coldest else { break };
            self.end(&coldest).await?;
        }
        Ok(())
    }

    async fn end(&mut self, place: &Place) -> Result<()> {
        let Some(open) = self.open.remove(place) else { return Ok(()) };
        let ended = open.file.end().await?;
        self.add_to_wave(&place.0, Wave { data: ended, deletes: Vec::new() });
        Ok(())
    }

    /// Adds files to the wave that those of a table are in now.
    fn add_to_wave(&mut self, ident: &TableIdent, files: Wave) {
        let waves = self.waves.entry(ident.clone()).or_default();
        match waves.last_mut() {
            Some(wave) => {
                wave.data.extend(files.data);
                wave.deletes.extend(files.deletes);
            }
            None => waves.push(files),
        }
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
        self.waves.entry(ident.clone()).or_default().push(Wave::default());
        let schema = key_schema(layout)?;
        let arrow =
            iceberg::arrow::schema_to_arrow_schema(&schema).map_err(failed("keys were not picked"))?;
        let arrow = Arc::new(arrow);
        let (places, ids) = (key_places(layout), layout.key.iter().map(|(_, id)| *id).collect::<Vec<i32>>());
        for (partition, part) in layout.split(rows)? {
            let keys = part.project(&places);
            let keys =
                keys.and_then(|keys| RecordBatch::try_new(Arc::clone(&arrow), keys.columns().to_vec()));
            let keys = keys
                .map_err(|cause| Error::new(ErrorKind::Internal, "keys were not picked").caused_by(cause))?;
            let mut file = self.begin(layout, partition, &schema, "-deletes").await?;
            file.write(&keys).await?;
            let ended = file.end_as_deletes(&ids).await?;
            self.add_to_wave(&ident, Wave { data: Vec::new(), deletes: ended });
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
