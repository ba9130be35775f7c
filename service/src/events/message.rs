//! What events look like when they are told: one by one, or many folded into one message.

use std::time::Duration;

use chrono::DateTime;
use culvert_api::{Error, ErrorKind};
use minijinja::{AutoEscape, Environment};

use crate::events::filter::Pattern;
use crate::events::model::{Event, Numbered};

/// Characters of one template.
const TEMPLATE_CHARS_MAX: usize = 64 << 10;
/// What stands in place of the rest of a text that is too long.
const CUT: &str = " …";

/// One or more events on their way to a listener.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// For channels that show one.
    pub(crate) title: String,
    /// The text.
    pub(crate) text: String,
    /// What it tells of, in order.
    pub(crate) events: Vec<Numbered>,
}

impl Message {
    /// The number of the last event in it.
    pub(crate) fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.sequence)
    }

    /// The same in the words of the program, for a channel that has refused a text of somebody's template.
    pub(crate) fn plain(&self, bytes_max: usize) -> Message {
        folded(&Templates::default(), self.events.clone().into_iter().map(|it| (it, 0)).collect(), bytes_max)
            .0
    }
}

/// How events become texts: the first template whose types fit, else the words of the program.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    by_type: Vec<(Pattern, String)>,
    environment: Environment<'static>,
}

impl Templates {
    /// Compiles templates, each with the types it is for.
    ///
    /// # Errors
    /// What is wrong with a template, and where in it.
    pub(crate) fn new(given: Vec<(String, String)>) -> Result<Templates, Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_keep_trailing_newline(true);
        let mut by_type = Vec::new();
        for (types, template) in given {
            if template.chars().count() > TEMPLATE_CHARS_MAX {
                let message = format!("a template may have at most {TEMPLATE_CHARS_MAX} characters");
                return Err(Error::new(ErrorKind::Config, message));
            }
            environment.add_template_owned(types.clone(), template).map_err(|error| {
                Error::new(ErrorKind::Config, format!("the template for {types} is not understood: {error}"))
            })?;
            by_type.push((Pattern::new(&types), types));
        }
        Ok(Templates { by_type, environment })
    }

    /// Whether somebody wrote any.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    /// The text of an event; `None` where no template is for it, or the one that is fails.
    pub(crate) fn render(&self, event: &Numbered) -> Option<String> {
        let (_, name) = self.by_type.iter().find(|(types, _)| types.matches(&event.event.kind))?;
        let template = self.environment.get_template(name).ok()?;
        let time = time_of(&event.event);
        let context = minijinja::context! { time, ..minijinja::Value::from_serialize(event) };
        match template.render(context) {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::warn!("the template for {name} fails, the event is told in plain words: {error}");
                None
            }
        }
    }
}

/// The message of one event that is told alone; so many like it were held back before.
pub(crate) fn single(templates: &Templates, event: Numbered, held_back: u64, bytes_max: usize) -> Message {
    let text = templates.render(&event).unwrap_or_else(|| {
        let told = &event.event;
        let number = told.job_id.map(|id| format!(" · job {id}")).unwrap_or_default();
        format!(
            "[{}] {}{}\n{} · {}{number} · event {}",
            told.severity,
            subject(told),
            told.text,
            time_of(told),
            told.kind,
            event.sequence
        )
    });
    let text = shortened(text + &again(held_back), bytes_max);
    Message { title: title(&event.event), text, events: vec![event] }
}

/// One message of many events, as many as it holds; what is left comes back. Alike ones that follow each
/// other share a line. The first is told even where it has to be cut.
pub(crate) fn folded(
    templates: &Templates,
    events: Vec<(Numbered, u64)>,
    bytes_max: usize,
) -> (Message, Vec<(Numbered, u64)>) {
    let mut lines: Vec<Line> = Vec::new();
    let mut bytes = 0;
    let mut rest = events.into_iter();
    let mut left = Vec::new();
    let mut told = Vec::new();
    // Room for the headline.
    let room = bytes_max.saturating_sub(64);
    for (event, held_back) in rest.by_ref() {
        let text = templates.render(&event).unwrap_or_else(|| {
            let told = &event.event;
            format!("{} [{}] {}{}", time_of(told), told.severity, subject(told), told.text)
        }) + &again(held_back);
        let alike = |line: &&mut Line| {
            let first = &line.first;
            (&first.kind, &first.job, &first.table, &first.text)
                == (&event.event.kind, &event.event.job, &event.event.table, &event.event.text)
        };
        if let Some(line) = lines.last_mut().filter(alike) {
            line.times += 1;
        } else {
            // A line, its break, and how often it came.
            let more = text.len() + 16;
            if !lines.is_empty() && bytes + more > room {
                left.push((event, held_back));
                break;
            }
            bytes += more;
            lines.push(Line { first: event.event.clone(), text, times: 1 });
        }
        told.push(event);
    }
    left.extend(rest);
    let headline = match told.as_slice() {
        [one] => title(&one.event),
        more => format!("Culvert: {} events", more.len()),
    };
    let mut text = headline.clone();
    for line in &lines {
        text.push('\n');
        text.push_str(&line.text);
        if line.times > 1 {
            text.push_str(&format!(" (x{})", line.times));
        }
    }
    (Message { title: headline, text: shortened(text, bytes_max), events: told }, left)
}

struct Line {
    first: Event,
    text: String,
    times: u64,
}

fn title(event: &Event) -> String {
    match &event.job {
        Some(job) => format!("Culvert: {} in {}", event.kind, shortened(job.clone(), 100)),
        None => format!("Culvert: {}", event.kind),
    }
}

fn subject(event: &Event) -> String {
    event.job.as_ref().map(|job| format!("{job}: ")).unwrap_or_default()
}

fn again(held_back: u64) -> String {
    match held_back {
        0 => String::new(),
        times => format!(" (and {times} more like it since the last message)"),
    }
}

fn time_of(event: &Event) -> String {
    let time = DateTime::from_timestamp_millis(i64::try_from(event.at_ms).unwrap_or(i64::MAX));
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
}

/// A text of so many bytes at most, cut between characters.
pub(crate) fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(CUT.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}

/// How long to wait behind so many failures in a row.
pub(crate) fn back_off(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(300);
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use culvert_api::EventKind;

    use super::*;

    fn event(sequence: u64, reason: &str) -> Numbered {
        let kind = EventKind::JobDegraded { reason: reason.to_owned() };
        let event = Event::new(1_764_283_201_000, Some((None, "orders".to_owned())), &kind);
        Numbered { sequence, event }
    }

    #[test]
    fn one_event_tells_job_time_and_number() {
        let message = single(&Templates::default(), event(7, "lost"), 2, 1_000);
        assert_eq!(
            message.text,
            "[warning] orders: the job goes on, but not as it should: lost\n2025-11-27 22:40:01 UTC · JOB_DEGRADED · event 7 (and 2 more like it since the last message)"
        );
        assert_eq!(message.title, "Culvert: JOB_DEGRADED in orders");
    }

    #[test]
    fn templates_are_taken_by_type_and_a_failing_one_is_no_reason_to_be_silent() {
        let given = |types: &str, text: &str| (types.to_owned(), text.to_owned());
        let templates = Templates::new(vec![
            given("JOB_*", "{{ job }}/{{ severity }}/{{ details.reason | upper }}/{{ time[:4] }}"),
            given("*", "{{ missing.field }}"),
        ])
        .unwrap();
        assert_eq!(templates.render(&event(1, "lost")).as_deref(), Some("orders/warning/LOST/2025"));
        let other = Numbered { sequence: 2, event: Event::new(0, None, &EventKind::Test) };
        assert_eq!(templates.render(&other), None);
        let json = Templates::new(vec![given("*", r#"{"text": {{ text | tojson }}}"#)]).unwrap();
        let text = json.render(&event(1, "a \"b\"\n")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["text"], "the job goes on, but not as it should: a \"b\"\n");
        let error = Templates::new(vec![given("JOB_*", "{{ job")]).unwrap_err();
        assert!(error.message().contains("JOB_*"), "{error}");
    }

    #[test]
    fn many_events_share_messages_and_none_is_left_out() {
        let mut events: Vec<(Numbered, u64)> = (1..=3).map(|n| (event(n, "the same"), 0)).collect();
        events.extend((4..=60).map(|n| (event(n, &format!("number {n}")), 0)));
        let (mut told, mut messages) = (Vec::new(), 0);
        while !events.is_empty() {
            let (message, left) = folded(&Templates::default(), events, 2_000);
            assert!(message.text.len() <= 2_000, "{}", message.text.len());
            if messages == 0 {
                assert!(message.text.contains("the same (x3)"), "{}", message.text);
            }
            told.extend(message.events.iter().map(|event| event.sequence));
            for event in message.events.iter().skip(3) {
                let last = event.event.text.rsplit(": ").next().unwrap();
                assert!(message.text.contains(last), "{last}");
            }
            events = left;
            messages += 1;
        }
        assert_eq!(told, (1..=60).collect::<Vec<u64>>());
        assert!(messages > 1 && messages < 10, "{messages}");
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let message = single(&Templates::default(), event(1, &"ä".repeat(1_000)), 0, 500);
        assert!(message.text.len() <= 500 && message.text.ends_with(CUT));
        let (message, left) = folded(&Templates::default(), vec![(event(1, &"ä".repeat(1_000)), 0)], 500);
        assert!(message.text.len() <= 500 && left.is_empty());
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<u64> = (1..=11).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
