//! Headers of a mail that is written: addresses and text so that nothing in them can become anything else.
//!
//! Not here: what is written (that is `reply`), and reading mails (that is `source`).

use crate::source::Mailbox;

/// `Jane Doe <jane@example.org>`, with the name quoted or encoded where it must be.
#[must_use]
pub fn mailbox(who: &Mailbox) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(c);
    if who.name.is_empty() {
        return who.address.clone();
    }
    let name = if who.name.chars().all(plain) {
        who.name.clone()
    } else if who.name.is_ascii() {
        let escaped = who.name.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", escaped.replace(|c: char| c.is_control(), " "))
    } else {
        text(&who.name)
    };
    format!("{name} <{}>", who.address)
}

/// Text of a header: as it is where that is plain, else as encoded words.
#[must_use]
pub fn text(of: &str) -> String {
    if of.chars().all(|c| c.is_ascii() && !c.is_control()) && !of.contains("=?") {
        return of.to_owned();
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in of.chars().filter(|c| !c.is_control()) {
        let mut coded = String::new();
        let mut utf8 = [0; 4];
        for byte in c.encode_utf8(&mut utf8).bytes() {
            if byte.is_ascii_alphanumeric() {
                coded.push(char::from(byte));
            } else if byte == b' ' {
                coded.push('_');
            } else {
                coded.push_str(&format!("={byte:02X}"));
            }
        }
        // An encoded word has at most 75 characters, and no character is split.
        if word.len() + coded.len() > 60 {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(&coded);
    }
    words.push(word);
    let coded: Vec<String> = words.iter().map(|w| format!("=?UTF-8?q?{w}?=")).collect();
    coded.join("\n ")
}

/// A header of several entries, folded one a line.
#[must_use]
pub fn folded(name: &str, entries: &[String]) -> String {
    format!("{name}: {}\n", entries.join(",\n "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str) -> String {
        mailbox(&Mailbox {
            name: name.to_owned(),
            address: "a@example.org".to_owned(),
        })
    }

    #[test]
    fn names_are_quoted_or_encoded_where_they_must_be() {
        assert_eq!(shown(""), "a@example.org");
        assert_eq!(shown("Jane Doe"), "Jane Doe <a@example.org>");
        assert_eq!(shown("Doe, \"J\""), "\"Doe, \\\"J\\\"\" <a@example.org>");
        assert_eq!(shown("Jäne"), "=?UTF-8?q?J=C3=A4ne?= <a@example.org>");
        assert_eq!(text("a\r\nBcc: x@y"), "=?UTF-8?q?aBcc=3A_x=40y?=");
        // Looks like an encoded word, and is shown as it was written.
        assert_eq!(text("=?x?="), "=?UTF-8?q?=3D=3Fx=3F=3D?=");
        let long = text(&"ä".repeat(40));
        assert!(long.lines().all(|line| line.len() <= 76), "{long}");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(of in "\\PC{0,80}") {
            let raw = format!("Subject: {}\n", text(&of));
            let (header, _) = mailparse::parse_header(raw.as_bytes()).expect("a header");
            let want: Vec<&str> = of.split_whitespace().collect();
            let value = header.get_value();
            let have: Vec<&str> = value.split_whitespace().collect();
            proptest::prop_assert_eq!(have, want);
        }
    }
}
