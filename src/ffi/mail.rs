//! Mail to send.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex};

use super::guard::{guard, guard_plain};
use super::handle::{get, remove};
use super::text::{Out, bytes, optional, required};
use super::{mxo_error, mxo_status};
use crate::Error;
use crate::base::{Status, limits};
use crate::connector::{UseError, lock};
use crate::mime::{Content, FileSource, Kind, Mail};

/// A mail being written. It may be sent more than once: its Message-ID stays, so that a receiver can tell a repetition;
/// mxo_mail_clone gives a new one. Any thread may use it at any time.
pub struct mxo_mail {
    _opaque: [u8; 0],
}

/// mxo_mail_add_recipient: To.
pub const MXO_TO: i32 = 0;
/// mxo_mail_add_recipient: Cc.
pub const MXO_CC: i32 = 1;
/// mxo_mail_add_recipient: Bcc: receives the mail, and no other recipient learns of it.
pub const MXO_BCC: i32 = 2;
/// mxo_mail_add_recipient: Reply-To: where answers go; receives nothing.
pub const MXO_REPLY_TO: i32 = 3;

/// A mail behind a lock.
pub(super) struct MailObject(Mutex<Mail>);

impl MailObject {
    pub(super) fn snapshot(&self) -> Mail {
        lock(&self.0).clone()
    }
}

fn change(
    mail: *mut mxo_mail,
    error: *mut *mut mxo_error,
    act: impl FnOnce(&mut Mail) -> Result<(), Error>,
) -> mxo_status {
    guard(error, || {
        let mail = get::<MailObject>(mail, "mail")?;
        act(&mut lock(&mail.0))?;
        Ok(Status::Ok)
    })
}

/// Makes an empty mail. Any thread; does not block.
///
/// @param mail   Receives the mail; free it with mxo_mail_free.
/// @param error  Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `mail` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_new(mail: *mut *mut mxo_mail, error: *mut *mut mxo_error) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(mail, "mail") };
    guard(error, || {
        let out = out?;
        out.give(Arc::new(MailObject(Mutex::new(Mail::new()))))?;
        Ok(Status::Ok)
    })
}

/// Makes a mail from ready-made MIME (RFC 5322). Sender and recipients come from its header, which must have a From; Bcc and Resent-Bcc are not sent;
/// Message-ID and Date are added when they are absent; line ends become CRLF; the rest stays as it is. Recipients that
/// are added afterwards replace those of the header. Any thread; does not block.
///
/// @param mime    The mail. May be NULL when `length` is 0.
/// @param length  Its length in octets, at most 157,286,400.
/// @param mail    Receives the mail; free it with mxo_mail_free.
/// @param error   Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, also when the bytes are no mail; MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `mime` is readable for `length` octets; `mail` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_from_mime(
    mime: *const c_void,
    length: usize,
    mail: *mut *mut mxo_mail,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(mail, "mail") };
    guard(error, || {
        let out = out?;
        // SAFETY: passed on from the header.
        let made = Mail::from_mime(unsafe { bytes(mime, length, "mime") }?)?;
        out.give(Arc::new(MailObject(Mutex::new(made))))?;
        Ok(Status::Ok)
    })
}

/// Makes a copy with a Message-ID of its own. Any thread; does not block.
///
/// @param mail   The mail.
/// @param clone  Receives the copy; free it with mxo_mail_free.
/// @param error  Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_HANDLE, MXO_E_ARGUMENT, MXO_E_LIMIT, MXO_E_FORKED.
///
/// # Safety
///
/// `clone` and `error` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_clone(
    mail: *const mxo_mail,
    clone: *mut *mut mxo_mail,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    let out = unsafe { Out::handle(clone, "clone") };
    guard(error, || {
        let out = out?;
        let copy = get::<MailObject>(mail, "mail")?.snapshot().with_new_message_id();
        out.give(Arc::new(MailObject(Mutex::new(copy))))?;
        Ok(Status::Ok)
    })
}

/// Sets the sender. Without it the mail is sent from the system's address. Any thread; does not block.
///
/// @param mail     The mail.
/// @param address  E-mail address.
/// @param name     Display name, UTF-8. May be NULL: none.
/// @param error    Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_set_from(
    mail: *mut mxo_mail,
    address: *const c_char,
    name: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    change(mail, error, |mail| {
        // SAFETY: passed on from the header.
        let address = unsafe { required(address, "address", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        Ok(mail.set_from(address, unsafe { optional(name, "name", limits::TEXT) }?)?)
    })
}

/// Adds a recipient, or an address for answers. Any thread; does not block.
///
/// @param mail     The mail.
/// @param kind     MXO_TO, MXO_CC, MXO_BCC or MXO_REPLY_TO.
/// @param address  E-mail address.
/// @param name     Display name, UTF-8. May be NULL: none.
/// @param error    Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_LIMIT above 1,000; MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_add_recipient(
    mail: *mut mxo_mail,
    kind: i32,
    address: *const c_char,
    name: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    change(mail, error, |mail| {
        let kind = match kind {
            MXO_TO => Kind::To,
            MXO_CC => Kind::Cc,
            MXO_BCC => Kind::Bcc,
            MXO_REPLY_TO => Kind::ReplyTo,
            _ => return Err(UseError::argument("kind", "it must be MXO_TO, MXO_CC, MXO_BCC or MXO_REPLY_TO").into()),
        };
        // SAFETY: passed on from the header.
        let address = unsafe { required(address, "address", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        Ok(mail.add_recipient(kind, address, unsafe { optional(name, "name", limits::TEXT) }?)?)
    })
}

/// Sets the subject. Any thread; does not block.
///
/// @param mail     The mail.
/// @param subject  UTF-8, without line ends, at most 4 KiB, in words of at most 900 octets.
/// @param error    Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// `subject` is NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_set_subject(
    mail: *mut mxo_mail,
    subject: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    change(mail, error, |mail| Ok(mail.set_subject(unsafe { required(subject, "subject", limits::TEXT) }?)?))
}

/// Sets the text body. Any thread; does not block.
///
/// @param mail   The mail.
/// @param text   UTF-8, any line ends, at most 16 MiB.
/// @param error  Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_set_text(
    mail: *mut mxo_mail,
    text: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    change(mail, error, |mail| Ok(mail.set_text(unsafe { required(text, "text", limits::MAIL_TEXT) }?)?))
}

/// Sets the HTML body; with a text body the receiver shows either. Any thread; does not block.
///
/// @param mail   The mail.
/// @param html   UTF-8, at most 16 MiB.
/// @param error  Receives the error, if any. May be NULL.
/// @return MXO_OK, MXO_E_ARGUMENT, MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// `html` is NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_set_html(
    mail: *mut mxo_mail,
    html: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    // SAFETY: passed on from the header.
    change(mail, error, |mail| Ok(mail.set_html(unsafe { required(html, "html", limits::MAIL_TEXT) }?)?))
}

/// Adds a header, such as "X-Priority" or "Auto-Submitted"; not one that the library writes itself. Any thread; does
/// not block.
///
/// @param mail   The mail.
/// @param name   Its name: printable ASCII without colon.
/// @param value  Its value: UTF-8 without line ends.
/// @param error  Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_LIMIT above 200; MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_add_header(
    mail: *mut mxo_mail,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    change(mail, error, |mail| {
        // SAFETY: passed on from the header.
        let name = unsafe { required(name, "name", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        Ok(mail.add_header(name, unsafe { required(value, "value", limits::HEADER_LINE) }?)?)
    })
}

/// Attaches bytes, which are copied. Any thread; does not block.
///
/// @param mail          The mail.
/// @param name          The file name that the receiver sees, UTF-8.
/// @param content_type  As "application/pdf". May be NULL: by the extension of the name, else
///                      application/octet-stream.
/// @param content       The bytes. May be NULL when `length` is 0.
/// @param length        How many.
/// @param error         Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_ARGUMENT, which names the field; MXO_E_MESSAGE_TOO_BIG, MXO_E_LIMIT above 1,000;
///         MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `content` is readable for `length` octets; `error` is NULL or valid for a
/// write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_attach_bytes(
    mail: *mut mxo_mail,
    name: *const c_char,
    content_type: *const c_char,
    content: *const c_void,
    length: usize,
    error: *mut *mut mxo_error,
) -> mxo_status {
    change(mail, error, |mail| {
        // SAFETY: passed on from the header.
        let name = unsafe { required(name, "name", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        let content_type = unsafe { optional(content_type, "content_type", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        let content = Content::Bytes(unsafe { bytes(content, length, "content") }?.into());
        Ok(mail.attach(name, content_type, content)?)
    })
}

/// Attaches a file. It is opened at once and read when the mail is sent; one that shrank, grew or changed by then fails
/// before anything is sent. Any thread; blocks for the opening only.
///
/// @param mail          The mail.
/// @param path          Path of the file, UTF-8.
/// @param name          The file name that the receiver sees, UTF-8. May be NULL: the file's own.
/// @param content_type  As "application/pdf". May be NULL: by the extension of the name, else
///                      application/octet-stream.
/// @param error         Receives the error, if any. May be NULL.
/// @return MXO_OK; MXO_E_FILE: it cannot be read; MXO_E_ARGUMENT, which names the field; MXO_E_MESSAGE_TOO_BIG,
///         MXO_E_LIMIT above 1,000; MXO_E_HANDLE, MXO_E_FORKED.
///
/// # Safety
///
/// The texts are NULL or NUL-terminated; `error` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mxo_mail_attach_file(
    mail: *mut mxo_mail,
    path: *const c_char,
    name: *const c_char,
    content_type: *const c_char,
    error: *mut *mut mxo_error,
) -> mxo_status {
    change(mail, error, |mail| {
        // SAFETY: passed on from the header.
        let path = std::path::Path::new(unsafe { required(path, "path", limits::OPTIONS) }?);
        // SAFETY: passed on from the header.
        let name = unsafe { optional(name, "name", limits::TEXT) }?;
        // SAFETY: passed on from the header.
        let content_type = unsafe { optional(content_type, "content_type", limits::TEXT) }?;
        let file = FileSource::open(path)?;
        let name = name.map_or_else(|| file.name(), str::to_owned);
        Ok(mail.attach(&name, content_type, Content::File(file))?)
    })
}

/// Frees a mail; one that is being sent is sent. Any thread; does not block.
///
/// @param mail  The mail. May be NULL: then nothing is done.
#[unsafe(no_mangle)]
pub extern "C" fn mxo_mail_free(mail: *mut mxo_mail) {
    guard_plain((), || drop(remove::<MailObject>(mail)));
}
