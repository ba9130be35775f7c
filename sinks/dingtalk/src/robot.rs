//! The robot: signs, sends, and understands the answer.
//!
//! "Custom robot access" in DingTalk's open platform: a POST of JSON to the webhook. A signed one carries the time
//! in milliseconds and the base64 of HMAC-SHA256 over `TIME\nSECRET` with the secret as the key. The answer is
//! 200 whatever became of the message: `errcode` tells.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::{Error, ErrorKind, Result};
use culvert_config::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// How long the robot may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// The robot was sent more than it takes in a minute.
const TOO_FAST: i64 = 130_101;
/// The robot's server is busy.
const BUSY: i64 = -1;

/// A robot.
pub struct Robot {
    url: Secret,
    secret: Secret,
    client: OnceLock<ureq::Agent>,
}

impl fmt::Debug for Robot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Robot").finish_non_exhaustive()
    }
}

impl Robot {
    /// Checks the address; connects to nothing. An empty secret: its messages are not signed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: the address is none.
    pub fn new(url: Secret, secret: Secret) -> Result<Robot> {
        let rest = url.expose().strip_prefix("https://").or_else(|| url.expose().strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            let error = Error::new(ErrorKind::Config, "option `url` is no address of a robot");
            return Err(error.hint("it looks like https://oapi.dingtalk.com/robot/send?access_token=…"));
        }
        Ok(Robot { url, secret, client: OnceLock::new() })
    }

    /// Sends a message off the event loop. `Ok`: the robot has taken it.
    pub(crate) async fn send(self: &Arc<Self>, message: Value) -> Result<()> {
        let robot = Arc::clone(self);
        let sent = tokio::task::spawn_blocking(move || robot.post(&message)).await;
        sent.map_err(|cause| Error::new(ErrorKind::Internal, "sending was given up").caused_by(cause))?
    }

    /// Sends a message, `{"msgtype": …}`, and waits for the answer. `Ok`: the robot has taken it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`]: it may take it later. [`ErrorKind::Config`]: it refuses it.
    pub fn post(&self, message: &Value) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let answer = self
            .client()
            .post(self.address(now)?)
            .header("Content-Type", "application/json")
            .send(message.to_string())
            .map_err(|cause| match cause {
                ureq::Error::Timeout(_) => unanswered("it does not answer in time"),
                // The text of other errors may hold the address, and with it the token.
                _ => unanswered("it cannot be reached"),
            })?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body: Option<Value> = body.ok().and_then(|body| serde_json::from_str(&body).ok());
        judge(status, body.as_ref())
    }

    /// The webhook, signed for this moment.
    fn address(&self, now_ms: u128) -> Result<String> {
        let url = self.url.expose();
        if self.secret.is_empty() {
            return Ok(url.to_owned());
        }
        let sign = signature(self.secret.expose(), now_ms)?;
        let before = if url.contains('?') { '&' } else { '?' };
        Ok(format!("{url}{before}timestamp={now_ms}&sign={}", encoded(&sign)))
    }

    fn client(&self) -> &ureq::Agent {
        self.client.get_or_init(|| {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                // Whom it would lead to was not asked for.
                .max_redirects(0)
                .timeout_global(Some(PATIENCE));
            config.build().into()
        })
    }
}

/// What an answer means.
fn judge(status: u16, body: Option<&Value>) -> Result<()> {
    if status >= 500 {
        return Err(unanswered(&format!("it answers with the status {status}")));
    }
    let code = body.and_then(|body| body.get("errcode")).and_then(Value::as_i64);
    match code {
        Some(0) if status == 200 => Ok(()),
        Some(TOO_FAST | BUSY) => Err(unanswered("it asks to wait")),
        Some(code) => {
            let said = body.and_then(|body| body.get("errmsg")).and_then(Value::as_str).unwrap_or_default();
            let said: String = said.chars().take(200).collect();
            Err(Error::new(ErrorKind::Config, format!("the robot refuses the message: {said}"))
                .context("errcode", code)
                .hint("look at the robot's security settings: secret, keywords, addresses; and at its token"))
        }
        None => Err(Error::new(ErrorKind::Config, "what answers is no robot of DingTalk")
            .context("status", status)
            .hint("option `url` is the webhook that DingTalk shows when the robot is made")),
    }
}

fn unanswered(how: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the robot has not taken a message: {how}"))
}

/// The signature for a moment.
fn signature(secret: &str, now_ms: u128) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|cause| Error::new(ErrorKind::Config, "option `secret` is no key").caused_by(cause))?;
    mac.update(format!("{now_ms}\n{secret}").as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

/// Base64 inside a query.
fn encoded(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_message_is_signed_as_the_robot_checks_it() {
        // Made with `printf '1700000000000\nSECabc' | openssl dgst -sha256 -hmac SECabc -binary | base64`.
        let sign = signature("SECabc", 1_700_000_000_000).unwrap();
        assert_eq!(sign, "jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM=");
        assert_eq!(encoded("a+b/c="), "a%2Bb%2Fc%3D");
    }

    #[test]
    fn the_code_of_an_answer_decides_and_not_its_status() {
        let said = |status: u16, body: &str| {
            let body = serde_json::from_str(body).ok();
            judge(status, body.as_ref()).map_err(|error| error.kind())
        };
        assert_eq!(said(200, r#"{"errcode":0,"errmsg":"ok"}"#), Ok(()));
        assert_eq!(said(200, r#"{"errcode":130101,"errmsg":"send too fast"}"#), Err(ErrorKind::Unavailable));
        assert_eq!(said(200, r#"{"errcode":-1,"errmsg":"busy"}"#), Err(ErrorKind::Unavailable));
        assert_eq!(said(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#), Err(ErrorKind::Config));
        assert_eq!(said(502, "<html>"), Err(ErrorKind::Unavailable));
        assert_eq!(said(200, "<html>"), Err(ErrorKind::Config));
        assert_eq!(said(404, r#"{"errcode":0}"#), Err(ErrorKind::Config));
    }
}
