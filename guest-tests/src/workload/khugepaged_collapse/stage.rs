//! Set-up: huge-page settings, swap, the space and its regions, another process.

use super::region::{Kind, Region};
use super::view::View;
use crate::catalogue::{Counter, KhugepagedCollapse};
use crate::model::{FillPolicy, Origin};
use crate::sys::arena::{Advice, Arena, HUGE_PAGES, PAGE_LEN, PAGE_WORDS, PageWords, Sharing};
use crate::sys::diskfile::DiskFile;
use crate::sys::ext4::Mounted;
use crate::sys::forked::Disturber;
use crate::sys::knob::Knob;
use crate::sys::memfile::MemFile;
use crate::sys::pagemap::Pagemap;
use crate::sys::vmstat::Vmstat;
use crate::sys::{machine, process, swap, thp};
use crate::workload::engine::Engine;
use crate::workload::{CaseError, Env, beside};
use std::path::{Path, PathBuf};

/// Where the data disk is mounted.
pub const FILES_AT: &str = "/run/patchproof-data";

/// What stays free of the data disk beside all files, for what a file system keeps of them.
const ROOM_LEFT: u64 = 4 << 20;

/// Everything that the pressure stands on.
pub struct Stage {
    /// Another process; ends before the space goes.
    _remote: Option<Disturber>,
    /// Where everything is mapped.
    pub space: Arena,
    /// Where stamps come from.
    pub origin: Origin,
    /// The regions: those with a file first.
    pub regions: Vec<Region>,
    with_file: usize,
    /// The data disk's file system; unmounted after the regions are gone.
    _files: Option<Mounted>,
    /// The swap area's device.
    pub disk: PathBuf,
    /// What runs beside the owners, where anything does.
    pub engine: Option<Engine>,
    /// What the kernel's counts of shared and huge memory were before.
    pub before: super::teardown::Held,
    /// Restored when the stage is dropped.
    _knobs: Vec<Knob>,
}

impl Stage {
    /// The regions that have a file.
    #[must_use]
    pub fn with_file(&self) -> &[Region] {
        &self.regions[..self.with_file]
    }
}

/// Says what the kernel lacks, if anything.
fn missing(params: &KhugepagedCollapse) -> Option<&'static str> {
    let counts = Vmstat::read().is_ok_and(|v| v.has(Counter::HugeSplits));
    let lacks = [
        (
            !thp::available(),
            "transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE)",
        ),
        (
            !counts,
            "the thp counters of /proc/vmstat (CONFIG_VM_EVENT_COUNTERS)",
        ),
        (
            params.split && !thp::can_split(),
            "debugfs split_huge_pages (CONFIG_DEBUG_FS)",
        ),
        (
            Pagemap::open().is_err(),
            "/proc/PID/pagemap (CONFIG_PROC_PAGE_MONITOR)",
        ),
    ];
    lacks.into_iter().find_map(|(lacks, what)| lacks.then_some(what))
}

/// Sets the stage.
///
/// # Errors
/// [`CaseError::Missing`] for what the kernel lacks; others for what must not fail.
pub fn set(env: &Env<'_>, params: &KhugepagedCollapse) -> Result<Stage, CaseError> {
    if let Some(what) = missing(params) {
        return Err(CaseError::Missing(what.to_owned()));
    }
    let disk = env.job.swap_disk.clone();
    let disk = disk.ok_or_else(|| CaseError::Broken("there is no disk for swap".to_owned()))?;
    let knobs = knobs(params)?;
    let before = super::teardown::Held::now()?;
    let mut engine = beside::engine(env, params.engine, &params.engine_mix)?;
    // What exists now is the suite's own and stays in memory; what is mapped for the regions must not.
    process::lock_what_is_mapped()?;
    let files = file_system(env, params)?;
    let origin = Origin {
        run: env.job.run,
        seed: env.job.case.seed,
        policy: FillPolicy::Mixed,
    };
    let regions = regions(params, files.as_ref(), &origin)?;
    // The regions' files have their room by now.
    if let (Some(engine), Some(files)) = (&mut engine, &files)
        && files.room()? > engine.disk_len() + ROOM_LEFT
    {
        engine.on_disk(files.path());
    }
    let slots = regions.last().map_or(0, |r| r.home / HUGE_PAGES + r.slots);
    let space = Arena::reserve(slots)?;
    regions.iter().try_for_each(|region| map(&space, region))?;
    env.board.note_arena(space.address(0), space.pages());
    if let Some(engine) = &engine {
        engine.note_on(env.board);
    }
    // Before any thread exists: the child must not inherit a lock that nobody releases.
    let remote = params
        .remote
        .then(|| {
            let with_file = &regions[..count(params.shared + params.files)];
            let places: Vec<_> = with_file.iter().map(|region| region.slot(1)).collect();
            Disturber::fork(&space, &places, env.job.case.seed)
        })
        .transpose()?;
    process::lock_what_comes()?;
    let pages = machine::disk_len(&disk)? / PAGE_LEN as u64;
    swap::format(&disk, u32::try_from(pages).unwrap_or(u32::MAX))?;
    swap::on(&disk)?;
    Ok(Stage {
        _remote: remote,
        space,
        origin,
        regions,
        with_file: count(params.shared + params.files),
        _files: files,
        disk,
        engine,
        before,
        _knobs: knobs,
    })
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Huge pages only where they are asked for; khugepaged as fast or as slow as it can be.
fn knobs(params: &KhugepagedCollapse) -> Result<Vec<Knob>, CaseError> {
    let (pause_ms, pages) = if params.khugepaged {
        ("0", "65536")
    } else {
        ("4000000", "1")
    };
    let settings = [
        ("enabled", "madvise"),
        ("shmem_enabled", "advise"),
        ("khugepaged/alloc_sleep_millisecs", "1"),
        ("khugepaged/max_ptes_none", "511"),
        ("khugepaged/max_ptes_swap", "64"),
        ("khugepaged/max_ptes_shared", "256"),
        ("khugepaged/pages_to_scan", pages),
        ("khugepaged/scan_sleep_millisecs", pause_ms),
    ];
    let set = settings.into_iter().map(|(name, value)| thp::set(name, value));
    Ok(set.collect::<Result<_, _>>()?)
}

/// Makes a file system on the data disk where files are asked for.
fn file_system(env: &Env<'_>, params: &KhugepagedCollapse) -> Result<Option<Mounted>, CaseError> {
    if params.files == 0 {
        return Ok(None);
    }
    let disk = env.job.data_disk.as_ref();
    let disk = disk.ok_or_else(|| CaseError::Broken("there is no data disk for files".to_owned()))?;
    Ok(Some(Mounted::fresh(disk, Path::new(FILES_AT))?))
}

/// Makes the regions, those with a file first, one behind the other.
fn regions(
    params: &KhugepagedCollapse,
    files: Option<&Mounted>,
    origin: &Origin,
) -> Result<Vec<Region>, CaseError> {
    let mut regions: Vec<Region> = Vec::new();
    for number in 0..count(params.shared + params.files + params.anon) {
        let home = regions.last().map_or(0, |r| r.home + r.slots * HUGE_PAGES);
        let name = format!("region-{number}");
        let kind = match files {
            _ if number < count(params.shared) => Kind::Shared(MemFile::new(&name, HUGE_PAGES)?),
            Some(files) if number < count(params.shared + params.files) => {
                let file = DiskFile::new(&files.path().join(name), HUGE_PAGES)?;
                file.write(0, &first_stamps(origin, home))?;
                Kind::File(file)
            }
            Some(_) | None => Kind::Anonymous,
        };
        regions.push(Region::new(kind, home));
    }
    Ok(regions)
}

/// What the pages of a file hold at first.
fn first_stamps(origin: &Origin, home: usize) -> Vec<Box<PageWords>> {
    let pages = home as u32..(home + HUGE_PAGES) as u32;
    let stamped = pages.map(|page| {
        let mut words = Box::new([0; PAGE_WORDS]);
        origin.stamp(page, View::FIRST).write(&mut words);
        words
    });
    stamped.collect()
}

/// Maps a region at all of its places.
fn map(space: &Arena, region: &Region) -> Result<(), CaseError> {
    for slot in 0..region.slots {
        let place = region.slot(slot);
        match &region.kind {
            Kind::Anonymous => space.map_anonymous(place.clone())?,
            Kind::Shared(file) => {
                let sharing = [Sharing::Shared, Sharing::Shared, Sharing::Private][slot];
                space.map_file(place.clone(), file.fd(), 0, sharing)?;
            }
            Kind::File(file) => {
                let sharing = [Sharing::ReadOnly, Sharing::ReadOnly, Sharing::Private][slot];
                space.map_file(place.clone(), file.fd(), 0, sharing)?;
            }
        }
        space.advise(place, Advice::HugePage)?;
    }
    Ok(())
}
