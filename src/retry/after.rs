//! [`retry_after`]: reads the header `Retry-After`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use httpdate::HttpDate;
use time::OffsetDateTime;

/// Returns the wait that the `Retry-After` of `headers` asks for, counted from `now`, the response's arrival.
///
/// [`parse_retry_after`] reads each value. The field should occur once (RFC 9110 section 10.2.3); where it is
/// repeated, the longest wait counts, because a late retry does less harm than an early one and the policy
/// bounds it anyway.
///
/// ```
/// use std::time::Duration;
/// use hookwire::retry::retry_after;
/// use http::{HeaderMap, HeaderValue, header};
/// use time::macros::datetime;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::RETRY_AFTER, HeaderValue::from_static("Fri, 17 Apr 2026 19:02:00 GMT"));
/// let now = datetime!(2026-04-17 19:00 UTC);
/// assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(120)));
/// ```
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| parse_retry_after(value.as_bytes(), now)).max()
}

/// Returns the wait that one `Retry-After` value asks for, counted from `now`; `None` for a value that is
/// neither a number of seconds nor a date.
///
/// RFC 9110 section 10.2.3: a number of whole seconds, or an HTTP date in any of its three forms (section
/// 5.6.7). A date in the past is a wait of zero; a number too large to hold is the longest wait there is
/// (`u64::MAX` seconds). A number with a sign, a fraction or an exponent is refused. Spaces and tabs around
/// the value are ignored (section 5.5). A date with a leap second is refused.
///
/// ```
/// use std::time::Duration;
/// use hookwire::retry::parse_retry_after;
/// use time::macros::datetime;
///
/// let now = datetime!(2026-04-17 19:00 UTC);
/// assert_eq!(parse_retry_after(b"120", now), Some(Duration::from_secs(120)));
/// assert_eq!(parse_retry_after(b"-1", now), None);
/// ```
pub fn parse_retry_after(value: &[u8], now: OffsetDateTime) -> Option<Duration> {
    let text = str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Nothing but digits, so parsing fails only for a number that is too large.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = OffsetDateTime::from(SystemTime::from(HttpDate::from_str(text).ok()?));
    Some((date - now).try_into().unwrap_or(Duration::ZERO))
}
