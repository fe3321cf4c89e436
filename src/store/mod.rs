//! What lasts: systems, sign-ins, grants. One trait, behind which an engine keeps them; everything else in memory is a
//! cache. Times in the store are epoch milliseconds, because other processes read them too.
//!
//! Two engines: the memory of one process, and an SQLite file that many processes open at once, with the tokens sealed.
//!
//! An engine may block for a moment (a database does): async code calls it through [`crate::connector::Core::store`].

mod directory;
pub mod error;
pub mod memory;
pub mod record;
pub mod seal;
pub mod settings;
mod sign_ins;
pub mod sqlite;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use memory::MemoryStore;
pub use record::{Grant, PendingCode, SignIn, SignInState, System, Warning};
pub use seal::DataKey;
pub use settings::Settings;
pub use sqlite::SqliteStore;

use secrecy::SecretString;

/// An engine.
pub trait Store: Send + Sync {
    /// Adds a system; its id is new.
    fn add_system(&self, system: System) -> Result<(), Error>;
    /// One system.
    fn system(&self, system_id: &str) -> Result<Option<System>, Error>;
    /// All systems, in the order in which they were added.
    fn systems(&self) -> Result<Vec<System>, Error>;
    /// Replaces a system if its revision is still the one before the new one's; tells whether it did.
    fn update_system(&self, system: System) -> Result<bool, Error>;
    /// Removes a system with its grant and sign-ins; tells whether there was one.
    fn remove_system(&self, system_id: &str) -> Result<bool, Error>;

    /// The tokens of a connected system.
    fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error>;
    /// Replaces the tokens, or forgets them. False when the system is gone.
    fn put_grant(&self, system_id: &str, grant: Option<Grant>) -> Result<bool, Error>;

    /// Replaces the tokens if the stored refresh token is still `before`: nobody signed out or in meanwhile.
    fn renew_grant(&self, system_id: &str, before: &SecretString, grant: Grant) -> Result<bool, Error>;

    /// Keeps a sign-in under its id; the newest begun of a system is its latest. False when the system is gone.
    fn put_sign_in(&self, sign_in: SignIn) -> Result<bool, Error>;
    /// One sign-in of a system, or its latest.
    fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Option<SignIn>, Error>;

    /// Lets go of its files, when nobody is at work in it. What comes later fails.
    fn close(&self);
}
