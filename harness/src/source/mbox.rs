//! Mails: an mbox (or one mail) as the ordered patches that it carries.
//!
//! The split at `From ` lines and the unescaping of `>From` are done here, on bytes; headers and transfer
//! encodings are left to `mailparse`. The order is what `[PATCH n/m]` says, not that of arrival. Cover
//! letters and replies carry no patch and are left out; a patch of the count that is missing is told.
//!
//! Not here: what the patches change.

use super::series::{Patch, SeriesProblem};
use mailparse::MailHeaderMap as _;

/// Whether a file looks like mail rather than like a bare patch.
pub(super) fn is_mail(bytes: &[u8]) -> bool {
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

/// Reads the patches of an mbox, in their order.
pub(super) fn patches(bytes: &[u8]) -> Result<Vec<Patch>, SeriesProblem> {
    let mut found: Vec<(Option<(u32, u32)>, Patch)> = Vec::new();
    for (index, raw) in split(bytes).iter().enumerate() {
        let mail = mailparse::parse_mail(raw).map_err(|e| SeriesProblem::Mail {
            number: index + 1,
            why: e.to_string(),
        })?;
        let subject = mail.headers.get_first_value("Subject").unwrap_or_default();
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let place = count_of(&subject);
        // "Re: …" quotes; n/m with n = 0 is the cover letter.
        if place.is_some_and(|(n, _)| n == 0) || subject.to_ascii_lowercase().starts_with("re:") {
            continue;
        }
        let Some(body) = patch_of(&mail) else { continue };
        let title = title_of(&subject);
        found.push((
            place,
            Patch {
                name: format!("{:04}-{}.patch", found.len() + 1, slug(&title)),
                subject: title,
                bytes: body,
                notes: vec![],
            },
        ));
    }
    in_order(found)
}

fn in_order(mut found: Vec<(Option<(u32, u32)>, Patch)>) -> Result<Vec<Patch>, SeriesProblem> {
    let Some(total) = found.iter().filter_map(|(place, _)| place.map(|p| p.1)).max() else {
        return Ok(found.into_iter().map(|(_, patch)| patch).collect());
    };
    for wanted in 1..=total {
        match found
            .iter()
            .filter(|(place, _)| *place == Some((wanted, total)))
            .count()
        {
            1 => {}
            0 => {
                return Err(SeriesProblem::Missing {
                    number: wanted,
                    total,
                });
            }
            _ => {
                return Err(SeriesProblem::Twice {
                    number: wanted,
                    total,
                });
            }
        }
        if u32::try_from(found.len()).is_ok_and(|have| wanted > have) {
            return Err(SeriesProblem::Missing {
                number: wanted,
                total,
            });
        }
    }
    if let Some((_, stray)) = found.iter().find(|(place, _)| place.is_none_or(|p| p.1 != total)) {
        return Err(SeriesProblem::Stray {
            subject: stray.subject.clone(),
            total,
        });
    }
    found.sort_by_key(|(place, _)| *place);
    let renumber = |(index, (_, mut patch)): (usize, (_, Patch))| {
        patch.name = format!("{:04}-{}.patch", index + 1, slug(&patch.subject));
        patch
    };
    Ok(found.into_iter().enumerate().map(renumber).collect())
}

/// Splits at `From ` lines that follow an empty line (or start the file), and unescapes `>From `.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    if !bytes.starts_with(b"From ") {
        return vec![bytes.to_vec()];
    }
    let mut mails: Vec<Vec<u8>> = Vec::new();
    let mut after_empty = true;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if after_empty && is_separator(line) {
            mails.push(Vec::new());
        } else if let Some(mail) = mails.last_mut() {
            let quotes = line.iter().take_while(|b| **b == b'>').count();
            let escaped = quotes > 0 && line[quotes..].starts_with(b"From ");
            mail.extend_from_slice(&line[usize::from(escaped)..]);
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

/// `[PATCH v2 3/7] …` → (3, 7).
fn count_of(subject: &str) -> Option<(u32, u32)> {
    let tag = tags(subject).find(|t| t.to_ascii_uppercase().contains("PATCH"))?;
    let (n, m) = tag.split([' ', ',']).find_map(|word| word.split_once('/'))?;
    Some((n.parse().ok()?, m.parse().ok()?))
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

fn slug(title: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = title.chars().map(safe).take(52).collect();
    text.split('-')
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// The part of a mail that holds a patch, decoded from its transfer encoding and nothing else: a
/// patch's bytes are those of the file that it changes, whatever character set the mail claims.
fn patch_of(mail: &mailparse::ParsedMail<'_>) -> Option<Vec<u8>> {
    if mail.subparts.is_empty() {
        // mailparse's own decoding of quoted-printable ends lines in CRLF, which no patch survives.
        let body = match mail.get_body_encoded() {
            mailparse::body::Body::QuotedPrintable(body) => unquote(body.get_raw()),
            mailparse::body::Body::Base64(_)
            | mailparse::body::Body::SevenBit(_)
            | mailparse::body::Body::EightBit(_)
            | mailparse::body::Body::Binary(_) => mail.get_body_raw().ok()?,
        };
        return has_patch(&body).then_some(body);
    }
    mail.subparts.iter().find_map(patch_of)
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
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";

    fn mail(subject: &str, body: &str) -> String {
        format!("From 0123abc Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {subject}\n\n{body}\n")
    }

    fn subjects(mbox: &str) -> Vec<String> {
        patches(mbox.as_bytes())
            .unwrap()
            .into_iter()
            .map(|p| p.subject)
            .collect()
    }

    #[test]
    fn order_is_what_the_count_says_and_the_cover_letter_is_no_patch() {
        let mbox = [
            mail("[PATCH v2 2/2] mm: two", DIFF),
            mail("[PATCH v2 0/2] mm: cover", &format!("It quotes:\n{DIFF}")),
            mail("[PATCH v2 1/2] mm:\n one", DIFF),
            mail("Re: [PATCH v2 1/2] mm: one", &format!("> look\n{DIFF}")),
        ]
        .concat();
        assert_eq!(subjects(&mbox), ["mm: one", "mm: two"]);
        assert_eq!(patches(mbox.as_bytes()).unwrap()[1].name, "0002-mm-two.patch");
    }

    #[test]
    fn gaps_doubles_and_strangers_are_told() {
        let check = |subjects: &[&str]| {
            let mbox: String = subjects.iter().map(|s| mail(s, DIFF)).collect();
            patches(mbox.as_bytes()).unwrap_err()
        };
        assert_eq!(
            check(&["[PATCH 1/3] a", "[PATCH 3/3] c"]),
            SeriesProblem::Missing { number: 2, total: 3 }
        );
        assert_eq!(
            check(&["[PATCH 1/1] a", "[PATCH v2 1/1] a"]),
            SeriesProblem::Twice { number: 1, total: 1 }
        );
        assert!(matches!(
            check(&["[PATCH 1/4294967295] a"]),
            SeriesProblem::Missing { number: 2, .. }
        ));
        assert!(matches!(
            check(&["[PATCH 1/1] a", "[PATCH] b"]),
            SeriesProblem::Stray { .. }
        ));
    }

    #[test]
    fn transfer_encodings_and_escapes_are_undone() {
        let escaped = mail(
            "[PATCH] mm: x",
            &format!(">From here on\n>>From there\n\nFrom now on it works\n{DIFF}"),
        );
        let found = patches(escaped.as_bytes()).unwrap();
        let body = String::from_utf8_lossy(&found[0].bytes).into_owned();
        assert!(
            body.starts_with("From here on\n>From there\n\nFrom now on it works\n--- a/x"),
            "{body}"
        );
        let quoted = "From 1 Mon Sep 17 00:00:00 2001\nSubject: =?utf-8?q?=5BPATCH=5D_mm=3A_=C3=A4?=\nContent-Transfer-Encoding: quoted-printable\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a=3D1\n+b=\n=3D2\n";
        let found = patches(quoted.as_bytes()).unwrap();
        assert_eq!(found[0].subject, "mm: ä");
        assert!(found[0].bytes.ends_with(b"-a=1\n+b=2\n"));
        // The same patch in base64.
        let coded = "From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] m\nContent-Transfer-Encoding: base64\n\nLS0tIGEveAorKysgYi94CkBAIC0xICsxIEBACi1hCitiCg==\n";
        assert_eq!(patches(coded.as_bytes()).unwrap()[0].bytes, DIFF.as_bytes());
    }

    #[test]
    fn a_patch_is_found_in_an_attachment() {
        let text = format!(
            "From: a@b\nSubject: [PATCH] m\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/plain\n\nhello\n--B\nContent-Type: text/x-patch\n\n{DIFF}--B--\n"
        );
        assert!(patches(text.as_bytes()).unwrap()[0].bytes.starts_with(b"--- a/x"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = patches(&[b"From 1 Mon Sep 17 00:00:00 2001\n".as_slice(), &bytes].concat());
        }
    }
}
