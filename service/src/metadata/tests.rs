//! Blocks that name options by an id, and what the providers give.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use culvert_config::{OptionDef, Problem};

use super::environment::Environment;
use super::{METADATA_OPTIONS, Missing, Provider};
use crate::job::BuiltJob;

const OPTIONS: &[OptionDef] =
    &[OptionDef::string("url"), OptionDef::string("server-id").alias(&["server_id"])];

fn job(folder: &Path, metadata: &str, sink: &str) -> BuiltJob {
    std::fs::write(folder.join("metadata.conf"), metadata).unwrap();
    let text = format!(
        "env {{ metadata {{ kind = file, file.path = metadata.conf }} }}\n\
         source {{ FakeSource {{ schema {{ fields {{ id = bigint }} }} }} }}\nsink {{ DingTalk {{\n{sink}\n}} }}\n"
    );
    let config = folder.join("job.conf");
    std::fs::write(&config, text).unwrap();
    let arguments =
        crate::arguments::JobArguments { config, variables: Vec::new(), name: None, properties: Vec::new() };
    crate::job::read(&arguments, None).unwrap()
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.to_string().rsplit('/').next().unwrap().to_owned()).collect()
}

const ROBOT: &str = "datasource { robot { url = \"https://r.example/send?access_token=needle\" } }";

#[test]
fn the_options_are_sound() {
    assert_eq!(culvert_config::definition_mistakes(METADATA_OPTIONS), Vec::<String>::new());
}

#[test]
fn a_job_is_built_of_what_the_file_gives_and_what_it_says_itself_counts() {
    let folder = tempfile::tempdir().unwrap();
    let built = job(folder.path(), ROBOT, "metadata_datasource_id = robot");
    assert_eq!(told(&built.problems), Vec::<String>::new());
    assert!(built.graph.is_some());
    assert!(
        !format!("{:?}", built.file).contains("needle"),
        "what was given is not in the file that is shown"
    );
    let own = job(folder.path(), ROBOT, "metadata_datasource_id = robot, url = \"no address\"");
    assert!(own.problems.iter().any(|problem| problem.message.contains("option `url` is no address")));
}

#[test]
fn an_id_and_an_option_that_nobody_knows_are_told_with_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let built = job(folder.path(), ROBOT, "metadata_datasource_id = robt");
    let problems: Vec<String> = built.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("job.conf:4: the metadata file"), "{problems:?}");
    assert!(problems[0].ends_with("knows no datasource 'robt'; did you mean 'robot'?"), "{problems:?}");
    let more = ROBOT.replace("url", "secrt = needle, url");
    let built = job(folder.path(), &more, "metadata_datasource_id = robot");
    let problems: Vec<String> = built.problems.iter().map(ToString::to_string).collect();
    assert!(
        problems[0].contains(
            "gives option 'secrt' for datasource 'robot', which sink DingTalk does not know; did you mean 'secret'?"
        ),
        "{problems:?}"
    );
    assert!(!problems[0].contains("needle"), "{problems:?}");
}

#[test]
fn wrong_values_say_where_they_come_from_and_secrets_stay_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = ROBOT.replace("url", "messages.per.minute = many, url");
    let problems = told(&job(folder.path(), &wrong, "metadata_datasource_id = robot").problems);
    assert!(problems[0].contains("has it for datasource 'robot'"), "{problems:?}");
    let odd = "datasource { robot { url = \"https://r.example/${needle}\" } }";
    let problems = told(&job(folder.path(), odd, "metadata_datasource_id = robot").problems);
    assert!(problems[0].contains("gives option 'url'") && !problems[0].contains("needle"), "{problems:?}");
}

#[test]
fn without_a_provider_and_in_a_transform_an_id_is_refused() {
    let text = "source { FakeSource { schema { fields { id = bigint } } } }\n\
                transform { Copy { metadata_datasource_id = x, fields { b = id } } }\n\
                sink { Console { metadata_datasource_id = x } }";
    let built = crate::job::read_text(text, Path::new("job.conf")).unwrap();
    let problems: Vec<String> = built.problems.iter().map(ToString::to_string).collect();
    assert!(problems.iter().any(|it| it.contains("job.conf:2") && it.contains("has no use")), "{problems:?}");
    assert!(
        problems.iter().any(|it| it.contains("job.conf:3") && it.contains("there is none")),
        "{problems:?}"
    );
}

#[test]
fn a_declared_table_has_the_columns_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("metadata.conf"),
        "table { shop.orders { fields { id = bigint, name = string }, primaryKey.columnNames = [id] } }",
    )
    .unwrap();
    let text = "source { FakeSource { row.num = 1, schema { table = d.t, metadata_table_id = shop.orders } } }\nsink { Console {} }";
    let config = folder.path().join("job.conf");
    std::fs::write(
        &config,
        format!("env {{ metadata {{ kind = file, file.path = metadata.conf }} }}\n{text}"),
    )
    .unwrap();
    let arguments =
        crate::arguments::JobArguments { config, variables: Vec::new(), name: None, properties: Vec::new() };
    let built = crate::job::read(&arguments, None).unwrap();
    assert_eq!(told(&built.problems), Vec::<String>::new());
    let tables = crate::tables::declared(&built.graph.unwrap()).unwrap();
    let shown = format!("{tables:?}");
    assert!(shown.contains("name"), "{shown}");
}

#[test]
fn variables_of_the_environment_are_options() {
    let environment = Environment { prefix: "P__".to_owned() };
    let variables = [
        ("P__SHOP_EU__SERVER_ID", "7"),
        ("P__SHOP_EU__PASSWRD", "needle"),
        ("P__OTHER__URL", "x"),
        ("PATH", "y"),
    ];
    let variables = || variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let found = environment.among("shop.eu", OPTIONS, variables()).unwrap();
    let keys: Vec<&str> = found.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["server-id", "passwrd"]);
    let unknown = environment.among("shopp", OPTIONS, variables()).unwrap_err();
    assert_eq!(unknown, Missing::Unknown(vec!["other".to_owned(), "shop_eu".to_owned()]));
}

#[test]
fn a_service_must_be_safe_to_ask() {
    let provider = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("culvert.conf");
        std::fs::write(&path, text).unwrap();
        let texts =
            |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Provider::from_file(&path).map(|provider| provider.is_some()).map_err(texts)
    };
    assert_eq!(provider("metadata { kind = http, http.url = \"https://m.example/ds\" }"), Ok(true));
    assert_eq!(provider("metadata { kind = http, http.url = \"http://127.0.0.1:1/ds\" }"), Ok(true));
    for (wrong, why) in [
        ("metadata { kind = http, http.url = \"http://m.example/ds\" }", "readable to everybody"),
        ("metadata { kind = http, http.url = \"https://u:p@m.example\" }", "is no address"),
        ("metadata { kind = http }", "lacks 'http.url'"),
        ("metadata { kind = file }", "lacks 'file.path'"),
        ("metadata { file.path = x }", "lacks 'kind'"),
        ("metadata { kind = file, file.pat = x }", "'file.pat'"),
        ("", "no block 'metadata'"),
    ] {
        let problems = provider(wrong).unwrap_err();
        assert!(problems.contains(why), "{wrong}: {problems}");
    }
}
