//! Which cell is started next: the longest that fits, within the CPUs and the memory there are (pure).
//!
//! A cell that does not fit yet, being larger than others, is not put off for ever: what is shorter may
//! go before it only where that does not make it wait longer, as far as durations are known.

/// What a machine takes of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) cpus: u32,
    pub(super) memory: u64,
}

impl Room {
    fn holds(self, need: Self) -> bool {
        need.cpus <= self.cpus && need.memory <= self.memory
    }

    fn less(self, need: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_sub(need.cpus),
            memory: self.memory.saturating_sub(need.memory),
        }
    }

    fn more(self, freed: Self) -> Self {
        Self {
            cpus: self.cpus.saturating_add(freed.cpus),
            memory: self.memory.saturating_add(freed.memory),
        }
    }
}

/// A cell that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    at: usize,
    need: Room,
    ms: u64,
}

/// A cell that runs.
#[derive(Debug, Clone, Copy)]
struct Running {
    at: usize,
    need: Room,
    until_ms: u64,
}

/// Cells that wait and cells that run.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    running: Vec<Running>,
    free: Room,
    /// Nothing is started that is not likely to end by then.
    deadline_ms: Option<u64>,
}

impl Queue {
    /// A queue for a host with so much room. Times are in milliseconds since any moment, always the same.
    pub(super) fn new(room: Room, deadline_ms: Option<u64>) -> Self {
        Self {
            waiting: Vec::new(),
            running: Vec::new(),
            free: room,
            deadline_ms,
        }
    }

    /// Adds a cell that is likely to take `ms`; it must fit into the whole room.
    pub(super) fn push(&mut self, at: usize, need: Room, ms: u64) {
        let longer = self.waiting.partition_point(|other| other.ms >= ms);
        self.waiting.insert(longer, Waiting { at, need, ms });
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The cell to start now, if there is one; it counts as running from now on.
    pub(super) fn start(&mut self, now_ms: u64) -> Option<usize> {
        let in_time = |w: &Waiting| {
            self.deadline_ms
                .is_none_or(|end| now_ms.saturating_add(w.ms) <= end)
        };
        let mut in_order = (0..self.waiting.len()).filter(|place| in_time(&self.waiting[*place]));
        let first = in_order.next()?;
        let chosen = if self.free.holds(self.waiting[first].need) {
            first
        } else {
            let (from_ms, beside) = self.reserved(self.waiting[first].need);
            in_order.find(|place| {
                let other = self.waiting[*place];
                let harmless = now_ms.saturating_add(other.ms) <= from_ms || beside.holds(other.need);
                self.free.holds(other.need) && harmless
            })?
        };
        let started = self.waiting.remove(chosen);
        self.free = self.free.less(started.need);
        self.running.push(Running {
            at: started.at,
            need: started.need,
            until_ms: now_ms.saturating_add(started.ms),
        });
        Some(started.at)
    }

    /// When what does not fit yet is likely to, and what is free beside it then.
    fn reserved(&self, need: Room) -> (u64, Room) {
        let mut ends: Vec<&Running> = self.running.iter().collect();
        ends.sort_by_key(|running| running.until_ms);
        let mut free = self.free;
        for running in ends {
            free = free.more(running.need);
            if free.holds(need) {
                return (running.until_ms, free.less(need));
            }
        }
        (u64::MAX, free)
    }

    /// A cell has ended: what it took is free again.
    pub(super) fn ended(&mut self, at: usize) {
        if let Some(place) = self.running.iter().position(|running| running.at == at) {
            self.free = self.free.more(self.running.swap_remove(place).need);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn need(cpus: u32, memory: u64) -> Room {
        Room { cpus, memory }
    }

    /// What is started at once.
    fn started(queue: &mut Queue, now_ms: u64) -> Vec<usize> {
        std::iter::from_fn(|| queue.start(now_ms)).collect()
    }

    #[test]
    fn the_longest_goes_first_and_equals_go_in_order() {
        let mut queue = Queue::new(need(2, 100), None);
        for (at, ms) in [(0, 10), (1, 30), (2, 20), (3, 30)] {
            queue.push(at, need(1, 1), ms);
        }
        assert_eq!(started(&mut queue, 0), [1, 3]);
        queue.ended(3);
        assert_eq!(started(&mut queue, 30), [2]);
    }

    #[test]
    fn memory_counts_as_cpus_do() {
        let mut queue = Queue::new(need(8, 100), None);
        queue.push(0, need(1, 60), 30);
        queue.push(1, need(1, 60), 20);
        queue.push(2, need(1, 40), 10);
        // The second one has to wait; the third is done before it could begin.
        assert_eq!(started(&mut queue, 0), [0, 2]);
        queue.ended(0);
        assert_eq!(started(&mut queue, 30), [1]);
    }

    #[test]
    fn a_large_one_is_not_put_off_by_small_ones() {
        let mut queue = Queue::new(need(4, 100), None);
        queue.push(0, need(3, 1), 50);
        queue.push(1, need(4, 1), 40);
        queue.push(2, need(1, 1), 60);
        assert_eq!(queue.start(0), Some(2), "the longest");
        assert_eq!(queue.start(0), Some(0), "beside it");
        queue.ended(0);
        // The large one can begin at 60: what ends by then may go before it, what is longer may not.
        queue.push(3, need(1, 1), 10);
        queue.push(4, need(1, 1), 30);
        assert_eq!(started(&mut queue, 50), [3]);
        queue.ended(3);
        assert!(started(&mut queue, 55).is_empty());
        queue.ended(2);
        assert_eq!(started(&mut queue, 60), [1]);
    }

    #[test]
    fn nothing_is_started_that_cannot_end_in_time() {
        let mut queue = Queue::new(need(1, 100), Some(100));
        queue.push(0, need(1, 1), 120);
        queue.push(1, need(1, 1), 60);
        queue.push(2, need(1, 1), 30);
        assert_eq!(started(&mut queue, 0), [1]);
        queue.ended(1);
        assert!(started(&mut queue, 75).is_empty());
        assert_eq!(started(&mut queue, 70), [2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_room_is_never_exceeded_and_everything_runs(
            cells in prop::collection::vec((1..5u32, 1..60u64, 1..100u64), 1..40),
        ) {
            let room = need(4, 60);
            let mut queue = Queue::new(room, None);
            for (at, (cpus, memory, ms)) in cells.iter().enumerate() {
                queue.push(at, need(*cpus, *memory), *ms);
            }
            let (mut now_ms, mut done) = (0, 0);
            while done < cells.len() {
                started(&mut queue, now_ms);
                let cpus: u32 = queue.running.iter().map(|r| r.need.cpus).sum();
                let memory: u64 = queue.running.iter().map(|r| r.need.memory).sum();
                prop_assert!(cpus <= room.cpus && memory <= room.memory);
                let next = queue.running.iter().min_by_key(|r| r.until_ms).map(|r| (r.at, r.until_ms));
                let (at, until_ms) = next.expect("something runs");
                (now_ms, done) = (until_ms, done + 1);
                queue.ended(at);
            }
            prop_assert_eq!(queue.free, room);
        }
    }
}
