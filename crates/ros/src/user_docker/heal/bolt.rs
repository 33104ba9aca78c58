//! Whether a database of bbolt can be opened and read: dockerd and containerd do not start with one that cannot, or die when
//! they reach the damaged page (go.etcd.io/bbolt: db.go, page.go, node.go, bucket.go, freelist.go).

use std::collections::BTreeSet;

/// A page's head: number, kind, count, overflow.
const HEAD: usize = 16;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const FREELIST: u16 = 0x10;
/// An element's flag: its value is a bucket.
const BUCKET: u32 = 0x01;
const ELEMENT: usize = 16;
/// bbolt writes this for "the list of free pages is not stored".
const NO_FREELIST: u64 = u64::MAX;
/// Sizes of pages that bbolt looks for its second head at: 1 KiB to 16 MiB.
const PAGE_BITS: std::ops::Range<u32> = 10..25;
/// Buckets within buckets; Docker's have four levels.
const DEPTH_MAX: usize = 32;

/// The newest whole head.
#[derive(Debug, Clone, Copy)]
struct Meta {
    page_bytes: usize,
    root: u64,
    freelist: u64,
    /// Pages in use, free ones included.
    pages: u64,
    transaction: u64,
}

/// Walks all pages that the newest head leads to.
///
/// # Errors
/// What is wrong.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let meta = newest(file).ok_or("it is not a database: neither of its heads is whole")?;
    let pages = usize::try_from(meta.pages).map_err(|_| "it has too many pages".to_owned())?;
    let needed = pages.saturating_mul(meta.page_bytes);
    if needed > file.len() {
        return Err(format!(
            "it was cut off: {} of {needed} bytes are there",
            file.len()
        ));
    }
    let mut walk = Walk {
        file,
        meta,
        seen: BTreeSet::from([0, 1]),
    };
    if meta.freelist != NO_FREELIST {
        walk.freelist(meta.freelist)?;
    }
    walk.tree(meta.root, 0)
}

fn newest(file: &[u8]) -> Option<Meta> {
    let first = meta(file, 0);
    let second = match first {
        Some(first) => meta(file, first.page_bytes),
        None => PAGE_BITS.into_iter().find_map(|bits| meta(file, 1 << bits)),
    };
    first
        .into_iter()
        .chain(second)
        .max_by_key(|meta| meta.transaction)
}

/// A page's head, then magic, version, page size, flags, root (page, sequence), free list, pages, transaction, and the FNV-1a sum
/// of what stands before it.
fn meta(file: &[u8], at: usize) -> Option<Meta> {
    const MAGIC: u32 = 0xED0C_DAED;
    const VERSION: u32 = 2;
    let body = file.get(at + HEAD..at + HEAD + 56)?;
    let sum = number8(file, at + HEAD + 56)?;
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let page_bytes = usize::try_from(number4(body, 8)?).ok()?;
    let sane = page_bytes.is_power_of_two() && PAGE_BITS.contains(&page_bytes.trailing_zeros());
    let fits = number4(body, 0)? == MAGIC && number4(body, 4)? == VERSION && sum == hash && sane;
    fits.then_some(Meta {
        page_bytes,
        root: number8(body, 16)?,
        freelist: number8(body, 32)?,
        pages: number8(body, 40)?,
        transaction: number8(body, 48)?,
    })
}

struct Walk<'f> {
    file: &'f [u8],
    meta: Meta,
    seen: BTreeSet<u64>,
}

impl<'f> Walk<'f> {
    /// The bytes of a page with its overflow, which is visited once.
    fn page(&mut self, number: u64) -> Result<&'f [u8], String> {
        let damaged = |what: &str| format!("page {number} of the database is damaged: {what}");
        let start = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(self.meta.page_bytes))
            .filter(|_| number < self.meta.pages)
            .ok_or_else(|| damaged("it is behind the end"))?;
        let file = self.file;
        let own = number8(file, start).ok_or_else(|| damaged("it is cut off"))?;
        if own != number {
            return Err(damaged("it has another number"));
        }
        let overflow = u64::from(number4(file, start + 12).unwrap_or(0));
        let last = number
            .checked_add(overflow)
            .filter(|last| *last < self.meta.pages)
            .ok_or_else(|| damaged("it is too long"))?;
        for number in number..=last {
            if !self.seen.insert(number) {
                return Err(damaged("it is used twice"));
            }
        }
        let bytes = usize::try_from(overflow + 1)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.meta.page_bytes);
        file.get(start..start.saturating_add(bytes))
            .ok_or_else(|| damaged("it is cut off"))
    }

    /// The list of free pages: an empty place for each of them is not looked at.
    fn freelist(&mut self, number: u64) -> Result<(), String> {
        let page = self.page(number)?;
        let damaged = || "the list of free pages is damaged".to_owned();
        let (kind, count) = head(page).ok_or_else(damaged)?;
        // Longer lists have their length in the first place.
        let (count, first) = if count == 0xffff {
            (number8(page, HEAD).ok_or_else(damaged)?, HEAD + 8)
        } else {
            (u64::from(count), HEAD)
        };
        if kind & FREELIST == 0 || count > self.meta.pages {
            return Err(damaged());
        }
        let count = usize::try_from(count).map_err(|_| damaged())?;
        for index in 0..count {
            let free = number8(page, first + index * 8).ok_or_else(damaged)?;
            if free < 2 || free >= self.meta.pages || !self.seen.insert(free) {
                return Err(damaged());
            }
        }
        Ok(())
    }

    fn tree(&mut self, root: u64, depth: usize) -> Result<(), String> {
        let mut open = vec![root];
        while let Some(number) = open.pop() {
            let page = self.page(number)?;
            let damaged = || format!("page {number} of the database is damaged");
            let (kind, count) = head(page).ok_or_else(damaged)?;
            match kind {
                BRANCH => {
                    for index in 0..usize::from(count) {
                        let at = HEAD + index * ELEMENT;
                        let place = usize_at(page, at).ok_or_else(damaged)?;
                        let key = usize_at(page, at + 4).ok_or_else(damaged)?;
                        page.get(at + place..(at + place).saturating_add(key))
                            .ok_or_else(damaged)?;
                        open.push(number8(page, at + 8).ok_or_else(damaged)?);
                    }
                    if count == 0 {
                        return Err(damaged());
                    }
                }
                LEAF => self.leaf(page, count, depth).ok_or_else(damaged)??,
                _ => return Err(damaged()),
            }
        }
        Ok(())
    }

    /// None when an element does not lie within the page.
    fn leaf(&mut self, page: &[u8], count: u16, depth: usize) -> Option<Result<(), String>> {
        for index in 0..usize::from(count) {
            let at = HEAD + index * ELEMENT;
            let flags = number4(page, at)?;
            let start = at.checked_add(usize_at(page, at + 4)?)?;
            let value_at = start.checked_add(usize_at(page, at + 8)?)?;
            let value = page.get(value_at..value_at.checked_add(usize_at(page, at + 12)?)?)?;
            if flags & BUCKET == 0 {
                continue;
            }
            if depth == DEPTH_MAX {
                return None;
            }
            let root = number8(value, 0)?;
            let inner = if root == 0 {
                // A small bucket is a page within the value.
                let page = value.get(16..)?;
                let (kind, count) = head(page)?;
                if kind != LEAF {
                    return None;
                }
                self.leaf(page, count, depth + 1)?
            } else {
                self.tree(root, depth + 1)
            };
            if inner.is_err() {
                return Some(inner);
            }
        }
        Some(Ok(()))
    }
}

/// Kind and count of a page.
fn head(page: &[u8]) -> Option<(u16, u16)> {
    let two = |at: usize| Some(u16::from_le_bytes(page.get(at..at + 2)?.try_into().ok()?));
    let kind = two(8)?;
    Some((kind, two(10)?))
}

fn number4(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn number8(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(number4(bytes, at)?).ok()
}
