//! `cache list` and `cache prune`.

use super::Done;
use super::args::{Cache as Args, CacheCommand};
use super::show::Failure;
use crate::host::dirs;
use crate::source::{Cache, DEFAULT_LIMIT_BYTES, Listed};
use crate::spec;
use serde_json::json;
use std::time::UNIX_EPOCH;

pub(super) fn cache(what: &Args, json: bool) -> Done {
    let cache = open()?;
    match what.what {
        CacheCommand::List => {
            let all = cache.list()?;
            for one in &all {
                show(one, json);
            }
            if !json {
                let total: u64 = all.iter().map(|one| one.bytes).sum();
                println!("{} in {}", size(total), cache.root().display());
            }
        }
        CacheCommand::Prune { limit } => {
            for one in cache.prune(limit.unwrap_or_else(|| cache.limit_bytes()))? {
                if !json {
                    print!("removed ");
                }
                show(&one, json);
            }
        }
    }
    Ok(0)
}

/// Opens the cache where it is, with the limit that the user set.
pub(super) fn open() -> Result<Cache, Failure> {
    let limit = match std::env::var("PATCHPROOF_CACHE_SIZE") {
        Ok(text) => spec::parse_bytes(&text).map_err(|why| Failure::Limit(text, why))?,
        Err(_) => DEFAULT_LIMIT_BYTES,
    };
    Ok(Cache::open(&dirs::cache()?, limit)?)
}

fn show(one: &Listed, json: bool) {
    if json {
        let used_s = one.used.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        println!(
            "{}",
            json!({ "v": 1, "event": "cached", "kind": one.shelf.name(), "name": one.name, "bytes": one.bytes, "used_s": used_s })
        );
        return;
    }
    let used = jiff::Timestamp::try_from(one.used)
        .map_or_else(|_| "?".to_owned(), |t| t.strftime("%F %H:%M").to_string());
    println!(
        "{:>10}  {used}  {}/{}",
        size(one.bytes),
        one.shelf.name(),
        one.name
    );
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
