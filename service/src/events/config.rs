//! Who is told: listeners as files and command lines describe them.

use std::time::Duration;

use culvert_api::{Error, ErrorKind, EventKind, EventSeverity};
use culvert_config::{
    Block, Entry, OptionDef, Options, Place, Problem, ProblemKind, Role, Secret, Value, nearest,
};
use culvert_sink_dingtalk::Robot;
use serde_json::json;

use crate::events::channel::{Channel, Hook};
use crate::events::filter::{Filter, Pattern, QuietHours};
use crate::events::message::Templates;

/// What kinds of listeners there are.
const TYPES: &[&str] = &["dingtalk", "webhook", "slack", "feishu", "wecom", "command", "log"];
/// The severities, as options have them.
const SEVERITIES: &[&str] = &["info", "notice", "warning", "error"];
/// Listeners of one job, and of the service.
const LISTENERS_MAX: usize = 50;

/// The options of the service's block `events`.
pub(crate) const EVENTS_OPTIONS: &[OptionDef] = &[
    OptionDef::int_in("kept", 1_000, 100_000_000)
        .default("100000")
        .doc("How many events are kept on disk; the oldest go first, told or not."),
    OptionDef::objects("listeners").doc("Who is told of the events of all jobs."),
];

/// The options of one listener.
pub(crate) const LISTENER_OPTIONS: &[OptionDef] = &[
    OptionDef::choice("type", TYPES).required().doc("What it is."),
    OptionDef::string("name").doc(
        "Its name, which how far it has been told belongs to; its type, and its place among those of its type, without it.",
    ),
    OptionDef::string("webhook.url")
        .alias(&["url", "webhook"])
        .secret()
        .doc("Where to POST to, with what it holds of tokens; of all types but `command` and `log`."),
    OptionDef::string("secret")
        .secret()
        .doc("Of a robot of DingTalk or Feishu whose security setting is a signature, its secret."),
    OptionDef::choice("format", &["text", "markdown"])
        .default("text")
        .doc("How a robot of DingTalk or WeCom is written to."),
    OptionDef::list("at.mobiles")
        .doc("Telephone numbers of the people that each message of DingTalk or WeCom points out."),
    OptionDef::boolean("at.all").default("false").doc("Whether each message of DingTalk points out everybody."),
    OptionDef::map("headers").secret().doc("Headers that a `webhook` is sent."),
    OptionDef::list("command").doc(
        "Of `command`, the program and its arguments; it reads the event as JSON, and its end with 0 says that it has taken it. Not in jobs of the service.",
    ),
    OptionDef::duration_ms("command.timeout").default("30000").doc("How long the program may take."),
    OptionDef::string("template").placeholders().doc(
        "The text of an event, as a template with `{{ job }}`, `{{ type }}`, `{{ severity }}`, `{{ table }}`, `{{ text }}`, `{{ time }}`, `{{ details.… }}`; of a `webhook`, the body of a POST for each event.",
    ),
    OptionDef::map("templates")
        .placeholders()
        .doc("Templates by type, such as `SCHEMA_CHANGE_*`, before `template`."),
    OptionDef::list("types").doc("Only events of these types; `*` stands for anything."),
    OptionDef::list("jobs").doc("Only events of jobs with these names; `*` stands for anything."),
    OptionDef::list("tables").doc("Only events of these tables; `*` stands for anything."),
    OptionDef::choice("severity", SEVERITIES)
        .doc("The least severity; `notice`, of `webhook` and `log` `info`, without it."),
    OptionDef::string("quiet.hours").doc(
        "Hours of the service's local time, such as `22:00-07:00`, in which nothing is told until something urgent happens or they are over.",
    ),
    OptionDef::choice("quiet.severity", SEVERITIES)
        .default("error")
        .doc("What is urgent enough for quiet hours."),
    OptionDef::duration_ms("dedup.window").default("60000").doc(
        "The same text about the same job and table is told once in this time, the next message has how often it came; 0: every one is told. Of `webhook`, `command` and `log` it is 0 where not set.",
    ),
    OptionDef::int_in("messages.per.minute", 1, 100_000).doc(
        "Most messages in a minute: 20 of DingTalk and WeCom, 60 of Slack, 100 of Feishu, else no limit. Events that come faster share messages.",
    ),
];

/// A listener, ready to be told.
pub(crate) struct Listener {
    pub(crate) name: String,
    /// `dingtalk`, …
    pub(crate) kind: &'static str,
    pub(crate) filter: Filter,
    pub(crate) quiet: Option<QuietHours>,
    pub(crate) dedup_window: Duration,
    pub(crate) per_minute: Option<usize>,
    pub(crate) templates: Templates,
    pub(crate) channel: Channel,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Reads listeners from a list of blocks, the option `named` of a file.
pub(crate) fn read(named: &str, blocks: &[Vec<Entry>], place: &Place) -> (Vec<Listener>, Vec<Problem>) {
    let (mut listeners, mut problems) = (Vec::<Listener>::new(), Vec::new());
    for entries in blocks {
        let at = entries.first().map_or_else(|| place.clone(), |entry| entry.place.clone());
        let block = Block { plugin: named.to_owned(), role: Role::Env, entries: entries.clone(), place: at };
        let (options, found) = Options::resolve(&block, LISTENER_OPTIONS);
        let wrong = found.iter().any(Problem::is_error);
        problems.extend(found);
        if wrong {
            continue;
        }
        let kind = options.enum_value("type");
        let of_kind = listeners.iter().filter(|listener| listener.kind == kind).count();
        let name = options.opt_str("name").filter(|name| !name.is_empty());
        let name = name.map_or_else(|| format!("{kind}-{}", of_kind + 1), str::to_owned);
        if listeners.iter().any(|other| other.name == name) {
            problems.push(options.problem("name", format!("two listeners are called {name}")));
        } else if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.contains('/') {
            let message = "the name of a listener begins with a letter and has no /";
            problems.push(options.problem("name", message));
        } else if listeners.len() >= LISTENERS_MAX {
            problems.push(options.problem("type", format!("there may be {LISTENERS_MAX} listeners at most")));
        } else {
            match listener(name, kind, &options) {
                Ok(listener) => listeners.push(listener),
                Err((option, error)) => {
                    let problem = options.problem(option, error.message());
                    problems.push(error.hint_text().into_iter().fold(problem, Problem::hint));
                }
            }
        }
    }
    (listeners, problems)
}

/// Reads listeners from `-D dingtalk.webhook.url=…` and the like: the options of one listener per type.
pub(crate) fn defined(definitions: &[String]) -> Result<Vec<Listener>, Vec<Problem>> {
    let mut blocks: Vec<(&'static str, Vec<Entry>)> = Vec::new();
    let mut problems = Vec::new();
    let wrong = |given: &str, message: String| {
        Problem::error(ProblemKind::BadValue, Place::default(), given, message)
            .hint("it looks like -D dingtalk.webhook.url=https://…; docs/events.md has the options")
    };
    for definition in definitions {
        let Some((key, value)) = definition.split_once('=') else {
            problems.push(wrong("-D", "-D wants NAME=VALUE".to_owned()));
            continue;
        };
        let kind = key.split_once('.').and_then(|(kind, option)| {
            Some((*TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind))?, option))
        });
        let Some((kind, option)) = kind else {
            let first = key.split('.').next().unwrap_or(key);
            let meant = nearest(first, TYPES.iter().copied());
            let meant = meant.map(|it| format!(", did you mean {it}?")).unwrap_or_default();
            problems.push(wrong("-D", format!("-D {key}: no listener is called {first}{meant}")));
            continue;
        };
        let entry = |key: &str, value: &str| Entry {
            key: key.to_owned(),
            value: Value::String(value.to_owned()),
            place: Place::default(),
        };
        if !blocks.iter().any(|(known, _)| *known == kind) {
            blocks.push((kind, vec![entry("type", kind)]));
        }
        if let Some((_, entries)) = blocks.iter_mut().find(|(known, _)| *known == kind) {
            entries.push(entry(option, value));
        }
    }
    let blocks: Vec<Vec<Entry>> = blocks.into_iter().map(|(_, entries)| entries).collect();
    let (listeners, mut found) = read("-D", &blocks, &Place::default());
    culvert_config::raise_unknown_keys(&mut found);
    problems.extend(found);
    problems.retain(Problem::is_error);
    if problems.is_empty() { Ok(listeners) } else { Err(problems) }
}

/// Takes the listeners of a command line to those of a file; one that is called the same takes its place.
pub(crate) fn with_defined(mut listeners: Vec<Listener>, defined: Vec<Listener>) -> Vec<Listener> {
    listeners.retain(|listener| !defined.iter().any(|it| it.name == listener.name));
    listeners.extend(defined);
    listeners
}

type Wrong = (&'static str, Error);

fn listener(name: String, kind: &'static str, options: &Options) -> Result<Listener, Wrong> {
    let (to_people, per_minute) = match kind {
        "dingtalk" | "wecom" => (true, Some(20)),
        "slack" => (true, Some(60)),
        "feishu" => (true, Some(100)),
        "command" => (true, None),
        _ => (false, None),
    };
    let severity = |option: &str| {
        EventSeverity::ALL.into_iter().find(|severity| severity.word() == options.enum_value(option))
    };
    let least = if to_people { EventSeverity::Notice } else { EventSeverity::Info };
    let patterns = |option: &str| options.list(option).iter().map(|text| Pattern::new(text)).collect();
    for wanted in options.list("types") {
        let pattern = Pattern::new(wanted);
        if !EventKind::NAMES.iter().any(|name| pattern.matches(name)) {
            let meant = nearest(wanted, EventKind::NAMES.iter().copied());
            let error = Error::new(ErrorKind::Config, format!("no event is of the type {wanted}"));
            return Err((
                "types",
                match meant {
                    Some(meant) => error.hint(format!("did you mean {meant}?")),
                    None => error.hint("docs/events.md lists them"),
                },
            ));
        }
    }
    let quiet = match options.opt_str("quiet.hours") {
        None | Some("") => None,
        Some(text) => {
            let urgent = severity("quiet.severity").unwrap_or(EventSeverity::Error);
            let hours = QuietHours::new(text, urgent);
            let error =
                || Error::new(ErrorKind::Config, "these are no hours").hint("they look like 22:00-07:00");
            Some(hours.ok_or_else(|| ("quiet.hours", error()))?)
        }
    };
    let mut templates = options.map("templates").to_vec();
    templates.extend(options.opt_str("template").map(|text| ("*".to_owned(), text.to_owned())));
    let templates = Templates::new(templates).map_err(|error| ("template", error))?;
    let window = match options.is_set("dedup.window") || (to_people && kind != "command") {
        true => options.unsigned("dedup.window"),
        false => 0,
    };
    let limit = options.opt_int("messages.per.minute").and_then(|limit| usize::try_from(limit).ok());
    if kind == "dingtalk" && limit.is_some_and(|limit| limit > 20) {
        let error = Error::new(ErrorKind::Config, "a robot of DingTalk takes 20 messages in a minute");
        return Err(("messages.per.minute", error.hint("past them it is silent for ten minutes")));
    }
    let channel = channel(kind, options, &templates)?;
    Ok(Listener {
        name,
        kind,
        filter: Filter {
            types: patterns("types"),
            jobs: patterns("jobs"),
            tables: patterns("tables"),
            least: severity("severity").unwrap_or(least),
        },
        quiet,
        dedup_window: Duration::from_millis(window),
        per_minute: limit.or(per_minute),
        templates,
        channel,
    })
}

fn channel(kind: &str, options: &Options, templates: &Templates) -> Result<Channel, Wrong> {
    let url = options.secret("webhook.url");
    let needs_url = !matches!(kind, "command" | "log");
    if needs_url && url.is_empty() {
        let error =
            Error::new(ErrorKind::Config, format!("a listener of the type {kind} needs `webhook.url`"));
        return Err(("type", error));
    }
    let hook = |headers: Vec<(String, Secret)>| {
        Hook::new(options.secret("webhook.url"), headers).map_err(|error| ("webhook.url", error))
    };
    let markdown = options.enum_value("format") == "markdown";
    let mobiles = options.list("at.mobiles").to_vec();
    Ok(match kind {
        "dingtalk" => Channel::DingTalk {
            robot: Robot::new(url, options.secret("secret")).map_err(|error| ("webhook.url", error))?,
            at: json!({"atMobiles": mobiles, "isAtAll": options.bool("at.all")}),
            mobiles,
            markdown,
        },
        "feishu" => Channel::Feishu { hook: hook(Vec::new())?, secret: options.secret("secret") },
        "wecom" => Channel::WeCom { hook: hook(Vec::new())?, mobiles, markdown },
        "slack" => Channel::Slack { hook: hook(Vec::new())? },
        "webhook" => {
            let headers = options.map("headers").iter();
            let headers = headers.map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
            Channel::Webhook { hook: hook(headers)?, templated: !templates.is_empty() }
        }
        "command" => {
            let command = options.list("command").to_vec();
            if command.is_empty() {
                let error = Error::new(ErrorKind::Config, "a listener of the type command needs `command`");
                return Err(("type", error.hint("a list: the program and its arguments")));
            }
            let patience = Duration::from_millis(options.unsigned("command.timeout"));
            Channel::Program { command, patience }
        }
        _ => Channel::Log,
    })
}

/// Refuses what a job that came over the network may not have: a program of this machine.
pub(crate) fn refuse_programs(listeners: &[Listener]) -> Result<(), Problem> {
    match listeners.iter().find(|listener| matches!(listener.channel, Channel::Program { .. })) {
        Some(listener) => Err(Problem::error(
            ProblemKind::Conflict,
            Place::default(),
            "event.listeners",
            format!("the listener {} runs a program, which jobs of the service may not", listener.name),
        )
        .hint("put it into the block `events` of the service's own file")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wrong(definitions: &[&str]) -> String {
        let definitions: Vec<String> = definitions.iter().map(|it| (*it).to_owned()).collect();
        let problems = defined(&definitions).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_command_line_defines_one_listener_per_type() {
        let definitions = [
            "dingtalk.webhook.url=https://oapi.dingtalk.com/robot/send?access_token=needle",
            "dingtalk.secret=SECneedle",
            "log.types=JOB_*,SCHEMA_CHANGE_*",
            "dingtalk.at.mobiles=13800000000",
        ];
        let listeners = defined(&definitions.map(str::to_owned)).unwrap();
        let names: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        assert_eq!(names, ["dingtalk-1", "log-1"]);
        assert_eq!(listeners[0].per_minute, Some(20));
        assert_eq!(listeners[0].filter.least, EventSeverity::Notice);
        assert_eq!((listeners[1].filter.types.len(), listeners[1].filter.least), (2, EventSeverity::Info));
        assert!(!format!("{listeners:?}").contains("needle"));
    }

    #[test]
    fn mistakes_name_the_option_and_no_secret() {
        assert!(wrong(&["dingtalk.secret=needle"]).contains("needs `webhook.url`"));
        assert!(wrong(&["dingtak.secret=needle"]).contains("did you mean dingtalk?"));
        assert!(wrong(&["dingtalk"]).contains("NAME=VALUE"));
        let url = "dingtalk.webhook.url=https://oapi.dingtalk.com/robot/send?access_token=needle";
        for (more, told) in [
            ("dingtalk.types=JOB_STATS", "did you mean JOB_STATUS?"),
            ("dingtalk.quiet.hours=22-7", "22:00-07:00"),
            ("dingtalk.template={{ job", "not understood"),
            ("dingtalk.messages.per.minute=21", "20 messages in a minute"),
            ("dingtalk.sekret=needle", "secret"),
            ("dingtalk.webhook.url=needle", "twice"),
        ] {
            let told_is = wrong(&[url, more]);
            assert!(!told_is.contains("needle"), "{told_is}");
            if more != "dingtalk.webhook.url=needle" {
                assert!(told_is.contains(told), "{told_is}");
            }
        }
    }

    #[test]
    fn a_program_is_nothing_for_jobs_of_the_service() {
        let listeners = defined(&["command.command=/bin/true".to_owned()]).unwrap();
        assert!(refuse_programs(&listeners).unwrap_err().to_string().contains("command-1"));
        assert!(refuse_programs(&[]).is_ok());
    }
}
