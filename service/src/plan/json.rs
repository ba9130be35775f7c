//! The graph as JSON; docs/plan.md describes the form.

use serde_json::{Value, json};

use super::{Plan, Shown, VERSION};
use crate::plugin_pages::contract_words;
use crate::tables::ShownTable;

/// The whole plan.
pub(super) fn write(plan: &Plan) -> String {
    let (contract, words) = contract_words(plan.delivery);
    let mut edges = Vec::new();
    for node in &plan.nodes {
        for input in node.inputs.iter().filter_map(|input| plan.nodes.get(*input)) {
            edges.push(json!({"from": input.id, "to": node.id, "tables": tables(input)}));
        }
    }
    let all = json!({
        "form": "culvert.graph",
        "version": VERSION,
        "job": plan.job,
        "mode": plan.mode,
        "delivery": {"contract": contract, "words": words},
        "nodes": plan.nodes.iter().map(|shown| node(plan, shown)).collect::<Vec<Value>>(),
        "edges": edges,
    });
    // Texts, numbers and lists always serialise.
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

fn node(plan: &Plan, node: &Shown) -> Value {
    let inputs: Vec<&str> = node
        .inputs
        .iter()
        .filter_map(|input| plan.nodes.get(*input))
        .map(|input| input.id.as_str())
        .collect();
    json!({
        "id": node.id,
        "role": node.role.section(),
        "plugin": node.plugin,
        "line": node.line,
        "parallelism": node.parallelism,
        "inputs": inputs,
        "delivery": node.delivery.map(|contract| {
            let (contract, words) = contract_words(contract);
            json!({"contract": contract, "words": words})
        }),
        "on_failure": if node.holds { "hold" } else { "stop" },
        "tables": tables(node),
        "error": node.error,
    })
}

/// The tables that leave a node, or reach a sink; null where only a server knows them.
fn tables(node: &Shown) -> Value {
    let shown = |tables: &Vec<_>| tables.iter().map(|table| json!(ShownTable::of(table))).collect();
    node.tables.as_ref().map_or(Value::Null, shown)
}
