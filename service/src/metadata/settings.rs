//! Which provider there is: the block `metadata`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use culvert_config::{Block, OptionDef, Options, Problem, ProblemKind, raise_unknown_keys};

use super::Provider;
use super::environment::Environment;
use super::file::MetadataFile;
use super::http::MetadataService;

/// The options of `metadata`.
pub(crate) const METADATA_OPTIONS: &[OptionDef] = &[
    OptionDef::choice("kind", &["file", "env", "http"]).doc(
        "Who gives the options of `metadata_datasource_id`: a file, variables of the environment, or a service. Without it nobody does.",
    ),
    OptionDef::string("file.path").doc(
        "Of `file`, the file: `datasource { ID { … } }` and `table { ID { … } }`; read again at every attempt of a job. A relative path begins beside the file that names it.",
    ),
    OptionDef::string("env.prefix").default("CULVERT_DATASOURCE__").doc(
        "Of `env`, how the variables begin; the id and the option follow: `CULVERT_DATASOURCE__SHOP__PASSWORD`.",
    ),
    OptionDef::string("http.url").doc(
        "Of `http`, where datasources are asked for: `GET URL/ID` answers with a JSON object of options. Beyond this machine it begins with `https`.",
    ),
    OptionDef::string("http.table.url").doc("Of `http`, where tables are asked for: `GET URL/ID`."),
    OptionDef::string("http.token.variable").default("CULVERT_METADATA_TOKEN").doc(
        "Of `http`, the variable of the environment whose value is sent as `Authorization: Bearer …`, where it is set.",
    ),
    OptionDef::string("http.ca")
        .doc("Of `http`, the certificates to trust, as a PEM file; otherwise those of the web."),
    OptionDef::duration_ms("http.timeout")
        .default("5000")
        .doc("Of `http`, how long an answer may take, connecting included."),
];

/// The provider of a block; `None` where the block is empty.
pub(super) fn provider(block: &Block) -> Result<Option<Provider>, Vec<Problem>> {
    if block.entries.is_empty() {
        return Ok(None);
    }
    let (options, mut problems) = Options::resolve(block, METADATA_OPTIONS);
    // Nobody else reads this block.
    raise_unknown_keys(&mut problems);
    let needed = match options.enum_value("kind") {
        "file" => "file.path",
        "http" => "http.url",
        _ => "kind",
    };
    if problems.is_empty() && options.enum_value("kind") != "env" && options.str(needed).is_empty() {
        let message = format!("the block 'metadata' lacks '{needed}'");
        problems.push(
            Problem::error(ProblemKind::Missing, block.place.clone(), needed, message)
                .hint("docs/metadata.md has an example of each kind"),
        );
    }
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let provider = match options.enum_value("kind") {
        "env" => Provider::Environment(Environment { prefix: options.str("env.prefix").to_owned() }),
        "http" => Provider::Http(MetadataService::from_options(&options).map_err(|problem| vec![problem])?),
        _ => Provider::File(MetadataFile { path: beside(&options) }),
    };
    Ok(Some(provider))
}

/// The path of `file.path`, beside the file that names it.
fn beside(options: &Options) -> PathBuf {
    let path = Path::new(options.str("file.path"));
    let namer = Path::new(&*options.place("file.path").file);
    namer.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

/// How long an answer may take.
pub(super) fn timeout(options: &Options) -> Duration {
    Duration::from_millis(options.unsigned("http.timeout").clamp(10, 60_000))
}
