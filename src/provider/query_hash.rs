//! The hash of a request's method, path and query that Atlassian Connect puts into its tokens (`qsh`).
//!
//! The rule is that of "Understanding JWT for Connect apps" in Atlassian's documentation.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::signature::form::{self, encoded};

/// The hashes of a request, one for each path below which the app's base URL may end.
pub(crate) fn forms<'r>(
    method: &'r str,
    path: &'r str,
    query: &str,
) -> impl Iterator<Item = [u8; 32]> + use<'r> {
    let query = canonical_query(query);
    let ends = path.match_indices('/').map(|(at, _)| &path[at..]);
    ends.take(MAX_SEGMENTS).map(move |path| {
        let path = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.replace('&', "%26"),
        };
        Sha256::digest(format!("{}&{path}&{query}", method.to_ascii_uppercase())).into()
    })
}

/// The parameters, sorted by name, without the token itself; the values of one name sorted and joined by a
/// comma.
fn canonical_query(query: &str) -> String {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form::fields(query.as_bytes()).filter(|(name, _)| name != "jwt") {
        parameters.entry(encoded(&name)).or_default().push(encoded(&value));
    }
    let pairs = parameters.into_iter().map(|(name, mut values)| {
        values.sort();
        format!("{name}={}", values.join(","))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// No base URL has as many segments; each costs a hash.
const MAX_SEGMENTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::canonical_query;

    #[test]
    fn a_query_is_sorted_encoded_and_without_its_token() {
        assert_eq!(
            canonical_query("zee_last=1&a=x%20y&a=b+c&jwt=t&rep=1,2"),
            "a=b%20c,x%20y&rep=1%2C2&zee_last=1"
        );
        assert_eq!(canonical_query(""), "");
    }
}
