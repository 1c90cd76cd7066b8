//! Collects the stacks of a report, in the order in which they were printed.
//!
//! Knows whose stack each one is, and where in it a trap was taken. Does not judge: that is `blame`.

use super::frame::{Item, Of, StackFrame, item};
use super::line::Line;

/// Most frames that are kept of one stack.
const FRAMES_MAX: usize = 1024;
/// Most stacks that are kept of one report.
const STACKS_MAX: usize = 64;

/// One stack of a report.
#[derive(Debug)]
pub(super) struct Stack {
    /// Whose it is.
    pub of: Of,
    pub frames: Vec<StackFrame>,
    /// Which frame is a program counter that was printed in the middle of the stack: what had been
    /// running when the trap or the interrupt above it came.
    pub pc_at: Option<usize>,
}

impl Stack {
    const fn of(of: Of) -> Self {
        Self {
            of,
            frames: Vec::new(),
            pc_at: None,
        }
    }

    fn push(&mut self, frame: StackFrame) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(frame);
        }
    }

    fn is_proven(&self) -> bool {
        self.frames.iter().any(|f| f.reliable)
    }
}

/// The stacks of a report, in the order they were printed.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// Program counters of register dumps that stand before the first stack.
    pub pc: Vec<StackFrame>,
    /// The stacks that have frames.
    pub all: Vec<Stack>,
    /// Whether a stack of the reported context was announced, printed or not.
    pub announced: bool,
}

impl Stacks {
    /// Collects the stacks of a report's lines, its header excluded.
    pub(super) fn read<'l, 'a: 'l>(lines: impl Iterator<Item = &'l Line<'a>>) -> Self {
        let mut stacks = Self::default();
        // Frames before any stack is announced: some reports print theirs without a word.
        let mut bare = Stack::of(Of::Reported);
        let (mut open, mut begun, mut wild, mut foreign) = (Stack::of(Of::Reported), false, false, false);
        for line in lines {
            let to = if begun { &mut open } else { &mut bare };
            match item(&line.text) {
                Item::Frame(frame) => to.push(frame),
                Item::Pair(callee, caller) => {
                    if to.frames.is_empty() {
                        to.push(callee);
                    }
                    to.push(caller);
                }
                Item::Pc(frame) if !begun => stacks.pc.push(frame),
                Item::Pc(frame) => {
                    if !wild {
                        to.pc_at.get_or_insert(to.frames.len());
                    }
                    to.push(frame);
                }
                Item::WildPc => wild = true,
                Item::Main(first) => {
                    let of = if foreign { Of::Else } else { Of::Reported };
                    foreign = false;
                    stacks.announced = true;
                    stacks.keep(&mut open, of);
                    begun = true;
                    open.frames.extend(first);
                }
                Item::Other(of) => {
                    stacks.keep(&mut open, of);
                    begun = true;
                }
                Item::Foreign => foreign = true,
                Item::Text => {}
            }
        }
        stacks.keep(&mut open, Of::Else);
        if stacks.reported().next().is_none() && !bare.frames.is_empty() {
            stacks.all.insert(0, bare);
        }
        stacks.pc.truncate(FRAMES_MAX);
        stacks
    }

    /// Puts an open stack away, if it has frames, and opens the next.
    fn keep(&mut self, open: &mut Stack, next: Of) {
        let done = std::mem::replace(open, Stack::of(next));
        if !done.frames.is_empty() && self.all.len() < STACKS_MAX {
            self.all.push(done);
        }
    }

    /// The stacks of the reported context.
    pub(super) fn reported(&self) -> impl Iterator<Item = &Stack> {
        self.all.iter().filter(|stack| stack.of == Of::Reported)
    }

    /// The stack that speaks for the report: the program counter, then the first stack with a proven frame.
    pub(super) fn spoken(&self) -> Vec<StackFrame> {
        let first = self.reported().find(|stack| stack.is_proven());
        let below = first.into_iter().flat_map(|stack| &stack.frames);
        self.pc.iter().take(1).chain(below).cloned().collect()
    }

    /// Whether any stack of the reported context has a proven frame.
    pub(super) fn has_frames(&self) -> bool {
        self.reported().any(Stack::is_proven)
    }
}
