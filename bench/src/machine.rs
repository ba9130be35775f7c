//! What the figures were taken on.

use chrono::Utc;

/// Environment variable with the day to print instead of today.
pub(crate) const DATE_VARIABLE: &str = "CULVERT_BENCH_DATE";

/// The machine in one line: processor, cores, memory, kernel.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, {} GiB of memory, Linux {kernel}", kib >> 20)
}

/// The day, in UTC.
pub(crate) fn date() -> String {
    std::env::var(DATE_VARIABLE).unwrap_or_else(|_| Utc::now().format("%Y-%m-%d").to_string())
}

/// How this program and all it starts stand against others: the nice value, 0 unless somebody
/// chose another; field 19 of proc(5), `/proc/self/stat`.
pub(crate) fn niceness() -> i64 {
    let stat = read("/proc/self/stat");
    // Fields are counted behind the name, which may hold anything.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    fields.split_ascii_whitespace().nth(16).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Clock ticks that all cores were busy since the machine started, and that all cores had, busy or
/// not; proc(5), `/proc/stat`.
fn ticks() -> (u64, u64) {
    let text = read("/proc/stat");
    let fields = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal
    let fields: Vec<u64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
    let all: u64 = fields.iter().sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    (all - idle, all)
}

/// How busy the machine was over a moment in which this program did nothing, in per cent.
pub(crate) async fn others_busy() -> u64 {
    let before = ticks();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let after = ticks();
    let (busy, all) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    busy * 100 / all.max(1)
}

fn line_of(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}
