//! The page: there without a token and without any other server, and made of nothing that it is told.

use std::collections::BTreeSet;

use ureq::http::Request;

use super::api::Api;

/// What stands between these two texts, every time.
fn between<'a>(text: &'a str, before: &str, behind: &str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(behind).next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_need_no_token_and_nothing_from_elsewhere() {
    let api = Api::start("").await;
    let get = |path: &str| {
        let request = Request::builder().uri(format!("{}{path}", api.url));
        api.send(request.body(Vec::new()).expect("a request"))
    };
    let mut files = Vec::new();
    for (path, content) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let answer = get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers["content-type"].to_str().is_ok_and(|it| it.starts_with(content)), "{path}");
        let policy = answer.headers["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        // The name of SVG is no address that anybody asks.
        let text = answer.text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
        files.push(answer.text);
    }
    assert_eq!(get("/api/v1/jobs").status, 401);
    let [html, _, script] = files.as_slice() else { unreachable!("three files") };
    for danger in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"] {
        assert!(!script.contains(danger), "{danger}");
    }
    let (asked, there) = (between(script, "$(\"", "\""), between(html, "id=\"", "\""));
    assert!(asked.len() > 15, "{asked:?}");
    let views = BTreeSet::from(["view-"]);
    let lost: Vec<_> = asked.difference(&there).filter(|id| !views.contains(*id)).collect();
    assert!(lost.is_empty(), "the script asks for {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_its_files_below_another_path() {
    let api = Api::start("context-path = \"/culvert\"").await;
    let page = api.get("");
    assert_eq!(page.status, 200);
    let root = between(&page.text, "data-root=\"", "\"");
    assert_eq!(root, BTreeSet::from(["/culvert"]));
    assert!(
        page.text.contains("href=\"/culvert/page.css\"") && page.text.contains("src=\"/culvert/page.js\"")
    );
}
