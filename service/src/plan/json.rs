//! The graph as JSON; docs/plan.md describes the form.

use culvert_api::{RowKind, TableSchema};
use serde_json::{Value, json};

use super::{Plan, Shown, VERSION};
use crate::plugin_pages::contract_words;

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
    let one = |table: &std::sync::Arc<TableSchema>| {
        let columns: Vec<Value> = table
            .columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.name,
                    "type": column.data_type.to_string(),
                    "declared": column.source_type.as_ref().map(|declared| &declared.declaration),
                    "nullable": column.nullable,
                })
            })
            .collect();
        let kinds = RowKind::ALL.into_iter().filter(|kind| table.kinds.contains(*kind));
        json!({
            "name": table.id.to_string(),
            "source": table.source,
            "key": table.primary_key,
            "kinds": kinds.map(RowKind::short).collect::<Vec<&str>>(),
            "columns": columns,
        })
    };
    match &node.tables {
        Some(tables) => tables.iter().map(one).collect(),
        None => Value::Null,
    }
}
