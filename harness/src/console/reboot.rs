//! Notices a kernel that starts again though nobody asked it to.

use super::Kind;
use super::line::Line;
use super::rule::{Blame, Rule, Stands};

static REBOOT: Rule = Rule {
    kind: Kind::Reboot,
    header: "",
    title: "unexpected kernel reboot",
    blame: Blame::Nobody,
    skip: &[],
    stands: Stands::Alone,
    stamped: false,
};

/// What firmware, loader or kernel say first after a reset.
const BANNERS: &[&str] = &[
    "Linux version ",
    "Booting Linux on physical CPU",
    "Booting the kernel",
    "Decompressing Linux...",
    "Uncompressing Linux...",
    "early console in ",
    "SeaBIOS (version ",
];
/// What the kernel says when a reboot or power-off was asked for.
const ASKED: &[&str] = &[
    "reboot: ",
    "Restarting system",
    "kexec_core: Starting new kernel",
    "ACPI: PM: Preparing to enter system sleep state S5",
];
/// A kernel that got this far in its own time had booted.
const BOOTED_NS: u64 = 1_000_000_000;

/// Follows the console over resets.
#[derive(Debug, Default)]
pub(super) struct Boots {
    ran: bool,
    asked: bool,
}

impl Boots {
    /// Sees the next line; gives a rule when it is the first line of a boot nobody asked for.
    pub(super) fn see(&mut self, line: &Line<'_>) -> Option<&'static Rule> {
        let text = line.text.as_ref();
        if ASKED.iter().any(|a| text.starts_with(a)) {
            self.asked = true;
        } else if line.t_ns.is_none_or(|t| t == 0) && BANNERS.iter().any(|b| text.starts_with(b)) {
            let sudden = self.ran && !self.asked;
            *self = Self::default();
            return sudden.then_some(&REBOOT);
        }
        self.ran |= line.t_ns.is_some_and(|t| t >= BOOTED_NS);
        None
    }
}
