//! `culvert connectors`: which plugins there are, and everything about one, for people or as JSON.

mod human;

use culvert_config::{
    COMMON_OPTIONS, ENV_OPTIONS, OPTIONS_JSON_VERSION, Role, nearest, option_json, rule_json,
};
use serde_json::{Value, json};

use crate::arguments::{ConnectorsOptions, Format};
use crate::connectors::{PLUGINS, Plugin};
use crate::plugin_pages::{Delivery, page};
use crate::terminal::{answer, complain};

/// Prints the list, or what is asked for; the exit code.
pub(crate) fn print(options: &ConnectorsOptions) -> u8 {
    let role = options.role.map(Role::from);
    let of_role = PLUGINS.iter().filter(|plugin| role.is_none_or(|role| role == plugin.role()));
    let chosen: Vec<&Plugin> = match &options.name {
        None => of_role.collect(),
        Some(name) => of_role.filter(|plugin| plugin.name.eq_ignore_ascii_case(name)).collect(),
    };
    if let (Some(name), true) = (&options.name, chosen.is_empty()) {
        complain(&unknown(name, role));
        return 2;
    }
    match (options.format, &options.name) {
        (Format::Json, _) => answer(&to_json(&chosen)),
        (Format::Human, None) => answer(&human::list(&chosen)),
        (Format::Human, Some(_)) => {
            let pages: Vec<String> = chosen.iter().map(|plugin| human::page_text(plugin)).collect();
            answer(&pages.join("\n"));
        }
    }
    0
}

fn unknown(name: &str, role: Option<Role>) -> String {
    let what = role.map_or_else(|| "plugin".to_owned(), |role| format!("{role} plugin"));
    let names = PLUGINS.iter().filter(|plugin| role.is_none_or(|role| role == plugin.role()));
    let names: Vec<&str> = names.map(|plugin| plugin.name).collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("error: there is no {what} '{name}'; did you mean '{near}'?"),
        None => format!("error: there is no {what} '{name}'; there are: {}", names.join(", ")),
    }
}

fn to_json(chosen: &[&Plugin]) -> String {
    // Texts, numbers and lists always serialise.
    serde_json::to_string_pretty(&value(chosen)).unwrap_or_default()
}

/// The catalogue in the form of docs/connectors-json.md.
pub(crate) fn value(chosen: &[&Plugin]) -> Value {
    let connectors: Vec<Value> = chosen.iter().map(|plugin| plugin_json(plugin)).collect();
    let options =
        |defs: &[culvert_config::OptionDef]| -> Vec<Value> { defs.iter().map(option_json).collect() };
    json!({
        "form": "culvert.connectors",
        "version": OPTIONS_JSON_VERSION,
        "program": env!("CARGO_PKG_VERSION"),
        "connectors": connectors,
        "common_options": options(COMMON_OPTIONS),
        "env_options": options(ENV_OPTIONS),
    })
}

fn plugin_json(plugin: &Plugin) -> Value {
    let page = page(plugin);
    let delivery: Vec<Value> = page.map_or_else(Vec::new, |page| {
        let one = |delivery: Delivery| {
            json!({"setting": delivery.setting, "contract": delivery.name, "words": delivery.words})
        };
        page.deliveries(plugin).into_iter().map(one).collect()
    });
    json!({
        "name": plugin.name,
        "role": plugin.role().section(),
        "summary": page.map(|page| page.summary),
        "options": plugin.options.iter().map(option_json).collect::<Vec<Value>>(),
        "rules": plugin.rules.iter().map(rule_json).collect::<Vec<Value>>(),
        "delivery": delivery,
        "example": page.map(|page| page.example),
    })
}
