//! [`EndpointUrl::parse`]: reads a URL as a customer typed it, by the URL standard.
#![cfg(feature = "endpoint")]

use url::{Host, Url};

use super::error::{AddressError, AddressErrorKind};
use super::policy::AddressPolicy;
use super::url::{EndpointHost, EndpointUrl};

impl EndpointUrl {
    /// Parses `text`, brings it into normal form and judges it by `policy`.
    ///
    /// The URL standard repairs some mistakes in silence (backslashes, tabs, missing slashes); these are
    /// refused, so that no other parser reads another host out of the same text. A host name passes when the
    /// policy allows the name; its addresses are judged when it has been resolved.
    ///
    /// # Errors
    ///
    /// [`AddressError`] with the first rule that refuses the URL, in this order: syntax, scheme, user
    /// information, host, port, fragment.
    ///
    /// ```
    /// use hookwire::address::EndpointHost;
    /// use hookwire::{AddressPolicy, EndpointUrl};
    ///
    /// let policy = AddressPolicy::new();
    /// let url = EndpointUrl::parse("https://Hooks.Example.com:443/in?from=crm", &policy)?;
    /// assert_eq!(url.as_str(), "https://hooks.example.com/in?from=crm");
    /// assert_eq!(url.host(), EndpointHost::Name("hooks.example.com"));
    ///
    /// let error = EndpointUrl::parse("https://127.1/", &policy).unwrap_err();
    /// assert_eq!(error.rule(), "address:loopback");
    /// # Ok::<(), hookwire::address::AddressError>(())
    /// ```
    pub fn parse(text: &str, policy: &AddressPolicy) -> Result<Self, AddressError> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(syntax("syntax(control/space/backslash in raw input)"));
        }
        if text.len() > MAX_LENGTH {
            return Err(syntax("syntax(longer than 8000 bytes)"));
        }
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        if let Err(error) = policy.check_scheme(scheme) {
            // A text that is no URL at all gets the parser's error, not that of its scheme.
            Url::parse(text).map_err(parse_error)?;
            return Err(error);
        }
        match rest.strip_prefix("//") {
            Some(after) if !after.starts_with('/') => {}
            _ => return Err(syntax("syntax(missing or extra slashes)")),
        }
        let url = Url::parse(text).map_err(parse_error)?;
        // From the raw text: an empty `@` leaves no trace in the parsed URL.
        if rest[2..].split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            return Err(AddressError::new(AddressErrorKind::Userinfo, "userinfo"));
        }
        policy.check_authority(host_of(&url)?, url.port_or_known_default().unwrap_or_default())?;
        if url.fragment().is_some() {
            return Err(syntax("syntax(fragment)"));
        }
        Self::from_storage(url.as_str())
    }
}

fn host_of(url: &Url) -> Result<EndpointHost<'_>, AddressError> {
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(EndpointHost::Address(ip.into())),
        Some(Host::Ipv6(ip)) => Ok(EndpointHost::Address(ip.into())),
        Some(Host::Domain(name)) => Ok(EndpointHost::Name(name)),
        None => Err(AddressError::new(AddressErrorKind::Parse, "parse:empty host")),
    }
}

fn parse_error(error: url::ParseError) -> AddressError {
    use url::ParseError;
    let rule = match error {
        ParseError::EmptyHost => "parse:empty host",
        ParseError::IdnaError => "parse:invalid international domain name",
        ParseError::InvalidDomainCharacter => "parse:invalid domain character",
        ParseError::InvalidIpv4Address => "parse:invalid IPv4 address",
        ParseError::InvalidIpv6Address => "parse:invalid IPv6 address",
        ParseError::InvalidPort => "parse:invalid port number",
        ParseError::RelativeUrlWithoutBase => "parse:relative URL without a base",
        _ => "parse:invalid URL",
    };
    AddressError::new(AddressErrorKind::Parse, rule)
}

const fn syntax(rule: &'static str) -> AddressError {
    AddressError::new(AddressErrorKind::Syntax, rule)
}

// A server should accept at least this, RFC 9110 section 4.1.
const MAX_LENGTH: usize = 8000;
