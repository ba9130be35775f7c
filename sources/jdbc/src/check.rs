//! What a user should know before a job starts.

use std::sync::Arc;

use culvert_api::{Error, ErrorClass, ErrorKind, Finding, Result};

use crate::options::Settings;
use crate::source::describe;

/// Everything a connected check finds.
pub(crate) async fn findings(settings: &Arc<Settings>) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for item in &settings.items {
        let mut link = match settings.database.connect(settings.has_users_sql(item)).await {
            Ok(link) => link,
            Err(error) if error.class() == ErrorClass::Transient => return Err(error),
            Err(error) => {
                let subject = if error.kind() == ErrorKind::Permission { "username" } else { "url" };
                found.push(finding(subject, &error));
                return Ok(found);
            }
        };
        let subject = item.table.as_ref().map_or_else(|| item.option.to_owned(), ToString::to_string);
        let selected = match describe(settings, &mut link, item).await {
            Ok(selected) => selected,
            Err(error) if error.class() == ErrorClass::Transient => return Err(error),
            Err(error) => {
                found.push(finding(&subject, &error));
                continue;
            }
        };
        if !selected.is_ordered() {
            found.push(
                Finding::warning(
                    &subject,
                    "rows are not read in the order of a primary key: each part is committed as one piece, and after a \
                     crash it is read again from its start",
                )
                .hint("name a table with a primary key in table_path, or cut the work by partition_column"),
            );
        }
        if item.partition.lower.is_some() || item.partition.upper.is_some() {
            found.push(Finding::warning(
                &subject,
                "rows whose partition column is outside of the bounds, or NULL, are left out",
            ));
        }
    }
    Ok(found)
}

fn finding(subject: &str, error: &Error) -> Finding {
    let mut text = error.to_string();
    if let Some(hint) = error.hint_text() {
        text = text.strip_suffix(&format!("; {hint}")).unwrap_or(&text).to_owned();
        return Finding::error(subject, text).hint(hint);
    }
    Finding::error(subject, text)
}
