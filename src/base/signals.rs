//! Signals belong to the host: the library's threads take none.
//!
//! A write to a socket that the peer has closed raises SIGPIPE in the writing thread, which ends a host that never
//! heard of it (Rust programs ignore the signal, C programs do not; `writev` has no `MSG_NOSIGNAL`). And a handler of
//! the host, PHP's timers for one, must not run on a thread that the host does not know.
#![expect(unsafe_code, reason = "signal masks are set by a platform call; this is the one place for it")]

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;

    /// Raised by a fault of the thread itself: the host's crash handler shall see them wherever they happen.
    const FAULTS: [libc::c_int; 6] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP];

    fn set_mask(set: &libc::sigset_t) -> libc::sigset_t {
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: both sets are valid for the call; the old one is written by it, and zeroed should it fail.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, set, before.as_mut_ptr());
            before.assume_init()
        }
    }

    fn all_but_faults() -> libc::sigset_t {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: sigfillset initialises the set, sigdelset changes it.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            for signal in FAULTS {
                libc::sigdelset(set.as_mut_ptr(), signal);
            }
            set.assume_init()
        }
    }

    /// Lets a thread of the library take no signals from now on.
    pub fn take_none() {
        set_mask(&all_but_faults());
    }

    /// The mask of a host's thread.
    #[derive(Clone, Copy)]
    pub struct HostMask(libc::sigset_t);

    impl HostMask {
        /// That of this thread.
        #[must_use]
        pub fn of_this_thread() -> Self {
            let mut current = MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: without a new set the call only writes the current one.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), current.as_mut_ptr());
                Self(current.assume_init())
            }
        }

        /// Runs a host's function as on its own thread: a program that it starts inherits the mask.
        pub fn within(self, call: impl FnOnce()) {
            let before = set_mask(&self.0);
            call();
            set_mask(&before);
        }
    }
}

#[cfg(unix)]
pub use unix::{HostMask, take_none};

#[cfg(not(unix))]
mod other {
    /// There are no such signals here.
    pub fn take_none() {}

    /// There are no masks here.
    #[derive(Clone, Copy)]
    pub struct HostMask;

    impl HostMask {
        /// Nothing to keep.
        #[must_use]
        pub fn of_this_thread() -> Self {
            Self
        }

        /// Just the call.
        pub fn within(self, call: impl FnOnce()) {
            call();
        }
    }
}

#[cfg(not(unix))]
pub use other::{HostMask, take_none};
