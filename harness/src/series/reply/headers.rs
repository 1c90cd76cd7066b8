//! Whom a reply answers, and the headers that say so.

use super::Circumstances;
use crate::series::intake::Submission;
use crate::series::mail;
use crate::series::report::Report;
use crate::source::{Letter, Mailbox};
use std::fmt::Write as _;

/// The letter that is answered: the blamed patch's, else the cover letter, else the first patch's.
pub(super) fn answered(submission: &Submission, blamed: Option<usize>) -> Option<&Letter> {
    let letter = |index: usize| submission.parts.get(index).and_then(|part| part.letter.as_ref());
    match blamed {
        Some(number) => letter(number.wrapping_sub(1)),
        None => submission.cover.as_ref().or_else(|| letter(0)),
    }
}

/// Where mails to a list can be looked up by their ids.
const ARCHIVED: [&str; 4] = [
    "kvack.org",
    "vger.kernel.org",
    "lists.linux.dev",
    "lists.infradead.org",
];

/// Whether the answer to a letter goes to a list that lore.kernel.org keeps.
pub(super) fn is_archived(letter: &Letter) -> bool {
    let domain = |mailbox: &Mailbox| {
        mailbox
            .address
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_owned())
    };
    letter
        .to
        .iter()
        .chain(&letter.cc)
        .filter_map(domain)
        .any(|d| ARCHIVED.contains(&d.as_str()))
}

pub(super) fn message_id(report: &Report, around: &Circumstances) -> Option<String> {
    let (_, domain) = around.sender.as_ref()?.address.rsplit_once('@')?;
    let run: String = report
        .run
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    Some(format!("{run}.patchproof@{domain}"))
}

pub(super) fn headers(
    report: &Report,
    submission: &Submission,
    answered: Option<&Letter>,
    around: &Circumstances,
) -> String {
    let mut out = String::new();
    if let Some(sender) = &around.sender {
        let _ = writeln!(out, "From: {}", mail::mailbox(sender));
    }
    let own = |mailbox: &&Mailbox| {
        let sender = around.sender.as_ref();
        sender.is_none_or(|s| !s.address.eq_ignore_ascii_case(&mailbox.address))
    };
    if let Some(letter) = answered {
        let to: Vec<&Mailbox> = letter.from.iter().filter(own).collect();
        let others = letter.to.iter().chain(&letter.cc).filter(own);
        let cc: Vec<&Mailbox> = others
            .filter(|m| !to.iter().any(|t| t.address == m.address))
            .collect();
        for (name, list) in [("To", to), ("Cc", cc)] {
            let entries: Vec<String> = list.into_iter().map(mail::mailbox).collect();
            if !entries.is_empty() {
                out.push_str(&mail::folded(name, &entries));
            }
        }
    }
    let subject = answered.map_or_else(|| submission.title.clone(), |l| l.subject.clone());
    let _ = writeln!(out, "Subject: {}", mail::text(&format!("Re: {subject}")));
    if !around.date.is_empty() {
        let _ = writeln!(out, "Date: {}", around.date);
    }
    if let Some(id) = message_id(report, around) {
        let _ = writeln!(out, "Message-ID: <{id}>");
    }
    if let Some(id) = answered.and_then(|l| l.message_id.as_ref()) {
        let _ = writeln!(out, "In-Reply-To: <{id}>");
        let all = answered.iter().flat_map(|l| &l.references).chain([id]);
        let all: Vec<String> = all.map(|id| format!("<{id}>")).collect();
        let _ = writeln!(out, "References: {}", all.join("\n "));
    }
    out.push_str(
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n",
    );
    out
}
