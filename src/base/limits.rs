//! Every bound on what comes from outside, by name. A test crosses each.

use std::time::Duration;

/// Longest text parameter of the ABI (addresses, titles, names), in octets.
pub const TEXT: usize = 4 * 1024;
/// Longest options or settings text, in octets.
pub const OPTIONS: usize = 256 * 1024;
/// Longest text body or subject-like free text that goes into a mail, in octets.
pub const MAIL_TEXT: usize = 16 * 1024 * 1024;
/// Largest mail after encoding, in octets: what Exchange Online announces in SIZE (150 MiB).
pub const MAIL: usize = 157_286_400;
/// Most recipients of one mail: the most that Exchange Online can be set to.
pub const RECIPIENTS: usize = 1_000;
/// Most attachments of one mail.
pub const ATTACHMENTS: usize = 1_000;
/// Most extra headers of one mail.
pub const HEADERS: usize = 200;
/// Longest header line that a mail may have unfolded, in octets.
pub const HEADER_LINE: usize = 32 * 1024;

/// Largest answer of an HTTP service that is read, in octets.
pub const HTTP_BODY: usize = 1024 * 1024;
/// Longest head of a proxy's answer to CONNECT, in octets.
pub const PROXY_ANSWER: usize = 16 * 1024;
/// Longest access or refresh token that is taken, in octets.
pub const TOKEN: usize = 64 * 1024;
/// How much of a service's own text is kept, in octets.
pub const SERVICE_TEXT: usize = 8 * 1024;

/// Longest SMTP reply line that is taken, in octets (RFC 5321 section 4.5.3.1.5 says 512; Exchange Online writes more).
pub const SMTP_REPLY_LINE: usize = 8 * 1024;
/// Longest SMTP reply of several lines, in octets.
pub const SMTP_REPLY: usize = 64 * 1024;
/// Longest SASL response line that is sent, in octets (RFC 4954 section 4).
pub const SASL_LINE: usize = 12_288;

/// Most live handles of one process.
pub const HANDLES: usize = 65_536;
/// Most systems of one store.
pub const SYSTEMS: usize = 10_000;
/// How long the store waits for other processes that write to it or open it.
pub const STORE_WAIT: Duration = Duration::from_secs(10);
/// How long a store that forgot something waits for others' readers, to cut its log off at once rather than later.
pub const STORE_CUT_WAIT: Duration = Duration::from_millis(250);
/// How long a lease lasts that its holder does not prolong: so long others wait after a process was killed.
pub const LEASE: Duration = Duration::from_secs(8);
/// How often a process looks for what others wrote into the store.
pub const STORE_WATCH: Duration = Duration::from_millis(200);
/// Longest time without a refresh: a grant that nobody uses dies on day 90.
pub const IDLE_REFRESH: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Longest pause after refreshes that failed for a passing reason, unless the service asks for more.
pub const REFRESH_BACKOFF: Duration = Duration::from_secs(60);
/// Most events that wait in one subscription before the oldest are dropped (completions are not counted).
pub const EVENTS: usize = 1_024;
/// Most callbacks (log lines, changes of a sign-in) that wait for one function before the oldest are dropped.
pub const CALLBACKS: usize = 1_024;

/// One name resolution.
pub const RESOLVE: Duration = Duration::from_secs(15);
/// One TCP connection, over all addresses of a name.
pub const CONNECT: Duration = Duration::from_secs(20);
/// Head start of an address before the next one is tried beside it (RFC 8305 section 5).
pub const CONNECT_STAGGER: Duration = Duration::from_millis(250);
/// One TLS handshake.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(30);
/// One exchange with the identity service, connection included.
pub const HTTP_EXCHANGE: Duration = Duration::from_secs(30);
/// The server's greeting, and its reply to an ordinary command. RFC 5321 section 4.5.3.2 allows a server five minutes,
/// a person who waits for a test mail does not.
pub const SMTP_COMMAND: Duration = Duration::from_secs(60);
/// The reply to AUTH: Exchange Online keeps a refused token waiting for 5 to 8 seconds.
pub const SMTP_AUTH: Duration = Duration::from_secs(60);
/// One write of a part of the mail's body.
pub const SMTP_BODY_BLOCK: Duration = Duration::from_secs(180);
/// The reply to the final dot (RFC 5321 section 4.5.3.2.6).
pub const SMTP_FINAL_DOT: Duration = Duration::from_secs(600);
/// How long a kept SMTP connection may idle before it is replaced rather than tried.
pub const SMTP_IDLE: Duration = Duration::from_secs(120);
/// How long an SMTP connection may live at all.
pub const SMTP_LIFE: Duration = Duration::from_secs(900);

/// One diagnosis, over all its steps, unless its options say otherwise.
pub const CHECK: Duration = Duration::from_secs(180);
/// The longest that they may say.
pub const CHECK_LONGEST: Duration = Duration::from_secs(600);

/// How long a sign-in code may live whatever the service says.
pub const DEVICE_CODE_LIFE: Duration = Duration::from_secs(3_600);
/// Longest pause between two polls of a device code, when the service asks for more.
pub const POLL_INTERVAL: Duration = Duration::from_secs(300);
/// How long a closing connector waits for its threads.
pub const CLOSE: Duration = Duration::from_millis(1_500);
