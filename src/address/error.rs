//! [`AddressError`]: the rule that refused an endpoint.

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;

/// An endpoint that the [`AddressPolicy`](crate::AddressPolicy) refuses, with the rule that did.
///
/// The text names the rule and never the URL, which may hold a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressError {
    kind: AddressErrorKind,
    rule: &'static str,
    ip: Option<IpAddr>,
    setting: Option<&'static str>,
}

impl AddressError {
    /// The part of the URL that the rule is about.
    pub fn kind(&self) -> AddressErrorKind {
        self.kind
    }

    /// The rule's short name, stable across versions: `address:private`, `name(single label)`, `port 0`.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The fault: the part of the URL and the rule that refused it.
    pub(crate) fn reason(&self) -> String {
        format!("{} of the endpoint is refused by rule \"{}\"", self.subject(), self.rule)
    }

    /// A value of that part that would be right.
    pub(crate) fn expected(&self) -> &'static str {
        match self.kind {
            AddressErrorKind::Address => match self.setting {
                Some("allow_loopback") => {
                    "a public one; `AddressPolicy::allow_loopback` allows this machine's own"
                }
                Some("allow_nat64") => "a public one; `AddressPolicy::allow_nat64` allows translated ones",
                Some("deny_network") => "a public one outside the networks of `AddressPolicy::deny_network`",
                Some(_) => "a public one; `AddressPolicy::allow_network` allows a network",
                None => "a public one",
            },
            AddressErrorKind::Name => match self.setting {
                Some("allow_loopback") => {
                    "a public, fully qualified one; `AddressPolicy::allow_loopback` allows this machine's own"
                }
                Some(_) => "a public, fully qualified one; `AddressPolicy::allow_name` allows a name",
                None => "a public, fully qualified one",
            },
            AddressErrorKind::Parse => "an absolute URL",
            AddressErrorKind::Port => match self.setting {
                Some(_) => "443, 80 or one from 1024 up; `AddressPolicy::allow_port` allows another",
                None => "443, 80 or one from 1024 up",
            },
            AddressErrorKind::Scheme => match self.setting {
                Some(_) => "https; `AddressPolicy::allow_plain_http` allows http",
                None => "https",
            },
            AddressErrorKind::Syntax => "one without parts that parsers disagree on",
            AddressErrorKind::Userinfo => "one without user name and password",
        }
    }

    const fn subject(&self) -> &'static str {
        match self.kind {
            AddressErrorKind::Address => "address",
            AddressErrorKind::Name => "host name",
            AddressErrorKind::Parse => "text",
            AddressErrorKind::Port => "port",
            AddressErrorKind::Scheme => "scheme",
            AddressErrorKind::Syntax | AddressErrorKind::Userinfo => "URL",
        }
    }

    /// The address that was refused, for the operator's log.
    ///
    /// It is not part of the text: a customer who sees the error would learn what a name resolves to inside
    /// the network.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The method of [`AddressPolicy`](crate::AddressPolicy) that allows it, or, for `deny_network`, that
    /// refused it. `None` where no setting allows it.
    pub fn setting(&self) -> Option<&'static str> {
        self.setting
    }

    pub(super) const fn new(kind: AddressErrorKind, rule: &'static str) -> Self {
        Self { kind, rule, ip: None, setting: None }
    }

    pub(super) const fn allowed_by(mut self, setting: Option<&'static str>) -> Self {
        self.setting = setting;
        self
    }

    /// The refusal of one address.
    pub(super) const fn address(ip: IpAddr, rule: &'static str) -> Self {
        Self { kind: AddressErrorKind::Address, rule, ip: Some(ip), setting: None }
    }
}

impl StdError for AddressError {}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.reason(), self.expected())
    }
}

/// The part of a URL that an [`AddressError`] is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// An address in a block that is not public.
    Address,
    /// A host name that leads nowhere public.
    Name,
    /// A text that is no absolute URL.
    Parse,
    /// A port that is not for the web.
    Port,
    /// A scheme other than `https` (or `http`, where allowed).
    Scheme,
    /// Odd syntax that parsers read differently or repair in silence.
    Syntax,
    /// A user name or password in the URL.
    Userinfo,
}
