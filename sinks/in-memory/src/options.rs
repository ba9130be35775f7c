//! The options.

use culvert_config::OptionDef;

const NO_FAILURE: &str =
    "rows are taken and nothing else; a job fails where a test says so, by the variable CULVERT_FAILPOINT";
const NO_SLEEP: &str = "rows are taken at once; env has read_limit.rows_per_second for a slow job";

/// The options of the sink `InMemory`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("assert_options_key").placeholders()
        .doc("A text that must be the same as `assert_options_value`; `${database_name}`, `${schema_name}` and `${table_name}` are filled in for each table."),
    OptionDef::string("assert_options_value").placeholders().doc("What it must be."),
    OptionDef::boolean("throw_exception").default("false").refused(NO_FAILURE).doc("Whether taking a row fails."),
    OptionDef::list("throw_runtime_exception_list").refused(NO_FAILURE).doc("Ways in which taking a row fails."),
    OptionDef::boolean("throw_out_of_memory").default("false").refused(NO_FAILURE).doc("Whether memory runs out."),
    OptionDef::boolean("throw_exception_of_committer").default("false").refused(NO_FAILURE).doc("Whether a commit fails."),
    OptionDef::boolean("checkpoint_sleep").default("false").refused(NO_SLEEP).doc("Whether a checkpoint takes long."),
    OptionDef::boolean("writer_sleep").default("false").refused(NO_SLEEP).doc("Whether taking a row takes long."),
    OptionDef::int_in("multi_table_sink_replica", 1, i64::MAX).default("1").ignored("one writer takes all tables")
        .doc("How many writers share the tables."),
];
