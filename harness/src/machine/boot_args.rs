//! The kernel's command line: what we always say, and what a user may add.
//!
//! Not here: what QEMU is told (`qemu`).

/// The longest command line that an x86 kernel takes, with its final zero.
const LEN_MAX: usize = 2048;

/// What every guest is booted with, and why.
///
/// Not among them: `acpi=noirq` and `pci=noacpi`, which save a quarter of a boot's CPU time under
/// emulation, for without an I/O APIC the kernel starts one CPU only, and nothing races any more.
const ALWAYS: &[&str] = &[
    "console=ttyS0",
    // `quiet` would hide WARN lines; informational lines cost emulation time and say nothing.
    "loglevel=5",
    // Otherwise a guest lives on after an oops and may report success.
    "oops=panic",
    "hung_task_panic=1",
    // A guest that hangs is asked by an NMI what its CPUs do: the answer is a panic with
    // all their stacks, and those of blocked tasks.
    "unknown_nmi_panic",
    "panic_print=0xc0",
    // Reset at once; the machine ends there, for it is started with `-no-reboot` semantics.
    "panic=-1",
    // The agent writes its frames' numbers into the log: they may not be rate-limited away.
    "printk.devkmsg=on",
    // On a busy host the timer of an emulated machine may tick too late for the kernel's test of it,
    // which panics then ("IO-APIC + timer doesn't work"); KVM guests leave the test out by themselves.
    "no_timer_check",
    // Caches of their own, so that fault injection and reports name the right one.
    "slab_nomerge",
    "page_poison=1",
    // What a finding tells of the last second. Few and rare events, for each costs time; from boot on,
    // since switching one on patches code that runs. A kernel without tracing passes them by.
    "trace_buf_size=64k",
    "trace_event=migrate:mm_migrate_pages,compaction:mm_compaction_begin,compaction:mm_compaction_end,\
     vmscan:mm_vmscan_write_folio,huge_memory:mm_collapse_huge_page,huge_memory:mm_khugepaged_collapse_file,\
     oom:mark_victim",
];

/// Names that are ours: changing one would blind the harness or let a broken guest live on.
const OURS: &[&str] = &[
    "console",
    "loglevel",
    "quiet",
    "debug",
    "ignore_loglevel",
    "oops",
    "hung_task_panic",
    "unknown_nmi_panic",
    "panic_print",
    "panic",
    "printk.devkmsg",
    "init",
    "rdinit",
    "initrd",
    "initramfs",
    "noinitrd",
    "root",
];

/// Why a boot argument was refused. A fragment that fits after "boot argument `…` ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootArgError {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It has a character that the kernel's parser or QEMU could take for something else.
    #[error(
        "has the character {0:?}; allowed are letters, digits and _ . , : ; = / + @ % ~ ( ) & | ! < > [ ] -"
    )]
    Character(char),
    /// It ends the kernel's own arguments.
    #[error("would end the kernel's arguments")]
    Dashes,
    /// It is one of those that the harness sets.
    #[error("is set by the harness itself")]
    Ours,
    /// All together are longer than a kernel takes.
    #[error("makes the command line longer than {max} bytes", max = LEN_MAX - 1)]
    TooLong,
}

/// Checks one argument by itself.
///
/// # Errors
/// Every [`BootArgError`] but `TooLong`.
pub fn check(arg: &str) -> Result<(), BootArgError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.,:;=/+@%~()&|!<>[]-".contains(c);
    if arg.is_empty() {
        return Err(BootArgError::Empty);
    }
    if let Some(c) = arg.chars().find(|&c| !allowed(c)) {
        return Err(BootArgError::Character(c));
    }
    if arg.starts_with('-') {
        return Err(BootArgError::Dashes);
    }
    // The kernel takes `-` and `_` in names for the same.
    let name = arg.split('=').next().unwrap_or(arg).replace('-', "_");
    if OURS.contains(&name.as_str()) {
        return Err(BootArgError::Ours);
    }
    Ok(())
}

/// Makes the command line.
///
/// # Errors
/// The argument that is wrong, and why.
pub fn command_line(more: &[String]) -> Result<String, (String, BootArgError)> {
    let mut line = ALWAYS.join(" ");
    for arg in more {
        check(arg).map_err(|why| (arg.clone(), why))?;
        line.push(' ');
        line.push_str(arg);
        if line.len() >= LEN_MAX {
            return Err((arg.clone(), BootArgError::TooLong));
        }
    }
    Ok(line)
}

/// The arguments one by one: what every guest gets, then what is added (unchecked).
pub fn words(more: &[String]) -> impl Iterator<Item = String> + '_ {
    ALWAYS
        .iter()
        .map(|&arg| arg.to_owned())
        .chain(more.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_apart() {
        for (arg, want) in [
            ("zswap.enabled=1", Ok(())),
            ("failslab=10,100,0,-1", Ok(())),
            ("isolcpus=nohz,domain,1-3", Ok(())),
            ("", Err(BootArgError::Empty)),
            ("a b", Err(BootArgError::Character(' '))),
            ("a=\"b", Err(BootArgError::Character('"'))),
            ("a\n", Err(BootArgError::Character('\n'))),
            ("é", Err(BootArgError::Character('é'))),
            ("--", Err(BootArgError::Dashes)),
            ("quiet", Err(BootArgError::Ours)),
            ("panic=0", Err(BootArgError::Ours)),
            ("hung-task-panic=0", Err(BootArgError::Ours)),
            ("console=null", Err(BootArgError::Ours)),
        ] {
            assert_eq!(check(arg), want, "{arg:?}");
        }
    }

    #[test]
    fn what_is_added_comes_last_and_has_a_limit() {
        let line = command_line(&["zswap.enabled=1".into(), "nokaslr".into()]).unwrap();
        assert!(line.starts_with("console=ttyS0 ") && line.ends_with(" zswap.enabled=1 nokaslr"));
        let long = "x".repeat(LEN_MAX);
        assert_eq!(
            command_line(std::slice::from_ref(&long)),
            Err((long, BootArgError::TooLong))
        );
    }
}
