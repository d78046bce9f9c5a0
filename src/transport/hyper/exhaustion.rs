//! [`are_exhausted`]: whether the process or the system has no descriptor left.

use std::io;

/// Whether a call failed because the process has no descriptor left, or the system none or no memory.
pub(in crate::transport) fn are_exhausted(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

#[cfg(unix)]
const EXHAUSTED: [i32; 4] = [
    rustix::io::Errno::MFILE.raw_os_error(),
    rustix::io::Errno::NFILE.raw_os_error(),
    rustix::io::Errno::NOBUFS.raw_os_error(),
    rustix::io::Errno::NOMEM.raw_os_error(),
];
/// `WSAEMFILE` and `WSAENOBUFS`.
#[cfg(not(unix))]
const EXHAUSTED: [i32; 2] = [10_024, 10_055];
