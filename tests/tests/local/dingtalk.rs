//! Rows as messages, told to a robot that checks signatures and answers as it likes.

use culvert_tests::{Hook, Manner};
use serde_json::Value;

use super::Local;

/// A robot, which treats messages in these manners.
fn robot(manners: Vec<Manner>) -> Hook {
    Hook::start(manners)
}

/// The bodies that it has heard.
fn bodies(robot: &Hook) -> Vec<Value> {
    let body = |heard: culvert_tests::Heard| serde_json::from_str(&heard.body).expect("a body of JSON");
    robot.heard().into_iter().map(body).collect()
}

/// The lines of all messages.
fn lines(robot: &Hook) -> Vec<String> {
    let texts = bodies(robot).into_iter().map(|body| body["text"]["content"].as_str().map(str::to_owned));
    texts.flatten().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Five rows, told to a robot.
fn job(robot: &Hook, more: &str) -> Local {
    let rows: Vec<String> =
        (1..=5).map(|id| format!("{{ kind = INSERT, fields = [{id}, \"fruit {id}\"] }}")).collect();
    Local::new(&format!(
        r#"
env {{ job.mode = "BATCH", job.retry.interval.seconds = 0 }}
source {{
  FakeSource {{
    schema = {{ table = "shop.orders", fields {{ id = bigint, fruit = string }} }}
    rows = [ {} ]
  }}
}}
sink {{
  DingTalk {{
    url = "http://127.0.0.1:{}/robot/send?access_token=needle-token"
    {more}
  }}
}}
"#,
        rows.join(", "),
        robot.port()
    ))
}

#[test]
fn rows_arrive_as_signed_messages() {
    let robot = robot(vec![Manner::taken()]);
    let job = job(&robot, "secret = \"SECneedle\"\n    at.mobiles = [\"13800000000\"]");
    job.check().assert_code(0);
    let finished = job.run();
    finished.assert_code(0);
    let expected: Vec<String> =
        (1..=5).map(|id| format!("shop.orders +I id={id} fruit=fruit {id}")).collect();
    assert_eq!(lines(&robot), expected);
    let body = bodies(&robot).remove(0);
    assert_eq!(
        (body["msgtype"].as_str(), body["at"]["atMobiles"][0].as_str()),
        (Some("text"), Some("13800000000"))
    );
    robot.heard()[0].assert_signed("SECneedle");
    for secret in ["needle-token", "SECneedle"] {
        assert!(!finished.stderr.contains(secret) && !finished.stdout.contains(secret), "{secret}");
    }
}

#[test]
fn a_message_of_ones_own_has_the_columns_it_names() {
    let robot = robot(vec![Manner::taken()]);
    job(&robot, "message = \"${row_kind} in ${table_name}: ${fruit}!\"").run().assert_code(0);
    assert_eq!(lines(&robot)[1], "INSERT in shop.orders: fruit 2!");
    let refused = job(&robot, "message = \"${frut}\"").run();
    refused.assert_code(2);
    assert!(refused.stderr.contains("names the column frut"), "{}", refused.stderr);
}

#[test]
fn what_passes_is_waited_out_and_what_does_not_stops_the_job() {
    let slow = robot(vec![
        Manner::Answer(502, "<html>".to_owned()),
        Manner::refused(130_101, "too fast"),
        Manner::taken(),
    ]);
    job(&slow, "").run().assert_code(0);
    assert_eq!(slow.heard().len(), 3, "two attempts were waited out");
    assert!(lines(&slow).ends_with(&["shop.orders +I id=5 fruit=fruit 5".to_owned()]));
    let strict = robot(vec![Manner::refused(310_000, "sign not match")]);
    let refused = job(&strict, "").run();
    refused.assert_code(2);
    assert!(
        refused.stderr.contains("sign not match") && refused.stderr.contains("310000"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("needle-token"), "{}", refused.stderr);
}
