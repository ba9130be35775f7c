//! The sink's options.

use culvert_config::OptionDef;

const KEY_NAME: OptionDef = OptionDef::string("catalog_table_rule.primary_key_rule.primary_key_name");
const KEY_COLUMNS: OptionDef = OptionDef::list("catalog_table_rule.primary_key_rule.primary_key_columns");
const CONSTRAINTS: OptionDef = OptionDef::objects("catalog_table_rule.constraint_key_rule");
const COLUMNS: OptionDef = OptionDef::objects("catalog_table_rule.column_rule");
const ROWS: OptionDef = OptionDef::objects("row_rules");
const FIELDS: OptionDef = OptionDef::objects("field_rules");

const ROWS_DOC: &str =
    "Rules about the number of rows: blocks with `rule_type` (MIN_ROW, MAX_ROW) and `rule_value`.";
const FIELDS_DOC: &str = "Rules about fields: blocks with `field_name`, `field_type`, and `field_value`, a list of blocks with `rule_type` \
     (NULL, NOT_NULL, MIN, MAX, MIN_LENGTH, MAX_LENGTH), `rule_value` and `equals_to`.";
const KEY_COLUMNS_DOC: &str = "The columns of the table's primary key, in order.";
const COLUMNS_DOC: &str = "The table's columns, in order: blocks with `name`, `type` and `nullable`.";
const NO_KEY_NAME: &str = "a key has no name here";
const NO_CONSTRAINTS: &str = "keys other than the primary key are not carried to a sink";

/// The same option under `rules`.
const fn under_rules(def: OptionDef, name: &'static str) -> OptionDef {
    OptionDef { name, ..def }
}

/// The options of an entry of `rules.tables_configs`.
pub(crate) const TABLE_OPTIONS: &[OptionDef] = &[
    OptionDef::string("table_path").required().doc("The table the rules are about."),
    ROWS.doc(ROWS_DOC),
    FIELDS.doc(FIELDS_DOC),
    KEY_NAME.ignored(NO_KEY_NAME).doc("The name of the primary key."),
    KEY_COLUMNS.doc(KEY_COLUMNS_DOC),
    CONSTRAINTS.ignored(NO_CONSTRAINTS).doc("Other keys."),
    COLUMNS.doc(COLUMNS_DOC),
];

/// The options of the sink `Assert`.
pub const OPTIONS: &[OptionDef] = &[
    under_rules(ROWS, "rules.row_rules").doc(ROWS_DOC),
    under_rules(FIELDS, "rules.field_rules").doc(FIELDS_DOC),
    under_rules(KEY_NAME, "rules.catalog_table_rule.primary_key_rule.primary_key_name")
        .ignored(NO_KEY_NAME)
        .doc("The name of the primary key."),
    under_rules(KEY_COLUMNS, "rules.catalog_table_rule.primary_key_rule.primary_key_columns").doc(KEY_COLUMNS_DOC),
    under_rules(CONSTRAINTS, "rules.catalog_table_rule.constraint_key_rule")
        .ignored(NO_CONSTRAINTS)
        .doc("Other keys."),
    under_rules(COLUMNS, "rules.catalog_table_rule.column_rule").doc(COLUMNS_DOC),
    OptionDef::list("rules.table-names").alias(&["rules.table_names"]).doc("The tables there must be, and no other."),
    OptionDef::objects("rules.tables_configs").doc(
        "Rules for single tables: blocks with `table_path` and the options above. Rules outside of it are about every table, \
         and count the rows of all.",
    ),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX)
        .default("1")
        .ignored("one writer judges all tables")
        .doc("How many writers share the tables."),
];
