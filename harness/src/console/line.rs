//! Splits a raw console into logical lines with their printk time and caller.
//!
//! A console is bytes from several writers: the kernel, firmware and user space share one wire, and
//! a record may start in the middle of somebody else's line. Whatever carries a printk stamp starts
//! a logical line of its own. Knows nothing of what the lines mean.

use std::borrow::Cow;

/// Longest part of one logical line that is looked at, in bytes.
pub const LINE_LEN_MAX: usize = 4096;

/// Who printed a line, as CONFIG_PRINTK_CALLER tags it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A task: `[  T123]`.
    Task(u32),
    /// A CPU in interrupt context: `[    C1]`.
    Cpu(u32),
}

/// One logical line of a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Byte offset of the line's first byte in the raw console.
    pub offset: usize,
    /// Byte offset just past the line's last byte, its line ending excluded.
    pub end: usize,
    /// Kernel time in nanoseconds, from the `[ seconds.micro]` stamp.
    pub t_ns: Option<u64>,
    /// Who printed it, where the kernel says so.
    pub caller: Option<Caller>,
    /// The text without stamp, tags and terminal escapes; what is not UTF-8 is replaced.
    pub text: Cow<'a, str>,
}

/// Splits a raw console into logical lines; linear, and silent about empty physical lines.
pub fn lines(raw: &[u8]) -> Lines<'_> {
    Lines { raw, at: 0 }
}

/// Iterator over the logical lines of a console; see [`lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        #[cfg(test)]
        work::LINES.with(|n| n.set(n.get() + 1));
        while self.at < self.raw.len() && matches!(self.raw[self.at], b'\n' | b'\r') {
            self.at += 1;
        }
        let offset = self.at;
        if offset == self.raw.len() {
            return None;
        }
        let stamp = prefix(&self.raw[offset..]);
        let body = offset + stamp.as_ref().map_or(0, |s| s.len);
        let mut end = body;
        while end < self.raw.len() && !matches!(self.raw[end], b'\n' | b'\r') {
            // A stamp in mid-line is the next record, printed over an unfinished line.
            if end > body && self.raw[end] == b'[' && stamp_at(&self.raw[end..]).is_some() {
                break;
            }
            end += 1;
        }
        self.at = end;
        let shown = &self.raw[body..end.min(body + LINE_LEN_MAX)];
        let (t_ns, caller) = stamp.map_or((None, None), |s| (s.t_ns, s.caller));
        Some(Line {
            offset,
            end,
            t_ns,
            caller,
            text: clean(shown),
        })
    }
}

/// Counts the lines that were read on this thread, so that tests can see that work is linear.
#[cfg(test)]
pub(super) mod work {
    thread_local! {
        pub(in crate::console) static LINES: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }
}

struct Prefix {
    len: usize,
    t_ns: Option<u64>,
    caller: Option<Caller>,
}

/// Reads log level, stamp and caller tag at the start of a line.
fn prefix(line: &[u8]) -> Option<Prefix> {
    let level = level_len(line);
    let (stamp_len, t_ns) = match stamp_at(&line[level..]) {
        Some((len, t_ns)) => (len, Some(t_ns)),
        None if level > 0 => (0, None),
        None => return None,
    };
    let mut len = level + stamp_len;
    let mut caller = None;
    if t_ns.is_some() {
        if let Some((tag_len, who)) = tag_at(&line[len..]) {
            len += tag_len;
            caller = Some(who);
        } else {
            len += vendor_tag_len(&line[len..]);
        }
        // One space belongs to the prefix; further ones are the message's own.
        len += usize::from(line.get(len) == Some(&b' '));
    }
    Some(Prefix { len, t_ns, caller })
}

/// Length of a raw log level such as `<6>`.
fn level_len(line: &[u8]) -> usize {
    let digits = line
        .iter()
        .skip(1)
        .take(4)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let closed = line.get(digits + 1) == Some(&b'>');
    if line.first() == Some(&b'<') && (1..=3).contains(&digits) && closed {
        digits + 2
    } else {
        0
    }
}

/// Reads `[   12.345678]`: its length and the time in nanoseconds.
fn stamp_at(bytes: &[u8]) -> Option<(usize, u64)> {
    let rest = bytes.strip_prefix(b"[")?;
    let pad = rest.iter().take(12).take_while(|b| **b == b' ').count();
    let secs = rest[pad..]
        .iter()
        .take(12)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let dot = pad + secs;
    let micros = rest.get(dot + 1..dot + 7)?;
    let shape = secs > 0 && rest[dot] == b'.' && rest.get(dot + 7) == Some(&b']');
    if !shape || !micros.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
    let t_ns = number(&rest[pad..dot]).saturating_mul(1_000_000_000) + number(micros) * 1000;
    Some((dot + 9, t_ns))
}

/// Reads `[  T123]` or `[    C1]`, with a space before it if need be.
fn tag_at(bytes: &[u8]) -> Option<(usize, Caller)> {
    let space = usize::from(bytes.first() == Some(&b' '));
    let rest = bytes[space..].strip_prefix(b"[")?;
    let pad = rest.iter().take(8).take_while(|b| **b == b' ').count();
    let kind = *rest.get(pad)?;
    let digits = rest[pad + 1..]
        .iter()
        .take(9)
        .take_while(|b| b.is_ascii_digit())
        .count();
    if digits == 0 || rest.get(pad + 1 + digits) != Some(&b']') {
        return None;
    }
    let id = rest[pad + 1..pad + 1 + digits]
        .iter()
        .fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    let who = match kind {
        b'T' => Caller::Task(id),
        b'C' => Caller::Cpu(id),
        _ => return None,
    };
    Some((space + 1 + pad + 1 + digits + 1, who))
}

/// Length of a vendor kernel's tag such as `  [4:  kworker/2:1: 1608]`.
fn vendor_tag_len(bytes: &[u8]) -> usize {
    let space = bytes.iter().take(4).take_while(|b| **b == b' ').count();
    let Some(rest) = bytes[space..].strip_prefix(b"[") else {
        return 0;
    };
    let cpu = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    if cpu == 0 || rest.get(cpu) != Some(&b':') {
        return 0;
    }
    let Some(close) = rest.iter().take(48).position(|b| *b == b']') else {
        return 0;
    };
    let inside = &rest[cpu + 1..close];
    let pid = inside.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    if pid > 0 && inside.len() > pid && inside.contains(&b':') {
        space + close + 2
    } else {
        0
    }
}

/// Decodes lossily (noise at both ends goes) and drops terminal escapes and other control bytes (tabs stay).
fn clean(bytes: &[u8]) -> Cow<'_, str> {
    let text = match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(text),
        // Noise before or after a message hides nothing of it.
        Cow::Owned(text) => Cow::Owned(text.trim_matches('\u{fffd}').to_owned()),
    };
    if !text.contains(|c: char| c.is_control() && c != '\t') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| !('\u{40}'..='\u{7e}').contains(c)).is_some() {}
                chars.next();
            }
        } else if !c.is_control() || c == '\t' {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Finds the lines by which the guest ties its frames to kernel time: (frame number, nanoseconds).
///
/// The text is `patchproof: frame N`; a line without a stamp says nothing about time and is left out.
#[must_use]
pub fn marks(raw: &[u8]) -> Vec<(u64, u64)> {
    lines(raw)
        .filter_map(|line| {
            let seq = line
                .text
                .trim_end()
                .strip_prefix("patchproof: frame ")?
                .parse()
                .ok()?;
            Some((seq, line.t_ns?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(raw: &str) -> Vec<String> {
        lines(raw.as_bytes()).map(|l| l.text.into_owned()).collect()
    }

    #[test]
    fn stamps_tags_and_levels_are_read() {
        let check = |raw: &str, t_ns: Option<u64>, caller: Option<Caller>, text: &str| {
            let all: Vec<_> = lines(raw.as_bytes()).collect();
            assert_eq!(all.len(), 1, "{raw}");
            assert_eq!(
                (all[0].t_ns, all[0].caller, all[0].text.as_ref()),
                (t_ns, caller, text),
                "{raw}"
            );
        };
        check("[    1.000002] hello", Some(1_000_002_000), None, "hello");
        check("<6>[    1.000002] hello", Some(1_000_002_000), None, "hello");
        check("<6>hello", None, None, "hello");
        check(
            "[12345.000000][   T17]  two",
            Some(12_345_000_000_000),
            Some(Caller::Task(17)),
            " two",
        );
        check(
            "[    0.500000][    C3] irq",
            Some(500_000_000),
            Some(Caller::Cpu(3)),
            "irq",
        );
        check(
            "[    0.500000] [    C3] irq",
            Some(500_000_000),
            Some(Caller::Cpu(3)),
            "irq",
        );
        check(
            "[   37.991733]  [2:    worker/2:1: 1608] key",
            Some(37_991_733_000),
            None,
            "key",
        );
        check("[1.5] no stamp", None, None, "[1.5] no stamp");
        check("[ 1.123456 open", None, None, "[ 1.123456 open");
        check("\u{1b}[32mok\u{1b}[0m done", None, None, "ok done");
    }

    #[test]
    fn a_record_in_mid_line_is_a_line_of_its_own() {
        assert_eq!(
            texts("login: [    1.000000] one[    1.000001] two\r\n"),
            ["login: ", "one", "two"]
        );
    }

    #[test]
    fn carriage_returns_end_lines_and_offsets_point_into_the_raw_bytes() {
        let raw = b"a\r\r\n\n[    2.000000] \xff\xfeb\rc";
        let all: Vec<_> = lines(raw).collect();
        let spans: Vec<_> = all.iter().map(|l| &raw[l.offset..l.end]).collect();
        assert_eq!(spans, [b"a".as_slice(), b"[    2.000000] \xff\xfeb", b"c"]);
        assert_eq!(all[1].text, "b");
    }

    #[test]
    fn marks_carry_kernel_time() {
        let raw = b"[    1.000000][    T1] patchproof: frame 7\npatchproof: frame 8\n\
            [    2.000000] patchproof: frame x\n[    3.000000] patchproof: frame 9\r\n";
        assert_eq!(marks(raw), [(7, 1_000_000_000), (9, 3_000_000_000)]);
    }
}
