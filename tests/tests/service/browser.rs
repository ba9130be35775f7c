//! The page in a browser: what its reader sees, does, and cannot do, with real jobs behind it.
//!
//! Each view is looked at in light and dark, wide and narrow. The pictures are in `screens` of the folder that cargo
//! keeps for tests (`CARGO_TARGET_TMPDIR`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use culvert_tests::browser::{Key, Scheme, processes};
use culvert_tests::{Browser, Database, Flavor, shared, wait};
use serde_json::{Value, json};
use ureq::http::Method;

use super::LIMIT;
use super::api::{Api, ENDLESS, SHORT};

/// The password of the source, which the page never holds.
const NEEDLE: &str = "hunter2-needle";

/// Roles that somebody does something with.
const INTERACTIVE: [&str; 8] =
    ["button", "link", "textbox", "searchbox", "checkbox", "combobox", "tab", "menuitem"];

/// What the keyboard can reach, each as a text.
const REACHABLE: &str = "(() => {
  const told = (it) => it.tagName + '#' + it.id + ' ' + (it.ariaLabel ?? (it.matches('pre, .wide') ? '' : it.textContent.trim()));
  const root = document.querySelector('dialog[open]') ?? document;
  const all = [...root.querySelectorAll('a[href], button:not([disabled]), input, summary, [tabindex=\"0\"]')];
  return all.filter((it) => it.checkVisibility()).map(told);
})()";

/// Where the focus is, in the same words, and whether that can be seen.
const FOCUSED: &str = "(() => {
  const told = (it) => it.tagName + '#' + it.id + ' ' + (it.ariaLabel ?? (it.matches('pre, .wide') ? '' : it.textContent.trim()));
  const it = document.activeElement;
  if (!it || it === document.body) return null;
  const style = getComputedStyle(it);
  return { told: told(it), seen: it.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
})()";

/// The figure under a name.
fn figure(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('#figures dt')].find((it) => it.textContent === {})?.nextSibling.textContent",
        json!(name)
    )
}

/// A button, by its word.
fn button(word: &str) -> String {
    format!("[...document.querySelectorAll('#actions button')].find((it) => it.textContent === '{word}')")
}

struct Reader {
    browser: Browser,
    origin: String,
}

impl Reader {
    /// Opens the page.
    async fn open(api: &Api) -> Reader {
        let mut browser = Browser::start(1280, 900);
        browser.open(&format!("{}/", api.url));
        browser.until("document.getElementById('token')").await;
        Reader { browser, origin: format!("{}/", api.url) }
    }

    /// Signs in as a person does: the field has the focus.
    async fn sign_in(&mut self, token: &str) {
        self.browser.until("document.activeElement?.id === 'token'").await;
        self.browser.type_text(token);
        self.browser.press(Key::Enter);
        self.browser.until("document.getElementById('jobs')").await;
    }

    /// Waits until the job's state is shown as this.
    async fn until_state(&mut self, state: &str) {
        self.browser.until(&format!("document.getElementById('job-state')?.textContent === '{state}'")).await;
    }

    /// Presses Tab until the focus is on what an expression is.
    async fn go_to(&mut self, wanted: &str) {
        self.browser.until(wanted).await;
        for _ in 0..100 {
            if self.browser.eval(&format!("document.activeElement === {wanted}")) == json!(true) {
                return;
            }
            self.browser.press(Key::Tab);
        }
        panic!("Tab does not come to {wanted}");
    }

    /// Goes to an action with the keyboard and is asked.
    async fn ask_for(&mut self, word: &str) {
        self.go_to(&button(word)).await;
        self.browser.press(Key::Enter);
        self.browser.until("document.getElementById('sure').open").await;
        let asked = self.browser.eval("document.getElementById('sure-title').textContent");
        assert!(asked.as_str().is_some_and(|text| text.starts_with(word)), "{asked}");
        assert_eq!(
            self.browser.eval("document.activeElement.value"),
            "no",
            "what changes nothing has the focus"
        );
    }

    /// Says yes to what was asked, with the keyboard.
    async fn confirm(&mut self) {
        self.go_to("document.getElementById('sure-yes')").await;
        self.browser.press(Key::Enter);
        self.browser.until("!document.getElementById('sure').open").await;
    }

    /// Whatever the view is: it can be read, is not too wide, is named for those who do not see it, and every
    /// element is reached by Tab and shows it.
    fn looks_well(&mut self, view: &str) {
        for scheme in [Scheme::Light, Scheme::Dark] {
            self.browser.prefer(scheme);
            for (size, width) in [("wide", 1280), ("narrow", 390)] {
                self.browser.resize(width, 900);
                let what = format!("{view}-{}-{size}", scheme.word());
                let (judged, weak) = self.browser.weak_texts();
                assert!(judged >= 4 && weak.is_empty(), "{what}: {weak:#?} of {judged}");
                assert_eq!(self.browser.too_wide(), 0, "{what}: it scrolls sideways");
                let picture = self.browser.photograph(&screens().join(format!("{what}.png")));
                // Letters have soft edges: many colours; a page without letters has a few.
                assert!(picture.colours > 30 && picture.others > 0.005, "{what}: {picture:?}");
            }
            self.browser.resize(1280, 900);
        }
        self.browser.prefer(Scheme::Light);
        let nodes = self.browser.told_to_screen_readers();
        let is_used = |role: &str| INTERACTIVE.contains(&role);
        assert!(nodes.iter().any(|node| is_used(&node.role)), "{view}: {nodes:?}");
        let silent = nodes.iter().filter(|node| {
            let place = matches!(node.role.as_str(), "RootWebArea" | "main");
            node.name.is_empty() && !place && (is_used(&node.role) || node.focusable)
        });
        assert_eq!(silent.collect::<Vec<_>>(), Vec::<&_>::new(), "{view}");
        self.is_reached_by_keys(view);
    }

    fn is_reached_by_keys(&mut self, view: &str) {
        let words = |value: Value| serde_json::from_value::<Vec<String>>(value).expect("texts");
        let mut missing: BTreeSet<String> = words(self.browser.eval(REACHABLE)).into_iter().collect();
        assert!(missing.len() > 1, "{view}: {missing:?}");
        for _ in 0..2 * missing.len() + 4 {
            self.browser.press(Key::Tab);
            let focused = self.browser.eval(FOCUSED);
            if focused.is_null() {
                continue;
            }
            assert_eq!(focused["seen"], true, "{view}: {focused}");
            missing.remove(focused["told"].as_str().expect("a text"));
        }
        assert!(missing.is_empty(), "{view}: Tab does not come to {missing:?}");
    }

    /// Nothing was asked of anybody else, and the page complained of nothing.
    fn kept_to_itself(&mut self) {
        let requests = self.browser.requests();
        assert!(requests.len() > 5, "{requests:?}");
        let out: Vec<_> = requests
            .iter()
            .filter(|url| !url.starts_with(&self.origin) && !url.starts_with("data:"))
            .collect();
        assert!(out.is_empty(), "{out:?}");
        assert_eq!(self.browser.complaints(), Vec::<String>::new());
    }
}

/// Where the pictures are.
fn screens() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screens");
    std::fs::create_dir_all(&folder).expect("cargo's folder is ours");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_leaves_no_process_behind() {
    let mut browser = Browser::start(800, 600);
    assert_eq!(browser.eval("6 * 7"), 42);
    assert!(browser.try_eval("nothing.here").is_err_and(|thrown| thrown.contains("nothing is not defined")));
    let empty = browser.photograph(&screens().join("nothing.png"));
    assert_eq!((empty.colours, empty.others), (1, 0.0));
    let folder = browser.folder();
    assert!(processes(&folder).contains(&browser.id()), "{:?}", processes(&folder));
    drop(browser);
    assert_eq!(processes(&folder), Vec::<u32>::new());
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_watched_and_led_with_the_keyboard_alone() {
    let api = Api::start("").await;
    let id = api.submit(ENDLESS);
    api.until_it_moves(&id).await;
    let mut reader = Reader::open(&api).await;
    reader.looks_well("sign-in");
    assert_eq!(reader.browser.eval("document.getElementById('notice').textContent"), "");
    reader.browser.eval("document.getElementById('token').focus()");
    reader.browser.type_text("culvert_admin_wrong");
    reader.browser.press(Key::Enter);
    reader.browser.until("document.getElementById('notice').textContent.includes('not known')").await;
    reader.sign_in(&api.admin).await;
    // The list: state, rate and lag.
    let row = "[...document.querySelectorAll('#jobs tr')].map((row) => [...row.cells].map((cell) => cell.textContent))";
    reader.browser.until(&format!("parseFloat({row}[0]?.[2]) > 0")).await;
    let rows = reader.browser.eval(row);
    assert_eq!((&rows[0][0], &rows[0][1]), (&json!("endless"), &json!("RUNNING")), "{rows}");
    assert!(rows[0][4].as_str().is_some_and(|lag| lag.ends_with("ms") || lag.ends_with(" s")), "{rows}");
    reader.looks_well("jobs");
    reader.go_to("document.querySelector('#jobs a')").await;
    reader.browser.press(Key::Enter);
    reader.until_state("RUNNING").await;
    let graph = reader.browser.until("document.querySelector('#graph title')?.textContent").await;
    assert_eq!(graph, "source FakeSource; sink InMemory reads from FakeSource");
    // Rates and figures move by themselves.
    let rate = format!("parseFloat({})", figure("Rows read per second"));
    reader.browser.until(&format!("{rate} > 0")).await;
    for moving in ["Rows committed", "Checkpoints"] {
        let before = reader.browser.until(&figure(moving)).await;
        reader.browser.until(&format!("{} !== {before}", figure(moving))).await;
    }
    reader.browser.until("/rows\\/s read/.test(document.getElementById('graph').textContent)").await;
    reader.browser.until("document.querySelectorAll('#tables tr').length === 2").await;
    reader.browser.until("document.getElementById('log').textContent.includes('INFO')").await;
    reader.browser.until("document.getElementById('file').textContent.includes('FakeSource')").await;
    reader.looks_well("job");
    // A question that is refused changes nothing, whichever way.
    reader.ask_for("Pause").await;
    reader.looks_well("question");
    reader.browser.press(Key::Escape);
    reader.browser.until("!document.getElementById('sure').open").await;
    reader.ask_for("Pause").await;
    reader.go_to("document.querySelector('#sure button[value=no]')").await;
    reader.browser.press(Key::Enter);
    reader.browser.until("!document.getElementById('sure').open").await;
    assert_eq!(api.job(&id)["status"], "RUNNING");
    assert!(
        api.audit().iter().all(|line| !line["path"].as_str().is_some_and(|path| path.ends_with("pause")))
    );
    for (action, state) in [
        ("Pause", "SAVEPOINT_DONE"),
        ("Restore", "RUNNING"),
        ("Savepoint", "SAVEPOINT_DONE"),
        ("Restore", "RUNNING"),
        ("Cancel", "CANCELED"),
    ] {
        reader.ask_for(action).await;
        reader.confirm().await;
        reader.until_state(state).await;
        assert_eq!(api.job(&id)["status"], state, "{action}");
        // The button is gone, and the focus is not.
        assert_eq!(reader.browser.eval("document.activeElement.id"), "job-title", "{action}");
    }
    reader.ask_for("Forget").await;
    reader.confirm().await;
    reader.browser.until("document.getElementById('no-jobs')?.checkVisibility()").await;
    reader.kept_to_itself();
    api.running.terminate(LIMIT).assert_code(0);
}

/// Keeps the page from hearing of one job's tables once, until `late` is called: a look at the job waits for that.
const HELD_BACK: &str = "(() => {
  const real = window.fetch;
  window.fetch = async (path, options) => {
    const answer = await real(path, options);
    if (window.late || !path.endsWith('/metrics')) return answer;
    const body = await answer.json();
    await new Promise((go) => (window.late = go));
    return { ok: true, status: 200, json: async () => body };
  };
})()";

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_come_late_are_not_shown() {
    let api = Api::start("").await;
    let id = api.submit(ENDLESS);
    api.until_it_moves(&id).await;
    let mut reader = Reader::open(&api).await;
    reader.sign_in(&api.admin).await;
    reader.go_to("document.querySelector('#jobs a')").await;
    reader.browser.press(Key::Enter);
    reader.until_state("RUNNING").await;
    reader.browser.eval(HELD_BACK);
    reader.browser.until("typeof window.late === 'function'").await;
    reader.ask_for("Pause").await;
    reader.confirm().await;
    reader.until_state("SAVEPOINT_DONE").await;
    // Everything that follows from the answers is done before a timer of the page is.
    reader.browser.eval("window.late(), new Promise((go) => setTimeout(go))");
    assert_eq!(reader.browser.eval("document.getElementById('job-state').textContent"), "SAVEPOINT_DONE");
    // A view that is left is not told of what it asked for.
    reader.browser.eval("window.late = null");
    reader.browser.until("typeof window.late === 'function'").await;
    api.call(Method::DELETE, &format!("/api/v1/jobs/{id}"), &Value::Null);
    reader.browser.eval("location.hash = '#/'");
    reader.browser.until("document.getElementById('no-jobs')?.checkVisibility()").await;
    reader.browser.eval("window.late(), new Promise((go) => setTimeout(go))");
    assert_eq!(reader.browser.eval("document.getElementById('notice').textContent"), "");
    reader.kept_to_itself();
    api.running.terminate(LIMIT).assert_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_read_is_offered_no_actions() {
    let api = Api::start("").await;
    let id = api.submit(ENDLESS);
    api.until_it_moves(&id).await;
    let failing = SHORT.replace(
        "InMemory { }",
        "Assert { rules { row_rules = [{ rule_type = MAX_ROW, rule_value = 1 }] } }",
    );
    let failed = api.submit(&failing);
    api.until(&failed, "FAILED").await;
    let mut reader = Reader::open(&api).await;
    reader.sign_in(&api.read).await;
    reader.browser.until("document.querySelectorAll('#jobs tr').length === 2").await;
    reader.browser.until("document.getElementById('jobs').textContent.includes('MAX_ROW')").await;
    reader.looks_well("jobs-with-a-failed-one");
    // The filter shows some of them.
    reader.go_to("document.getElementById('filter')").await;
    reader.browser.type_text("endl");
    reader.browser.until("document.querySelectorAll('#jobs tr').length === 1").await;
    for (id, state) in [(&id, "RUNNING"), (&failed, "FAILED")] {
        reader.browser.eval(&format!("location.hash = '#/jobs/{id}'"));
        reader.until_state(state).await;
        reader.browser.until("document.getElementById('file').textContent").await;
        assert_eq!(reader.browser.eval("document.querySelectorAll('#actions button').length"), 0, "{state}");
    }
    reader.looks_well("job-failed");
    // The same tab with another token.
    reader.browser.click("#sign-out");
    reader.browser.until("document.activeElement?.id === 'token'").await;
    assert_eq!(reader.browser.eval("sessionStorage.length + localStorage.length"), 0);
    reader.browser.type_text(&api.admin);
    reader.browser.press(Key::Enter);
    reader.browser.until(&button("Restore")).await;
    reader.browser.eval(&format!("location.hash = '#/jobs/{id}'"));
    reader.browser.until(&button("Cancel")).await;
    reader.kept_to_itself();
    api.running.terminate(LIMIT).assert_code(0);
}

/// Columns, types and kinds of what passes; the checkpoint that the sink has committed.
async fn tells_of_edges_and_checkpoints(reader: &mut Reader, api: &Api, id: &str, database: &str) {
    let first = "document.querySelector('#edges summary')";
    reader.browser.until(first).await;
    let edges =
        reader.browser.eval("[...document.querySelectorAll('#edges summary')].map((it) => it.textContent)");
    assert_eq!(edges, json!(["MySQL-CDC → TableRename: 1 table", "TableRename → Jdbc: 1 table"]));
    reader.go_to(first).await;
    reader.browser.press(Key::Enter);
    reader.browser.until("document.querySelector('#edges table').checkVisibility()").await;
    let caption = reader.browser.eval("document.querySelector('#edges caption').textContent");
    assert_eq!(caption, format!("{database}.orders, key id, rows +I -U +U -D"));
    let columns = reader.browser.eval(
        "[...document.querySelector('#edges tbody').rows].map((row) => [...row.cells].map((cell) => cell.textContent))",
    );
    assert_eq!(
        columns,
        json!([["id", "Int32", "int(11)", "never"], ["item", "Utf8", "varchar(40)", "may be"]])
    );
    let told = api.get(&format!("/api/v1/jobs/{id}/edges")).ok();
    assert_eq!(told["vertices"][1]["tables"][0]["name"], format!("{database}.orders_copy"));
    assert_eq!(
        (&told["vertices"][2]["tables"], &told["vertices"][2]["error"]),
        (&told["vertices"][1]["tables"], &Value::Null)
    );
    let row = "[...document.querySelector('#sinks tr').cells].map((cell) => cell.textContent)";
    reader
        .browser
        .until(&format!("JSON.stringify({row}.slice(2)) === '[\"0\",\"rows as they come\"]'"))
        .await;
    let job = api.job(id);
    let (sink, last) = (&job["sinks"][0], &job["last_checkpoint"]);
    assert_eq!((&sink["sink"], &sink["state"]), (&json!("sink.jdbc"), &json!("live")), "{job}");
    let behind =
        last["id"].as_u64().zip(sink["committed"].as_u64()).map(|(last, committed)| last.abs_diff(committed));
    assert!(behind.is_some_and(|behind| behind <= 1), "{job}");
    reader.browser.until("document.getElementById('checkpoint').textContent.startsWith('Checkpoint ')").await;
    reader.browser.until("document.getElementById('events').textContent.includes('SNAPSHOT_FINISHED')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_followed_through_its_snapshot_and_a_crash_of_the_service() {
    let server = shared(Flavor::MariaDb).await;
    let database = Database::fresh(server, "browser").await;
    let (name, account) = (database.name().to_owned(), format!("'{}'@'%'", database.name()));
    server
        .execute(&[
            &format!("CREATE USER {account} IDENTIFIED BY '{NEEDLE}'"),
            &format!("GRANT ALL ON *.* TO {account}"),
            &format!("CREATE TABLE {name}.orders (id INT PRIMARY KEY, item VARCHAR(40))"),
        ])
        .await;
    database.run(&["INSERT INTO orders SELECT seq, CONCAT('item ', seq) FROM seq_1_to_2000"]).await;
    let api = Api::start("").await;
    let port = api.url.rsplit(':').next().expect("a port").to_owned();
    // Slow enough that its snapshot is seen.
    let id = api.submit(&format!(
        "env {{ job.name = mirror, job.mode = STREAMING, checkpoint.interval = 200, read_limit.rows_per_second = 40 }}\n\
         source {{ MySQL-CDC {{ url = \"{url}\", username = {name}, password = \"{NEEDLE}\", table-names = [\"{name}.orders\"],\n\
           snapshot.split.size = 40, schema-changes.enabled = true }} }}\n\
         transform {{ TableRename {{ suffix = \"_copy\" }} }}\n\
         sink {{ Jdbc {{ url = \"{url}\", driver = \"com.mysql.cj.jdbc.Driver\", username = {name}, password = \"{NEEDLE}\",\n\
           database = {name}, generate_sink_sql = true }} }}\n",
        url = database.url(),
    ));
    let mut reader = Reader::open(&api).await;
    reader.sign_in(&api.admin).await;
    reader.browser.until("document.querySelector('#jobs a')").await;
    reader.browser.click("#jobs a");
    let part = "(() => { const bar = document.getElementById('chunks'); return bar?.checkVisibility() && bar.value > 0 && bar.value < bar.max; })()";
    reader.browser.until(part).await;
    reader.looks_well("snapshot");
    api.post(&format!("/api/v1/jobs/{id}/limit"), &json!({ "rows_per_second": 0 })).ok();
    reader.browser.until("(() => { const bar = document.getElementById('chunks'); return bar.value > 0 && bar.value === bar.max; })()").await;
    reader.browser.until(&format!("{} === '2,000'", figure("Rows committed"))).await;
    let file = reader.browser.until("document.getElementById('file').textContent").await;
    assert!(file.as_str().is_some_and(|text| text.contains("table-names") && text.contains("***")), "{file}");
    tells_of_edges_and_checkpoints(&mut reader, &api, &id, &name).await;
    database.run(&["INSERT INTO orders VALUES (5000, 'late')", "DELETE FROM orders WHERE id = 1"]).await;
    reader.browser.until(&format!("{} === '2,002'", figure("Rows committed"))).await;
    let tables = reader.browser.eval(
        "[...document.querySelectorAll('#tables tr')].map((row) => [...row.cells].slice(0, 5).map((cell) => cell.textContent))",
    );
    let row = |table: String, at: &str| json!([table, at, "2,001", "0", "1"]);
    let told = tables.as_array().expect("rows");
    assert!(told.contains(&row(format!("{name}.orders"), "source MySQL-CDC")), "{tables}");
    assert!(told.contains(&row(format!("{name}.orders_copy"), "sink.jdbc")), "{tables}");
    // A column comes: the events tell it, and the edge has it.
    database
        .run(&[
            "ALTER TABLE orders ADD COLUMN note VARCHAR(30)",
            "INSERT INTO orders VALUES (5002, 'with', 'it')",
        ])
        .await;
    reader
        .browser
        .until("document.getElementById('events').textContent.includes('SCHEMA_CHANGE_ADD_COLUMN')")
        .await;
    reader.browser.until("document.getElementById('edges').textContent.includes('varchar(30)')").await;
    assert_eq!(reader.browser.eval("document.querySelectorAll('#edges details[open]').length"), 1);
    let log = reader.browser.until("document.getElementById('log').textContent").await;
    assert!(log.as_str().is_some_and(|text| text.contains("following the binlog")), "{log}");
    reader.looks_well("mirror");
    assert_eq!(
        reader.browser.eval(&format!("document.documentElement.outerHTML.includes('{NEEDLE}')")),
        false
    );
    // The service is killed: the page says so, and goes on by itself when it is there again.
    let Api { service, running, admin, .. } = api;
    running.kill();
    reader
        .browser
        .until("document.getElementById('notice').textContent === 'The service does not answer.'")
        .await;
    reader.looks_well("nobody-answers");
    database.run(&["INSERT INTO orders VALUES (5001, 'meanwhile', NULL)"]).await;
    service.configure(&format!("http {{ port = {port}, requests.per.second = 0 }}"));
    let api = Api::of(service, None).await;
    assert_eq!(api.admin, admin);
    reader.browser.until("document.getElementById('notice').textContent === ''").await;
    reader.until_state("RUNNING").await;
    reader.browser.until(&format!("{} === '1'", figure("Rows committed"))).await;
    let count = format!("SELECT COUNT(*) FROM {name}.orders_copy");
    wait::until(LIMIT, "all rows", async || database.rows(&count).await == [[Some("2002".to_owned())]]).await;
    reader.kept_to_itself();
    api.running.terminate(LIMIT).assert_code(0);
}
