//! `/option-rules`: a plugin's options in the words of SeaTunnel's factories.

// What the macros of utoipa write is not ours to shorten.
#![allow(unused_qualifications)]

use axum::Json;
use culvert_config::{OptionDef, OptionKind, Rule, Support};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::connectors::{PLUGINS, Plugin};
use crate::http::extract::QueryOf;
use crate::http::failure::Failure;

/// Which plugin.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RulesQuery {
    /// `source`, `transform` or `sink`.
    #[serde(rename = "type")]
    role: String,
    /// The plugin's name, in any letter case.
    plugin: String,
}

/// The options of a plugin, and the rules between them.
#[utoipa::path(get, path = "/option-rules", tag = "seatunnel", params(RulesQuery), responses(
    (status = 200, body = Value, description = "The rules"), (status = "4XX", body = Value, description = "Refused")))]
pub(super) async fn option_rules(QueryOf(query): QueryOf<RulesQuery>) -> Result<Json<Value>, Failure> {
    let role = query.role.to_ascii_lowercase();
    if !["source", "transform", "sink"].contains(&role.as_str()) {
        return Err(Failure::bad_request("`type` is source, transform or sink"));
    }
    let is_meant =
        |plugin: &&Plugin| plugin.role().section() == role && plugin.name.eq_ignore_ascii_case(&query.plugin);
    let plugin = PLUGINS.iter().find(is_meant).ok_or_else(|| {
        Failure::bad_request(format!("there is no {role} of this name")).hint("/api/v1/connectors lists them")
    })?;
    Ok(Json(json!({
        "engineType": "seatunnel",
        "pluginType": role,
        "pluginName": plugin.name,
        "optionRule": option_rule(plugin),
    })))
}

fn option_rule(plugin: &Plugin) -> Value {
    let named = |name: &str| plugin.options.iter().find(|def| def.name == name);
    let all =
        |names: &[&str]| -> Vec<Value> { names.iter().filter_map(|name| named(name)).map(option).collect() };
    let mut required: Vec<Value> = Vec::new();
    let always: Vec<Value> = plugin.options.iter().filter(|def| def.required).map(option).collect();
    if !always.is_empty() {
        required.push(json!({ "ruleType": "ABSOLUTELY_REQUIRED", "options": always }));
    }
    let mut ruled: Vec<&str> = Vec::new();
    for rule in plugin.rules {
        match *rule {
            Rule::OneOf(names) => {
                ruled.extend(names);
                required.push(json!({ "ruleType": "EXCLUSIVE", "options": all(names) }));
            }
            Rule::Together(names) => {
                ruled.extend(names);
                required.push(json!({ "ruleType": "BUNDLED", "options": all(names) }));
            }
            Rule::RequiredWhen { option: decides, is, needs } => {
                ruled.extend(needs);
                let condition = json!({
                    "option": named(decides).map(option), "expectValue": is, "operator": null, "next": null,
                });
                required.push(json!({
                    "ruleType": "CONDITIONAL",
                    "options": all(needs),
                    "expression": format!("'{decides}' == {is}"),
                    "expressionTree": { "condition": condition, "operator": null, "next": null },
                }));
            }
            // SeaTunnel has no rule that leaves all of them out.
            Rule::AtMostOne(_) => {}
        }
    }
    let is_optional = |def: &&OptionDef| {
        !def.required && !ruled.contains(&def.name) && !matches!(def.support, Support::Refused(_))
    };
    json!({
        "optionalOptions": plugin.options.iter().filter(is_optional).map(option).collect::<Vec<Value>>(),
        "requiredOptions": required,
        "conditionRules": [],
        "valueConstraints": plugin.options.iter().flat_map(bounds).collect::<Vec<Value>>(),
    })
}

fn option(def: &OptionDef) -> Value {
    let words = match def.kind {
        OptionKind::Enum(words) => Some(words),
        _ => None,
    };
    json!({
        "key": def.name,
        "type": java_type(def.kind),
        "defaultValue": default(def),
        "description": def.doc,
        "fallbackKeys": def.aliases,
        "optionValues": words,
    })
}

/// The default, typed as the option is.
fn default(def: &OptionDef) -> Value {
    let Some(text) = def.default else { return Value::Null };
    match def.kind {
        OptionKind::Int { .. } | OptionKind::Float | OptionKind::Bool | OptionKind::DurationMs => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        }
        _ => Value::String(text.to_owned()),
    }
}

fn java_type(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::String | OptionKind::Regex | OptionKind::Enum(_) => "java.lang.String",
        OptionKind::Int { .. } | OptionKind::DurationMs => "java.lang.Long",
        OptionKind::Float => "java.lang.Double",
        OptionKind::Bool => "java.lang.Boolean",
        OptionKind::List => "java.util.List<java.lang.String>",
        OptionKind::Map => "java.util.Map<java.lang.String, java.lang.String>",
        OptionKind::Objects => "java.util.List<java.util.Map<java.lang.String, java.lang.Object>>",
    }
}

/// The bounds of a number, as constraints.
fn bounds(def: &OptionDef) -> Vec<Value> {
    let OptionKind::Int { min, max } = def.kind else { return Vec::new() };
    let constraint = |sign: &str, word: &str, value: i64| {
        json!({
            "expression": format!("'{}' {sign} {value}", def.name),
            "conditionTree": {
                "option": option(def),
                "expectValue": value,
                "compareOperator": sign,
                "compareOption": null,
                "conditionOperator": word,
                "conditionOperatorCategory": "NUMERIC",
                "operator": null,
                "next": null,
            },
        })
    };
    let mut all = vec![constraint(">=", "GREATER_OR_EQUAL", min)];
    if max != i64::MAX {
        all.push(constraint("<=", "LESS_OR_EQUAL", max));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_every_plugin_that_works_is_told_once_or_more() {
        for plugin in PLUGINS {
            let told = option_rule(plugin).to_string();
            for def in plugin.options.iter().filter(|def| def.support == Support::Works) {
                assert!(told.contains(&format!("\"key\":\"{}\"", def.name)), "{} {}", plugin.name, def.name);
            }
        }
    }
}
