//! [`limit`]: how many files and sockets this process may have open.
#![cfg(any(feature = "dispatch", feature = "hyper"))]

/// The number of descriptors that this process may have open: its soft limit, as `ulimit -n` shows it.
///
/// The standard library does not tell, and a careful guess is four times too high on macOS (256) and too low
/// for a server that raised the limit. `rustix` asks the kernel without C code, and is in the tree of most
/// programs already.
pub(crate) fn limit() -> usize {
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    // Windows has no limit of this kind that a program meets.
    #[cfg(not(unix))]
    let limit: Option<u64> = None;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
