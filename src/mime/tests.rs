//! What is composed is taken apart again with mailparse, which shares no code with lettre.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailparse::{MailHeaderMap, ParsedMail, parse_mail};

use super::*;
use crate::base::{Status, limits};

const FROM: &str = "printer@contoso.com";

fn date() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn mail() -> Mail {
    let mut mail = Mail::new();
    mail.set_from(FROM, None).unwrap();
    mail.add_recipient(Kind::To, "megan@contoso.com", None).unwrap();
    mail
}

fn composed(mail: &Mail) -> Composed {
    let composed = compose(mail, None, date()).unwrap();
    check_wire(&composed);
    composed
}

/// All of it, in pieces as they go out.
fn written(composed: &Composed) -> Result<Vec<u8>, Error> {
    let (mut reader, mut piece, mut all) = (composed.data.reader(), Vec::new(), Vec::new());
    loop {
        reader.read(&mut piece, 1_000)?;
        if piece.is_empty() {
            assert_eq!(all.len() as u64, composed.data.size());
            return Ok(all);
        }
        all.extend_from_slice(&piece);
    }
}

fn octets(composed: &Composed) -> Vec<u8> {
    written(composed).unwrap()
}

fn failure(result: Result<(), Error>) -> (Status, String) {
    let report = result.unwrap_err().report();
    (report.status, report.message)
}

fn refused(mail: &Mail) -> Status {
    compose(mail, None, date()).unwrap_err().report().status
}

/// RFC 5321 and 5322: CRLF only in pairs, no line over 998 octets, an end.
fn check_wire(composed: &Composed) {
    let bytes = &octets(composed);
    assert!(bytes.ends_with(b"\r\n"));
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    assert!(text.split("\r\n").all(|line| line.len() <= 998), "a line is too long");
    let (header, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(header.lines().all(|line| !line.trim().is_empty()));
    assert!(composed.needs_8bit || bytes.is_ascii());
}

fn recipients(composed: &Composed) -> Vec<String> {
    composed.envelope.to().iter().map(ToString::to_string).collect()
}

fn addresses(mail: &ParsedMail<'_>, name: &str) -> Vec<(Option<String>, String)> {
    let list = mailparse::addrparse_header(mail.headers.get_first_header(name).unwrap()).unwrap();
    list.iter()
        .map(|entry| match entry {
            mailparse::MailAddr::Single(info) => (info.display_name.clone(), info.addr.clone()),
            mailparse::MailAddr::Group(_) => panic!("a group"),
        })
        .collect()
}

/// Bytes that look like nothing, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

struct TempFile(PathBuf);

impl TempFile {
    fn new(content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("mxo-{}.bin", uuid::Uuid::new_v4()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn source(&self) -> Content {
        Content::File(FileSource::open(&self.0).unwrap())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn no_field_lets_a_line_break_or_a_nul_through() {
    for bad in ["\r", "\n", "\r\n", "\0", "\u{85}", "\u{7f}"] {
        let address = format!("a@b.com{bad}Bcc: x@y.com");
        let text = format!("text{bad}Bcc: x@y.com");
        let mut mail = mail();
        let results = [
            ("sender", mail.set_from(&address, None)),
            ("sender", mail.set_from(FROM, Some(&text))),
            ("recipient", mail.add_recipient(Kind::To, &address, None)),
            ("recipient", mail.add_recipient(Kind::Bcc, "a@b.com", Some(&text))),
            ("recipient", mail.add_recipient(Kind::ReplyTo, "a@b.com", Some(&text))),
            ("subject", mail.set_subject(&text)),
            ("header", mail.add_header(&format!("X-A{bad}B"), "v")),
            ("header \"X-Foo\"", mail.add_header("X-Foo", &text)),
            ("attachment", mail.attach(&text, None, Content::Bytes([].into()))),
            ("attachment", mail.attach("a", Some(&format!("text/plain{bad}x: y")), Content::Bytes([].into()))),
        ];
        for (field, result) in results {
            let (status, message) = failure(result);
            assert_eq!(status, Status::Argument, "{field} {bad:?}");
            assert!(message.contains(field), "{message}");
        }
        let sent = composed(&mail);
        assert!(!String::from_utf8_lossy(&octets(&sent)).contains("x@y.com"));
    }
    for set in [Mail::set_text, Mail::set_html] {
        assert_eq!(failure(set(&mut mail(), "a\0b")).0, Status::Argument);
    }
}

#[test]
fn what_is_not_ascii_comes_back_as_it_was() {
    let long = "Příliš žluťoučký kůň úpěl ďábelské ódy ".repeat(20);
    for text in [
        "Zażółć gęślą jaźń",
        "日本語の件名です",
        "a \"quoted\" \\ name, with <marks> (and) @",
        "🖨️ 100 %",
        "=?utf-8?q?no?=",
        long.trim(),
    ] {
        let mut mail = Mail::new();
        mail.set_from(FROM, Some(text)).unwrap();
        mail.add_recipient(Kind::To, "megan@contoso.com", Some(text)).unwrap();
        mail.add_recipient(Kind::To, "alex@contoso.com", None).unwrap();
        mail.add_recipient(Kind::ReplyTo, "help@contoso.com", Some(text)).unwrap();
        mail.add_header("X-Note", text).unwrap();
        mail.attach(&format!("{text}.pdf"), None, Content::Bytes([1, 2, 3].into())).unwrap();
        let encoded_word = text.starts_with("=?");
        if !encoded_word {
            mail.set_subject(text).unwrap();
        }
        mail.set_text(text).unwrap();
        let sent = composed(&mail);
        assert!(!sent.needs_smtputf8 && !sent.needs_8bit);
        let octets = octets(&sent);
        let parsed = parse_mail(&octets).unwrap();
        if !encoded_word {
            assert_eq!(parsed.headers.get_first_value("Subject").unwrap(), text);
            assert_eq!(parsed.headers.get_first_value("X-Note").unwrap(), text);
        }
        let name = Some(text.to_owned());
        assert_eq!(addresses(&parsed, "From"), [(name.clone(), FROM.to_owned())]);
        assert_eq!(
            addresses(&parsed, "To"),
            [(name.clone(), "megan@contoso.com".to_owned()), (None, "alex@contoso.com".to_owned())]
        );
        assert_eq!(addresses(&parsed, "Reply-To"), [(name, "help@contoso.com".to_owned())]);
        assert_eq!(parsed.subparts[0].get_body().unwrap().trim_end(), text);
        let disposition = parsed.subparts[1].get_content_disposition();
        assert_eq!(disposition.disposition, mailparse::DispositionType::Attachment);
        assert_eq!(disposition.params["filename"], format!("{text}.pdf"));
    }
}

#[test]
fn long_texts_fold_or_are_refused() {
    for text in ["é".repeat(3000), "ab ".repeat(1000), format!("a{}b", " ".repeat(50)), "x".repeat(900)] {
        let mut mail = mail();
        mail.set_subject(&text).unwrap();
        mail.add_header("X-Long", &text).unwrap();
        let name = text.get(..text.floor_char_boundary(limits::TEXT)).unwrap();
        mail.add_recipient(Kind::To, "a@b.com", Some(name)).unwrap();
        let sent = composed(&mail);
        let octets = octets(&sent);
        let parsed = parse_mail(&octets).unwrap();
        assert_eq!(parsed.headers.get_first_value("Subject").unwrap().trim_end(), text.trim_end());
        assert_eq!(addresses(&parsed, "To")[1].0.as_deref().unwrap(), name.trim_end());
    }
    for text in ["x".repeat(2000), format!("a{}b", " ".repeat(3000)), format!("é {}", "x".repeat(2000))] {
        assert_eq!(failure(mail().set_subject(&text)).0, Status::Argument);
        assert_eq!(failure(mail().add_header("X-Long", &text)).0, Status::Argument);
    }
    assert_eq!(failure(mail().set_from(FROM, Some(&"x".repeat(2000)))).0, Status::Argument);
}

#[test]
fn attachments_come_back_octet_for_octet() {
    for length in [0, 1, 2, 3, 56, 57, 58, 57 * 1024 - 1, 57 * 1024, 57 * 1024 + 1, 1024 * 1024] {
        let content = noise(length);
        let file = TempFile::new(&content);
        let mut mail = mail();
        mail.attach("bytes.bin", None, Content::Bytes(content.clone().into())).unwrap();
        mail.attach("file.bin", None, file.source()).unwrap();
        let sent = composed(&mail);
        let octets = octets(&sent);
        let parsed = parse_mail(&octets).unwrap();
        assert_eq!(parsed.subparts.len(), 3, "{length}");
        assert_eq!(parsed.subparts[0].ctype.mimetype, "text/plain");
        assert_eq!(parsed.subparts[0].get_body().unwrap().trim_end(), "");
        for part in &parsed.subparts[1..] {
            assert!(part.get_body_raw().unwrap() == content, "{length}");
        }
    }
}

#[test]
fn text_and_html_are_alternatives_beside_the_attachments() {
    let mut mail = mail();
    mail.set_text("a\nb\rc\r\nd\n\n.e").unwrap();
    let parsed = |mail: &Mail| octets(&composed(mail));
    let bytes = parsed(&mail);
    let alone = parse_mail(&bytes).unwrap();
    assert_eq!(alone.ctype.mimetype, "text/plain");
    assert_eq!(alone.get_body().unwrap(), "a\r\nb\r\nc\r\nd\r\n\r\n.e\r\n");
    mail.set_html("<p>é</p>").unwrap();
    let bytes = parsed(&mail);
    let both = parse_mail(&bytes).unwrap();
    assert_eq!(both.ctype.mimetype, "multipart/alternative");
    assert_eq!(both.subparts[1].ctype.mimetype, "text/html");
    assert_eq!(both.subparts[1].get_body().unwrap().trim_end(), "<p>é</p>");
    mail.attach("report.pdf", None, Content::Bytes([1].into())).unwrap();
    mail.attach("odd", Some("application/x-odd; a=\"b c\""), Content::Bytes([2].into())).unwrap();
    let bytes = parsed(&mail);
    let all = parse_mail(&bytes).unwrap();
    let types: Vec<_> = all.subparts.iter().map(|part| part.ctype.mimetype.as_str()).collect();
    assert_eq!(types, ["multipart/alternative", "application/pdf", "application/x-odd"]);
    assert_eq!(all.subparts[2].ctype.params["a"], "b c");
}

#[test]
fn many_lines_are_composed_in_no_time() {
    let mut mail = mail();
    mail.set_text(&"\n".repeat(2_000_000)).unwrap();
    assert!(composed(&mail).data.size() > 4_000_000);
}

#[test]
fn a_clock_that_is_far_off_does_no_harm() {
    for date in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH + Duration::from_secs(1 << 38)] {
        check_wire(&compose(&mail(), None, date).unwrap());
    }
}

#[test]
fn the_envelope_names_everybody_once() {
    let mut mail = mail();
    mail.add_recipient(Kind::Cc, "megan@CONTOSO.com", Some("Megan")).unwrap();
    mail.add_recipient(Kind::Cc, "alex@contoso.com", None).unwrap();
    mail.add_recipient(Kind::Bcc, "secret@contoso.com", None).unwrap();
    mail.add_recipient(Kind::ReplyTo, "help@contoso.com", None).unwrap();
    let sent = composed(&mail);
    assert_eq!(recipients(&sent), ["megan@contoso.com", "alex@contoso.com", "secret@contoso.com"]);
    assert_eq!(sent.envelope.from().unwrap().to_string(), FROM);
    let text = String::from_utf8(octets(&sent)).unwrap();
    assert!(!text.contains("secret") && !text.contains("Bcc"));
    assert!(text.contains("From: <printer@contoso.com>\r\n"));
    assert!(text.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"));
}

#[test]
fn a_mail_to_bcc_alone_has_a_to_of_nobody() {
    let mut mail = Mail::new();
    mail.add_recipient(Kind::Bcc, "secret@contoso.com", None).unwrap();
    let sent = compose(&mail, Some("default@contoso.com"), date()).unwrap();
    check_wire(&sent);
    assert_eq!(sent.envelope.from().unwrap().to_string(), "default@contoso.com");
    assert!(String::from_utf8(octets(&sent)).unwrap().contains("To: undisclosed-recipients:;\r\n"));
}

#[test]
fn sender_and_recipients_are_needed() {
    let mut mail = Mail::new();
    assert_eq!(refused(&mail), Status::Argument);
    mail.set_from(FROM, None).unwrap();
    mail.add_recipient(Kind::ReplyTo, "a@b.com", None).unwrap();
    assert!(matches!(compose(&mail, None, date()), Err(Error::NoRecipient)));
    assert!(compose(&Mail::new(), Some("not an address"), date()).is_err());
    for bad in ["", "a", "@b.com", "a@", "a b@c.com", "<a@b.com>", "A <a@b.com>", "a@b.com,c@d.com", "a@b.com "] {
        assert_eq!(failure(mail.add_recipient(Kind::To, bad, None)).0, Status::Argument, "{bad}");
    }
}

#[test]
fn addresses_that_are_not_ascii_need_smtputf8() {
    for address in ["žluťoučký@contoso.com", "megan@bücher.example"] {
        let mut mail = mail();
        assert!(!composed(&mail).needs_smtputf8);
        mail.add_recipient(Kind::Bcc, address, None).unwrap();
        let sent = composed(&mail);
        assert!(sent.needs_smtputf8 && sent.needs_8bit);
    }
    let mut mail = mail();
    mail.set_from("a@bücher.example", None).unwrap();
    assert!(composed(&mail).message_id.ends_with("@localhost>"));
}

#[test]
fn headers_of_ours_cannot_be_set() {
    for name in ["From", "sender", "TO", "cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version"] {
        assert_eq!(failure(mail().add_header(name, "x")).0, Status::Argument, "{name}");
    }
    for name in ["Content-Type", "content-x", "Received", "DKIM-Signature", "Resent-Bcc", "", "a b", "a:b", "é"] {
        assert_eq!(failure(mail().add_header(name, "x")).0, Status::Argument, "{name}");
    }
    let mut mail = mail();
    mail.add_header("X-Job", "1").unwrap();
    mail.add_header("X-Job", "2").unwrap();
    mail.add_header("References", "<a@b.com> <c@d.com>").unwrap();
    let sent = composed(&mail);
    let octets = octets(&sent);
    let parsed = parse_mail(&octets).unwrap();
    assert_eq!(parsed.headers.get_all_values("X-Job"), ["1", "2"]);
    assert_eq!(parsed.headers.get_first_value("References").unwrap(), "<a@b.com> <c@d.com>");
}

#[test]
fn limits_are_kept() {
    let mut mail = Mail::new();
    mail.set_from(FROM, None).unwrap();
    for n in 0..limits::RECIPIENTS {
        mail.add_recipient(Kind::To, &format!("a{n}@b.com"), None).unwrap();
    }
    assert_eq!(failure(mail.add_recipient(Kind::To, "one@more.com", None)).0, Status::Limit);
    for n in 0..limits::HEADERS {
        mail.add_header("X-N", &n.to_string()).unwrap();
    }
    assert_eq!(failure(mail.add_header("X-N", "one more")).0, Status::Limit);
    for n in 0..limits::ATTACHMENTS {
        mail.attach(&format!("{n}"), None, Content::Bytes([1].into())).unwrap();
    }
    assert_eq!(failure(mail.attach("one more", None, Content::Bytes([1].into()))).0, Status::Limit);
    assert_eq!(composed(&mail).envelope.to().len(), limits::RECIPIENTS);

    let over = |limit: usize| "é".repeat(limit / 2 + 1);
    assert_eq!(failure(mail.set_subject(&over(limits::HEADER_LINE))).0, Status::Argument);
    assert_eq!(failure(mail.add_header("X-A", &over(limits::HEADER_LINE))).0, Status::Argument);
    assert_eq!(failure(mail.set_text(&over(limits::MAIL_TEXT))).0, Status::Argument);
    assert_eq!(failure(mail.set_html(&over(limits::MAIL_TEXT))).0, Status::Argument);
    assert_eq!(failure(mail.set_from(&over(limits::TEXT), None)).0, Status::Argument);
    assert_eq!(failure(mail.set_from(FROM, Some(&over(limits::TEXT)))).0, Status::Argument);
    assert_eq!(failure(mail.attach(&over(limits::TEXT), None, Content::Bytes([].into()))).0, Status::Argument);
    assert_eq!(failure(mail.attach("a", Some(&over(256)), Content::Bytes([].into()))).0, Status::Argument);
}

#[test]
fn too_big_is_known_before_anything_is_read() {
    // A sparse file: as long as it likes, and nothing on the disk.
    let sparse = |length| {
        let file = TempFile::new(b"");
        fs::OpenOptions::new().write(true).open(&file.0).unwrap().set_len(length).unwrap();
        file
    };
    let (most, half) = (sparse(limits::MAIL as u64 + 1), sparse(limits::MAIL as u64 / 5 * 2));
    assert!(matches!(FileSource::open(&most.0), Err(Error::TooBig { .. })));
    let mut mail = mail();
    mail.attach("a", None, half.source()).unwrap();
    mail.attach("b", None, half.source()).unwrap();
    // 80 % of the limit as octets, but more than all of it as base64.
    assert_eq!(refused(&mail), Status::MessageTooBig);
    assert_eq!(failure(mail.attach("c", None, half.source())).0, Status::MessageTooBig);
}

#[test]
fn a_file_that_changed_is_not_sent() {
    let attached = || {
        let file = TempFile::new(&noise(200_000));
        let mut mail = mail();
        mail.attach("scan.pdf", None, file.source()).unwrap();
        composed(&mail);
        (file, mail)
    };
    let open = |file: &TempFile| fs::OpenOptions::new().append(true).open(&file.0).unwrap();

    let (file, mail) = attached();
    open(&file).set_len(199_999).unwrap();
    assert_eq!(refused(&mail), Status::File);

    let (file, mail) = attached();
    open(&file).write_all(b"more").unwrap();
    assert_eq!(refused(&mail), Status::File);

    let (file, mail) = attached();
    open(&file).set_modified(date()).unwrap();
    assert!(matches!(compose(&mail, None, date()), Err(Error::FileChanged { .. })));
}

#[test]
fn a_file_that_changes_while_it_goes_out_ends_the_mail() {
    let file = TempFile::new(&noise(100_000));
    let mut mail = mail();
    mail.attach("growing.bin", None, file.source()).unwrap();
    let sent = compose(&mail, None, date()).unwrap();
    let (mut reader, mut piece) = (sent.data.reader(), Vec::new());
    reader.read(&mut piece, 1_000).unwrap();
    fs::OpenOptions::new().append(true).open(&file.0).unwrap().write_all(b"more").unwrap();
    let ended = std::iter::repeat_with(|| reader.read(&mut piece, 1_000)).take(1_000).find(Result::is_err);
    assert!(matches!(ended, Some(Err(Error::FileChanged { .. }))));
}

#[test]
fn a_file_may_be_deleted_after_it_was_attached() {
    let content = noise(1000);
    let file = TempFile::new(&content);
    let mut mail = mail();
    mail.attach("gone.bin", None, file.source()).unwrap();
    drop(file);
    let sent = composed(&mail);
    assert!(parse_mail(&octets(&sent)).unwrap().subparts[1].get_body_raw().unwrap() == content);
}

#[test]
fn only_files_can_be_attached() {
    assert!(matches!(FileSource::open(&std::env::temp_dir()), Err(Error::NotAFile { .. })));
    assert!(matches!(FileSource::open(&std::env::temp_dir().join("mxo-not-there")), Err(Error::File { .. })));
    #[cfg(unix)]
    assert!(matches!(FileSource::open(std::path::Path::new("/dev/zero")), Err(Error::NotAFile { .. })));
    for bad in ["nonsense", "multipart/mixed", "Message/RFC822", "text/plain; charset=é"] {
        assert_eq!(failure(mail().attach("a", Some(bad), Content::Bytes([].into()))).0, Status::Argument, "{bad}");
    }
    assert_eq!(failure(mail().attach(" ", None, Content::Bytes([].into()))).0, Status::Argument);
}

#[test]
fn clones_share_a_file_and_can_be_sent_at_the_same_time() {
    let content = noise(500_000);
    let file = TempFile::new(&content);
    let mut mail = mail();
    mail.attach("shared.bin", None, file.source()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (mail, content) = (mail.clone(), &content);
            scope.spawn(move || {
                let sent = compose(&mail, None, date()).unwrap();
                assert!(&parse_mail(&octets(&sent)).unwrap().subparts[1].get_body_raw().unwrap() == content);
            });
        }
    });
}

#[test]
fn the_message_id_stays_with_the_mail() {
    let mut mail = mail();
    let id = composed(&mail).message_id;
    assert!(id.starts_with('<') && id.ends_with("@contoso.com>"), "{id}");
    mail.set_subject("later").unwrap();
    assert_eq!(composed(&mail).message_id, id);
    assert_eq!(composed(&mail.clone()).message_id, id);
    let another = mail.with_new_message_id();
    let sent = composed(&another);
    assert_ne!(sent.message_id, id);
    let octets = octets(&sent);
    let parsed = parse_mail(&octets).unwrap();
    assert_eq!(parsed.headers.get_all_values("Message-ID"), std::slice::from_ref(&sent.message_id));
    assert_eq!(parsed.headers.get_first_value("Subject").unwrap(), "later");
}

#[test]
fn a_clone_does_not_follow_the_original() {
    let mut mail = mail();
    let snapshot = mail.clone();
    mail.add_recipient(Kind::To, "alex@contoso.com", None).unwrap();
    assert_eq!(recipients(&composed(&snapshot)), ["megan@contoso.com"]);
}

mod ready_made {
    use super::*;

    fn ready(mime: &[u8]) -> Composed {
        composed(&Mail::from_mime(mime).unwrap())
    }

    fn unreadable(mime: &[u8]) -> (Status, String) {
        failure(Mail::from_mime(mime).map(|_| ()))
    }

    #[test]
    fn bcc_gets_the_mail_and_is_taken_out() {
        let sent = ready(
            b"From: A <a@x.com>\r\nTo: b@x.com\r\nBcc: secret@x.com,\r\n\tother@x.com\r\nCc: c@x.com\r\nDate: yesterday\r\n\
              Message-ID: <1@x.com>\r\nSubject: s\r\n\r\nbody\r\n",
        );
        assert_eq!(recipients(&sent), ["b@x.com", "secret@x.com", "other@x.com", "c@x.com"]);
        assert_eq!(sent.message_id, "<1@x.com>");
        let text = String::from_utf8(octets(&sent)).unwrap();
        assert_eq!(
            text,
            "From: A <a@x.com>\r\nTo: b@x.com\r\nCc: c@x.com\r\nDate: yesterday\r\nSubject: s\r\n\
             Message-ID: <1@x.com>\r\n\r\nbody\r\n"
        );
    }

    #[test]
    fn date_and_message_id_are_added_where_missing() {
        for id in ["", "Message-ID: broken\n", "Message-ID:\n"] {
            let mime = format!("From: a@x.com\nTo: b@x.com\n{id}\nbody");
            let mail = Mail::from_mime(mime.as_bytes()).unwrap();
            let sent = composed(&mail);
            let octets = octets(&sent);
            let parsed = parse_mail(&octets).unwrap();
            assert!(sent.message_id.ends_with("@x.com>"));
            assert_eq!(parsed.headers.get_all_values("Message-ID"), std::slice::from_ref(&sent.message_id));
            assert_eq!(parsed.headers.get_all_values("Date").len(), 1);
            assert_eq!(composed(&mail).message_id, sent.message_id);
            assert_ne!(composed(&mail.with_new_message_id()).message_id, sent.message_id);
        }
    }

    #[test]
    fn a_new_message_id_takes_the_place_of_the_one_that_was_brought() {
        let mail = Mail::from_mime(b"From: a@x.com\nTo: b@x.com\nMessage-ID: <1@x.com>\n\n").unwrap();
        let sent = composed(&mail.with_new_message_id());
        let octets = octets(&sent);
        let parsed = parse_mail(&octets).unwrap();
        assert_eq!(parsed.headers.get_all_values("Message-ID"), std::slice::from_ref(&sent.message_id));
        assert_ne!(sent.message_id, "<1@x.com>");
    }

    #[test]
    fn line_ends_of_all_kinds_become_crlf() {
        for end in ["\n", "\r", "\r\n"] {
            let mime = ["From: a@x.com", "To: b@x.com", "Subject: s", " folded", "", "one", "", "two", ""].join(end);
            let sent = ready(mime.as_bytes());
            let octets = octets(&sent);
            let parsed = parse_mail(&octets).unwrap();
            assert_eq!(parsed.headers.get_first_value("Subject").unwrap(), "s folded");
            assert_eq!(parsed.get_body().unwrap(), "one\r\n\r\ntwo\r\n", "{end:?}");
        }
        let mixed = ready(b"From: a@x.com\nTo: b@x.com\n\na\r\r\nb\n\rc\r");
        assert!(octets(&mixed).ends_with(b"\r\n\r\na\r\n\r\nb\r\n\r\nc\r\n"));
    }

    #[test]
    fn a_mail_may_end_with_its_header() {
        for end in ["", "\n", "\n\n"] {
            let sent = ready(format!("To: b@x.com\nFrom: a@x.com{end}").as_bytes());
            let octets = octets(&sent);
            let parsed = parse_mail(&octets).unwrap();
            assert_eq!(parsed.headers.get_first_value("From").unwrap(), "a@x.com");
            assert_eq!(parsed.headers.get_all_values("Date").len(), 1);
            assert_eq!(parsed.get_body().unwrap(), "");
        }
    }

    #[test]
    fn groups_and_folded_addresses_are_recipients() {
        let sent = ready(
            b"From: =?utf-8?q?M=C3=A1ria?= <a@x.com>\nTo: Team: b@x.com,\n  \"C, D\" <c@x.com>;, undisclosed-recipients:;\n\
              To: d@x.com (comment)\nCc: b@X.com\n\n",
        );
        assert_eq!(recipients(&sent), ["b@x.com", "c@x.com", "d@x.com"]);
        assert_eq!(sent.envelope.from().unwrap().to_string(), "a@x.com");
    }

    #[test]
    fn sender_is_named_in_the_envelope() {
        let sent = ready(b"From: boss@x.com\nSender: printer@x.com\nTo: b@x.com\n\n");
        assert_eq!(sent.envelope.from().unwrap().to_string(), "printer@x.com");
    }

    #[test]
    fn octets_above_ascii_are_told() {
        let plain = ready(b"From: a@x.com\nTo: b@x.com\n\nascii");
        assert!(!plain.needs_8bit && !plain.needs_smtputf8);
        let body = ready("From: a@x.com\nTo: b@x.com\n\nžluť".as_bytes());
        assert!(body.needs_8bit && !body.needs_smtputf8);
        assert!(octets(&body).ends_with("žluť\r\n".as_bytes()));
        let header = ready("From: a@x.com\nTo: b@x.com\nSubject: žluť\n\n".as_bytes());
        assert!(header.needs_8bit && header.needs_smtputf8);
        let latin1 = ready(b"From: a@x.com\nTo: b@x.com\nSubject: \xe9\n\n");
        assert!(latin1.needs_8bit && !latin1.needs_smtputf8);
    }

    #[test]
    fn added_recipients_take_the_place_of_those_in_the_header() {
        let mut mail = Mail::from_mime(b"From: a@x.com\nTo: b@x.com\n\n").unwrap();
        mail.add_recipient(Kind::Cc, "c@x.com", Some("C")).unwrap();
        let sent = composed(&mail);
        assert_eq!(recipients(&sent), ["c@x.com"]);
        assert!(!String::from_utf8(octets(&sent)).unwrap().contains("c@x.com"));
        let mut nobody = Mail::from_mime(b"From: a@x.com\n\n").unwrap();
        assert!(matches!(compose(&nobody, None, date()), Err(Error::NoRecipient)));
        nobody.add_recipient(Kind::To, "c@x.com", None).unwrap();
        assert_eq!(recipients(&composed(&nobody)), ["c@x.com"]);
    }

    #[test]
    fn nothing_else_can_be_changed() {
        let mut mail = Mail::from_mime(b"From: a@x.com\nTo: b@x.com\n\n").unwrap();
        for result in [
            mail.set_from(FROM, None),
            mail.add_recipient(Kind::ReplyTo, "c@x.com", None),
            mail.set_subject("s"),
            mail.set_text("t"),
            mail.set_html("h"),
            mail.add_header("X-A", "b"),
            mail.attach("a", None, Content::Bytes([].into())),
        ] {
            let (status, message) = failure(result);
            assert_eq!(status, Status::Argument);
            assert!(message.contains("made from MIME"), "{message}");
        }
    }

    #[test]
    fn what_is_no_mail_is_refused() {
        for mime in [
            &b""[..],
            b"\r\n\r\nbody",
            b"just text",
            b"To: b@x.com\n\n",
            b"From: \nTo: b@x.com\n\n",
            b"From: a@x.com, c@x.com\nTo: b@x.com\n\n",
            b"From: a@x.com\nFrom: c@x.com\nTo: b@x.com\n\n",
            b"From: not an address\nTo: b@x.com\n\n",
            b"From: a@x.com\nTo: b@x.com, nonsense@\n\n",
            b" folded: first\nFrom: a@x.com\nTo: b@x.com\n\n",
            b"From: a@x.com\nTo: b@x.com\nno header line\n\n",
            b"From a@x.com Mon Jan 1\nFrom: a@x.com\nTo: b@x.com\n\n",
            b"From: a@x.com\nTo: b@x.com\n\nnul \0",
            b"From: a@x.com\nTo: \"b\x01\"@x.com\n\n",
        ] {
            assert_eq!(unreadable(mime).0, Status::Argument, "{}", String::from_utf8_lossy(mime));
        }
        let (_, message) = unreadable(b"From: a@x.com\nTo: nonsense@\n\n");
        assert!(message.contains("header \"To\""), "{message}");
    }

    #[test]
    fn limits_are_kept() {
        let many = (0..=limits::RECIPIENTS).map(|n| format!("a{n}@x.com")).collect::<Vec<_>>().join(",\n ");
        assert_eq!(unreadable(format!("From: a@x.com\nTo: {many}\n\n").as_bytes()).0, Status::Limit);
        // As much as a header can hold, and it is refused without a long search.
        let many = "a@x.com,".repeat(120_000);
        assert_eq!(unreadable(format!("From: a@x.com\nTo: {many}\n\n").as_bytes()).0, Status::Limit);
        let long = format!("From: a@x.com\nTo: b@x.com\n{}\n", "X-Pad: x\n".repeat(120_000));
        assert_eq!(unreadable(long.as_bytes()).0, Status::Argument);
        assert_eq!(unreadable(&vec![b'a'; limits::MAIL + 1]).0, Status::MessageTooBig);
    }
}

#[test]
fn a_text_that_ends_its_line_gets_no_other_line() {
    for text in ["line", "line\n", "line\n\n", "Größe\r\n"] {
        let mut mail = Mail::new();
        mail.set_from("a@contoso.example", None).unwrap();
        mail.add_recipient(Kind::To, "b@contoso.example", None).unwrap();
        mail.set_text(text).unwrap();
        let composed = compose(&mail, None, SystemTime::now()).unwrap();
        assert!(octets(&composed).ends_with(b"\r\n"));
        let body = mailparse::parse_mail(&octets(&composed)).unwrap().get_body().unwrap().replace("\r\n", "\n");
        let ended = if text.ends_with('\n') { text.replace("\r\n", "\n") } else { format!("{text}\n") };
        assert_eq!(body, ended, "{text:?}");
    }
}
