//! A forked child gets an error instead of a hang: the threads of the parent are not in it, but their locks are.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process was forked from one in which the library was open.
pub(super) fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Watches for forks from now on. A process that only loaded the library may still fork and then open it.
pub(super) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        #[cfg(unix)]
        {
            extern "C" fn in_child() {
                FORKED.store(true, Ordering::Relaxed);
            }
            // SAFETY: the handler only stores to an atomic, which is allowed between fork and exec; the library stays
            // mapped for good (`-z nodelete`), so the handler never dangles.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        }
    });
}
