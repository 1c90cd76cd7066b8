//! Swap areas: the header that makes a device one, switching on and off.

use super::arena::PAGE_LEN;
use super::{Doing, Result, SysError, file};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the header's own fields start: after 1 KiB for boot loaders.
const FIELDS_AT: usize = 1024;
/// The last bytes of the header's page.
const SIGNATURE: &[u8; 10] = b"SWAPSPACE2";

/// The first page of a swap area of so many pages, the header's own included.
#[must_use]
pub fn header(pages: u32, uuid: u128) -> [u8; PAGE_LEN] {
    let mut page = [0u8; PAGE_LEN];
    let fields = [1u32, pages - 1, 0];
    for (field, value) in fields.iter().enumerate() {
        page[FIELDS_AT + field * 4..][..4].copy_from_slice(&value.to_le_bytes());
    }
    page[FIELDS_AT + 12..][..16].copy_from_slice(&uuid.to_be_bytes());
    page[PAGE_LEN - SIGNATURE.len()..].copy_from_slice(SIGNATURE);
    page
}

/// Makes the front of a device a swap area of so many pages, the header's own included.
///
/// # Errors
/// Those of the kernel.
pub fn format(device: &Path, pages: u32) -> Result<()> {
    let doing = || format!("writing a swap header to {}", device.display());
    let disk = OpenOptions::new().write(true).open(device).doing(doing)?;
    disk.write_all_at(&header(pages, 0x7061_7463_6870_726f_6f66_0000_0000_0001), 0)
        .doing(doing)?;
    disk.sync_all().doing(doing)
}

fn c_path(device: &Path) -> Result<CString> {
    CString::new(device.as_os_str().as_bytes())
        .map_err(|_| SysError::content(format!("using {}", device.display()), "the path has a NUL byte"))
}

/// Switches a swap area on.
///
/// # Errors
/// Those of `swapon`.
pub fn on(device: &Path) -> Result<()> {
    on_with(device, None)
}

/// The flag that says a priority is given, of `linux/swap.h`.
const FLAG_PREFER: libc::c_int = 0x8000;
/// The bits that hold it.
const PRIORITY_MAX: u16 = 0x7fff;

/// Switches a swap area on with a priority; areas of equal priority take turns.
///
/// # Errors
/// Those of `swapon`.
pub fn on_with(device: &Path, priority: Option<u16>) -> Result<()> {
    let path = c_path(device)?;
    let flags = priority.map_or(0, |p| FLAG_PREFER | libc::c_int::from(p.min(PRIORITY_MAX)));
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    if unsafe { libc::swapon(path.as_ptr(), flags) } == 0 {
        Ok(())
    } else {
        Err(SysError::last(format!("swapon {}", device.display())))
    }
}

/// Switches a swap area off: every page in it is read back. The kernel makes the caller its first
/// victim when memory runs out, so call it in a process that can be spared.
///
/// # Errors
/// Those of `swapoff`.
pub fn off(device: &Path) -> Result<()> {
    let path = c_path(device)?;
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    if unsafe { libc::swapoff(path.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(SysError::last(format!("swapoff {}", device.display())))
    }
}

/// A swap area that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Device or file.
    pub path: String,
    /// Usable pages.
    pub pages: u64,
    /// Pages that are taken (slots kept in per-CPU caches count as taken).
    pub used: u64,
}

/// The swap areas in use.
///
/// # Errors
/// Those of the kernel.
pub fn active() -> Result<Vec<Active>> {
    Ok(parse_active(&file::read("/proc/swaps")?))
}

fn parse_active(text: &str) -> Vec<Active> {
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        let path = fields.next()?.to_owned();
        let mut pages = || Some(fields.by_ref().find_map(|f| f.parse::<u64>().ok())? / 4);
        Some(Active {
            path,
            pages: pages()?,
            used: pages()?,
        })
    };
    text.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_what_mkswap_writes() {
        let page = header(16384, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        assert_eq!(&page[4086..], b"SWAPSPACE2");
        assert_eq!(page[1024..1028], 1u32.to_le_bytes());
        assert_eq!(page[1028..1032], 16383u32.to_le_bytes());
        assert_eq!(page[1032..1036], [0; 4]);
        assert_eq!(page[1036], 0x00);
        assert_eq!(page[1051], 0xff);
        assert!(page[..1024].iter().all(|&b| b == 0));
    }

    #[test]
    fn active_areas_are_read_in_pages() {
        let text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
                    /dev/vda                                partition\t65532\t\t1204\t\t-2\n";
        let want = Active {
            path: "/dev/vda".into(),
            pages: 16383,
            used: 301,
        };
        assert_eq!(parse_active(text), [want]);
        assert_eq!(parse_active("Filename Type Size Used Priority\n"), []);
    }
}
