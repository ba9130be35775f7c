//! Reads a job file into ordered plugin blocks.
//!
//! An object under `source`, `transform` or `sink` is a list of plugin blocks: order and repeated
//! names are kept. A list there (the JSON form) names each plugin by `plugin_name`.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::hocon::{self, Field, Node};
use crate::nearest::nearest;
use crate::problem::{ConfigErrors, Place, Problem, ProblemKind};
use crate::resolve::Resolver;
use crate::substitute::Variables;
use crate::value::{Block, Entry, Role, Value};

/// How large a job file may be.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The sections of a job file.
const SECTIONS: [Role; 4] = [Role::Env, Role::Source, Role::Transform, Role::Sink];

/// How a job file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// HOCON, the default.
    Hocon,
    /// JSON, for names that end in `.json`.
    Json,
}

/// A job file with its variables filled in: ordered blocks, each key with its place.
#[derive(Clone)]
pub struct JobFile {
    /// The file as the user named it.
    pub path: PathBuf,
    /// The `env` section; empty when there is none.
    pub env: Block,
    /// The blocks of `source`, in order; at least one where `errors` is empty.
    pub sources: Vec<Block>,
    /// The blocks of `transform`, in order.
    pub transforms: Vec<Block>,
    /// The blocks of `sink`, in order; at least one where `errors` is empty.
    pub sinks: Vec<Block>,
    /// What is doubtful about the file as such, for example options that are set twice.
    pub warnings: Vec<Problem>,
    /// Sections and blocks that are missing or misshapen; empty unless it came from [`survey`].
    pub errors: Vec<Problem>,
}

impl fmt::Debug for JobFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobFile")
            .field("path", &self.path)
            .field("env", &self.env)
            .field("sources", &self.sources)
            .field("transforms", &self.transforms)
            .field("sinks", &self.sinks)
            .finish_non_exhaustive()
    }
}

/// Loads a job file: HOCON, or JSON when its name ends in `.json`.
///
/// `variables` are those of `-i`, in order; the process environment stands behind them. Errors
/// name the file and, where there is one, the line.
pub fn load(path: &Path, variables: &[(String, String)]) -> Result<JobFile, ConfigErrors> {
    survey(path, variables).and_then(JobFile::sound)
}

/// Loads a job file as [`load`] does, but goes on behind misshapen sections and blocks, so that a
/// check can tell everything at once: they are left out of the job and told of in its `errors`.
pub fn survey(path: &Path, variables: &[(String, String)]) -> Result<JobFile, ConfigErrors> {
    let variables = Variables::new(variables)?;
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        _ if is_json(path) => Format::Json,
        Some(extension) if ["sql", "yaml", "yml"].iter().any(|no| extension.eq_ignore_ascii_case(no)) => {
            let message = format!("job files in the form .{} are not supported", extension.to_lowercase());
            return Err(about_file(path, message).hint("write the job in HOCON or JSON").into());
        }
        _ => Format::Hocon,
    };
    let text = read_text(path)?;
    JobFile::survey(&text, path, Some(path), format, &variables)
}

/// Takes a job that was sent as text, as [`survey`] does a file. It cannot include files; `name` is what
/// messages call it.
pub fn survey_text(
    text: &str,
    name: &Path,
    format: Format,
    variables: &[(String, String)],
) -> Result<JobFile, ConfigErrors> {
    JobFile::survey(text, name, None, format, &Variables::new(variables)?)
}

/// Whether a file is JSON by its name.
pub(crate) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Reads a whole file as text, within [`MAX_FILE_BYTES`].
pub(crate) fn read_text(path: &Path) -> Result<String, Problem> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            about_file(path, "no such file".to_owned()).hint("check the path given with -c")
        }
        std::io::ErrorKind::PermissionDenied => about_file(path, "no right to read the file".to_owned()),
        _ => about_file(path, format!("the file cannot be read: {error}")),
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(about_file(path, "a folder, not a job file".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // One byte over the limit tells a file that is too large, whatever its metadata say.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(about_file(path, format!("a job file may have at most {MAX_FILE_BYTES} bytes (1 MiB)")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        let mut problem = about_file(path, "the file is not valid UTF-8".to_owned());
        problem.place.line = u32::try_from(line).ok();
        problem.hint("save it as UTF-8")
    })
}

fn about_file(path: &Path, message: String) -> Problem {
    let file: Arc<str> = path.display().to_string().into();
    Problem::error(ProblemKind::File, Place::file(&file), &*file, message)
}

impl JobFile {
    /// Parses the text of a job file; `path` is for messages and for finding included files.
    pub fn parse(
        text: &str,
        path: &Path,
        format: Format,
        variables: &Variables,
    ) -> Result<JobFile, ConfigErrors> {
        JobFile::survey(text, path, Some(path), format, variables).and_then(JobFile::sound)
    }

    /// Itself, if nothing is missing or misshapen.
    fn sound(self) -> Result<JobFile, ConfigErrors> {
        if self.errors.is_empty() { Ok(self) } else { Err(ConfigErrors(self.errors)) }
    }

    fn survey(
        text: &str,
        path: &Path,
        includes: Option<&Path>,
        format: Format,
        variables: &Variables,
    ) -> Result<JobFile, ConfigErrors> {
        let file: Arc<str> = path.display().to_string().into();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if format == Format::Json {
            check_json(text, &file)?;
        }
        let fields = hocon::parse(text, &file, includes)?;
        let mut sections = Sections {
            resolver: Resolver::new(&fields, variables),
            env: Block::new(Role::Env, "env", Place::file(&file)),
            blocks: Vec::new(),
            problems: Vec::new(),
        };
        for field in &fields {
            sections.root_field(field)?;
        }
        Ok(sections.finish(&fields, &file, path))
    }

    /// All blocks of a role, in order.
    pub fn blocks(&self, role: Role) -> &[Block] {
        match role {
            Role::Env => std::slice::from_ref(&self.env),
            Role::Source => &self.sources,
            Role::Transform => &self.transforms,
            Role::Sink => &self.sinks,
        }
    }
}

/// JSON is read by the same parser as HOCON, which would let more pass than JSON allows.
pub(crate) fn check_json(text: &str, file: &Arc<str>) -> Result<(), Problem> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| {
        let place = hocon::place_at(text, file, error.line(), error.column());
        let full = error.to_string();
        let what = full.split(" at line ").next().unwrap_or("broken").to_owned();
        let subject = format!("{place:#}");
        Problem::error(ProblemKind::Syntax, place, subject, format!("not valid JSON: {what}"))
    })
}

struct Sections<'a> {
    resolver: Resolver<'a>,
    env: Block,
    blocks: Vec<Block>,
    problems: Vec<Problem>,
}

impl<'a> Sections<'a> {
    fn root_field(&mut self, field: &'a Field) -> Result<(), Problem> {
        let Some((first, rest)) = field.path.split_first() else { return Ok(()) };
        let Some(role) = SECTIONS.into_iter().find(|role| role.section() == first) else { return Ok(()) };
        match (role, rest) {
            (Role::Env, []) => self.env_section(field),
            (Role::Env, rest) => {
                let mut entries = std::mem::take(&mut self.env.entries);
                self.resolver.set(&mut entries, field, rest)?;
                self.env.entries = entries;
                Ok(())
            }
            (role, []) => self.section(role, &field.node, &field.place),
            (role, rest) => self.plugin(role, &rest.join("."), field),
        }
    }

    fn env_section(&mut self, field: &'a Field) -> Result<(), Problem> {
        self.env.place = field.place.clone();
        match &field.node {
            Node::Object(fields) => {
                let mut entries = std::mem::take(&mut self.env.entries);
                for inner in fields {
                    self.resolver.set(&mut entries, inner, &inner.path)?;
                }
                self.env.entries = entries;
            }
            node => match self.resolver.value(node, &field.place)? {
                Some(Value::Object(entries)) => self.env.entries.extend(entries),
                None | Some(Value::Null) => {}
                Some(other) => {
                    let message = format!("section 'env' must be a block, found {}", other.shape());
                    self.misshapen(&field.place, "env", message);
                }
            },
        }
        Ok(())
    }

    /// The blocks of a section, in the order of the text.
    fn section(&mut self, role: Role, node: &'a Node, place: &Place) -> Result<(), Problem> {
        match node {
            Node::Object(fields) => {
                for field in fields {
                    self.plugin(role, &field.path.join("."), field)?;
                }
            }
            Node::Concat(pieces) => {
                for (_, piece) in pieces {
                    self.section(role, piece, place)?;
                }
            }
            node => match self.resolver.value(node, place)? {
                Some(Value::List(values)) => {
                    for value in values {
                        self.element(role, value, place);
                    }
                }
                Some(Value::Object(entries)) => {
                    for entry in entries {
                        self.named(role, entry.key, entry.value, entry.place);
                    }
                }
                None | Some(Value::Null) => {}
                Some(other) => {
                    let message =
                        format!("section '{role}' must hold plugin blocks, found {}", other.shape());
                    self.misshapen(place, role.section(), message);
                }
            },
        }
        Ok(())
    }

    /// `Name { … }` inside a section.
    fn plugin(&mut self, role: Role, name: &str, field: &'a Field) -> Result<(), Problem> {
        if let Some(value) = self.resolver.value(&field.node, &field.place)? {
            self.named(role, name.to_owned(), value, field.place.clone());
        }
        Ok(())
    }

    fn named(&mut self, role: Role, plugin: String, value: Value, place: Place) {
        match value {
            Value::Object(entries) => self.blocks.push(Block { plugin, role, entries, place }),
            other => {
                let message = format!(
                    "'{plugin}' stands directly in section '{role}' and is {}, not a plugin block",
                    other.shape()
                );
                let hint = format!("options belong inside a block such as {role} {{ Name {{ … }} }}");
                let problem = Problem::error(ProblemKind::Structure, place, plugin, message).hint(hint);
                self.problems.push(problem);
            }
        }
    }

    /// An element of a section that is a list.
    fn element(&mut self, role: Role, value: Value, section: &Place) {
        let Value::Object(entries) = value else {
            let message = format!("section '{role}' lists {}, not a plugin block", value.shape());
            self.misshapen(section, role.section(), message);
            return;
        };
        let name = entries.iter().find(|entry| entry.key == "plugin_name");
        // The block has no name but this one in front of it that could be marked.
        let place = name.map(|name| name.place.value());
        let place = place.or_else(|| entries.first().map(|entry| entry.place.clone()));
        let place = place.unwrap_or_else(|| section.clone());
        match name.and_then(|entry: &Entry| entry.value.scalar_text()).filter(|name| !name.is_empty()) {
            Some(name) => {
                let plugin = name.to_owned();
                self.blocks.push(Block { plugin, role, entries, place });
            }
            None => {
                let message = format!("a block of section '{role}' has no 'plugin_name'");
                let problem = Problem::error(ProblemKind::Structure, place, "plugin_name", message)
                    .hint("add \"plugin_name\": \"…\" to it")
                    .known_as("The 'plugin_name' option is not configured, please configure it.");
                self.problems.push(problem);
            }
        }
    }

    fn misshapen(&mut self, place: &Place, subject: &str, message: String) {
        self.problems.push(Problem::error(ProblemKind::Structure, place.clone(), subject, message));
    }

    fn finish(mut self, fields: &[Field], file: &Arc<str>, path: &Path) -> JobFile {
        let mut warnings = std::mem::take(&mut self.resolver.warnings);
        let strangers = strange_sections(fields, &self.resolver);
        // A misshapen section has been reported; that it is empty too says nothing more.
        let sound = self.problems.is_empty();
        for role in [Role::Source, Role::Sink] {
            if !sound || self.blocks.iter().any(|block| block.role == role) {
                continue;
            }
            let message = format!("the job has no {role}: section '{role}' is missing or empty");
            let word = if role == Role::Source { "Source" } else { "Sink" };
            let mut problem =
                Problem::error(ProblemKind::Structure, Place::file(file), role.section(), message)
                    .known_as(format!("Miss <{word}> config! Please check the config file."));
            let like = strangers.iter().find(|field| {
                field.path.first().is_some_and(|name| nearest(name, [role.section()]).is_some())
            });
            if let Some(field) = like {
                problem.place = field.place.clone();
                problem.hint = Some(format!("did you mean '{role}' instead of '{}'?", field.path.join(".")));
            }
            self.problems.push(problem);
        }
        for field in strangers {
            // As a misspelt section it has been told of.
            if self.problems.iter().any(|problem| problem.place == field.place) {
                continue;
            }
            let name = field.path.join(".");
            let message = format!("'{name}' is not a section of a job file and nothing refers to it");
            warnings.push(
                Problem::warning(ProblemKind::UnknownKey, field.place.clone(), name, message)
                    .hint("sections are env, source, transform and sink"),
            );
        }
        let mut job = JobFile {
            path: path.to_owned(),
            env: self.env,
            sources: Vec::new(),
            transforms: Vec::new(),
            sinks: Vec::new(),
            warnings,
            errors: self.problems,
        };
        for block in self.blocks {
            match block.role {
                Role::Transform => job.transforms.push(block),
                Role::Sink => job.sinks.push(block),
                Role::Source | Role::Env => job.sources.push(block),
            }
        }
        job
    }
}

/// Fields of the root that are no section and that no substitution reads.
fn strange_sections<'f>(fields: &'f [Field], resolver: &Resolver<'_>) -> Vec<&'f Field> {
    let strange = |field: &&Field| {
        field.path.first().is_some_and(|first| {
            SECTIONS.into_iter().all(|role| role.section() != first)
                && !resolver.used.contains(first.as_str())
        })
    };
    fields.iter().filter(strange).collect()
}

#[cfg(test)]
mod tests;
