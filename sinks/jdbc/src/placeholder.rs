//! `${table_name}` and its kin in the sink's options, filled in per upstream table.

use culvert_api::TableSchema;

/// Replaces the placeholders of one option value. A name or schema the table does not have gives
/// the default after the colon, or nothing; `${primary_key}` and `${unique_key}` of a table without
/// a key, and names that are no placeholders, stay as they are.
pub(crate) fn fill(template: &str, table: &TableSchema) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, from)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inner, after)) = from.split_once('}') else {
            out.push_str("${");
            out.push_str(from);
            return out;
        };
        let (name, default) = match inner.split_once(':') {
            Some((name, default)) => (name, Some(default.trim())),
            None => (inner, None),
        };
        match value(name, table) {
            Filled::Text(text) if !text.is_empty() => out.push_str(&text),
            Filled::Text(_) => out.push_str(default.unwrap_or_default()),
            Filled::Kept => {
                out.push_str("${");
                out.push_str(inner);
                out.push('}');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The list form: `["${primary_key}"]` and `["${field_names}"]` become real lists.
pub(crate) fn fill_list(list: &[String], table: &TableSchema) -> Vec<String> {
    if let [only] = list {
        match only.as_str() {
            "${primary_key}" | "${unique_key}" => return table.primary_key.clone(),
            "${field_names}" => return table.columns.iter().map(|column| column.name.clone()).collect(),
            _ => {}
        }
    }
    list.iter().map(|name| fill(name, table)).collect()
}

enum Filled {
    Text(String),
    Kept,
}

fn value(name: &str, table: &TableSchema) -> Filled {
    let schema = table.id.schema.as_deref();
    let text = match name {
        "database_name" => table.id.database.clone(),
        "schema_name" => schema.unwrap_or_default().to_string(),
        "table_name" => table.id.table.clone(),
        "schema_full_name" => match schema {
            Some(schema) => format!("{}.{schema}", table.id.database),
            None => table.id.database.clone(),
        },
        "table_full_name" => table.id.to_string(),
        // The vocabulary knows one key per table, so both names mean it.
        "primary_key" | "unique_key" if !table.primary_key.is_empty() => table.primary_key.join(","),
        "field_names" => {
            table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(",")
        }
        _ => return Filled::Kept,
    };
    Filled::Text(text)
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;
    use culvert_api::{Column, RowKindSet, TableId};

    use super::*;

    fn table(key: &[&str]) -> TableSchema {
        let columns = ["id", "name"].map(|name| Column::derived(name, DataType::Utf8, true)).to_vec();
        let key = key.iter().map(ToString::to_string).collect();
        TableSchema::new(TableId::new("db", "t"), 1, columns, key, RowKindSet::ALL)
    }

    #[test]
    fn every_placeholder() {
        let t = table(&["id", "name"]);
        assert_eq!(fill("${database_name}_${table_name}", &t), "db_t");
        assert_eq!(fill("${schema_name:public}.${table_name}", &t), "public.t");
        assert_eq!(fill("<${schema_name}>", &t), "<>");
        assert_eq!(fill("${schema_full_name} ${table_full_name}", &t), "db db.t");
        assert_eq!(fill("${primary_key}|${unique_key}|${field_names}", &t), "id,name|id,name|id,name");
        assert_eq!(fill("${primary_key} ${other} ${open", &table(&[])), "${primary_key} ${other} ${open");
    }

    #[test]
    fn lists() {
        let t = table(&["id", "name"]);
        assert_eq!(fill_list(&["${primary_key}".into()], &t), ["id", "name"]);
        assert_eq!(fill_list(&["a".into(), "${table_name}".into()], &t), ["a", "t"]);
    }
}
