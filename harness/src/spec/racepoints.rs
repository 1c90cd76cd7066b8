//! Settings of the racepoint axis: `off`, or what is armed and how.

use guest_tests::protocol::{Arm, RANDOM};

use super::matrix::Names;
use super::read::{Check, NAME_CHARS_MAX, name_error};
use super::types::RacepointSetting;
use super::units;
use super::words::{closest, did_you_mean, listed, quoted};
use super::yaml::{Node, Value};

/// Longest delay of a racepoint.
const DELAY_US_MAX: u64 = 100_000;
/// Longest hold of a racepoint: while it lasts, a CPU may spin inside an RCU read-side section.
const HOLD_US_MAX: u64 = 50_000;
/// Most racepoints armed at once.
const ARMS_MAX: usize = 8;

/// Reads the map `racepoints`: settings with names, to be used on the axis.
pub(super) fn named(check: &mut Check, names: &mut Names<'_>, node: &Node) {
    for (key, value) in check.map(node, "`racepoints`").unwrap_or_default() {
        let name = check.name(key, "a racepoint setting").map(str::to_owned);
        if name.as_deref() == Some("off") {
            check.error(&key.span, "a setting that arms something can't be called `off`");
            continue;
        }
        let what = format!("racepoint setting {}", quoted(&key.spelled));
        let Some(entries) = check.map(value, &what) else {
            continue;
        };
        if let Some((key, _)) = entries.iter().find(|(key, _)| key.spelled == "name") {
            check.error(&key.span, "this setting has a name already: its key");
            continue;
        }
        let setting = armed(check, names, value, entries, name.as_deref());
        if let (Some(name), Some(setting)) = (name, setting) {
            names.settings.entry(name).or_insert(setting);
        }
    }
}

/// Reads `off`, or a map of racepoints with an optional `name`.
pub(super) fn setting(check: &mut Check, names: &Names<'_>, node: &Node) -> Option<RacepointSetting> {
    match &node.value {
        Value::Text(word) if word == "off" => Some(RacepointSetting::off()),
        Value::Text(word) if names.settings.contains_key(word) => names.settings.get(word).cloned(),
        Value::Map(entries) if !entries.is_empty() => armed(check, names, node, entries, None),
        Value::Text(word) if did_mean(names, word).is_some() => {
            let hint = did_you_mean(word, names.settings.keys().map(String::as_str));
            check.error(
                &node.span,
                format!("there is no racepoint setting {}{hint}", quoted(word)),
            );
            None
        }
        Value::Text(word) if name_error(word).is_none() => {
            check
                .error(
                    &node.span,
                    format!("the racepoint {} needs its delay", quoted(word)),
                )
                .help = Some(format!("write `{{ {word}: {{ delay: 100us..300us }} }}`"));
            None
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => {
            let what = "`off` or a map such as `{ zswap_writeback: { delay: 100us..300us } }`";
            check.error(
                &node.span,
                format!("a racepoint setting must be {what}, not {}", node.describe()),
            );
            None
        }
    }
}

fn armed(
    check: &mut Check,
    names: &Names<'_>,
    node: &Node,
    entries: &[(Node, Node)],
    key: Option<&str>,
) -> Option<RacepointSetting> {
    let mut name = key.map(str::to_owned);
    let mut arms: Vec<Arm> = Vec::new();
    let mut good = true;
    for (key, value) in entries {
        if key.spelled == "name" {
            name = check.name(value, "a racepoint setting").map(str::to_owned);
            good &= name.is_some();
            if name.as_deref() == Some("off") {
                check.error(&value.span, "a setting that arms something can't be called `off`");
                good = false;
            }
            continue;
        }
        match arm(check, names, key, value) {
            Some(arm) => arms.push(arm),
            None => good = false,
        }
    }
    if !good {
        return None;
    }
    if arms.is_empty() || arms.len() > ARMS_MAX {
        check.error(
            &node.span,
            format!(
                "a setting arms from 1 to {ARMS_MAX} racepoints, not {}",
                arms.len()
            ),
        );
        return None;
    }
    let made = || arms.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join("-");
    let name = name.unwrap_or_else(made);
    if name.len() > NAME_CHARS_MAX {
        check
            .error(
                &node.span,
                "the name made of these racepoints is longer than 64 characters",
            )
            .help = Some("give the setting a `name:`".to_owned());
        return None;
    }
    Some(RacepointSetting { name, arms })
}

fn arm(check: &mut Check, names: &Names<'_>, key: &Node, value: &Node) -> Option<Arm> {
    let name = check.name(key, "a racepoint");
    let known = names.racepoints.as_ref();
    let known = name.filter(|name| match known {
        Some(known) if *name != RANDOM && !known.iter().any(|k| k == name) => {
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            let help = hint
                .is_empty()
                .then(|| format!("there are {}", listed(known.iter().map(String::as_str))));
            check
                .error(&key.span, format!("there is no racepoint {}{hint}", quoted(name)))
                .help = help;
            false
        }
        Some(_) | None => true,
    });
    let what = format!("racepoint {}", quoted(&key.spelled));
    let table = check.table(value, &key.span, &what, &["delay", "hold"])?;
    if let Some(node) = table.get("hold") {
        if name == Some(RANDOM) {
            check
                .error(&node.span, "racepoints that are drawn can't hold")
                .help = Some("for example `random: { delay: 10us..300us }`".to_owned());
            return None;
        }
        if table.get("delay").is_some() {
            let message = format!("{what} can't both delay and hold");
            check.error(&node.span, message).help =
                Some("a workload's script decides how long a hold lasts: leave `delay` out".to_owned());
            return None;
        }
        return Some(Arm {
            name: known?.to_owned(),
            delay_us_min: 0,
            delay_us_max: 0,
            hold_us_max: hold(check, node)?,
        });
    }
    let Some(node) = table.get("delay") else {
        if !table.lacks("delay") {
            return None;
        }
        check.missing(&key.span, &what, "delay").help = Some("for example `delay: 100us..300us`".to_owned());
        return None;
    };
    let (delay_us_min, delay_us_max) = delay(check, node)?;
    Some(Arm {
        name: known?.to_owned(),
        delay_us_min,
        delay_us_max,
        hold_us_max: 0,
    })
}

/// Reads the longest hold, in microseconds.
fn hold(check: &mut Check, node: &Node) -> Option<u32> {
    let word = check.word(node, "hold", "the longest hold, such as 30ms")?;
    let problem = match units::duration(word).map(|hold| hold.as_micros()) {
        Ok(0) => "must not be zero".to_owned(),
        Ok(us) if us <= u128::from(HOLD_US_MAX) => return u32::try_from(us).ok(),
        Ok(_) => format!("must be at most 50ms, not {}", quoted(&node.spelled)),
        Err(why) => why,
    };
    check.error(&node.span, format!("`hold` {problem}"));
    None
}

fn delay(check: &mut Check, node: &Node) -> Option<(u32, u32)> {
    let problem = match units::delay(check.word(node, "delay", "a delay such as 100us..300us")?) {
        Ok((_, 0)) => "must not be zero: a racepoint without delay is `off`".to_owned(),
        Ok((_, most)) if most > DELAY_US_MAX => {
            format!("must be at most 100ms, not {}", quoted(&node.spelled))
        }
        Ok((least, most)) => return Some((u32::try_from(least).ok()?, u32::try_from(most).ok()?)),
        Err(why) => why,
    };
    check.error(&node.span, format!("`delay` {problem}"));
    None
}

/// The named setting that a word was probably meant to be.
fn did_mean<'n>(names: &'n Names<'_>, word: &str) -> Option<&'n str> {
    closest(word, names.settings.keys().map(String::as_str))
}
