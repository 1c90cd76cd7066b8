//! The kernel's tracepoint ring: what it did in the last second before a finding.
//!
//! Which events are recorded is the boot arguments' choice (`trace_event=`): a guest that switched them on
//! itself would patch code that runs.

use super::file;

/// The ring, as text.
const RING: &str = "/sys/kernel/tracing/trace";
/// How far back is told, in seconds.
const SPAN_S: f64 = 1.0;
/// Lines that are told, at most.
const LINES_MAX: usize = 200;

/// What was recorded in the last second before the newest event; nothing where the kernel has no ring.
#[must_use]
pub fn last_second() -> Option<String> {
    let told = tail(&file::read(RING).ok()?);
    (!told.is_empty()).then_some(told)
}

/// The lines of the last second.
fn tail(text: &str) -> String {
    let lines: Vec<(f64, &str)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some((time(line)?, line.trim_start())))
        .collect();
    let newest = lines.iter().map(|(t, _)| *t).fold(0.0, f64::max);
    let recent: Vec<&str> = lines
        .iter()
        .filter(|(t, _)| *t >= newest - SPAN_S)
        .map(|(_, line)| *line)
        .collect();
    recent[recent.len().saturating_sub(LINES_MAX)..].join("\n")
}

/// The time of an event: `kswapd0-39 [001] .....    12.345678: mm_vmscan_write_folio: …`.
fn time(line: &str) -> Option<f64> {
    line.split_ascii_whitespace()
        .filter_map(|word| word.strip_suffix(':'))
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_second_is_told_and_not_too_much_of_it() {
        let text = "# tracer: nop\n#\n   kswapd0-39  [001] .....     1.500000: mm_vmscan_write_folio: pfn=0x1\n \
                    a-b c-7  [000] .....     2.100000: mm_migrate_pages: nr_succeeded=3\n\
                    CPU:1 [LOST 7 EVENTS]\n  x-9 [000] .....     3.000000: mm_compaction_end: zone\n";
        assert_eq!(
            tail(text),
            "a-b c-7  [000] .....     2.100000: mm_migrate_pages: nr_succeeded=3\n\
             x-9 [000] .....     3.000000: mm_compaction_end: zone"
        );
        let many: String = (0..500)
            .map(|n| format!("t-1 [000] ..... 7.000{n:03}: e:\n"))
            .collect();
        assert_eq!(tail(&many).lines().count(), LINES_MAX);
        assert!(tail(&many).ends_with("7.000499: e:"));
        assert_eq!(tail("rubbish\n: \n#"), "");
    }
}
