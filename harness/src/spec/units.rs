//! Numbers with units: sizes (`300MiB`), durations (`90s`), ranges of delays (`100us..300us`), percentages.
//!
//! Whole numbers only and one spelling of each unit, so that a value means the same to everybody. An
//! error is a fragment that fits after "`key` ".

use std::time::Duration;

use super::words::quoted;

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
/// In microseconds.
const TIMES: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
];

/// Reads a size as YAML and the command line spell it: `300MiB` → bytes.
///
/// # Errors
/// What is wrong with it: a fragment that fits after the name of what was given.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    size(text)
}

/// Reads a duration as YAML and the command line spell it: `90s`, `2h`.
///
/// # Errors
/// What is wrong with it: a fragment that fits after the name of what was given.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text)
}

/// Reads a size: bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    scaled(
        text,
        SIZES,
        "a size such as 300MiB",
        &[
            ("K", "KiB"),
            ("KB", "KiB"),
            ("M", "MiB"),
            ("MB", "MiB"),
            ("G", "GiB"),
            ("GB", "GiB"),
        ],
    )
}

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    micros(text, "a duration such as 90s").map(Duration::from_micros)
}

/// Reads a delay or a range of delays: least and most, in microseconds.
pub(super) fn delay(text: &str) -> Result<(u64, u64), String> {
    const WHAT: &str = "a delay such as 200us or 100us..300us";
    let Some((from, to)) = text.split_once("..") else {
        let n = micros(text, WHAT)?;
        return Ok((n, n));
    };
    if [from, to]
        .iter()
        .any(|part| !part.starts_with(|c: char| c.is_ascii_digit()))
    {
        return Err(format!("must be {WHAT}, not {}", quoted(text)));
    }
    let (least, most) = (micros(from, WHAT)?, micros(to, WHAT)?);
    if least > most {
        return Err(format!(
            "must not end before it starts; did you mean `{to}..{from}`?"
        ));
    }
    Ok((least, most))
}

/// A size in the largest unit that keeps it whole.
pub(super) fn show_size(bytes: u64) -> String {
    shown(bytes, SIZES)
}

/// A duration in the largest unit that keeps it whole.
pub(super) fn show_duration(duration: Duration) -> String {
    shown(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), TIMES)
}

fn shown(n: u64, units: &[(&str, u64)]) -> String {
    let fits = units
        .iter()
        .rev()
        .find(|(_, factor)| n >= *factor && n.is_multiple_of(*factor));
    let (unit, factor) = fits.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{unit}", n / factor)
}

/// Reads a percentage: 0 to 100.
pub(super) fn percent(text: &str) -> Result<u64, String> {
    let wrong = || format!("must be a percentage from 0% to 100%, not {}", quoted(text));
    let n: u64 = text
        .strip_suffix('%')
        .and_then(|n| n.parse().ok())
        .ok_or_else(wrong)?;
    if n > 100 { Err(wrong()) } else { Ok(n) }
}

fn micros(text: &str, what: &str) -> Result<u64, String> {
    scaled(
        text,
        TIMES,
        what,
        &[
            ("m", "min"),
            ("sec", "s"),
            ("secs", "s"),
            ("msec", "ms"),
            ("usec", "us"),
            ("µs", "us"),
            ("mins", "min"),
            ("hr", "h"),
        ],
    )
}

/// Reads `NUMBER UNIT` without a space between.
fn scaled(text: &str, units: &[(&str, u64)], what: &str, slips: &[(&str, &str)]) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("must be {what}, not {}", quoted(text)));
    }
    if let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) {
        let n = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor));
        return n.ok_or_else(|| format!("is out of range: {}", quoted(text)));
    }
    let names = units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if unit.is_empty() {
        return Err(format!(
            "needs a unit ({names}), as in {}",
            what.rsplit(' ').next().unwrap_or(what)
        ));
    }
    if unit.starts_with('.') {
        return Err(format!(
            "must be a whole number with a unit, not {}; use a smaller unit",
            quoted(text)
        ));
    }
    let trimmed = unit.trim();
    let meant = slips
        .iter()
        .find(|(slip, _)| slip.eq_ignore_ascii_case(trimmed))
        .map(|(_, unit)| *unit);
    let meant = meant.or_else(|| {
        units
            .iter()
            .map(|(n, _)| *n)
            .find(|n| n.eq_ignore_ascii_case(trimmed))
    });
    let hint = meant.map_or_else(String::new, |unit| format!("; did you mean `{number}{unit}`?"));
    Err(format!(
        "has an unknown unit {} (known: {names}){hint}",
        quoted(unit)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("100KiB", 102_400),
            ("300MiB", 314_572_800),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        insta::assert_snapshot!(wrong(size, &["300MB", "300mib", "300", "MiB", "1.5GiB", "-1MiB", "99999999999GiB", "3 MiB", "50%", "3parsecs", ""]), @r#"
        "300MB": has an unknown unit `MB` (known: B, KiB, MiB, GiB, TiB); did you mean `300MiB`?
        "300mib": has an unknown unit `mib` (known: B, KiB, MiB, GiB, TiB); did you mean `300MiB`?
        "300": needs a unit (B, KiB, MiB, GiB, TiB), as in 300MiB
        "MiB": must be a size such as 300MiB, not `MiB`
        "1.5GiB": must be a whole number with a unit, not `1.5GiB`; use a smaller unit
        "-1MiB": must be a size such as 300MiB, not `-1MiB`
        "99999999999GiB": is out of range: `99999999999GiB`
        "3 MiB": has an unknown unit ` MiB` (known: B, KiB, MiB, GiB, TiB); did you mean `3MiB`?
        "50%": has an unknown unit `%` (known: B, KiB, MiB, GiB, TiB)
        "3parsecs": has an unknown unit `parsecs` (known: B, KiB, MiB, GiB, TiB)
        "": must be a size such as 300MiB, not ``
        "#);
    }

    #[test]
    fn durations() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        insta::assert_snapshot!(wrong(duration, &["90", "2m", "1sec", "5d", "0.5s", "s", "18446744073709551615h"]), @r#"
        "90": needs a unit (us, ms, s, min, h), as in 90s
        "2m": has an unknown unit `m` (known: us, ms, s, min, h); did you mean `2min`?
        "1sec": has an unknown unit `sec` (known: us, ms, s, min, h); did you mean `1s`?
        "5d": has an unknown unit `d` (known: us, ms, s, min, h)
        "0.5s": must be a whole number with a unit, not `0.5s`; use a smaller unit
        "s": must be a duration such as 90s, not `s`
        "18446744073709551615h": is out of range: `18446744073709551615h`
        "#);
    }

    #[test]
    fn delays() {
        assert_eq!(delay("100us..300us"), Ok((100, 300)));
        assert_eq!(delay("1ms"), Ok((1000, 1000)));
        assert_eq!(delay("0us..2ms"), Ok((0, 2000)));
        insta::assert_snapshot!(wrong(delay, &["300us..100us", "100..300us", "100us..", "100us...300us", "500ns", "100us-300us"]), @r#"
        "300us..100us": must not end before it starts; did you mean `100us..300us`?
        "100..300us": needs a unit (us, ms, s, min, h), as in 100us..300us
        "100us..": must be a delay such as 200us or 100us..300us, not `100us..`
        "100us...300us": must be a delay such as 200us or 100us..300us, not `100us...300us`
        "500ns": has an unknown unit `ns` (known: us, ms, s, min, h)
        "100us-300us": has an unknown unit `us-300us` (known: us, ms, s, min, h)
        "#);
    }

    #[test]
    fn values_are_shown_in_the_largest_whole_unit() {
        assert_eq!(
            [0, 1, 4096, 300 << 20, 1 << 40, (1 << 20) + 1].map(show_size),
            ["0B", "1B", "4KiB", "300MiB", "1TiB", "1048577B"]
        );
        assert_eq!(
            [1, 1500, 90_000, 86_400_000].map(|ms| show_duration(Duration::from_millis(ms))),
            ["1ms", "1500ms", "90s", "24h"]
        );
    }

    #[test]
    fn percentages() {
        assert_eq!(percent("50%"), Ok(50));
        insta::assert_snapshot!(wrong(percent, &["101%", "50", "-1%", "%"]), @r#"
        "101%": must be a percentage from 0% to 100%, not `101%`
        "50": must be a percentage from 0% to 100%, not `50`
        "-1%": must be a percentage from 0% to 100%, not `-1%`
        "%": must be a percentage from 0% to 100%, not `%`
        "#);
    }

    fn wrong<T: std::fmt::Debug>(read: fn(&str) -> Result<T, String>, texts: &[&str]) -> String {
        texts
            .iter()
            .map(|t| format!("{t:?}: {}\n", read(t).unwrap_err()))
            .collect()
    }
}
