//! From the frames of a stack to file and line, by the debug information of a kernel's vmlinux.
//!
//! A vmlinux may have been made from an untrusted series, so it is read as untrusted input: what is
//! read of it is bounded, whatever it says of itself is an answer or an error, and what it names is
//! cleaned. A reader of DWARF recurses as deep as the input nests, though, which no check here bounds:
//! whoever must outlive a hostile file calls [`resolve`] in a process of its own (`patchproof console
//! --vmlinux` is one). Only [`has_lines`] is good for anybody.
//!
//! Not here: how consoles are read (`console`), modules, and debug information in files of its own.

use addr2line::gimli::{self, EndianSlice, RunTimeEndian, SectionId};
use miette::Diagnostic;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, ReadCache, SectionKind, SymbolKind};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Most bytes of debug information that are read; a distribution's kernel has about half of that.
const DWARF_LEN_MAX: u64 = 1 << 30;
/// Most symbols that are looked at; a kernel has about 200,000.
const SYMBOLS_MAX: usize = 4 << 20;
/// Most frames of one call.
const FRAMES_MAX: usize = 16 << 10;
/// Most functions that are named as inlined into one frame.
const INLINED_MAX: usize = 32;
/// Compilation units in which the top of the source tree is looked for.
const UNITS_LOOKED_AT: usize = 64;
/// Longest name of a function or a file that is passed on, in bytes.
const NAME_LEN_MAX: usize = 200;
/// What kallsyms rounds functions up to where the ELF file says how long they really are.
const ALIGN: u64 = 16;

/// One frame to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The symbol as the kernel prints it, compiler suffixes included.
    pub symbol: String,
    /// Offset into it, in bytes.
    pub offset: u64,
    /// Its size in bytes, where the kernel says it: it tells apart symbols of one name.
    pub size: Option<u64>,
    /// The offset is where execution stood, not where a call would have returned to.
    pub exact: bool,
}

/// A function and where in the source it was at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// The function, as the source names it.
    pub function: String,
    /// The file, from the top of the source tree where it lies in it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// Why no lines come from a vmlinux.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum LinesError {
    /// It cannot be opened.
    #[error("could not read {file}", file = .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// It is no ELF file for 64-bit machines, or a broken one.
    #[error("{file} is not a vmlinux that can be read: {1}", file = .0.display())]
    #[diagnostic(help("give the vmlinux beside the bzImage of the kernel that wrote the log"))]
    Malformed(PathBuf, String),
    /// It was built without debug information.
    #[error("{file} has no debug information: frames stay without lines", file = .0.display())]
    #[diagnostic(help(
        "build the kernel with CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT (kconfigs/dwarf.config)"
    ))]
    NoDebugInfo(PathBuf),
    /// It has more of it than is read.
    #[error("{file} has {1} bytes of debug information, more than the {DWARF_LEN_MAX} that are read", file = .0.display())]
    TooBig(PathBuf, u64),
}

type Elf<'a> = ElfFile64<'a, object::Endianness, &'a ReadCache<BufReader<File>>>;
type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// Whether a vmlinux has debug information. Reads little of it, and no hostile one harms the reader.
#[must_use]
pub fn has_lines(vmlinux: &Path) -> bool {
    let Ok(file) = File::open(vmlinux) else {
        return false;
    };
    let cache = ReadCache::new(BufReader::new(file));
    Elf::parse(&cache).is_ok_and(|elf| has_dwarf(&elf))
}

fn has_dwarf(elf: &Elf<'_>) -> bool {
    let has = |name| {
        elf.section_by_name(name)
            .is_some_and(|section| section.size() > 0)
    };
    has(".debug_info") && has(".debug_line")
}

/// Looks frames up: for each, the functions that were inlined there, innermost first, then the
/// function itself; empty where the file does not say, or may be another kernel's. What is not
/// looked up by the deadline stays empty too.
///
/// # Errors
/// Where the file cannot be read as a vmlinux with debug information.
pub fn resolve(
    vmlinux: &Path,
    places: &[Place],
    within: Duration,
) -> Result<Vec<Vec<SourceLine>>, LinesError> {
    let until = Instant::now() + within;
    let malformed = |why: String| LinesError::Malformed(vmlinux.to_owned(), clean(&why));
    let file = File::open(vmlinux).map_err(|e| LinesError::Read(vmlinux.to_owned(), e))?;
    let cache = ReadCache::new(BufReader::new(file));
    // The libraries promise not to panic; a file that makes them do is a broken one all the same.
    catch_unwind(AssertUnwindSafe(|| {
        let elf = Elf::parse(&cache).map_err(|e| malformed(e.to_string()))?;
        if !has_dwarf(&elf) {
            return Err(LinesError::NoDebugInfo(vmlinux.to_owned()));
        }
        let symbols = Symbols::read(&elf, places);
        let dwarf = dwarf(&elf, vmlinux)?;
        let top = source_tree(&dwarf);
        let context = addr2line::Context::from_dwarf(dwarf).map_err(|e| malformed(e.to_string()))?;
        let mut found: Vec<Vec<SourceLine>> = Vec::with_capacity(places.len());
        for place in places.iter().take(FRAMES_MAX) {
            let address = symbols.address(place).filter(|_| Instant::now() < until);
            found.push(address.map_or_else(Vec::new, |address| lines_at(&context, address, top.as_deref())));
        }
        found.resize(places.len(), Vec::new());
        Ok(found)
    }))
    .unwrap_or_else(|_| Err(malformed("its debug information makes no sense".to_owned())))
}

/// The functions that frames name, as the symbol table has them.
struct Symbols {
    /// Address and size of every symbol of a name.
    named: HashMap<String, Vec<(u64, u64)>>,
    /// Where text symbols begin, so that each one's room is known as kallsyms counts it.
    starts: BTreeSet<u64>,
}

impl Symbols {
    fn read(elf: &Elf<'_>, places: &[Place]) -> Self {
        let mut named: HashMap<String, Vec<(u64, u64)>> = places
            .iter()
            .map(|place| (place.symbol.clone(), Vec::new()))
            .collect();
        let mut starts = BTreeSet::new();
        for symbol in elf.symbols().take(SYMBOLS_MAX) {
            let is_code = matches!(symbol.kind(), SymbolKind::Text)
                || symbol
                    .section_index()
                    .and_then(|index| elf.section_by_index(index).ok())
                    .is_some_and(|section| section.kind() == SectionKind::Text);
            if !is_code {
                continue;
            }
            starts.insert(symbol.address());
            let all = symbol.name().ok().and_then(|name| named.get_mut(name));
            if let Some(all) = all {
                all.push((symbol.address(), symbol.size()));
            }
        }
        Self { named, starts }
    }

    /// The address that a frame stands for, if exactly one function can be meant.
    fn address(&self, place: &Place) -> Option<u64> {
        let all = self.named.get(&place.symbol)?;
        let fits = |(address, size): &&(u64, u64)| {
            let after = (Bound::Excluded(*address), Bound::Unbounded);
            let room = self.starts.range(after).next().map(|next| next - address);
            place.size.is_none_or(|said| {
                room == Some(said) || *size == said || size.checked_next_multiple_of(ALIGN) == Some(said)
            })
        };
        let mut fitting = all.iter().filter(fits).map(|(address, _)| *address);
        let address = fitting.next()?;
        let alone = fitting.all(|other| other == address);
        let inside = place.size.is_none_or(|size| place.offset < size) || place.exact && place.offset == 0;
        // A call returns to the instruction behind it, which may belong to another line already.
        let back = u64::from(!place.exact && place.offset > 0);
        let target = address.checked_add(place.offset)?.checked_sub(back)?;
        (alone && inside).then_some(target)
    }
}

/// The sections that say where code comes from, within bounds.
fn dwarf<'a>(elf: &Elf<'a>, vmlinux: &Path) -> Result<gimli::Dwarf<Reader<'a>>, LinesError> {
    let endian = if elf.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    };
    let mut total: u64 = 0;
    gimli::Dwarf::load(|id| {
        let empty = Reader::new(&[], endian);
        // Where variables live, and macros: of no use here, and a quarter of everything.
        if matches!(
            id,
            SectionId::DebugLoc | SectionId::DebugLocLists | SectionId::DebugMacinfo | SectionId::DebugMacro
        ) {
            return Ok(empty);
        }
        let Some(section) = elf.section_by_name(id.name()) else {
            return Ok(empty);
        };
        total = total.saturating_add(section.size());
        if total > DWARF_LEN_MAX {
            return Err(LinesError::TooBig(vmlinux.to_owned(), total));
        }
        let data = section
            .data()
            .map_err(|e| LinesError::Malformed(vmlinux.to_owned(), format!("{}: {e}", id.name())))?;
        Ok(Reader::new(data, endian))
    })
}

/// What the debug information says of an address, innermost function first.
fn lines_at(context: &addr2line::Context<Reader<'_>>, address: u64, top: Option<&str>) -> Vec<SourceLine> {
    let Ok(mut frames) = context.find_frames(address).skip_all_loads() else {
        return Vec::new();
    };
    let built_in = folder_of_build(context, address);
    let top = top.unwrap_or_default();
    let mut found = Vec::new();
    while let (Ok(Some(frame)), true) = (frames.next(), found.len() < INLINED_MAX) {
        let function = frame.function.as_ref().and_then(|name| name.raw_name().ok());
        let location = frame.location.as_ref();
        let (Some(function), Some(file), Some(line)) = (
            function,
            location.and_then(|at| at.file),
            location.and_then(|at| at.line),
        ) else {
            continue;
        };
        found.push(SourceLine {
            function: clean(&function),
            file: clean(relative(relative(file, top), &built_in)),
            line,
        });
    }
    found
}

/// The top of the source tree, where a kernel was built outside of it: what comes before `init/main.c`,
/// which is linked among the first.
fn source_tree(dwarf: &gimli::Dwarf<Reader<'_>>) -> Option<String> {
    let mut headers = dwarf.units();
    for _ in 0..UNITS_LOOKED_AT {
        let unit = dwarf.unit(headers.next().ok()??).ok()?;
        let name = unit.name.map(|name| name.to_string_lossy().into_owned());
        if let Some(top) = name.as_deref().and_then(|name| name.strip_suffix("/init/main.c")) {
            return Some(top.to_owned()).filter(|top| top.starts_with('/'));
        }
    }
    None
}

/// The folder in which the compiler ran.
fn folder_of_build(context: &addr2line::Context<Reader<'_>>, address: u64) -> String {
    let unit = context.find_dwarf_and_unit(address).skip_all_loads();
    let top = unit
        .and_then(|unit| unit.comp_dir)
        .map(|dir| dir.to_string_lossy().into_owned());
    top.unwrap_or_default()
}

/// A file's path from the top of the source tree.
fn relative<'f>(file: &'f str, top: &str) -> &'f str {
    let inside = file
        .strip_prefix(top)
        .filter(|rest| !top.is_empty() && rest.starts_with('/'));
    inside
        .unwrap_or(file)
        .trim_start_matches("/./")
        .trim_start_matches(if inside.is_some() { &['/', '.'][..] } else { &[] })
}

/// What an untrusted file names, fit to be printed.
fn clean(name: &str) -> String {
    let printable = name.chars().filter(|c| !c.is_control());
    let mut out = String::new();
    for c in printable {
        if out.len() + c.len_utf8() > NAME_LEN_MAX {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests;
