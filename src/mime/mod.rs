//! Composing mail. (stub until the real one lands)
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;
impl Error {
    pub fn report(&self) -> crate::base::Report {
        crate::base::Report::new(crate::base::Status::Internal, "stub")
    }
}
#[derive(Clone)]
pub struct Mail;
pub struct FileSource;
pub enum Content {
    Bytes(Arc<[u8]>),
    File(FileSource),
}
pub enum RecipientKind {
    To,
    Cc,
    Bcc,
    ReplyTo,
}
impl FileSource {
    pub fn open(_: &Path) -> Result<Self, Error> {
        Err(Error)
    }
}
impl Mail {
    pub fn new() -> Self {
        Mail
    }
    pub fn from_mime(_: &[u8]) -> Result<Self, Error> {
        Err(Error)
    }
    pub fn with_new_message_id(self) -> Self {
        self
    }
    pub fn set_from(&mut self, _: &str, _: Option<&str>) -> Result<(), Error> {
        Ok(())
    }
    pub fn add_recipient(&mut self, _: RecipientKind, _: &str, _: Option<&str>) -> Result<(), Error> {
        Ok(())
    }
    pub fn set_subject(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }
    pub fn set_text(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }
    pub fn set_html(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }
    pub fn add_header(&mut self, _: &str, _: &str) -> Result<(), Error> {
        Ok(())
    }
    pub fn attach(&mut self, _: &str, _: Option<&str>, _: Content) -> Result<(), Error> {
        Ok(())
    }
}
pub struct Composed {
    pub envelope: lettre::address::Envelope,
    pub message_id: String,
    pub bytes: Vec<u8>,
    pub needs_8bit: bool,
    pub needs_smtputf8: bool,
}
pub fn compose(_: &Mail, _: Option<&str>, _: SystemTime) -> Result<Composed, Error> {
    Err(Error)
}
