//! What `culvert check`, `plan` and `run` say of a provider that answers right, wrong, late, or not at all.

use culvert_tests::process::Finished;
use serde_json::json;

use super::web::{Answer, Web};
use super::{LIMIT, Scene};

/// In every right answer, and in nothing that is printed.
const NEEDLE: &str = "needle-access-55aa";
/// In the environment, and in nothing that is printed.
const TOKEN: &str = "needle-token-0f0f";

const JOB: &str = r#"
env { job.mode = BATCH }
source { FakeSource { row.num = 1, schema { table = "d.t", metadata_table_id = "d.t" } } }
sink { DingTalk {
  metadata_datasource_id = "team/robot"
} }
"#;

fn right() -> String {
    json!({ "url": format!("https://robot.example/send?access_token={NEEDLE}"), "messages.per.minute": 7 })
        .to_string()
}

fn scene(port: u16) -> Scene {
    let scene = Scene::new();
    scene.write(
        "culvert.conf",
        &format!(
            "metadata {{ kind = http, http.url = \"http://127.0.0.1:{port}/ds\", http.timeout = 500, http.token.variable = THE_TOKEN }}"
        ),
    );
    let columns = "fields { id = bigint }";
    scene.write("job.conf", &JOB.replace("metadata_table_id = \"d.t\"", columns));
    scene
}

fn check(scene: &Scene) -> Finished {
    let done = scene.program("check", &["--strict"]).env("THE_TOKEN", TOKEN).run(LIMIT);
    for secret in [NEEDLE, TOKEN] {
        assert!(!done.stdout.contains(secret) && !done.stderr.contains(secret), "{done:?}");
    }
    done
}

#[test]
fn a_right_answer_makes_a_job() {
    let web = Web::start(Answer::Says(200, right()));
    let scene = scene(web.port);
    check(&scene).assert_code(0);
    let plan = scene.program("plan", &[]).env("THE_TOKEN", TOKEN).run(LIMIT);
    plan.assert_code(0);
    assert!(plan.stdout.contains("DingTalk") && !plan.stdout.contains(NEEDLE), "{}", plan.stdout);
    for head in web.heard() {
        assert!(head.starts_with("GET /ds/team%2Frobot HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains(&format!("authorization: bearer {TOKEN}")), "{head}");
    }
}

#[test]
fn every_other_answer_is_told_with_its_place() {
    let web = Web::start(Answer::Silent);
    let scene = scene(web.port);
    let unknown = json!({ "url": "https://robot.example", "secrt": NEEDLE }).to_string();
    let large = format!("{{\"url\": \"{}\"}}", NEEDLE.repeat(100_000));
    let cases = [
        (Answer::Silent, 2, "it does not answer in time"),
        (Answer::Says(500, NEEDLE.to_owned()), 2, "it answers with the status 500"),
        (Answer::Says(429, String::new()), 2, "it answers with the status 429"),
        (Answer::Says(404, String::new()), 1, "knows no datasource 'team/robot'"),
        (Answer::Says(401, String::new()), 1, "look at the token in the variable THE_TOKEN"),
        (Answer::Says(302, right()), 1, "it answers with the status 302"),
        (Answer::Says(200, format!("<{NEEDLE}>")), 1, "its answer is no JSON object of options"),
        (Answer::Says(200, format!("[\"{NEEDLE}\"]")), 1, "its answer is no JSON object of options"),
        (Answer::Says(200, large), 1, "its answer has more than 1048576 bytes"),
        (Answer::Says(200, unknown), 1, "gives option 'secrt'"),
    ];
    for (answer, code, wanted) in cases {
        web.answers(answer);
        let done = check(&scene);
        done.assert_code(code);
        assert!(done.stdout.contains(wanted), "{wanted}: {}", done.stdout);
        assert!(done.stdout.contains("job.conf:5"), "{wanted}: {}", done.stdout);
        assert!(done.stdout.contains(&format!("http://127.0.0.1:{}/ds", web.port)), "{}", done.stdout);
    }
}

#[test]
fn a_service_that_is_not_there_is_told() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("an address").port()
    };
    let scene = scene(port);
    let done = check(&scene);
    done.assert_code(2);
    assert!(done.stdout.contains("it cannot be reached"), "{}", done.stdout);
    let run = scene.start().wait(LIMIT);
    run.assert_code(2);
    assert!(run.stderr.contains("cannot be asked for datasource 'team/robot'"), "{}", run.stderr);
}

#[test]
fn a_table_has_the_columns_that_the_service_tells() {
    let columns =
        json!({ "fields": { "id": "bigint", "price": "decimal(10, 2)" }, "primaryKey.columnNames": ["id"] });
    let web = Web::start(Answer::Says(200, columns.to_string()));
    let scene = scene(web.port);
    scene.write(
        "culvert.conf",
        &format!(
            "metadata {{ kind = http, http.url = \"http://127.0.0.1:1/ds\", http.table.url = \"http://127.0.0.1:{}/tables\" }}",
            web.port
        ),
    );
    scene.write(
        "job.conf",
        &JOB.replace("metadata_datasource_id = \"team/robot\"", "url = \"https://robot.example/x\""),
    );
    let plan = scene.program("plan", &["--format", "json"]).run(LIMIT);
    plan.assert_code(0);
    assert!(plan.stdout.contains("price"), "{}", plan.stdout);
    assert!(web.heard().iter().all(|head| head.starts_with("GET /tables/d.t HTTP/1.1")), "{:?}", web.heard());
}

#[test]
fn the_environment_gives_options_to_every_command() {
    let scene = Scene::new();
    scene.write("culvert.conf", "metadata { kind = env }");
    scene.write(
        "job.conf",
        &JOB.replace("metadata_table_id = \"d.t\"", "fields { id = bigint }").replace("team/robot", "robot"),
    );
    let url = format!("https://robot.example/send?access_token={NEEDLE}");
    let given = || scene.program("check", &["--strict"]).env("CULVERT_DATASOURCE__ROBOT__URL", &url);
    given().run(LIMIT).assert_code(0);
    let wrong = given().env("CULVERT_DATASOURCE__ROBOT__SECRT", NEEDLE).run(LIMIT);
    wrong.assert_code(1);
    assert!(
        wrong.stdout.contains("did you mean 'secret'?") && !wrong.stdout.contains(NEEDLE),
        "{}",
        wrong.stdout
    );
}
