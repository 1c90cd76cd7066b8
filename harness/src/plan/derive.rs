//! From a combination's values to what its cell runs: the blocks it names, with what other axes change.
//!
//! A block that is changed has a name of its own: the block's, then what each axis says, joined by `+`
//! (`fixed+v6-1`, `small+2cpu+512MiB`, `pressure+arena-4MiB`).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;

use super::Named;
use crate::spec::{
    self, Axis, BOOT_ARGS_CHARS_MAX, CaseSpec, Choice, Given, KernelSpec, MachineSpec, Problem,
    RacepointSetting, Reference, Sets, SourceSpec, Spec,
};

/// What a combination comes to.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) kernel: String,
    pub(super) machine: Named<MachineSpec>,
    pub(super) case: Named<CaseSpec>,
    pub(super) racepoint: RacepointSetting,
    /// The seed of the axis, where it has one.
    pub(super) seed: Option<u64>,
}

/// Makes blocks, each once.
pub(super) struct Maker<'s> {
    spec: &'s Spec,
    /// Kernels by name, changed ones too.
    pub(super) kernels: IndexMap<String, KernelSpec>,
    machines: HashMap<String, Named<MachineSpec>>,
    cases: HashMap<String, Option<Named<CaseSpec>>>,
    pub(super) problems: Vec<Problem>,
}

/// The values of a combination, by axis; at most one of each.
pub(super) type Values<'v> = [(&'v Axis, &'v Choice)];

impl<'s> Maker<'s> {
    pub(super) fn new(spec: &'s Spec) -> Self {
        Self {
            spec,
            kernels: IndexMap::new(),
            machines: HashMap::new(),
            cases: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// Makes what a combination comes to; `None` where it lacks a block or something is wrong with it, which
    /// has been noted. `at` is where what made it is written.
    pub(super) fn make(&mut self, values: &Values<'_>, at: &Range<usize>) -> Option<Made> {
        let block = |axis: &Axis| {
            values
                .iter()
                .find(|(a, _)| *a == axis)
                .map(|(_, c)| c.name.as_str())
        };
        for axis in [Axis::Kernel, Axis::Machine, Axis::Case] {
            if block(&axis).is_none() {
                let message = format!("this entry fits no cell, and for a new one it lacks `{axis}`");
                self.problems.push(Problem::new(at.clone(), message));
                return None;
            }
        }
        let kernel = self.kernel(block(&Axis::Kernel)?, values, at);
        let machine = self.machine(block(&Axis::Machine)?, values, at);
        let case = self.case(block(&Axis::Case)?, values);
        let (mut racepoint, mut seed) = (RacepointSetting::off(), None);
        for (_, choice) in values {
            if let Sets::Racepoint(setting) = &choice.sets {
                racepoint = setting.clone();
            } else if let Sets::Seed(given) = &choice.sets {
                seed = Some(*given);
            }
        }
        Some(Made {
            kernel: kernel?,
            machine: machine?,
            case: case?,
            racepoint,
            seed,
        })
    }

    fn kernel(&mut self, block: &str, values: &Values<'_>, at: &Range<usize>) -> Option<String> {
        let mut name = block.to_owned();
        for (axis, choice) in values {
            if matches!(axis, Axis::Source | Axis::Series | Axis::Kconfigs) {
                name.push_str(&format!("+{}", choice.name));
            }
        }
        let mut kernel = self.spec.kernels.get(block)?.clone();
        let image = matches!(kernel.source, SourceSpec::Image { .. });
        for (axis, choice) in values {
            if let Sets::Source(source) = &choice.sets {
                kernel.source = source.clone();
            } else if let Sets::Series(more) = &choice.sets {
                extend(&mut kernel.series, more);
            } else if let Sets::Kconfigs(more) = &choice.sets {
                extend(&mut kernel.kconfigs, more);
            } else {
                continue;
            }
            if image {
                let message = format!("the kernel `{block}` is a ready image: `{axis}` can't change it");
                self.problems
                    .push(Problem::new(at.clone(), message).help("leave its cells out with `exclude`"));
                return None;
            }
        }
        if let Some(first) = self.kernels.get(&name) {
            if *first != kernel {
                self.problems.push(same_name("kernels", &name, at));
                return None;
            }
        } else {
            self.kernels.insert(name.clone(), kernel);
        }
        Some(name)
    }

    fn machine(&mut self, block: &str, values: &Values<'_>, at: &Range<usize>) -> Option<Named<MachineSpec>> {
        let base = self.spec.machines.get(block)?;
        let mut name = block.to_owned();
        let mut machine = MachineSpec::clone(base);
        for (_, choice) in values {
            if let Some(part) = change(&mut machine, choice) {
                name.push('+');
                name.push_str(&part);
            }
        }
        if machine.boot_args.iter().map(|a| a.len() + 1).sum::<usize>() > BOOT_ARGS_CHARS_MAX {
            let message =
                format!("the boot arguments of `{name}` have more than {BOOT_ARGS_CHARS_MAX} characters");
            self.problems.push(Problem::new(at.clone(), message));
            return None;
        }
        let key = format!("{name}@{}", machine.backend.word());
        let made = self.machines.entry(key).or_insert_with(|| Named {
            name: name.clone(),
            // Most machines are not changed: they stay one.
            spec: if machine == **base {
                Arc::clone(base)
            } else {
                Arc::new(machine.clone())
            },
        });
        if *made.spec != machine {
            self.problems.push(same_name("machines", &name, at));
            return None;
        }
        Some(made.clone())
    }

    fn case(&mut self, block: &str, values: &Values<'_>) -> Option<Named<CaseSpec>> {
        let base = self.spec.cases.get(block)?;
        let mut name = block.to_owned();
        let mut changes: Vec<(&str, &Given)> = Vec::new();
        let mut budget = base.budget;
        for (axis, choice) in values {
            match (&choice.sets, axis) {
                (Sets::Param(given), Axis::Param(param)) => {
                    changes.push((param, given));
                    name.push_str(&format!("+{param}-{}", plain(&choice.name)));
                }
                (Sets::Budget(given), _) => {
                    budget = *given;
                    name.push_str(&format!("+{}", choice.name));
                }
                _ => {}
            }
        }
        if let Some(made) = self.cases.get(&name) {
            return made.clone();
        }
        let spec = if changes.is_empty() {
            Ok(CaseSpec::clone(base))
        } else {
            spec::vary(base, &changes)
        };
        let made = match spec {
            Ok(case) if case == **base && budget == base.budget => Some(Arc::clone(base)),
            Ok(case) => Some(Arc::new(CaseSpec { budget, ..case })),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        };
        let made = made.map(|spec| Named {
            name: name.clone(),
            spec,
        });
        self.cases.insert(name, made.clone());
        made
    }
}

/// Changes a machine as a value says; returns what its name says of it. The backend is a part of the id by itself.
fn change(machine: &mut MachineSpec, choice: &Choice) -> Option<String> {
    let said = &choice.name;
    match &choice.sets {
        Sets::Backend(backend) => {
            machine.backend = *backend;
            None
        }
        Sets::Accel(accel) => {
            machine.accel = *accel;
            Some(said.clone())
        }
        Sets::Cpus(cpus) => {
            machine.cpus = *cpus;
            Some(format!("{said}cpu"))
        }
        Sets::Memory(memory) => {
            machine.memory = *memory;
            Some(said.clone())
        }
        Sets::Swap(swap) => {
            machine.swap = *swap;
            Some(format!("swap-{said}"))
        }
        Sets::BootArgs(more) => {
            machine.boot_args.extend(more.iter().cloned());
            Some(said.clone())
        }
        Sets::Block
        | Sets::Source(_)
        | Sets::Series(_)
        | Sets::Kconfigs(_)
        | Sets::Param(_)
        | Sets::Budget(_)
        | Sets::Racepoint(_)
        | Sets::Seed(_) => None,
    }
}

/// Adds what is not there yet, in order.
fn extend(list: &mut Vec<Reference>, more: &[Reference]) {
    for one in more {
        if !list.contains(one) {
            list.push(one.clone());
        }
    }
}

/// A value as a part of an id.
fn plain(value: &str) -> String {
    value
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

fn same_name(what: &str, name: &str, at: &Range<usize>) -> Problem {
    Problem::new(
        at.clone(),
        format!("two different {what} would be called `{name}`"),
    )
    .help("give the values names that tell them apart: `{ name: …, … }`")
}
