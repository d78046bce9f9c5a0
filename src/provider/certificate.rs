//! The names of certificates in URLs that a peer sends.

/// Whether the text is the name of a certificate's file, such as `CERT-360caa42`. With dots or slashes, it
/// could lead a client to another folder of the host, which may hold what strangers have put there.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
