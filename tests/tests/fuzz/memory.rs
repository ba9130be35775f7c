//! Counts what the current thread holds, so that a test can say how much memory an input took.
//!
//! It stands before the system's allocator in this whole test program and costs two additions.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), true);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), true);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), false);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), false);
        count(size, true);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(bytes: usize, taken: bool) {
    let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
    // A thread that ends frees memory after its variables are gone.
    let _ = HELD.try_with(|held| {
        let now = if taken { held.get().saturating_add(bytes) } else { held.get().saturating_sub(bytes) };
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

/// Begins to count on this thread.
pub(super) fn begin() {
    HELD.set(0);
    PEAK.set(0);
}

/// The most bytes this thread held at once since [`begin`].
pub(super) fn peak() -> usize {
    usize::try_from(PEAK.get()).unwrap_or(0)
}
