//! Where the program's memory comes from.

/// Training and inference allocate and free large tensors all the time, which glibc's allocator gives back and faults in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps freed memory instead of giving it back at once: clearing it again takes a quarter of a training step.
pub fn keep_freed_memory() {
    // `mi_option_purge_delay` of mimalloc's `mi_option_e`, for which the binding has no name; −1 is never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one number inside the allocator; nothing is passed by reference.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
