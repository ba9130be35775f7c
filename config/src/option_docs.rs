//! Option definitions as a table for the documentation.

use std::fmt::Write;

use crate::option_def::{OptionDef, OptionKind, Support};

/// A Markdown section with a table of the options, those that are refused or without effect
/// below it. Aliases stand in the second column.
pub fn options_markdown(title: &str, defs: &[OptionDef]) -> String {
    let mut text = format!("## {title}\n\n");
    let works: Vec<&OptionDef> = defs.iter().filter(|def| def.support == Support::Works).collect();
    if !works.is_empty() {
        text.push_str("| Option | Also written | Type | Default | Meaning |\n|---|---|---|---|---|\n");
    }
    for def in works {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            def.name,
            aliases(def),
            cell(&option_type(def)),
            default_text(def),
            cell(def.doc)
        );
    }
    let others = [
        ("Refused", defs.iter().filter(|def| matches!(def.support, Support::Refused(_))).collect::<Vec<_>>()),
        (
            "Accepted without effect",
            defs.iter().filter(|def| matches!(def.support, Support::Ignored(_))).collect(),
        ),
    ];
    for (heading, list) in others {
        if list.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{heading}:\n\n");
        for def in list {
            let reason = match def.support {
                Support::Works => "",
                Support::Refused(reason) | Support::Ignored(reason) => reason,
            };
            let _ = writeln!(text, "- {}: {reason}", names(def));
        }
    }
    text
}

fn names(def: &OptionDef) -> String {
    def.names().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
}

fn aliases(def: &OptionDef) -> String {
    def.aliases.iter().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
}

/// What values an option takes, in words: `integer 1 to 9 (rows)`, or its words between backticks.
pub fn option_type(def: &OptionDef) -> String {
    let kind = match def.kind {
        OptionKind::String if def.secret => "secret text".to_owned(),
        OptionKind::String => "text".to_owned(),
        OptionKind::Int { min, max: i64::MAX } => format!("integer ≥ {min}"),
        OptionKind::Int { min, max } => format!("integer {min} to {max}"),
        OptionKind::Float => "number".to_owned(),
        OptionKind::Bool => "boolean".to_owned(),
        OptionKind::DurationMs => "duration".to_owned(),
        OptionKind::List => "list".to_owned(),
        OptionKind::Map => "block".to_owned(),
        OptionKind::Objects => "list of blocks".to_owned(),
        OptionKind::Enum(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
        OptionKind::Regex => "regular expression".to_owned(),
    };
    match def.unit {
        Some(unit) => format!("{kind} ({unit})"),
        None => kind,
    }
}

fn default_text(def: &OptionDef) -> String {
    match def.default {
        _ if def.required => "**required**".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{}`", cell(text)),
        None => "–".to_owned(),
    }
}

/// A text that does not break out of its table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_per_option_and_lists_what_is_refused() {
        let defs = [
            OptionDef::string("url").alias(&["base-url"]).required().doc("The server."),
            OptionDef::int_in("n", 1, 9).unit("rows").default("3").doc("How | many."),
            OptionDef::string("password").secret().default("").doc("The password."),
            OptionDef::choice("mode", &["A", "B"]).doc("Mode."),
            OptionDef::boolean("xa").refused("the marker does it").doc("XA."),
            OptionDef::string("driver").ignored("there is one driver").doc("Driver."),
        ];
        let expected = "## Jdbc\n\n\
            | Option | Also written | Type | Default | Meaning |\n|---|---|---|---|---|\n\
            | `url` | `base-url` | text | **required** | The server. |\n\
            | `n` |  | integer 1 to 9 (rows) | `3` | How \\| many. |\n\
            | `password` |  | secret text | empty | The password. |\n\
            | `mode` |  | `A`, `B` | – | Mode. |\n\
            \nRefused:\n\n- `xa`: the marker does it\n\
            \nAccepted without effect:\n\n- `driver`: there is one driver\n";
        assert_eq!(options_markdown("Jdbc", &defs), expected);
    }
}
