//! MAIL and RCPT: paths and their parameters.

/// What MAIL began and RCPT fills.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) from_parameters: Vec<String>,
    pub(super) recipients: Vec<String>,
    pub(super) recipient_parameters: Vec<Vec<String>>,
    /// What BDAT brought so far.
    pub(super) chunks: Option<Vec<u8>>,
    pub(super) octets: usize,
}

impl Envelope {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.from_parameters.iter().find_map(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// `FROM:<path> PARAMETER…` or the same with `TO`; `None` if it is not that.
pub(super) fn path<'a>(arguments: &'a str, keyword: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let head = arguments.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let rest = arguments.get(keyword.len()..)?.strip_prefix(':')?.trim_start();
    let (path, parameters) = rest.strip_prefix('<')?.split_once('>')?;
    let sound = path.is_empty() || (path.contains('@') && !path.contains(['<', ' ', '\t']));
    (sound && (parameters.is_empty() || parameters.starts_with(' ')))
        .then(|| (path, parameters.split_ascii_whitespace().collect()))
}

/// Parameters of MAIL and the keyword that offers each.
pub(super) const MAIL_PARAMETERS: [(&str, &str); 6] = [
    ("SIZE", "SIZE"),
    ("BODY", "8BITMIME"),
    ("SMTPUTF8", "SMTPUTF8"),
    ("RET", "DSN"),
    ("ENVID", "DSN"),
    ("AUTH", "AUTH"),
];
/// Parameters of RCPT.
pub(super) const RCPT_PARAMETERS: [(&str, &str); 2] = [("NOTIFY", "DSN"), ("ORCPT", "DSN")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_in_angle_brackets() {
        assert_eq!(path("FROM:<a@b> SIZE=1 BODY=7BIT", "FROM"), Some(("a@b", vec!["SIZE=1", "BODY=7BIT"])));
        assert_eq!(path("from: <>", "FROM"), Some(("", vec![])));
        for bad in ["FROM:a@b", "TO:<a@b>", "FROM:<a@b>SIZE=1", "FROM:<a b@c>", "FROM:<ab>", "", "FRÖM:<a@b>"] {
            assert_eq!(path(bad, "FROM"), None, "{bad}");
        }
    }
}
