//! How long each step of the network may take, as an administrator can set it.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::limits;

macro_rules! timeouts {
    ($($(#[doc = $doc:literal])+ $step:ident, $member:ident = $default:path, $range:expr;)+) => {
        /// The time-outs of a connector, in seconds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Timeouts {
            // Signed, so that a negative number is told by its name and not by serde's.
            $($member: i64,)+
        }

        impl Default for Timeouts {
            fn default() -> Self {
                Self { $($member: $default.as_secs().cast_signed(),)+ }
            }
        }

        impl Timeouts {
            $(
                $(#[doc = $doc])+
                #[must_use]
                pub const fn $step(&self) -> Duration {
                    Duration::from_secs(self.$member.unsigned_abs())
                }
            )+

            /// The first that is not within its bounds, with these.
            #[must_use]
            pub fn fault(&self) -> Option<(&'static str, RangeInclusive<i64>)> {
                [$((stringify!($member), self.$member, $range),)+]
                    .into_iter()
                    .find_map(|(name, value, range)| (!range.contains(&value)).then_some((name, range)))
            }
        }
    };
}

// No step may be set so short that a healthy server fails it: Exchange Online keeps a refused token waiting for 8 seconds,
// and an answer to the final dot that comes too late makes a mail that was sent `MXO_E_SEND_UNKNOWN`.
timeouts! {
    /// One name resolution.
    resolve, resolve_s = limits::RESOLVE, 1..=120;
    /// One TCP connection over all addresses of a name; the proxy's answer to CONNECT.
    connect, connect_s = limits::CONNECT, 1..=300;
    /// One TLS handshake.
    tls, tls_s = limits::TLS_HANDSHAKE, 1..=300;
    /// One exchange with the identity service, connection included.
    http, http_s = limits::HTTP_EXCHANGE, 1..=300;
    /// The server's greeting, and its reply to an ordinary command.
    smtp_command, smtp_command_s = limits::SMTP_COMMAND, 1..=600;
    /// The reply to AUTH.
    smtp_auth, smtp_auth_s = limits::SMTP_AUTH, 10..=600;
    /// One write of a part of the mail's body.
    smtp_body_block, smtp_body_block_s = limits::SMTP_BODY_BLOCK, 10..=3_600;
    /// The reply to the final dot.
    smtp_final_dot, smtp_final_dot_s = limits::SMTP_FINAL_DOT, 30..=3_600;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert_eq!(Timeouts::default().fault(), None);
        assert_eq!(Timeouts::default().smtp_final_dot(), limits::SMTP_FINAL_DOT);
        let short = Timeouts { tls_s: 0, ..Timeouts::default() };
        assert_eq!(short.fault(), Some(("tls_s", 1..=300)));
    }
}
