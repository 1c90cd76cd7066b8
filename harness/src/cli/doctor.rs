//! `doctor`: what this host can do, and the line that mends what it can't.

use super::Done;
use super::show::Failure;
use crate::host::dirs;
use crate::host::doctor::{self, Check, State};
use crate::kernel::KernelRecord;
use crate::machine::accel::{self, Probe};
use crate::machine::{self, AccelPref, agent, initramfs};
use crate::source::{Cache, Cancel, Identity, Shelf, Source};
use crate::store;
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

/// The kernel source that the shipped workflows use.
const SOURCE: &str = "linux-source-6.12";
/// What makes a kernel when there is none.
const BUILD: &str = "patchproof build workflows/demo.yaml";
/// Every kernel that can boot the agent has this fragment.
const BASE: &str = "base.config";

/// 0 where a demo can run, 3 where not.
pub(super) fn doctor(json: bool) -> Done {
    let cache = super::cache::open()?;
    let qemu = std::env::var_os("PATCHPROOF_QEMU").map_or_else(|| machine::QEMU.into(), PathBuf::from);
    let kernel = newest_kernel(&cache)?;
    let mut show = Show {
        json,
        colour: std::io::stdout().is_terminal(),
        worst: State::Ok,
    };
    for check in doctor::checks(&qemu, cache.root(), &dirs::state()?, kernel.is_none()) {
        show.check(&check);
    }
    show.check(&source(&cache));
    for check in boots(&cache, qemu, kernel)? {
        show.check(&check);
    }
    let installed = dirs::data().ok().map(|data| data.join("virtme-ng/bin/vng"));
    for check in doctor::virtme(installed) {
        show.check(&check);
    }
    Ok(show.close())
}

/// A kernel of the cache: its folder's name.
struct Kept {
    key: String,
    dir: PathBuf,
}

/// The kernel that was used last of those that can boot the agent.
fn newest_kernel(cache: &Cache) -> Result<Option<Kept>, Failure> {
    let kept = cache.list()?.into_iter().filter(|e| e.shelf == Shelf::Kernels);
    let boots = |kept: &Kept| {
        let record = store::read_json::<KernelRecord>(&kept.dir.join("kernel.json"));
        record.is_ok_and(|r| r.fragments.is_empty() || r.fragments.iter().any(|f| f.ends_with(BASE)))
            && kept.dir.join("bzImage").is_file()
    };
    Ok(kept
        .map(|e| Kept {
            dir: cache.place(Shelf::Kernels, &e.name),
            key: e.name,
        })
        .find(boots))
}

fn source(cache: &Cache) -> Check {
    let source = Source::Debian {
        package: SOURCE.to_owned(),
    };
    match Identity::of(&source, cache, &Cancel::default()) {
        Ok(found) => Check::ok("kernel source", found.shown),
        Err(e) => Check::bad("kernel source", State::Missing, e.to_string())
            .mended_by(format!("apt-get install -y --no-install-recommends {SOURCE}")),
    }
}

/// Whether machines really boot: a kernel of the cache, on what `auto` chooses.
fn boots(cache: &Cache, qemu: PathBuf, kernel: Option<Kept>) -> Result<Vec<Check>, Failure> {
    let Some(kernel) = kernel else {
        let why =
            "no kernel is in the cache yet, so nothing could be booted: whether KVM works here is not known";
        return Ok(vec![
            Check::bad("accelerator", State::Warning, why).mended_by(BUILD),
        ]);
    };
    let base = initramfs::Base::new(agent::BYTES).map_err(|e| Failure::Own(e.to_string()))?;
    let probe = Probe {
        qemu,
        kernel: kernel.dir.join("bzImage"),
        kernel_key: kernel.key.clone(),
        base: Arc::new(base),
        cache: cache.root().join("accel"),
        device: "/dev/kvm".into(),
        within: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::Own(format!("could not start: {e}")))?;
    let (choice, booted) = runtime.block_on(async {
        let choice = accel::choose(AccelPref::Auto, &probe).await;
        let booted = accel::trial(&probe, choice.accel).await;
        (choice, booted)
    });
    let accel = Check::ok("accelerator", format!("{}: {}", choice.accel, choice.why));
    let boot = match booted {
        Ok(boot_s) => Check::ok(
            "boot",
            format!("kernel {} reached the agent in {boot_s:.1} s", kernel.key),
        ),
        Err(why) => Check::bad(
            "boot",
            State::Missing,
            format!("kernel {} does not boot: {why}", kernel.key),
        ),
    };
    Ok(vec![accel, boot])
}

/// Shows checks as they come.
struct Show {
    json: bool,
    colour: bool,
    worst: State,
}

impl Show {
    fn check(&mut self, check: &Check) {
        if severity(check.state) > severity(self.worst) {
            self.worst = check.state;
        }
        if self.json {
            println!(
                "{}",
                json!({ "v": 1, "event": "check", "name": check.name, "state": check.state, "says": check.says, "fix": check.fix })
            );
            return;
        }
        let (word, colour) = match check.state {
            State::Ok => ("ok", "32"),
            State::Warning => ("warning", "33"),
            State::Missing => ("MISSING", "31"),
        };
        let word = if self.colour {
            format!("\x1b[{colour}m{word:<7}\x1b[0m")
        } else {
            format!("{word:<7}")
        };
        println!("{word}  {}: {}", check.name, check.says);
        if let Some(fix) = &check.fix {
            println!("         {fix}");
        }
    }

    fn close(self) -> u8 {
        let able = self.worst != State::Missing;
        let exit = if able { 0 } else { 3 };
        if self.json {
            println!(
                "{}",
                json!({ "v": 1, "event": "doctor", "able": able, "exit": exit })
            );
        } else if able {
            println!("\na demo can run here: cargo xtask demo, or patchproof run workflows/demo.yaml");
        } else {
            println!("\na demo can't run here until what is missing is there");
        }
        exit
    }
}

fn severity(state: State) -> u8 {
    match state {
        State::Ok => 0,
        State::Warning => 1,
        State::Missing => 2,
    }
}
