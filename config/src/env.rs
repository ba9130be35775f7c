//! The `env` section: settings of the job as a whole.

use crate::load::JobFile;
use crate::option_def::OptionDef;
use crate::options::Options;
use crate::problem::Problem;

/// The options of `env`. Keys of other engines (`flink.*`, `spark.*`, `execution.*`) pass.
pub const ENV_OPTIONS: &[OptionDef] = &[
    OptionDef::string("job.name")
        .doc("The job's name; the command line's `-n` wins. The state belongs to the name."),
    OptionDef::choice("job.mode", &["BATCH", "STREAMING"])
        .default("BATCH")
        .doc("`BATCH` ends and needs sources that end; `STREAMING` goes on until it is stopped."),
    OptionDef::int_in("parallelism", 1, 1024)
        .default("1")
        .doc("How many readers and writers run side by side, where a block does not say otherwise."),
    OptionDef::duration_ms("checkpoint.interval")
        .default("1000")
        .doc("Time between two checkpoints; rows become visible at the target with them."),
    OptionDef::duration_ms("checkpoint.timeout")
        .default("60000")
        .doc("A checkpoint that takes longer is reported; it never stops a healthy job."),
    OptionDef::duration_ms("min-pause")
        .alias(&["checkpoint.min-pause", "execution.checkpoint.min-pause"])
        .default("0")
        .doc("Least time between the end of a checkpoint and the start of the next."),
    OptionDef::int_in("job.retry.times", 0, 1_000_000).default("10000").doc(
        "How often the job starts again after a failure that may pass; refills after a healthy stretch.",
    ),
    OptionDef::int_in("job.retry.interval.seconds", 0, 86_400)
        .unit("s")
        .default("1")
        .doc("The first pause before a new start; it grows with every one that follows."),
    OptionDef::duration_ms("stall.timeout")
        .default("20000")
        .doc("A call to a server that takes longer is told of as a stall; it never stops the job."),
    OptionDef::duration_ms("lag.threshold").default("60000").doc(
        "Changes that arrive later than this after their commit at the source are told of as an event; 0: never.",
    ),
    OptionDef::int("slot.retention.threshold").unit("bytes").default("10737418240").doc(
        "A replication slot of PostgreSQL that holds back more of its server's log than this is told of as an event; 0: never.",
    ),
    OptionDef::objects("event.listeners").doc(
        "Who is told of what happens in the job, beside the listeners of the service; docs/events.md.",
    ),
    OptionDef::int_in("spool.bytes.max", 1 << 20, 1 << 50)
        .unit("bytes")
        .default("17179869184")
        .doc("Bytes kept on disk for sinks that are behind the others; past it the job waits for them."),
    OptionDef::int_in("read_limit.rows_per_second", 1, i64::MAX).unit("rows/s").doc(
        "Most rows that the job reads in a second, all its readers together; without it there is no limit. Read again at SIGHUP.",
    ),
    OptionDef::int_in("read_limit.bytes_per_second", 1, i64::MAX).unit("bytes/s").doc(
        "Most bytes of rows, as they lie in memory, that the job reads in a second; as above.",
    ),
    OptionDef::duration_ms("sink.flush.interval").default("0").doc(
        "Rows that a sink holds back are written after this long without new ones; 0 is 100 ms. They are visible with the next checkpoint.",
    ),
    OptionDef::map("metadata").doc(
        "The metadata provider of a job that no service runs, with the options of the service's block `metadata`; it counts before that of `--metadata`.",
    ),
    OptionDef::choice("savemode.execute.location", &["CLUSTER", "CLIENT"])
        .ignored("save modes run where the job runs")
        .doc("Where save modes run."),
    OptionDef::string("jars").ignored("connectors are built in").doc("Further archives to load."),
    OptionDef::map("custom_parameters").ignored("they are another engine's").doc("Engine parameters."),
    OptionDef::map("tag_filter").ignored("there is one worker").doc("Which workers may run the job."),
    OptionDef::string("shade.identifier")
        .default("default")
        .refused("encrypted values cannot be read; use ${…} variables for secrets")
        .doc("How the secrets in the file are encrypted."),
];

/// Whether a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobMode {
    /// It ends when its sources end.
    Batch,
    /// It goes on until it is stopped.
    Streaming,
}

/// The settings of a job as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// `job.name`, where set.
    pub name: Option<String>,
    /// `job.mode`.
    pub mode: JobMode,
    /// `parallelism`, at least 1.
    pub parallelism: u32,
    /// `checkpoint.interval` in milliseconds.
    pub checkpoint_interval_ms: u64,
    /// `checkpoint.timeout` in milliseconds.
    pub checkpoint_timeout_ms: u64,
    /// `min-pause` in milliseconds.
    pub checkpoint_min_pause_ms: u64,
    /// `stall.timeout` in milliseconds.
    pub stall_timeout_ms: u64,
    /// `lag.threshold` in milliseconds; 0: never.
    pub lag_threshold_ms: u64,
    /// `slot.retention.threshold`; 0: never.
    pub slot_retention_threshold: u64,
    /// `spool.bytes.max`.
    pub spool_bytes_max: u64,
    /// `job.retry.times`.
    pub retry_times: u32,
    /// `job.retry.interval.seconds`, in milliseconds.
    pub retry_interval_ms: u64,
    /// `read_limit.rows_per_second`; 0 without a limit.
    pub rows_per_second_max: u64,
    /// `read_limit.bytes_per_second`; 0 without a limit.
    pub bytes_per_second_max: u64,
    /// `sink.flush.interval` in milliseconds; 0 where the default holds.
    pub flush_interval_ms: u64,
}

impl JobFile {
    /// The settings of `env` with their defaults, and what is wrong with them.
    pub fn settings(&self) -> (JobSettings, Vec<Problem>) {
        let (options, problems) = Options::resolve(&self.env, ENV_OPTIONS);
        let unsigned =
            |name: &str| options.opt_int(name).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let small = |name: &str| u32::try_from(options.int(name)).unwrap_or(0);
        let settings = JobSettings {
            name: options.opt_str("job.name").filter(|name| !name.is_empty()).map(str::to_owned),
            mode: match options.enum_value("job.mode") {
                "STREAMING" => JobMode::Streaming,
                _ => JobMode::Batch,
            },
            parallelism: small("parallelism").max(1),
            checkpoint_interval_ms: options.unsigned("checkpoint.interval"),
            checkpoint_timeout_ms: options.unsigned("checkpoint.timeout"),
            checkpoint_min_pause_ms: options.unsigned("min-pause"),
            stall_timeout_ms: options.unsigned("stall.timeout"),
            slot_retention_threshold: options.unsigned("slot.retention.threshold"),
            lag_threshold_ms: options.unsigned("lag.threshold"),
            spool_bytes_max: options.unsigned("spool.bytes.max"),
            retry_times: small("job.retry.times"),
            retry_interval_ms: options.unsigned("job.retry.interval.seconds").saturating_mul(1_000),
            rows_per_second_max: unsigned("read_limit.rows_per_second"),
            bytes_per_second_max: unsigned("read_limit.bytes_per_second"),
            flush_interval_ms: options.unsigned("sink.flush.interval"),
        };
        (settings, problems)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;
    use crate::load::Format;
    use crate::option_def::{COMMON_OPTIONS, definition_mistakes};
    use crate::substitute::Variables;

    fn settings(env: &str) -> (JobSettings, Vec<String>) {
        let text = format!("env {{ {env} }}\nsource {{ A {{}} }}\nsink {{ B {{}} }}");
        let variables = Variables::new(&[]).unwrap();
        let job = JobFile::parse(&text, Path::new("j.conf"), Format::Hocon, &variables).unwrap();
        let (settings, problems) = job.settings();
        (settings, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_tables_are_sound() {
        assert_eq!(definition_mistakes(ENV_OPTIONS), Vec::<String>::new());
        assert_eq!(definition_mistakes(COMMON_OPTIONS), Vec::<String>::new());
    }

    #[test]
    fn defaults_are_ours() {
        let (settings, problems) = settings("");
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.mode, JobMode::Batch);
        assert_eq!((settings.parallelism, settings.checkpoint_interval_ms), (1, 1000));
        assert_eq!((settings.retry_times, settings.retry_interval_ms, settings.name), (10_000, 1000, None));
    }

    #[test]
    fn settings_are_read_in_every_spelling() {
        let (settings, problems) = settings(
            "job { name = n, mode = streaming }, checkpoint.interval = \"5s\", execution.parallelism = 4, \
             execution.checkpoint.min-pause = 7, parallelism = \"2\", flink.a.b = c, spark { x = 1 }, \
             shade.identifier = default, read_limit.rows_per_second = 500, sink.flush.interval = 2s",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(settings.name.as_deref(), Some("n"));
        assert_eq!(settings.mode, JobMode::Streaming);
        assert_eq!((settings.parallelism, settings.checkpoint_interval_ms), (2, 5000));
        assert_eq!(settings.checkpoint_min_pause_ms, 7);
        assert_eq!((settings.rows_per_second_max, settings.bytes_per_second_max), (500, 0));
        assert_eq!(settings.flush_interval_ms, 2_000);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let (_, problems) = settings("jars = \"a;b\", shade.identifier = base64, job.mod = BATCH");
        assert_eq!(
            problems,
            [
                "j.conf:1: option 'jars' of env has no effect: connectors are built in",
                "j.conf:1: option 'shade.identifier' of env is not supported: encrypted values cannot be read; use \
                 ${…} variables for secrets",
                "j.conf:1: option 'job.mod' is not known to env; did you mean 'job.mode'?",
            ]
        );
    }
}
