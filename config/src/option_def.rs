//! How a connector declares its options: one constant table, from which values are typed, errors
//! are written and the documentation is generated.

use crate::setting::parse_text;

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptionKind {
    /// Any text.
    String,
    /// A whole number within bounds, both included.
    Int {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A decimal number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A length of time: milliseconds, or with a unit as in `10s`.
    DurationMs,
    /// Texts: a list, or one text with commas.
    List,
    /// A block of keys and texts.
    Map,
    /// A list of blocks.
    Objects,
    /// One of these words, in any letter case.
    Enum(&'static [&'static str]),
    /// A regular expression.
    Regex,
}

/// Whether an option does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Works,
    /// Setting it to anything but its default is an error; the reason is for the user.
    Refused(&'static str),
    /// Accepted without effect, with a warning; the reason is for the user.
    Ignored(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionDef {
    /// The name, dotted where it is: `startup.mode`.
    pub name: &'static str,
    /// Other names users write.
    pub aliases: &'static [&'static str],
    /// What values it takes.
    pub kind: OptionKind,
    /// The default as it would be written in a job file.
    pub default: Option<&'static str>,
    /// The unit of the value, for the documentation.
    pub unit: Option<&'static str>,
    /// Whether it must be set.
    pub required: bool,
    /// Whether its value must never be printed.
    pub secret: bool,
    /// Whether it may hold placeholders that are filled in later, such as `${table_name}` or the
    /// name of a field; otherwise a `${x}` left in the value is an error.
    pub placeholders: bool,
    /// Whether it does what it says.
    pub support: Support,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

impl OptionDef {
    const fn new(name: &'static str, kind: OptionKind) -> OptionDef {
        OptionDef {
            name,
            aliases: &[],
            kind,
            default: None,
            unit: None,
            required: false,
            secret: false,
            placeholders: false,
            support: Support::Works,
            doc: "",
        }
    }

    /// A text.
    pub const fn string(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::String)
    }

    /// A whole number from 0 up.
    pub const fn int(name: &'static str) -> OptionDef {
        OptionDef::int_in(name, 0, i64::MAX)
    }

    /// A whole number within bounds, both included.
    pub const fn int_in(name: &'static str, min: i64, max: i64) -> OptionDef {
        OptionDef::new(name, OptionKind::Int { min, max })
    }

    /// A decimal number.
    pub const fn float(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::Float)
    }

    /// `true` or `false`.
    pub const fn boolean(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::Bool)
    }

    /// A length of time in milliseconds.
    pub const fn duration_ms(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::DurationMs).unit("ms")
    }

    /// A list of texts.
    pub const fn list(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::List)
    }

    /// A block of keys and texts.
    pub const fn map(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::Map)
    }

    /// A list of blocks.
    pub const fn objects(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::Objects)
    }

    /// One of some words.
    pub const fn choice(name: &'static str, words: &'static [&'static str]) -> OptionDef {
        OptionDef::new(name, OptionKind::Enum(words))
    }

    /// A regular expression.
    pub const fn regex(name: &'static str) -> OptionDef {
        OptionDef::new(name, OptionKind::Regex)
    }

    /// Other names.
    pub const fn alias(mut self, aliases: &'static [&'static str]) -> OptionDef {
        self.aliases = aliases;
        self
    }

    /// The default, as it would be written in a job file.
    pub const fn default(mut self, text: &'static str) -> OptionDef {
        self.default = Some(text);
        self
    }

    /// The unit of the value.
    pub const fn unit(mut self, unit: &'static str) -> OptionDef {
        self.unit = Some(unit);
        self
    }

    /// Must be set.
    pub const fn required(mut self) -> OptionDef {
        self.required = true;
        self
    }

    /// Must never be printed.
    pub const fn secret(mut self) -> OptionDef {
        self.secret = true;
        self
    }

    /// May hold placeholders that are filled in later.
    pub const fn placeholders(mut self) -> OptionDef {
        self.placeholders = true;
        self
    }

    /// Not supported; the reason completes "option 'x' is not supported: …".
    pub const fn refused(mut self, reason: &'static str) -> OptionDef {
        self.support = Support::Refused(reason);
        self
    }

    /// Without effect; the reason completes "option 'x' has no effect: …".
    pub const fn ignored(mut self, reason: &'static str) -> OptionDef {
        self.support = Support::Ignored(reason);
        self
    }

    /// What it does, in one sentence.
    pub const fn doc(mut self, text: &'static str) -> OptionDef {
        self.doc = text;
        self
    }

    /// The name, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// Options that every source, transform and sink accepts.
pub const COMMON_OPTIONS: &[OptionDef] = &[
    OptionDef::string("plugin_name").doc("The plugin's name, where the blocks of a section are a list."),
    OptionDef::list("plugin_input")
        .alias(&["source_table_name"])
        .doc("The dataset to read, or several to read together; may be left out in a straight line."),
    OptionDef::string("plugin_output")
        .alias(&["result_table_name"])
        .doc("The name of the dataset this block puts out; may be left out in a straight line."),
    OptionDef::choice("failure.policy", &["stop", "hold"]).default("stop").doc(
        "Of a sink, what its failure does: `stop` ends the attempt of the whole job, `hold` lets the other sinks go on and keeps what this one lacks.",
    ),
    OptionDef::string("metadata_datasource_id").doc(
        "Of a source or sink, the id of a datasource at the metadata provider: what it gives lies under what the block says itself.",
    ),
    OptionDef::int_in("parallelism", 1, 1024).doc(
        "Of a source, how many readers work side by side; `env.parallelism` otherwise. Behind it rows keep their order, so a transform and a sink are one each whatever this says.",
    ),
];

/// What is wrong with a table of options: names that occur twice, defaults that do not fit their
/// kind, required options with a default, options without a sentence. For connectors' tests.
pub fn definition_mistakes(defs: &[OptionDef]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for def in defs {
        for name in def.names() {
            if names.contains(&name) {
                mistakes.push(format!("the name '{name}' occurs twice"));
            }
            names.push(name);
        }
        if let Some(default) = def.default {
            if def.required {
                mistakes.push(format!("'{}' is required and has a default", def.name));
            }
            if let Err(expected) = parse_text(def.kind, default) {
                mistakes.push(format!("the default of '{}' is not {expected}", def.name));
            }
        }
        if def.doc.is_empty() {
            mistakes.push(format!("'{}' has no sentence", def.name));
        }
    }
    mistakes
}
