//! What a server offers in its reply to EHLO (RFC 5321 section 4.1.1.1).

use super::reply::Reply;

/// The extensions that a server announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The name by which the server calls itself.
    pub server: String,
    /// RFC 3207.
    pub starttls: bool,
    /// The mechanisms of AUTH (RFC 4954), in capital letters.
    pub auth: Vec<String>,
    /// The largest mail (RFC 1870); `None` when none is named or the server names no limit.
    pub size_max: Option<u64>,
    /// The server knows the SIZE parameter of MAIL.
    pub size: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 3030.
    pub binary_mime: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
}

impl Capabilities {
    /// Reads the lines of the reply; what is not known is passed over.
    pub(super) fn from_reply(reply: &Reply) -> Self {
        let mut lines = reply.lines();
        let server = lines.next().and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned();
        let mut capabilities = Self { server, ..Self::default() };
        for line in lines {
            let line = line.to_ascii_uppercase();
            let mut words = line.split_whitespace();
            match words.next().unwrap_or_default() {
                "STARTTLS" => capabilities.starttls = true,
                "AUTH" => capabilities.offer_auth(words),
                "SIZE" => {
                    capabilities.size = true;
                    // RFC 1870 section 4: zero means that there is no fixed limit.
                    capabilities.size_max = words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0);
                }
                "PIPELINING" => capabilities.pipelining = true,
                "8BITMIME" => capabilities.eight_bit_mime = true,
                "SMTPUTF8" => capabilities.smtputf8 = true,
                "CHUNKING" => capabilities.chunking = true,
                "BINARYMIME" => capabilities.binary_mime = true,
                "DSN" => capabilities.dsn = true,
                "ENHANCEDSTATUSCODES" => capabilities.enhanced_status_codes = true,
                // Older servers write `AUTH=LOGIN`, beside the proper line or in its place.
                first => {
                    if let Some(mechanism) = first.strip_prefix("AUTH=") {
                        capabilities.offer_auth(std::iter::once(mechanism).chain(words));
                    }
                }
            }
        }
        capabilities
    }

    /// Whether AUTH offers this mechanism, whose name is given in capital letters.
    #[must_use]
    pub fn offers_auth(&self, mechanism: &str) -> bool {
        self.auth.iter().any(|offered| offered == mechanism)
    }

    fn offer_auth<'a>(&mut self, mechanisms: impl Iterator<Item = &'a str>) {
        for mechanism in mechanisms {
            // Each is kept once; real lists are shorter than this, and a search in a long one would be quadratic.
            if self.auth.len() < 32 && !self.offers_auth(mechanism) {
                self.auth.push(mechanism.to_owned());
            }
        }
    }
}
