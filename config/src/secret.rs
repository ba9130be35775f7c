//! Values that must never be printed, and the masking of texts that may contain such values.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Serialize, Serializer};

/// What stands in place of a secret.
pub(crate) const MASK: &str = "******";

/// Parts of a key's name, without `-`, `_` and `.`, that make its value a secret.
const SECRET_PARTS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "accesskey",
    "apikey",
    "privatekey",
    "credential",
    "authorization",
    "jaasconfig",
    "webhook",
];

/// A password or the like. Every way of printing it gives `******`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself; only for handing it to a driver.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Whether a key names a secret: `password`, `sink.token`, `access_key`, `auth`, …
pub fn is_secret_key(key: &str) -> bool {
    let flat: String =
        key.chars().filter(|c| !matches!(c, '-' | '_' | '.')).flat_map(char::to_lowercase).collect();
    if SECRET_PARTS.iter().any(|part| flat.contains(part)) {
        return true;
    }
    key.split(['-', '_', '.']).next_back().is_some_and(|last| last.eq_ignore_ascii_case("auth"))
}

/// `password=…`, `"token": "…"` and the like, in URLs, texts and JSON. Group 1 is kept.
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)((?:password|passwd|pwd|passphrase|secret|token|webhook|access[_.-]?key|api[_.-]?key|",
        r"private[_.-]?key|credentials?|authorization|\bauth|jaas\.config)",
        r#"[\w.-]*["']?\s*[=:]\s*)("""[\s\S]*?"""|"(?:[^"\\]|\\.)*"|'[^']*'|[^&\s,;}\])"']+)"#,
    ))
    .expect("a fixed pattern")
});

/// `user:password@host` without a scheme in front. Group 1 is kept.
static USER_INFO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(\w:)[^\s:@/"']+@"#).expect("a fixed pattern"));

/// The paths of web hooks, whose last part is the secret: Slack's, Feishu's, WeCom's. Group 1 is kept.
static HOOK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)(https?://[^\s"'/]+/(?:[^\s"'?]*/)?(?:services|hooks?|webhook|send)[/?])[^\s"',;]+"#)
        .expect("a fixed pattern")
});

/// Replaces passwords inside a text by `******`: the one in `scheme://user:password@host`, and
/// the values of secret-looking keys in query strings, HOCON and JSON. Rather hides too much.
pub fn mask_secrets(text: &str) -> String {
    let text = mask_user_info(text);
    let text = USER_INFO.replace_all(&text, format!("${{1}}{MASK}@"));
    let text = HOOK.replace_all(&text, format!("${{1}}{MASK}"));
    ASSIGNMENT.replace_all(&text, format!("${{1}}{MASK}")).into_owned()
}

/// Masks the password between `://user:` and `@`.
fn mask_user_info(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        masked.push_str(head);
        let end = tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(tail.len());
        let (region, after) = tail.split_at(end);
        // A second URL in the same region is masked by its own turn.
        let (region, after) = match region.find("://") {
            Some(next) => tail.split_at(next),
            None => (region, after),
        };
        masked.push_str(&mask_region(region));
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// Masks one `user:password@host…`. A password may hold any character, so the last `@` counts,
/// unless what follows the colon is plainly a port.
fn mask_region(region: &str) -> String {
    let authority_end = region.find(['/', '?', '#']).unwrap_or(region.len());
    let Some(colon) = region.find(':') else { return region.to_owned() };
    let Some(at) = region.rfind('@').filter(|at| *at > colon) else { return region.to_owned() };
    let after_colon = region.get(colon + 1..authority_end).unwrap_or("");
    let port_only = !after_colon.is_empty() && after_colon.bytes().all(|b| b.is_ascii_digit());
    if port_only && at > authority_end {
        return region.to_owned();
    }
    match (region.get(..=colon), region.get(at..)) {
        (Some(head), Some(tail)) => format!("{head}{MASK}{tail}"),
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "****** ******");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"******\"");
        assert_eq!(secret.expose(), "hunter2");
        assert!(!secret.is_empty());
    }

    #[test]
    fn secret_keys_are_known_by_their_names() {
        for key in [
            "password",
            "PASSWORD",
            "db.passwd",
            "sink.token",
            "access_key",
            "secret-key",
            "auth",
            "http.auth",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["primary_keys", "author", "url", "username", "partition_key_fields", "authors"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        let cases = [
            ("mysql://root:hunter2@h:3306/db", "mysql://root:******@h:3306/db"),
            ("jdbc:mysql://root:hun@ter2@h/db", "jdbc:mysql://root:******@h/db"),
            ("x://root:hun/ter2@h/db", "x://root:******@h/db"),
            (
                "jdbc:mysql://h:3306/db?user=a&password=hunter2&x=1",
                "jdbc:mysql://h:3306/db?user=a&password=******&x=1",
            ),
            ("jdbc:mysql://h:3306/db?mail=a@b", "jdbc:mysql://h:3306/db?mail=a@b"),
            ("jdbc:mysql://h/db", "jdbc:mysql://h/db"),
            ("a://u:p@h b://v:q@i", "a://u:******@h b://v:******@i"),
            ("root:hunter2@h/db", "root:******@h/db"),
            ("at 12:30 a@b", "at 12:30 a@b"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask_secrets(text), masked);
        }
    }

    #[test]
    fn addresses_of_web_hooks_are_masked_behind_their_host() {
        for url in [
            "https://hooks.slack.com/services/T0/B0/needle",
            "https://open.feishu.cn/open-apis/bot/v2/hook/needle",
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=needle",
            "https://oapi.dingtalk.com/robot/send?access_token=needle",
        ] {
            for text in [format!("url = \"{url}\""), format!("webhook.url={url}"), format!("see {url} now")] {
                let masked = mask_secrets(&text);
                assert!(!masked.contains("needle") && masked.contains(MASK), "{masked}");
            }
        }
        let plain = "https://example.com/docs/services-and-hooks.html";
        assert_eq!(mask_secrets(plain), plain);
    }

    #[test]
    fn assignments_are_masked_in_hocon_and_json() {
        let cases = [
            (r#"password = "hunter2", url = x"#, "password = ******, url = x"),
            (r#"{"token": "hunter2", "a": 1}"#, r#"{"token": ******, "a": 1}"#),
            ("ssl.key.password=hunter2 x", "ssl.key.password=****** x"),
            (r#"secret_key = """hunter2""" "#, "secret_key = ****** "),
            (r#"password = "a\"hunter2""#, "password = ******"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask_secrets(text), masked);
        }
    }
}
