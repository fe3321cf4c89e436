//! What lasts: systems, sign-ins, grants. One trait, behind which an engine keeps them; everything else in memory is a
//! cache. Times in the store are epoch milliseconds, because other processes read them too.
//!
//! One engine today: SQLite, in a file that many processes open at once, or in the memory of one. Secrets are sealed.
//!
//! An engine may block for a moment (a database does): async code calls it through [`crate::connector::Core::store`].

mod directory;
pub mod error;
pub mod record;
pub mod seal;
pub mod settings;
pub mod sqlite;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use record::{
    Brought, Connected, Forget, Grant, Lease, Living, News, Overview, Pause, PendingCode, SignIn, SignInState, System,
    Warning,
};
pub use seal::DataKey;
pub use settings::Settings;
pub use sqlite::SqliteStore;

use std::time::Duration;

use secrecy::SecretString;

use crate::base::Report;

/// An engine. What changes a system or a sign-in is news to the other processes that have the store open.
pub trait Store: Send + Sync {
    /// Adds a system; its id is new.
    fn add_system(&self, system: System) -> Result<(), Error>;
    /// One system.
    fn system(&self, system_id: &str) -> Result<Option<System>, Error>;
    /// All systems, in the order in which they were added, or one of them; each with its connection and latest sign-in.
    fn overviews(&self, system_id: Option<&str>) -> Result<Vec<Overview>, Error>;
    /// Replaces a system if its revision is still the one before the new one's; tells whether it did.
    fn update_system(&self, system: System, forget: &Forget) -> Result<bool, Error>;
    /// Forgets the tokens of a system, or ends its sign-in. False when the system is gone.
    fn forget(&self, system_id: &str, forget: &Forget) -> Result<bool, Error>;
    /// Removes a system with its grant and sign-ins; tells whether there was one.
    fn remove_system(&self, system_id: &str) -> Result<bool, Error>;

    /// The tokens of a connected system.
    fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error>;
    /// All grants that live.
    fn living_grants(&self) -> Result<Vec<Living>, Error>;
    /// Replaces the tokens if the stored refresh token is still `before`: nobody signed out or in meanwhile.
    fn renew_grant(&self, system_id: &str, before: &SecretString, grant: &Grant) -> Result<bool, Error>;

    /// Begins a sign-in, and gives it; or gives the one of the system that runs. With `replace` the one that runs is
    /// ended for that reason. `None` when the system is gone.
    fn begin_sign_in(&self, sign_in: SignIn, replace: Option<&Report>) -> Result<Option<SignIn>, Error>;
    /// One sign-in of a system, or its latest.
    fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Option<SignIn>, Error>;
    /// All that have not ended.
    fn unfinished_sign_ins(&self) -> Result<Vec<SignIn>, Error>;
    /// The device code of a sign-in that waits for a person.
    fn device_code(&self, sign_in_id: &str) -> Result<Option<SecretString>, Error>;
    /// Keeps the new state of a sign-in, with what it brought, unless it has ended meanwhile: then false.
    fn advance_sign_in(&self, sign_in: &SignIn, brought: Brought) -> Result<bool, Error>;

    /// Takes a lease, or prolongs it. One is void after its end, after a restart of the computer, and when it would
    /// last longer than any does: the clock was set back.
    fn take_lease(&self, name: &str, now_unix_ms: i64, length: Duration) -> Result<Lease, Error>;
    /// Gives a lease back, if it is ours.
    fn return_lease(&self, name: &str) -> Result<(), Error>;

    /// A number that differs when another process has written.
    fn version(&self) -> Result<i64, Error>;
    /// The number of the latest news.
    fn latest_news(&self) -> Result<i64, Error>;
    /// What other processes changed since the news of that number; old news are dropped some time.
    fn news_since(&self, number: i64) -> Result<Vec<News>, Error>;

    /// Seals everything anew: with the host's key, or with a new one in the key file.
    fn change_key(&self, key: Option<DataKey>) -> Result<(), Error>;

    /// Lets go of its files, when nobody is at work in it. What comes later fails.
    fn close(&self);
}
