//! What an owner tells: a reading that is wrong, with what helps to understand it; and which refusals of
//! the kernel tell nothing.

use super::owner::{Owner, Stopped};
use super::region::buffer;
use super::step::Act;
use crate::model::Mismatch;
use crate::protocol::Seen;
use crate::sys::SysError;
use crate::sys::pagemap::Entry;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

impl Owner<'_> {
    pub(super) fn judged(
        &mut self,
        at: usize,
        page: usize,
        verdict: Result<(), Box<Mismatch>>,
        before: Option<Entry>,
    ) -> Result<(), Stopped> {
        let Err(mismatch) = verdict else {
            self.engine.counts.verified.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        if let Some((ground, _)) = self.around {
            ground.stop.set();
            let context = self.context(at, page, before);
            let title = mismatch.title();
            ground.env.find(Seen::Mismatch(*mismatch), title, context)?;
        } else {
            self.found.push(*mismatch);
        }
        Err(Stopped::Found)
    }

    /// Tells of two counts that must agree.
    pub(super) fn disagree(
        &mut self,
        what: String,
        one: usize,
        other: usize,
        context: BTreeMap<String, String>,
    ) -> Result<(), Stopped> {
        let title = format!("{what}: {one} and {other}");
        let seen = Seen::Conservation {
            what,
            one: one as u64,
            other: other as u64,
        };
        if let Some((ground, _)) = self.around {
            ground.stop.set();
            ground.env.find(seen, title, context)?;
        } else {
            eprintln!("{title} {context:?}");
        }
        Err(Stopped::Found)
    }

    /// What helps to understand a mismatch.
    pub(super) fn context(&self, at: usize, page: usize, before: Option<Entry>) -> BTreeMap<String, String> {
        let region = &self.regions[at];
        let mut one = [Entry::default()];
        let mut file = buffer();
        let file = region
            .file_read(page, false, &mut file)
            .map(|()| region.file_words(&self.engine.origin, page, &file));
        let after = region
            .entries(&self.engine.field, &self.pagemap, page..page + 1, &mut one)
            .map(|()| one[0].to_string());
        let on_page = |e: &super::log::Entry| {
            usize::from(e.owner) == self.number
                && usize::from(e.step.region) == at
                && (e.step.act.is_whole() || e.step.range().contains(&page))
        };
        let all = self.engine.log.entries();
        let mine: Vec<super::log::Entry> = all.iter().filter(|e| on_page(e)).copied().collect();
        let told = &mine[mine.len().saturating_sub(40)..];
        [
            (
                "memory",
                format!("page {page} of region {at}: {}", region.kind.words()),
            ),
            (
                "the model's state",
                format!(
                    "{:?}, its file {:?}",
                    region.state(page).content,
                    region.state(page).file
                ),
            ),
            ("the file below", file.unwrap_or_else(|e| e.to_string())),
            ("page before the read", before.unwrap_or_default().to_string()),
            ("page after the read", after.unwrap_or_else(|e| e.to_string())),
            ("last operations on the page", super::log::write(told)),
            ("log", self.engine.log.text()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

/// Whether the kernel may answer this to an act: nothing, or only what the model allows, has changed then.
pub(super) fn is_refusal(act: Act, e: &SysError) -> bool {
    let short = matches!(
        e.errno(),
        Some(libc::ENOMEM | libc::EAGAIN | libc::EBUSY | libc::EINTR)
    );
    let answers: &[i32] = if act == Act::Collapse {
        // What can't be collapsed.
        &[libc::EINVAL]
    } else if matches!(act, Act::Remap | Act::RemapLeaving) {
        // Protection may have left several mappings, which can't be moved together.
        &[libc::EFAULT, libc::EINVAL]
    } else if act == Act::Move {
        // Mappings that protection or advice has split.
        &[libc::EINVAL, libc::ENOENT]
    } else if act == Act::ClearRefs {
        // Without MEM_SOFT_DIRTY.
        &[libc::EINVAL]
    } else {
        &[]
    };
    let must = matches!(act, Act::Store | Act::Touch | Act::Verify | Act::FileRead);
    !must && (short || e.errno().is_some_and(|errno| answers.contains(&errno)))
}
