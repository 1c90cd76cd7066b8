//! What the files of a zram device say, parsed.

/// mm_stat: what a device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Pages stored, same-filled ones and those on the backing device included.
    pub pages: u64,
    /// Bytes that their content takes, compressed.
    pub compressed: u64,
    /// Bytes of memory that the pool takes.
    pub memory: u64,
    /// Pages of one repeated word, which take no memory.
    pub same_pages: u64,
    /// Pages that take a page of their own.
    pub huge_pages: u64,
}

impl Usage {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let n = numbers(text)?;
        Some(Self {
            pages: n.first()? / 4096,
            compressed: *n.get(1)?,
            memory: *n.get(2)?,
            same_pages: *n.get(5)?,
            huge_pages: *n.get(7)?,
        })
    }
}

/// bd_stat: the backing device, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backing {
    /// Pages there now.
    pub pages: u64,
    /// Pages read from it so far.
    pub reads: u64,
    /// Pages written to it so far.
    pub writes: u64,
}

impl Backing {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match numbers(text)?[..] {
            [pages, reads, writes, ..] => Some(Self { pages, reads, writes }),
            _ => None,
        }
    }
}

/// Requests so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Read requests.
    pub loads: u64,
    /// Write requests.
    pub stores: u64,
    /// Writes that had to allocate memory with the compressor put away (and so compressed twice).
    pub stalls: u64,
    /// Frees that gave up since the slot was locked: its content stays until the slot is used again.
    pub missed_frees: u64,
}

/// debug_stat, version 1.
pub(super) fn parse_stalls(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("version: 1\n")?;
    match numbers(rest)?[..] {
        [stalls, missed, ..] => Some((stalls, missed)),
        _ => None,
    }
}

/// /sys/block/DEVICE/stat: reads are the first field, writes the fifth.
pub(super) fn parse_requests(text: &str) -> Option<(u64, u64)> {
    let n = numbers(text)?;
    Some((*n.first()?, *n.get(4)?))
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// The last line of zsmalloc's `classes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Objects in use.
    pub objects: u64,
    /// Pages that hold them.
    pub pages: u64,
}

impl Pool {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let total = text
            .lines()
            .rev()
            .find_map(|line| line.trim_start().strip_prefix("Total"))?;
        let mut from_the_end = total.split_whitespace().rev().skip(1);
        let mut next = || from_the_end.next()?.parse().ok();
        let (pages, objects) = (next()?, next()?);
        Some(Self { objects, pages })
    }
}

/// Counts the lines of a block_state whose flags have one.
pub(super) fn count_flag(block_state: &str, flag: char) -> u64 {
    let has = |line: &&str| line.rsplit(' ').next().is_some_and(|flags| flags.contains(flag));
    block_state.lines().filter(has).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_as_documented() {
        let usage =
            Usage::parse("  409600   200123   262144        0   266240        7        0       11       12");
        let want = Usage {
            pages: 100,
            compressed: 200_123,
            memory: 262_144,
            same_pages: 7,
            huge_pages: 11,
        };
        assert_eq!(usage, Some(want));
        assert_eq!(Usage::parse("1 2 3"), None);
        let backing = Backing {
            pages: 3,
            reads: 4,
            writes: 5,
        };
        assert_eq!(Backing::parse("       3        4        5"), Some(backing));
        assert_eq!(parse_stalls("version: 1\n      12        3"), Some((12, 3)));
        assert_eq!(
            parse_stalls("version: 2\n      12        3"),
            None,
            "another version may count otherwise"
        );
        assert_eq!(
            parse_requests("      71 0 568 12 93 0 744 20 0 8 32 0 0 0 0 0 0"),
            Some((71, 93))
        );
    }

    #[test]
    fn a_pool_is_the_sum_of_its_classes() {
        let classes = " class  size       10%  obj_allocated   obj_used pages_used pages_per_zspage freeable\n\
                       \x20   0    32         1            128          1          1                1        0\n\
                       \n Total               1           2528       2500       1700                         12\n";
        assert_eq!(
            Pool::parse(classes),
            Some(Pool {
                objects: 2500,
                pages: 1700
            })
        );
        assert_eq!(Pool::parse("no total"), None);
    }

    #[test]
    fn flags_are_looked_for_in_their_column_only() {
        let state = "         301    75.033841 ...ir.\n         302    63.806904 s.....\n         303    63.806919 ..hir.\n";
        assert_eq!(count_flag(state, 'r'), 2);
        assert_eq!(count_flag(state, '3'), 0);
    }
}
