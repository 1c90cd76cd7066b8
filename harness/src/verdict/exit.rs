//! The exit code of a run. Asked after the verdicts, never before: nothing here can change one.

use super::Verdict;

/// The exit code of one cell: 0 as expected, 1 the kernel failed or an expected defect was missed,
/// 3 infrastructure, 4 nothing was proved.
fn code(verdict: &Verdict, as_expected: bool) -> u8 {
    match (verdict, as_expected) {
        (_, true) => 0,
        (Verdict::Infra { .. }, false) => 3,
        (Verdict::Pass | Verdict::Fail { .. }, false) => 1,
        (Verdict::Inconclusive { .. } | Verdict::Skip { .. }, false) => 4,
    }
}

/// The exit code of a run: the worst of its cells (verdict, and whether it was expected), where
/// 1 > 3 > 4 > 0; 4 without any cell, and 4 where no cell proved anything though each came out as expected.
#[must_use]
pub fn exit_code<'a>(cells: impl IntoIterator<Item = (&'a Verdict, bool)>) -> u8 {
    let mut worst = None;
    let mut proved = false;
    for (verdict, as_expected) in cells {
        proved |= matches!(verdict, Verdict::Pass | Verdict::Fail { .. });
        let code = code(verdict, as_expected);
        worst = worst.max(Some((severity(code), code)));
    }
    match worst {
        Some((_, 0)) if !proved => 4,
        Some((_, code)) => code,
        None => 4,
    }
}

fn severity(code: u8) -> u8 {
    match code {
        0 => 0,
        4 => 1,
        3 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Class, Finding};

    #[test]
    fn the_worst_cell_decides_and_nothing_is_not_green() {
        let pass = Verdict::Pass;
        let fail = Verdict::fail(Finding::new(Class::Lost, "x"));
        let infra = Verdict::Infra { error: "x".into() };
        let skip = Verdict::Skip { why: "x".into() };
        let check = |cells: &[(&Verdict, bool)], code: u8| {
            assert_eq!(exit_code(cells.iter().copied()), code, "{cells:?}");
        };
        check(&[], 4);
        check(&[(&pass, true)], 0);
        check(&[(&pass, false)], 1);
        check(&[(&pass, true), (&skip, false)], 4);
        check(&[(&skip, true)], 4);
        // Only a canary is expected to break something; by itself that proves nothing of a kernel.
        check(&[(&infra, true)], 4);
        check(&[(&infra, true), (&pass, true)], 0);
        check(&[(&skip, false), (&infra, false)], 3);
        check(&[(&infra, false), (&fail, false)], 1);
        check(&[(&fail, true), (&pass, true)], 0);
        check(&[(&fail, true), (&skip, true)], 0);
    }
}
