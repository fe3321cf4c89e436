//! The few header fields that submission looks at.

/// Why a message is not what RFC 5322 section 3.6 asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotCompliant;

/// Addresses of the one `From` field.
pub(super) fn from_addresses(data: &[u8]) -> Result<Vec<String>, NotCompliant> {
    let fields = fields(data, "From");
    let [from] = fields.as_slice() else { return Err(NotCompliant) };
    let addresses = split_unquoted(from, ',').into_iter().map(address).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() { Err(NotCompliant) } else { Ok(addresses) }
}

pub(super) fn message_id(data: &[u8]) -> Option<String> {
    let id = fields(data, "Message-ID").pop()?;
    let id = id.trim().strip_prefix('<')?.strip_suffix('>')?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// Values of all header fields with this name, unfolded.
fn fields(data: &[u8], name: &str) -> Vec<String> {
    let mut fields: Vec<(bool, String)> = Vec::new();
    for line in data.split(|octet| *octet == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(line);
            }
        } else if let Some((field, value)) = line.split_once(':') {
            fields.push((field.trim_end().eq_ignore_ascii_case(name), value.trim().to_owned()));
        }
    }
    fields.into_iter().filter(|(wanted, _)| *wanted).map(|(_, value)| value).collect()
}

/// `a@b`, `<a@b>` or `name <a@b>`, where an `@` in the name has to be quoted.
fn address(mailbox: &str) -> Result<String, NotCompliant> {
    let mailbox = mailbox.trim();
    let parts = split_unquoted(mailbox, '<');
    let address = match parts.as_slice() {
        [address] => *address,
        [name, rest] => {
            let unquoted: String = name.split('"').step_by(2).collect();
            if unquoted.contains('@') {
                return Err(NotCompliant);
            }
            rest.trim_end().strip_suffix('>').ok_or(NotCompliant)?
        }
        _ => return Err(NotCompliant),
    };
    let address = address.trim();
    let sound = address.contains('@') && !address.contains([' ', '>']);
    if sound { Ok(address.to_owned()) } else { Err(NotCompliant) }
}

fn split_unquoted(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Vec<String>, NotCompliant> {
        from_addresses(format!("Subject: x\r\n{header}\r\n\r\nFrom: <no@body>\r\n").as_bytes())
    }

    #[test]
    fn the_address_is_found_behind_names_folds_and_quotes() {
        for good in [
            "From: a@b.example",
            "FROM: <a@b.example>",
            "From: Print Server <a@b.example>",
            "From: \"Print, <x@y> \\\" Server\" <a@b.example>",
            "From: =?utf-8?B?w4Q=?=\r\n <a@b.example>",
        ] {
            assert_eq!(of(good), Ok(vec!["a@b.example".to_owned()]), "{good}");
        }
    }

    #[test]
    fn what_exchange_refuses_is_refused() {
        for bad in ["X: y", "From: a@b\r\nFrom: a@b", "From: a@b <a@b>", "From: nobody", "From: <a@b", "From:"] {
            assert_eq!(of(bad), Err(NotCompliant), "{bad}");
        }
    }

    #[test]
    fn the_message_id_comes_without_brackets() {
        assert_eq!(message_id(b"Message-Id: <1@x>\r\n\r\n"), Some("1@x".into()));
        assert_eq!(message_id(b"A: b\r\n\r\nMessage-Id: <1@x>\r\n"), None);
    }
}
