//! Where an adapter may call: origins by scheme, host and port, each listed by hand.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

use super::OutboundError;

/// Scheme, host and port of a URL, in one spelling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// Whether the scheme is https; http otherwise.
    pub is_https: bool,
    /// Host in lower case, without a final dot; an IPv6 address without its brackets.
    pub host: String,
    /// Port, the scheme's own where the URL names none.
    pub port: u16,
}

impl Origin {
    /// The origin of a URL. A URL with a user name or password has none: secrets do not stand in addresses.
    pub fn of(url: &Uri) -> Option<Self> {
        let is_https = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port != 0)?,
            None if is_https => 443,
            None => 80,
        };
        (!host.is_empty()).then_some(Self { is_https, host, port })
    }

    /// Reads `scheme://host[:port]`, with nothing behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let url: Uri = text.parse().ok()?;
        let is_bare = url.query().is_none() && matches!(url.path(), "" | "/") && !text.contains('#');
        Self::of(&url).filter(|_| is_bare)
    }

    /// The address, where the host is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        match self.address() {
            Some(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]:{}", self.port),
            _ => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// An origin that may be called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allowed {
    /// Which.
    pub origin: Origin,
    /// Whether it may stand in a private network, or on this machine.
    pub is_private: bool,
}

/// The origins that may be called, and no other.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AllowList(Vec<Allowed>);

impl AllowList {
    /// Takes the list.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self(allowed)
    }

    /// What the list says about a URL.
    ///
    /// # Errors
    /// When it names the origin nowhere, or the URL has none.
    pub fn find(&self, url: &Uri) -> Result<&Allowed, OutboundError> {
        let not_allowed = |origin: String| OutboundError::NotAllowed { origin };
        // What is shown has no path and no user: both may hold secrets.
        let origin = Origin::of(url).ok_or_else(|| not_allowed(url.host().unwrap_or_default().to_owned()))?;
        let found = self.0.iter().find(|allowed| allowed.origin == origin);
        found.ok_or_else(|| not_allowed(origin.to_string()))
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = &Allowed> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_in_one_spelling() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Origin::parse(text).map(|origin| origin.to_string()).as_deref(), expected, "{text}");
        };
        check("https://Land.Example", Some("https://land.example:443"));
        check("https://land.example./", Some("https://land.example:443"));
        check("http://10.0.0.5:8080", Some("http://10.0.0.5:8080"));
        check("https://[::1]:8443", Some("https://[::1]:8443"));
        check("https://user:secret@land.example", None);
        check("https://land.example/path", None);
        check("https://land.example?x=1", None);
        check("ftp://land.example", None);
        check("land.example:443", None);
        check("https://land.example:0", None);
        check("", None);
    }

    #[test]
    fn only_what_is_listed_may_be_called_whatever_the_path() {
        let origin = Origin::parse("https://land.example").unwrap();
        let list = AllowList::new(vec![Allowed { origin, is_private: false }]);
        let check = |url: &str, expected: bool| {
            assert_eq!(list.find(&url.parse().unwrap()).is_ok(), expected, "{url}");
        };
        check("https://land.example/api/v1?x=1", true);
        check("https://LAND.example:443/", true);
        check("http://land.example/", false);
        check("https://land.example:8443/", false);
        check("https://land.example.evil.example/", false);
        check("https://land.example@evil.example/", false);
        check("https://evil.example/https://land.example", false);
        check("/api", false);
    }

    #[test]
    fn what_is_told_of_a_refused_address_holds_no_path_and_no_user() {
        let told = AllowList::default().find(&"https://me:secret@a.example/token/abc".parse().unwrap()).unwrap_err();
        assert!(!told.to_string().contains("secret") && !told.to_string().contains("abc"), "{told}");
    }
}
