//! Mails: an mbox (or one mail) as letters, with what they say of themselves and the patch that each carries.
//!
//! The split at `From ` lines and the unescaping of `>From` are done here, on bytes; headers and transfer
//! encodings are left to `mailparse`. Anything may come: every value that is kept is bounded, and free of
//! control characters, so that nothing of it can become a header of ours.
//!
//! Not here: which letters are the series (that is `thread`), and what patches change.

use super::series::SeriesProblem;
use mailparse::{MailAddr, MailHeaderMap as _};

/// Most addresses that are kept of one header.
const MAILBOXES_MAX: usize = 64;
/// Most characters of a subject or a name.
const TEXT_CHARS_MAX: usize = 300;
/// Parts inside of parts; mailing lists wrap two or three times.
const NESTING_MAX: usize = 100;
/// Most references that are kept, the newest.
const REFERENCES_MAX: usize = 40;

/// Somebody's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// As they call themselves; may be empty.
    pub name: String,
    /// `local@domain`, of plain characters only.
    pub address: String,
}

impl Mailbox {
    /// Reads `Name <address>` or a bare address; `None` where that is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|t| t.rsplit_once('<')) {
            Some((name, address)) => (one_line(name.trim().trim_matches('"')), address),
            None => (String::new(), text),
        };
        is_address(address).then(|| Self {
            name,
            address: address.to_owned(),
        })
    }
}

/// One mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Letter {
    /// The subject in one line, with its tags.
    pub subject: String,
    /// The subject without tags.
    pub title: String,
    /// Of `[PATCH v2.1 …]`: (2, 1); (1, 0) where it does not say.
    pub version: (u32, u32),
    /// Of `[PATCH n/m]`: (n, m).
    pub place: Option<(u32, u32)>,
    /// Whether it answers another mail (`Re: …`).
    pub is_reply: bool,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// What it refers to, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// Who wrote it.
    pub from: Option<Mailbox>,
    /// To whom.
    pub to: Vec<Mailbox>,
    /// With copies to.
    pub cc: Vec<Mailbox>,
    /// The commit that `git format-patch` made it of.
    pub commit: Option<String>,
    /// Its trailer `base-commit:`.
    pub base_commit: Option<String>,
    /// The part that holds a patch, decoded from its transfer encoding and nothing else.
    pub patch: Option<Vec<u8>>,
}

/// Whether a file looks like mail rather than like a bare patch.
pub(crate) fn is_mail(bytes: &[u8]) -> bool {
    bytes.starts_with(b"From ")
        || [
            "From: ",
            "Return-Path: ",
            "Received: ",
            "Subject: ",
            "Message-ID: ",
            "Message-Id: ",
        ]
        .iter()
        .any(|h| bytes.starts_with(h.as_bytes()))
}

/// Reads every mail of an mbox, in the order in which they lie there.
pub(crate) fn letters(bytes: &[u8]) -> Result<Vec<Letter>, SeriesProblem> {
    let each = split(bytes).into_iter().enumerate();
    each.map(|(index, raw)| {
        let commit = raw.commit;
        letter(&raw.bytes, commit).map_err(|why| SeriesProblem::Mail {
            number: index + 1,
            why,
        })
    })
    .collect()
}

fn letter(raw: &[u8], commit: Option<String>) -> Result<Letter, String> {
    let (headers, _) = mailparse::parse_headers(raw).map_err(|e| e.to_string())?;
    let multipart = headers
        .get_first_value("Content-Type")
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/"));
    // Each level inside of another names its boundary; the parser goes down without a limit of its own.
    if multipart && count(raw, b"boundary") > NESTING_MAX {
        return Err("it has more parts inside of parts than any mail needs".to_owned());
    }
    let mail = mailparse::parse_mail(raw).map_err(|e| e.to_string())?;
    let text = |name: &str| one_line(&mail.headers.get_first_value(name).unwrap_or_default());
    let subject = text("Subject");
    let body = part_of(&mail, &|_| true).unwrap_or_default();
    let mut references = ids(&text("References"));
    references.extend(ids(&text("In-Reply-To")).into_iter().take(1));
    let mut seen = std::collections::BTreeSet::new();
    references.retain(|id| seen.insert(id.clone()));
    let first = references.len().saturating_sub(REFERENCES_MAX);
    references.drain(..first);
    Ok(Letter {
        title: title_of(&subject),
        version: version_of(&subject),
        place: count_of(&subject),
        is_reply: subject.to_ascii_lowercase().starts_with("re:"),
        message_id: ids(&text("Message-ID")).into_iter().next(),
        references,
        from: mailboxes(&mail, "From").into_iter().next(),
        to: mailboxes(&mail, "To"),
        cc: mailboxes(&mail, "Cc"),
        commit,
        base_commit: base_commit(&body),
        patch: part_of(&mail, &has_patch),
        subject,
    })
}

/// Whether letters of any case occur more often than somebody honest writes them.
fn count(raw: &[u8], word: &[u8]) -> usize {
    raw.windows(word.len())
        .filter(|at| at.eq_ignore_ascii_case(word))
        .count()
}

/// One line of printable text, bounded.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    // Characters that turn the direction of writing or hide are as good as control characters.
    let plain = |c: &char| !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    words
        .join(" ")
        .chars()
        .filter(plain)
        .take(TEXT_CHARS_MAX)
        .collect()
}

/// The message ids of a header, those that are ones.
fn ids(text: &str) -> Vec<String> {
    let legal = |id: &&str| {
        let printable = |b: u8| (b'!'..=b'~').contains(&b) && b != b'<' && b != b'>' && b != b',';
        id.len() <= 250 && id.contains('@') && id.bytes().all(printable)
    };
    text.split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>').map(|(id, _)| id))
        .filter(legal)
        .map(str::to_owned)
        .collect()
}

fn mailboxes(mail: &mailparse::ParsedMail<'_>, name: &str) -> Vec<Mailbox> {
    let mut found: Vec<Mailbox> = Vec::new();
    for header in mail.headers.get_all_headers(name) {
        let Ok(list) = mailparse::addrparse_header(header) else {
            continue;
        };
        for entry in list.iter() {
            let singles = match entry {
                MailAddr::Single(single) => std::slice::from_ref(single),
                MailAddr::Group(group) => group.addrs.as_slice(),
            };
            for single in singles {
                let mailbox = Mailbox {
                    name: one_line(single.display_name.as_deref().unwrap_or_default()),
                    address: single.addr.clone(),
                };
                let new = !found
                    .iter()
                    .any(|m| m.address.eq_ignore_ascii_case(&mailbox.address));
                if is_address(&mailbox.address) && new && found.len() < MAILBOXES_MAX {
                    found.push(mailbox);
                }
            }
        }
    }
    found
}

/// Whether a mail can be sent there, and nothing but an address stands there.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let local_legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b);
    let domain_legal = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    text.len() <= 254
        && !local.is_empty()
        && domain.len() > 1
        && local.bytes().all(local_legal)
        && domain.bytes().all(domain_legal)
        && !local.starts_with('-')
        && !domain.starts_with(['.', '-'])
}

fn base_commit(body: &[u8]) -> Option<String> {
    let line = body
        .split(|b| *b == b'\n')
        .filter_map(|line| line.strip_prefix(b"base-commit:"))
        .next_back()?;
    let hash = String::from_utf8_lossy(line.trim_ascii()).into_owned();
    let is_hash = (12..=64).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then_some(hash)
}

/// A mail as it lies in its box.
struct Raw {
    bytes: Vec<u8>,
    commit: Option<String>,
}

/// Splits at `From ` lines that follow an empty line (or start the file), and unescapes `>From `.
fn split(bytes: &[u8]) -> Vec<Raw> {
    if !bytes.starts_with(b"From ") {
        return vec![Raw {
            bytes: bytes.to_vec(),
            commit: None,
        }];
    }
    let mut mails: Vec<Raw> = Vec::new();
    let mut after_empty = true;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if after_empty && is_separator(line) {
            mails.push(Raw {
                bytes: Vec::new(),
                commit: commit_of(line),
            });
        } else if let Some(mail) = mails.last_mut() {
            let quotes = line.iter().take_while(|b| **b == b'>').count();
            let escaped = quotes > 0 && line[quotes..].starts_with(b"From ");
            mail.bytes.extend_from_slice(&line[usize::from(escaped)..]);
        }
        after_empty = line.trim_ascii().is_empty();
    }
    mails
}

/// `From <who> <date>`: a date ends in a year, with which a sentence seldom does.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else {
        return false;
    };
    let words: Vec<&[u8]> = rest
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty())
        .collect();
    words.len() >= 5
        && words.iter().any(|w| w.contains(&b':'))
        && words
            .iter()
            .skip(2)
            .any(|w| w.len() == 4 && w.iter().all(u8::is_ascii_digit))
}

/// The commit that `git format-patch` puts in place of a sender.
fn commit_of(line: &[u8]) -> Option<String> {
    let word = line.split(u8::is_ascii_whitespace).nth(1)?;
    let is_hash =
        word.len() == 40 && word.iter().all(u8::is_ascii_hexdigit) && word.iter().any(|b| *b != b'0');
    is_hash.then(|| String::from_utf8_lossy(word).into_owned())
}

/// `[PATCH v2 3/7] …` → (3, 7).
fn count_of(subject: &str) -> Option<(u32, u32)> {
    let tag = patch_tag(subject)?;
    let (n, m) = tag.split([' ', ',']).find_map(|word| word.split_once('/'))?;
    Some((n.parse().ok()?, m.parse().ok()?))
}

/// `[PATCH v2.1 3/7] …` → (2, 1), and 1.0 where it does not say.
fn version_of(subject: &str) -> (u32, u32) {
    let version = |word: &str| {
        let word = word.to_ascii_lowercase();
        let number = word.strip_prefix("patch").unwrap_or(&word).strip_prefix('v')?;
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let words = |tag: &str| tag.split([' ', ',']).find_map(version);
    tags(subject).find_map(words).unwrap_or((1, 0))
}

fn patch_tag(subject: &str) -> Option<&str> {
    tags(subject).find(|t| t.to_ascii_uppercase().contains("PATCH"))
}

/// The bracketed tags that a subject starts with.
fn tags(subject: &str) -> impl Iterator<Item = &str> {
    let mut rest = subject;
    std::iter::from_fn(move || {
        let (tag, after) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
        rest = after;
        Some(tag)
    })
}

fn title_of(subject: &str) -> String {
    let mut rest = subject;
    while let Some((_, after)) = rest
        .trim_start()
        .strip_prefix('[')
        .and_then(|r| r.split_once(']'))
    {
        rest = after;
    }
    rest.trim().to_owned()
}

/// `0002-mm-two.patch`.
pub(crate) fn file_name(number: usize, title: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = title.chars().map(safe).take(52).collect();
    let words: Vec<&str> = text.split('-').filter(|w| !w.is_empty()).collect();
    format!("{number:04}-{}.patch", words.join("-"))
}

/// The first part of a mail that is wanted, decoded from its transfer encoding and nothing else: a
/// patch's bytes are those of the file that it changes, whatever character set the mail claims.
fn part_of(mail: &mailparse::ParsedMail<'_>, wanted: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if mail.subparts.is_empty() {
        // mailparse's own decoding of quoted-printable ends lines in CRLF, which no patch survives.
        let body = match mail.get_body_encoded() {
            mailparse::body::Body::QuotedPrintable(body) => unquote(body.get_raw()),
            mailparse::body::Body::Base64(_)
            | mailparse::body::Body::SevenBit(_)
            | mailparse::body::Body::EightBit(_)
            | mailparse::body::Body::Binary(_) => mail.get_body_raw().ok()?,
        };
        return wanted(&body).then_some(body);
    }
    mail.subparts.iter().find_map(|part| part_of(part, wanted))
}

/// Decodes quoted-printable, leniently: what is no code stands for itself.
fn unquote(body: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'=', [b'\n', after @ ..] | [b'\r', b'\n', after @ ..]) => rest = after,
            (b'=', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default();
                out.push((value & 0xff) as u8);
                rest = after;
            }
            _ => out.push(byte),
        }
    }
    out
}

fn has_patch(body: &[u8]) -> bool {
    let mut lines = body.split(|b| *b == b'\n');
    lines.any(|l| l.starts_with(b"diff --git ") || l.starts_with(b"+++ "))
}

#[cfg(test)]
mod tests;
