//! Option definitions and rules as JSON, for programs that write or check job files.
//!
//! The form is described in docs/connectors-json.md. It only ever grows: a key that is there keeps
//! its meaning, and a change of meaning is a new version of the form.

use serde_json::{Value, json};

use crate::option_def::{OptionDef, OptionKind, Support};
use crate::rules::Rule;

/// The version of the form.
pub const OPTIONS_JSON_VERSION: u32 = 1;

/// One option.
pub fn option_json(def: &OptionDef) -> Value {
    let (min, max) = match def.kind {
        OptionKind::Int { min, max } => (Some(min), Some(max).filter(|max| *max != i64::MAX)),
        _ => (None, None),
    };
    let allowed = match def.kind {
        OptionKind::Enum(words) => Some(words),
        _ => None,
    };
    let (support, reason) = match def.support {
        Support::Works => ("works", None),
        Support::Refused(reason) => ("refused", Some(reason)),
        Support::Ignored(reason) => ("ignored", Some(reason)),
    };
    json!({
        "name": def.name,
        "aliases": def.aliases,
        "type": type_name(def.kind),
        "allowed": allowed,
        "min": min,
        "max": max,
        "unit": def.unit,
        "default": def.default,
        "required": def.required,
        "secret": def.secret,
        "placeholders": def.placeholders,
        "support": support,
        "reason": reason,
        "doc": def.doc,
    })
}

fn type_name(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::String => "text",
        OptionKind::Int { .. } => "integer",
        OptionKind::Float => "number",
        OptionKind::Bool => "boolean",
        OptionKind::DurationMs => "duration",
        OptionKind::List => "list",
        OptionKind::Map => "block",
        OptionKind::Objects => "list_of_blocks",
        OptionKind::Enum(_) => "choice",
        OptionKind::Regex => "pattern",
    }
}

/// One rule between options, with its words.
pub fn rule_json(rule: &Rule) -> Value {
    let words = rule.words();
    match *rule {
        Rule::OneOf(options) => json!({"rule": "one_of", "options": options, "words": words}),
        Rule::AtMostOne(options) => json!({"rule": "at_most_one", "options": options, "words": words}),
        Rule::Together(options) => json!({"rule": "together", "options": options, "words": words}),
        Rule::RequiredWhen { option, is, needs } => {
            json!({"rule": "required_when", "option": option, "is": is, "needs": needs, "words": words})
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DEFS: &[OptionDef] = &[
        OptionDef::string("url").alias(&["base-url"]).required().doc("Where."),
        OptionDef::string("password").secret().doc("The password."),
        OptionDef::string("topic").placeholders().default("${table_name}").doc("The topic."),
        OptionDef::int("least").doc("From 0 up."),
        OptionDef::int_in("between", 1, 9).unit("rows").default("3").doc("Within bounds."),
        OptionDef::float("factor").doc("A number."),
        OptionDef::boolean("enabled").default("true").doc("Whether."),
        OptionDef::duration_ms("timeout").default("30s").doc("How long."),
        OptionDef::list("names").doc("Names."),
        OptionDef::map("properties").doc("More."),
        OptionDef::objects("tables").doc("Per table."),
        OptionDef::choice("mode", &["A", "B"]).doc("Which."),
        OptionDef::regex("pattern").doc("A pattern."),
        OptionDef::boolean("xa").refused("the marker does it").doc("XA."),
        OptionDef::string("driver").ignored("there is one driver").doc("Driver."),
    ];

    const RULES: &[Rule] = &[
        Rule::OneOf(&["url", "topic"]),
        Rule::AtMostOne(&["names", "pattern"]),
        Rule::Together(&["least", "between"]),
        Rule::RequiredWhen { option: "mode", is: "B", needs: &["tables"] },
    ];

    /// Programs of others read this: the stored file is never changed, only added to.
    #[test]
    fn the_form_is_the_stored_one() {
        let options: Vec<Value> = DEFS.iter().map(option_json).collect();
        let rules: Vec<Value> = RULES.iter().map(rule_json).collect();
        let written = json!({"version": OPTIONS_JSON_VERSION, "options": options, "rules": rules});
        let written = serde_json::to_string_pretty(&written).unwrap();
        assert_eq!(written, include_str!("option_json/golden_v1.json").trim_end());
    }
}
