//! Tables in Markdown's form, aligned so that they also read well on a terminal.

use std::ops::Range;

/// Renders a table; columns of `figures` stand to the right. Each line is without a newline at its end.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    figures: &Range<usize>,
    rows: &[[String; N]],
) -> Vec<String> {
    let head = head.map(str::to_owned);
    let width: [usize; N] = std::array::from_fn(|i| {
        let all = rows.iter().chain([&head]);
        all.map(|row| row[i].chars().count()).max().unwrap_or(0)
    });
    let line = |cells: &[String; N]| {
        let shown: Vec<String> = cells
            .iter()
            .zip(width)
            .enumerate()
            .map(|(i, (cell, w))| {
                if figures.contains(&i) {
                    format!("{cell:>w$}")
                } else {
                    format!("{cell:<w$}")
                }
            })
            .collect();
        format!("| {} |", shown.join(" | "))
    };
    let rule: Vec<String> = width
        .into_iter()
        .enumerate()
        .map(|(i, w)| {
            if figures.contains(&i) {
                format!("{}:", "-".repeat(w + 1))
            } else {
                "-".repeat(w + 2)
            }
        })
        .collect();
    let mut lines = vec![line(&head), format!("|{}|", rule.join("|"))];
    lines.extend(rows.iter().map(line));
    lines
}

/// Keeps a text within a cell of so many characters.
pub(super) fn cell(text: &str, chars_max: usize) -> String {
    let text = text.replace('|', "/");
    if text.chars().count() <= chars_max {
        return text;
    }
    let cut: String = text.chars().take(chars_max - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_figures_stand_to_the_right() {
        let rows = [["a", "1"], ["longer", "200"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["name", "n"], &(1..2), &rows),
            [
                "| name   |   n |",
                "|--------|----:|",
                "| a      |   1 |",
                "| longer | 200 |"
            ]
        );
    }

    #[test]
    fn a_cell_neither_breaks_the_table_nor_outgrows_it() {
        assert_eq!(cell("a | b", 10), "a / b");
        assert_eq!(cell("abcdef", 4), "abc…");
    }
}
