//! Warehouses of every kind: how a job file names them, and how the engines find their tables.

use std::path::PathBuf;

use culvert_tests::lake::LakeTable;
use culvert_tests::{Database, PgVersion, RestCatalog, S3, postgres_shared, s3, scratch};

/// A warehouse, empty at first.
pub(crate) struct Warehouse {
    /// What it is, for messages.
    pub(crate) name: &'static str,
    /// What stands in `iceberg.catalog.config`.
    pub(crate) config: String,
    /// Whether a commit changes several tables at once.
    pub(crate) is_atomic: bool,
    /// The folder of its tables, where it is one.
    pub(crate) folder: PathBuf,
    found: Found,
}

/// How its tables are found.
enum Found {
    /// A folder per table below this place.
    Folder {
        place: String,
        s3: Option<LakeTable>,
    },
    Catalog(LakeTable),
}

/// What a job file says of a server of S3.
pub(crate) fn s3_config(s3: &S3) -> String {
    format!(
        "s3.endpoint = \"{}\", s3.access-key-id = \"{}\", s3.secret-access-key = \"{}\", s3.region = \"{}\", \
         s3.path-style-access = true",
        s3.url(),
        s3::KEY,
        s3::SECRET,
        s3::REGION
    )
}

impl Warehouse {
    /// A folder, without a catalog.
    pub(crate) fn folder() -> Warehouse {
        let folder = scratch::folder("wh");
        Warehouse {
            name: "a folder",
            config: format!("type = hadoop, warehouse = \"file://{}\"", folder.display()),
            is_atomic: false,
            found: Found::Folder { place: folder.display().to_string(), s3: None },
            folder,
        }
    }

    /// A bucket, without a catalog.
    pub(crate) fn bucket(s3: &S3) -> Warehouse {
        Warehouse::bucket_named(s3, &s3.fresh_bucket("lake"))
    }

    /// A bucket that is there, without a catalog: its tables are below `wh`.
    pub(crate) fn bucket_named(s3: &S3, bucket: &str) -> Warehouse {
        let place = format!("s3://{bucket}/wh");
        Warehouse {
            name: "a bucket",
            config: format!("type = hadoop, warehouse = \"{place}\", {}", s3_config(s3)),
            is_atomic: false,
            folder: PathBuf::new(),
            found: Found::Folder { place, s3: Some(LakeTable::at("").on(s3)) },
        }
    }

    /// A folder whose catalog is a file of SQLite.
    pub(crate) fn sqlite() -> Warehouse {
        let folder = scratch::folder("wh");
        let (file, tables) = (folder.join("catalog.db"), folder.join("tables"));
        let warehouse = format!("file://{}", tables.display());
        let uri = format!("sqlite:///{}", file.display());
        Warehouse {
            name: "a catalog in SQLite",
            config: format!(
                "type = jdbc, uri = \"jdbc:sqlite:{}\", warehouse = \"{warehouse}\"",
                file.display()
            ),
            is_atomic: true,
            folder: tables,
            found: Found::Catalog(LakeTable::sql(&uri, &warehouse, "")),
        }
    }

    /// A folder whose catalog is a database of PostgreSQL.
    pub(crate) async fn postgres() -> Warehouse {
        let server = postgres_shared(PgVersion::V17).await;
        let database = Database::fresh(server, "catalog").await;
        let folder = scratch::folder("wh");
        let warehouse = format!("file://{}", folder.display());
        let (user, port, name) = ("postgres", database.port(), database.name());
        let uri = format!("postgresql+psycopg2://{user}:root@127.0.0.1:{port}/{name}");
        Warehouse {
            name: "a catalog in PostgreSQL",
            config: format!(
                "type = jdbc, uri = \"{}\", jdbc.user = {user}, jdbc.password = root, warehouse = \"{warehouse}\"",
                database.url()
            ),
            is_atomic: true,
            folder,
            found: Found::Catalog(LakeTable::sql(&uri, &warehouse, "")),
        }
    }

    /// A REST catalog whose tables lie in a folder of its own.
    pub(crate) fn rest(catalog: &RestCatalog) -> Warehouse {
        Warehouse {
            name: "a REST catalog",
            config: format!("type = rest, uri = \"{}\"", catalog.url()),
            is_atomic: true,
            folder: catalog.warehouse().trim_start_matches("file://").into(),
            found: Found::Catalog(catalog.table("")),
        }
    }

    /// A REST catalog whose tables lie in a bucket, which the server reaches as the job does.
    pub(crate) fn rest_on(catalog: &RestCatalog, s3: &S3) -> Warehouse {
        Warehouse {
            name: "a REST catalog over a bucket",
            config: format!("type = rest, uri = \"{}\", {}", catalog.url(), s3_config(s3)),
            folder: PathBuf::new(),
            ..Warehouse::rest(catalog)
        }
    }

    /// The table `NAMESPACE.NAME`, for the engines.
    pub(crate) fn table(&self, name: &str) -> LakeTable {
        match &self.found {
            Found::Catalog(any) => any.clone().named(name),
            Found::Folder { place, s3 } => {
                let place = format!("{place}/{}", name.replace('.', "/"));
                s3.as_ref().map_or_else(|| LakeTable::at(&place), |any| any.clone().named(&place))
            }
        }
    }

    /// A sink into it: the tables of `namespace`, with further options.
    pub(crate) fn sink(&self, namespace: &str, options: &str) -> String {
        format!(
            "Iceberg {{\n  catalog_name = lake\n  namespace = \"{namespace}\"\n  \
             iceberg.catalog.config = {{ {} }}\n  {options}\n}}",
            self.config
        )
    }
}
