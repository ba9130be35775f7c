//! `culvert options`: the reference that `docs/options.md` holds, made from the definitions.

use culvert_config::{COMMON_OPTIONS, ENV_OPTIONS, Role, options_markdown};
use culvert_transforms::TABLE_OPTIONS;

use crate::connectors::PLUGINS;
use crate::daemon::SERVICE_OPTIONS;
use crate::events::config::{EVENTS_OPTIONS, LISTENER_OPTIONS};
use crate::http::HTTP_OPTIONS;
use crate::metadata::METADATA_OPTIONS;
use crate::terminal::answer;

/// The reference of all options.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Options\n\nMade by `culvert options` from the option definitions; do not edit. An option that is \
         *refused* stops the job with the reason given here; one that is *ignored* is accepted and has no effect.\n\n",
    );
    text.push_str(&options_markdown("The service", SERVICE_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("The service: http", HTTP_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("The service: events", EVENTS_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("A listener of events", LISTENER_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("The metadata provider: metadata", METADATA_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("env", ENV_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("Every source, transform and sink", COMMON_OPTIONS));
    text.push('\n');
    text.push_str(&options_markdown("Every transform", TABLE_OPTIONS));
    for plugin in PLUGINS {
        let role = match plugin.role() {
            Role::Source => "Source",
            Role::Transform => "Transform",
            _ => "Sink",
        };
        text.push('\n');
        text.push_str(&options_markdown(&format!("{role} {}", plugin.name), plugin.options));
    }
    text
}

/// Prints it.
pub(crate) fn print() -> u8 {
    answer(&markdown());
    0
}

#[cfg(test)]
mod tests {
    use culvert_config::definition_mistakes;

    use super::*;

    #[test]
    fn the_reference_in_the_documents_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == markdown(), "docs/options.md is stale: run `make docs`");
    }

    #[test]
    fn no_definition_contradicts_itself() {
        for plugin in PLUGINS {
            assert_eq!(definition_mistakes(plugin.options), Vec::<String>::new(), "{}", plugin.name);
        }
    }
}
