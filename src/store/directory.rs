//! The data directory: who may use it, and the files in it.
//!
//! On Unix each mode is set by name, whatever the umask says. Windows has access lists, which are inherited from the
//! parent directory; protecting the key file by DPAPI there belongs to the Windows work of issue 11, and until then it
//! is a plain file.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::{DataKey, Error};
use crate::base::limits;

const DATABASE: &str = "store.sqlite3";
const KEY: &str = "key";
const LOCK: &str = "lock";
/// What SQLite keeps beside its file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// A directory that nobody else can read.
pub(super) struct Directory {
    path: PathBuf,
    shared: bool,
}

/// Nobody else opens the store while this lives.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // By name: closing alone would not free it while a child that was forked meanwhile holds a copy.
        let _ = self.0.unlock();
    }
}

impl Directory {
    /// Makes the directory, or checks the one that is there. `shared`: with its group.
    pub(super) fn prepare(path: &Path, shared: bool) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::file(path, &error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        match modes::create_directory(path) {
            Ok(()) => modes::set(path, modes::directory(shared)).map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => modes::check_directory(path, shared)?,
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { path: path.to_owned(), shared })
    }

    /// The store's file.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The key's file.
    pub(super) fn key_file(&self) -> PathBuf {
        self.path.join(KEY)
    }

    /// Waits until nobody else opens the store.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        /// Opening takes some milliseconds.
        const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);
        let path = self.path.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| Error::file(&path, &error))?;
        self.give_mode(&path, modes::file(self.shared))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < limits::STORE_WAIT => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Busy),
                Err(TryLockError::Error(error)) => return Err(Error::file(&path, &error)),
            }
        }
    }

    /// Makes the store's file, empty, if there is none; SQLite gives what it keeps beside it the same mode.
    pub(super) fn create_database(&self) -> Result<(), Error> {
        let path = self.database();
        // An existing one is not opened here: closing it would take the locks of SQLite in this process away.
        match modes::create_file(&path) {
            Ok(_) => self.sync(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(Error::file(&path, &error)),
        }?;
        let beside = BESIDE.iter().map(|suffix| with_suffix(&path, suffix));
        std::iter::once(path.clone()).chain(beside).try_for_each(|path| self.give_mode(&path, modes::file(self.shared)))
    }

    /// The key in the key file, if there is one.
    pub(super) fn key(&self) -> Result<Option<DataKey>, Error> {
        self.key_in(&self.key_file())
    }

    /// The key that is to take the place of the one in the key file.
    pub(super) fn new_key(&self) -> Result<Option<DataKey>, Error> {
        self.key_in(&self.new_key_file())
    }

    fn new_key_file(&self) -> PathBuf {
        with_suffix(&self.key_file(), ".new")
    }

    fn key_in(&self, path: &Path) -> Result<Option<DataKey>, Error> {
        self.give_mode(path, modes::key(self.shared))?;
        match fs::read(path).map(Zeroizing::new) {
            Ok(bytes) => Ok(Some(DataKey::from_bytes(&bytes).ok_or(Error::KeyWrong)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file(path, &error)),
        }
    }

    /// Makes the key file: whole and on disk before anybody sees it.
    pub(super) fn create_key(&self) -> Result<DataKey, Error> {
        let key = self.write_new_key()?;
        self.put_new_key_in_place()?;
        Ok(key)
    }

    /// Writes a new key beside the key file.
    pub(super) fn write_new_key(&self) -> Result<DataKey, Error> {
        let key = DataKey::random()?;
        let new = self.new_key_file();
        let write = || {
            // Left behind by a process that was killed here.
            gone(fs::remove_file(&new))?;
            let mut file = modes::create_file(&new)?;
            modes::set(&new, modes::key(self.shared))?;
            file.write_all(key.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| Error::file(&new, &error))?;
        self.sync()?;
        Ok(key)
    }

    /// From now on the new key is the key.
    pub(super) fn put_new_key_in_place(&self) -> Result<(), Error> {
        let new = self.new_key_file();
        // Another process may have done it.
        gone(fs::rename(&new, self.key_file())).map_err(|error| Error::file(&new, &error))?;
        self.sync()
    }

    /// The host brings the key from now on.
    pub(super) fn remove_key(&self) -> Result<(), Error> {
        let path = self.key_file();
        gone(fs::remove_file(&path)).map_err(|error| Error::file(&path, &error))?;
        self.sync()
    }

    /// Gives a damaged store's file, with what is beside it, another name; tells which.
    pub(super) fn set_aside(&self) -> Result<PathBuf, Error> {
        let from = self.database();
        let mut at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let to = loop {
            let to = with_suffix(&from, &format!(".damaged-{at}"));
            if !to.exists() {
                break to;
            }
            at = at.saturating_add(1);
        };
        for suffix in BESIDE {
            match fs::rename(with_suffix(&from, suffix), with_suffix(&to, suffix)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::file(&from, &error)),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&from, &to).map_err(|error| Error::file(&from, &error))?;
        self.sync()?;
        Ok(to)
    }

    fn give_mode(&self, path: &Path, mode: u32) -> Result<(), Error> {
        match modes::set(path, mode) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::Access {
                path: path.to_owned(),
                problem: format!("does not have the access that it must have, and cannot be given it: {error}"),
                remedy: format!("Run: chmod {mode:o} {}", shown(path)),
            }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes new names durable.
    fn sync(&self) -> Result<(), Error> {
        #[cfg(unix)]
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(|error| Error::file(&self.path, &error))?;
        Ok(())
    }
}

/// One that is not there need not be moved or removed.
fn gone(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path as a person types it into a shell.
fn shown(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(unix)]
mod modes {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

    use super::{DirBuilder, Error, File, OpenOptions, Path, fs, io, shown};

    /// All bits that `chmod` sets.
    const BITS: u32 = 0o7777;

    /// New files belong to the directory's group (the 2).
    pub(super) const fn directory(shared: bool) -> u32 {
        if shared { 0o2770 } else { 0o700 }
    }

    pub(super) const fn file(shared: bool) -> u32 {
        if shared { 0o660 } else { 0o600 }
    }

    pub(super) const fn key(shared: bool) -> u32 {
        if shared { 0o640 } else { 0o600 }
    }

    fn of(path: &Path) -> io::Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & BITS)
    }

    /// Only if it is another: who does not own a file cannot set its mode, and need not.
    pub(super) fn set(path: &Path, mode: u32) -> io::Result<()> {
        if of(path)? == mode { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(mode)) }
    }

    /// Closed to others from its first moment.
    pub(super) fn create_directory(path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    pub(super) fn create_file(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    pub(super) fn check_directory(path: &Path, shared: bool) -> Result<(), Error> {
        let mode = of(path).map_err(|error| Error::file(path, &error))?;
        let wanted = directory(shared);
        let access = |problem: String, remedy: String| Error::Access { path: path.to_owned(), problem, remedy };
        if mode & 0o007 != 0 || (!shared && mode & 0o070 != 0) {
            let group =
                if shared { "" } else { " If its group is to use it too, set the option \"share_with_group\"." };
            return Err(access(
                format!("can be used by others: its mode is {mode:o}"),
                format!("Run: chmod {wanted:o} {}{group}", shown(path)),
            ));
        }
        if shared {
            set(path, wanted).map_err(|error| {
                access(
                    format!("is not open to its group, and cannot be opened to it: {error}"),
                    format!("Run: chmod {wanted:o} {}", shown(path)),
                )
            })?;
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod modes {
    use super::{DirBuilder, Error, File, OpenOptions, Path, io};

    pub(super) const fn directory(_shared: bool) -> u32 {
        0
    }

    pub(super) const fn file(_shared: bool) -> u32 {
        0
    }

    pub(super) const fn key(_shared: bool) -> u32 {
        0
    }

    pub(super) fn set(_path: &Path, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn create_directory(path: &Path) -> io::Result<()> {
        DirBuilder::new().create(path)
    }

    pub(super) fn create_file(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(super) fn check_directory(_path: &Path, _shared: bool) -> Result<(), Error> {
        Ok(())
    }
}
