//! Transforms of SeaTunnel that are known and not here, and what to use instead.

/// Names, why each is not supported, and what to use instead.
pub const UNSUPPORTED: &[(&str, &str, &str)] = &[
    (
        "Calcite",
        "there is one SQL transform",
        "use Sql, whose expressions and functions do the same for one table",
    ),
    ("CatalogTableMeta", "it was never part of a release", "use Metadata"),
    (
        "Deduplicate",
        "it needs a memory of all rows, and transforms have none",
        "use a sink that writes by key (`primary_keys`), where the last row counts",
    ),
    (
        "DefineSinkType",
        "it declares types in the target's own language",
        "create the target table by hand, and let the sink find it",
    ),
    ("DynamicCompile", "no Java or Groovy is compiled here", "use Sql, Replace or RegexExtract"),
    ("Embedding", "transforms call no model and no network", "compute vectors behind the target"),
    ("Encrypt", "its name is FieldEncrypt", "write FieldEncrypt"),
    ("LLM", "transforms call no model and no network", "call the model behind the target"),
    ("MultiFieldSplit", "it was never part of a release", "use Split, once per column"),
    ("Pivot", "it needs several rows at a time", "pivot with a view at the target"),
    ("Python", "no Python runs here", "use Sql, Replace or RegexExtract"),
    ("StructEvolution", "there are no columns with fields inside", "take fields apart behind the target"),
    ("TextChunk", "one row would become several of one key", "chunk texts behind the target"),
    ("TikaDocument", "documents are not parsed here", "parse them behind the target"),
];
