//! What is attached: bytes, or a file that is read only when the mail is written.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Error;
use crate::base::limits;

/// The content of an attachment. Clones share it.
#[derive(Clone)]
pub enum Content {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file.
    File(FileSource),
}

impl Content {
    /// Length in octets.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.length,
        }
    }

    /// At most `most` octets from `offset` on. A file is read into `read`.
    pub(super) fn piece<'a>(&'a self, offset: u64, most: usize, read: &'a mut Vec<u8>) -> Result<&'a [u8], Error> {
        let left = usize::try_from(self.length().saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = left.min(most);
        match self {
            Self::Bytes(bytes) => {
                let rest = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
                Ok(rest.get(..length).unwrap_or_default())
            }
            Self::File(file) => {
                read.resize(length, 0);
                file.fill(read, offset)?;
                Ok(read)
            }
        }
    }

    /// A file is still the one that was attached.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Bytes(_) => Ok(()),
            Self::File(file) => file.check(),
        }
    }
}

/// A file as it was when it was attached. It is opened at once and stays open, so it may be deleted or renamed
/// afterwards (on Windows too), but not changed.
#[derive(Clone)]
pub struct FileSource {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl FileSource {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`Error::NotAFile`] for directories, devices and pipes, [`Error::TooBig`], [`Error::File`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        // Before opening: to open a device can do something, to open a pipe can wait.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let file = open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let (length, modified) = state(&metadata);
        if length > limits::MAIL as u64 {
            return Err(Error::TooBig { size: length, limit: limits::MAIL as u64 });
        }
        Ok(Self { file: Arc::new(file), path: path.to_owned(), length, modified })
    }

    /// The name of the file, without its directory.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Reads at a place of its own, so that clones which are sent at the same time do not disturb each other.
    fn fill(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Error> {
        while !buffer.is_empty() {
            match read_at(&self.file, buffer, offset) {
                Ok(0) => return Err(Error::FileChanged { path: self.path.clone() }),
                Ok(count) => {
                    offset += count as u64;
                    buffer = buffer.get_mut(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::File { path: self.path.clone(), source }),
            }
        }
        Ok(())
    }

    /// The file is still the one that was attached, as far as its length and time can tell.
    fn check(&self) -> Result<(), Error> {
        let metadata = self.file.metadata().map_err(|source| Error::File { path: self.path.clone(), source })?;
        if state(&metadata) == (self.length, self.modified) {
            Ok(())
        } else {
            Err(Error::FileChanged { path: self.path.clone() })
        }
    }
}

fn state(metadata: &Metadata) -> (u64, Option<SystemTime>) {
    (metadata.len(), metadata.modified().ok())
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Does nothing to a file; a pipe that took its place in between must not make us wait.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
