//! The options.

use culvert_config::OptionDef;

/// The options of the sink `DingTalk`.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::string("url").required().secret().doc(
        "The robot's webhook, with its access token, as DingTalk shows it when the robot is made.",
    ),
    OptionDef::string("secret").secret().doc(
        "The robot's secret, where its security setting is a signature. Without it the messages are not signed.",
    ),
    OptionDef::string("message").placeholders().doc(
        "What a row becomes: a text with `${table_name}`, `${row_kind}` and `${COLUMN}` for the value of a column. Without it the table, the kind, and every column with its value.",
    ),
    OptionDef::list("at.mobiles").doc("Telephone numbers of the people that each message points out."),
    OptionDef::boolean("at.all").default("false").doc("Whether each message points out everybody."),
    OptionDef::int_in("messages.per.minute", 1, 20).default("20").doc(
        "Most messages in a minute; a robot takes twenty, and is silenced for ten minutes past them. Rows that come faster share messages, and then wait.",
    ),
];
