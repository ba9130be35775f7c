//! The interface's description: OpenAPI as JSON, and a page that lists it.
//!
//! The page is made at the start, from the same description, and needs nothing from anywhere: no script, no
//! style, no picture of another place. Both say what every copy of this program says, and so need no token.

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;

/// The description's frame.
pub(crate) fn openapi() -> OpenApi {
    let token = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token that the first start of the service printed: read looks, admin changes.",
            ))
            .build(),
    );
    let info = InfoBuilder::new()
        .title("Culvert")
        .version("1")
        .description(Some(
            "Jobs of a `culvert serve`. Paths below `/api/v1` are its own; those beside it have the shapes of \
             SeaTunnel's REST v2. Reading needs a token, changing one of the role admin.",
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(ComponentsBuilder::new().security_scheme("token", token).build()))
        .security(Some([SecurityRequirement::new("token", Vec::<String>::new())]))
        .build()
}

/// The paths.
pub(crate) fn paths() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(document)).routes(routes!(shown))
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "service", security(()), responses(
    (status = 200, body = Value, description = "OpenAPI 3.1")))]
async fn document(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.to_string())
}

/// This description as a page.
#[utoipa::path(get, path = "/docs", tag = "service", security(()), responses(
    (status = 200, body = String, content_type = "text/html", description = "The page")))]
async fn shown(State(app): State<App>) -> Html<String> {
    Html(app.page.to_string())
}

/// The description as text.
pub(crate) fn as_json(openapi: &OpenApi) -> String {
    // It is made of texts and lists.
    openapi.to_json().unwrap_or_default()
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}\
code{font-family:ui-monospace,monospace}h2{margin-top:2rem;border-bottom:1px solid #bbb}\
details{border:1px solid #ccc;border-radius:4px;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}\
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left;vertical-align:top}\
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}details,td,th{border-color:#444}}";

/// The page of `/docs`.
pub(crate) fn page(openapi: &OpenApi, context_path: &str) -> String {
    let document: Value = serde_json::from_str(&as_json(openapi)).unwrap_or_default();
    let mut text = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    text.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    text.push_str(&format!("<title>Culvert: HTTP interface</title><style>{STYLE}</style></head><body>"));
    text.push_str("<h1>Culvert: HTTP interface</h1>");
    text.push_str(&format!("<p>{}</p>", escaped(at(&document, &["info", "description"]))));
    text.push_str(&format!(
        "<p>Send <code>Authorization: Bearer TOKEN</code>. The same for programs: \
         <a href=\"{context_path}/api/v1/openapi.json\">openapi.json</a>.</p>"
    ));
    for (tag, title) in [
        ("jobs", "Jobs"),
        ("events", "Events"),
        ("plugins", "Plugins and job files"),
        ("service", "The service"),
        ("seatunnel", "As SeaTunnel's REST v2"),
    ] {
        text.push_str(&format!("<h2>{title}</h2>"));
        for (path, method, operation) in operations(&document) {
            if operation["tags"][0] == tag {
                text.push_str(&operation_html(&format!("{context_path}{path}"), method, operation));
            }
        }
    }
    text.push_str("<h2>Bodies</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        text.push_str(&format!(
            "<details id=\"{0}\"><summary><code>{0}</code> {1}</summary>{2}</details>",
            escaped(name),
            escaped(at(schema, &["description"])),
            fields(schema),
        ));
    }
    text.push_str("</body></html>");
    text
}

fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods
            .filter(|(_, operation)| operation["responses"].is_object())
            .map(move |(method, operation)| (path, method, operation))
    })
}

fn operation_html(path: &str, method: &str, operation: &Value) -> String {
    let mut text = format!(
        "<details><summary><code>{} {}</code> {}</summary>",
        escaped(&method.to_uppercase()),
        escaped(path),
        escaped(at(operation, &["summary"])),
    );
    if let Some(more) = operation["description"].as_str() {
        text.push_str(&format!("<p>{}</p>", escaped(more)));
    }
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        text.push_str("<table><tr><th>Parameter</th><th>In</th><th>Is</th><th></th></tr>");
        for parameter in parameters {
            text.push_str(&format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(at(parameter, &["name"])),
                escaped(at(parameter, &["in"])),
                type_html(&parameter["schema"]),
                escaped(at(parameter, &["description"])),
            ));
        }
        text.push_str("</table>");
    }
    for (content, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let shown = type_html(&body["schema"]);
        text.push_str(&format!("<p>Body: <code>{}</code>, {shown}</p>", escaped(content)));
    }
    text.push_str("<table><tr><th>Answer</th><th></th><th>Body</th></tr>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let bodies = response["content"].as_object().into_iter().flatten();
        let body: Vec<String> = bodies.map(|(_, body)| type_html(&body["schema"])).collect();
        text.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(status),
            escaped(at(response, &["description"])),
            body.join(" "),
        ));
    }
    text.push_str("</table></details>");
    text
}

fn fields(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(escaped).collect();
        return format!("<p>One of: {}</p>", words.join(", "));
    }
    let mut text = String::from("<table>");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        text.push_str(&format!(
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escaped(name),
            type_html(field),
            escaped(at(field, &["description"])),
        ));
    }
    text.push_str("</table>");
    text
}

/// The type of a value, with a link where it has a name.
fn type_html(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#{0}\">{0}</a>", escaped(name));
    }
    for key in ["oneOf", "allOf", "anyOf"] {
        if let Some(several) = schema[key].as_array() {
            let several: Vec<String> = several.iter().map(type_html).collect();
            return several.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", type_html(&schema["items"])),
        Value::String(kind) => escaped(kind),
        Value::Array(kinds) => {
            let kinds: Vec<String> = kinds.iter().filter_map(Value::as_str).map(escaped).collect();
            kinds.join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

fn at<'v>(value: &'v Value, keys: &[&str]) -> &'v str {
    keys.iter().fold(value, |value, key| &value[*key]).as_str().unwrap_or("")
}

/// Text that is no markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_operation_and_needs_nothing_else() {
        let (_, openapi) = crate::http::paths();
        let page = page(&openapi, "/culvert");
        let document: Value = serde_json::from_str(&as_json(&openapi)).unwrap_or_default();
        let all: Vec<_> = operations(&document).collect();
        assert!(all.len() > 20, "{all:?}");
        let mut ids: Vec<_> = all.iter().map(|(_, _, operation)| at(operation, &["operationId"])).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
        for (path, method, _) in all {
            let shown = format!("{} /culvert{path}", method.to_uppercase());
            assert!(page.contains(&escaped(&shown)), "{shown}");
        }
        assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("http://"));
        assert_eq!(document["openapi"], "3.1.0");
    }
}
