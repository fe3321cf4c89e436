//! What the connectors of one directory share: runtime, store, caches, connections. A second host in the same process
//! that opens the same directory gets the same core.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::smtp::Connection;
use super::tokens::AccessToken;
use super::{Connector, Event, Level, Options, UseError, courier, lock, refresher, watching};
use crate::Error;
use crate::base::{Clock, limits, signals};
use crate::identity::cloud::Cloud;
use crate::net::{HttpClient, Proxies, Road, tls};
use crate::store::{SqliteStore, Store, System};

/// Threads that run the work; the store's calls, name resolution and callbacks have others, which come and go.
const WORKERS: usize = 2;
/// Most threads for the store's calls, name resolution and composing.
const BLOCKING_THREADS: usize = 64;
/// Most threads for callbacks. Theirs alone: a callback may call what waits for the store, and may be stuck.
const CALLBACK_THREADS: usize = 256;

/// The shared part of connectors.
pub struct Core {
    options: Options,
    /// As they were when the connector opened: the environment may change.
    proxies: Arc<Proxies>,
    /// Time inside the process.
    pub clock: Clock,
    /// Ends everything that belongs to no connector alone.
    pub stop: CancellationToken,
    store: Arc<dyn Store>,
    handle: Handle,
    callbacks: Handle,
    runtimes: Mutex<Vec<Runtime>>,
    connectors: Mutex<Vec<Weak<Connector>>>,
    /// A tree: few names, and no hashing on the way to a warm token.
    systems: RwLock<BTreeMap<String, Known>>,
    changes: (Mutex<u64>, Condvar),
    news: watch::Sender<()>,
    /// The sign-ins that this process sees through to their ends.
    pub(super) driven: Mutex<HashSet<String>>,
    /// The leases that a task of this core has: the store tells only processes apart.
    pub(super) leased: Mutex<HashSet<String>>,
    /// Exchanges whose answers must not be lost: a code and a strict refresh token are good for one.
    exchanges: (Mutex<usize>, Condvar),
}

/// What is known of a system: its token, under the one lock on the way to it, and the rest.
#[derive(Default)]
struct Known {
    token: Option<AccessToken>,
    live: Arc<LiveSystem>,
}

/// What is held in memory for a system beside its token.
#[derive(Default)]
pub struct LiveSystem {
    network: OnceCell<Network>,
    /// One refresh at a time.
    pub refreshing: tokio::sync::Mutex<()>,
    mailer: Mutex<Arc<Mailer>>,
}

/// The kept SMTP connection of a system; who sends holds the lock.
pub type Mailer = tokio::sync::Mutex<Option<Connection>>;

impl LiveSystem {
    /// The kept connection.
    #[must_use]
    pub fn mailer(&self) -> Arc<Mailer> {
        Arc::clone(&lock(&self.mailer))
    }

    /// The next mail gets a new connection. One that is being sent goes on over the old one.
    pub fn renew_mailer(&self) {
        *lock(&self.mailer) = Arc::default();
    }
}

/// The network as a system sees it.
#[derive(Clone)]
pub struct Network {
    /// How hosts are reached, and whom to trust.
    pub road: Road,
    /// For the identity service, by the same road.
    pub http: Arc<HttpClient>,
}

/// The cores of this process by directory, with the number of their connectors.
static CORES: Mutex<Vec<Open>> = Mutex::new(Vec::new());

type Open = (PathBuf, Arc<Core>, usize);

/// One name for each directory. One that is not there yet has none, and is in no core.
fn canonical(directory: &Path) -> PathBuf {
    directory.canonicalize().unwrap_or_else(|_| directory.to_owned())
}

impl Core {
    /// The core of a directory, or a private one.
    pub(super) fn enter(options: Options) -> Result<Arc<Self>, Error> {
        let Some(directory) = options.data_directory.clone() else {
            return Self::create(options, Arc::new(SqliteStore::in_memory()?));
        };
        if let Some(core) = Self::joined(&mut lock(&CORES), &directory, &options)? {
            return Ok(core);
        }
        // May wait for other processes, and so not under the lock, which closing needs too.
        let store = SqliteStore::open(&directory, options.key.as_ref(), options.share_with_group)?;
        let mut cores = lock(&CORES);
        if let Some(core) = Self::joined(&mut cores, &directory, &options)? {
            return Ok(core);
        }
        let core = Self::create(options, Arc::new(store))?;
        cores.push((canonical(&directory), Arc::clone(&core), 1));
        Ok(core)
    }

    /// The core that has the directory open, with one connector more.
    fn joined(cores: &mut [Open], directory: &Path, options: &Options) -> Result<Option<Arc<Self>>, Error> {
        let directory = canonical(directory);
        let Some((_, core, opens)) = cores.iter_mut().find(|(path, ..)| *path == directory) else { return Ok(None) };
        if let Some(field) = core.options.difference(options) {
            return Err(UseError::Argument {
                parameter: "options_json",
                field: Some(field.to_owned()),
                reason: "this directory is open in this process with another value".to_owned(),
            }
            .into());
        }
        *opens += 1;
        Ok(Some(Arc::clone(core)))
    }

    fn create(options: Options, store: Arc<dyn Store>) -> Result<Arc<Self>, Error> {
        let too_many = |_| UseError::Limit { what: "threads in this process" };
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("mxo")
            .on_thread_start(signals::take_none)
            .enable_all()
            .build()
            .map_err(too_many)?;
        // Only its pool of blocking threads is used; its one worker sleeps.
        let callbacks = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(CALLBACK_THREADS)
            .thread_name("mxo-callback")
            .on_thread_start(signals::take_none)
            .build()
            .map_err(too_many)?;
        let core = Arc::new(Self {
            proxies: Arc::new(Proxies::new(&options.proxy)),
            options,
            clock: Clock::default(),
            stop: CancellationToken::new(),
            store,
            handle: runtime.handle().clone(),
            callbacks: callbacks.handle().clone(),
            runtimes: Mutex::new(vec![runtime, callbacks]),
            connectors: Mutex::default(),
            systems: RwLock::default(),
            changes: (Mutex::new(0), Condvar::new()),
            news: watch::Sender::new(()),
            driven: Mutex::default(),
            leased: Mutex::default(),
            exchanges: (Mutex::new(0), Condvar::new()),
        });
        if core.options.data_directory.is_some() {
            let latest = core.store.latest_news()?;
            core.spawn(watching::watch(Arc::downgrade(&core), latest));
        }
        core.spawn(refresher::refresh_ahead(Arc::downgrade(&core)));
        Ok(core)
    }

    pub(super) fn join(&self, connector: &Arc<Connector>) {
        let mut connectors = lock(&self.connectors);
        connectors.retain(|known| known.strong_count() > 0);
        connectors.push(Arc::downgrade(connector));
    }

    /// A connector was closed; with the last one everything ends.
    pub(super) fn leave(self: &Arc<Self>) {
        let mut cores = lock(&CORES);
        if let Some(index) = cores.iter().position(|(_, core, _)| Arc::ptr_eq(core, self)) {
            if let Some((_, _, opens)) = cores.get_mut(index)
                && *opens > 1
            {
                *opens -= 1;
                return;
            }
            cores.swap_remove(index);
        }
        drop(cores);
        self.shut_down();
    }

    fn shut_down(&self) {
        self.stop.cancel();
        self.wait_for_answers(limits::CLOSE / 2);
        let runtimes = std::mem::take(&mut *lock(&self.runtimes));
        let store = Arc::clone(&self.store);
        let join = move || {
            let until = Instant::now() + limits::CLOSE / 3;
            for runtime in runtimes {
                runtime.shutdown_timeout(until.saturating_duration_since(Instant::now()));
            }
            // Even if the host keeps handles for long.
            store.close();
        };
        if courier::is_in_callback() {
            // A thread cannot join itself: another one waits for this one.
            let closer = std::thread::Builder::new().name("mxo-close".to_owned());
            let _ = closer.spawn(move || {
                signals::take_none();
                join();
            });
        } else {
            join();
        }
    }

    /// The options it was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The runtime's handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The threads for callbacks.
    #[must_use]
    pub fn callbacks(&self) -> &Handle {
        &self.callbacks
    }

    /// Runs a task on the library's threads.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    /// The store, from a thread that may block.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Something in the store, from a task.
    pub async fn in_store<T: Send + 'static>(
        &self,
        act: impl FnOnce(&dyn Store) -> Result<T, crate::store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        let done = self.handle.spawn_blocking(move || act(&*store)).await;
        done.map_err(|_| UseError::Closed)?.map_err(Error::from)
    }

    /// A system of the store.
    pub fn system(&self, system_id: &str) -> Result<System, Error> {
        let found = self.store.system(system_id)?;
        Ok(found.ok_or_else(|| UseError::NotFound { what: "system", id: system_id.to_owned() })?)
    }

    /// What is held in memory for a system.
    #[must_use]
    pub fn live(&self, system_id: &str) -> Arc<LiveSystem> {
        let mut systems = self.systems.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&systems.entry(system_id.to_owned()).or_default().live)
    }

    /// The token in memory, if there is one.
    pub fn with_token<T>(&self, system_id: &str, act: impl FnOnce(&AccessToken) -> Option<T>) -> Option<T> {
        let systems = self.systems.read().unwrap_or_else(PoisonError::into_inner);
        systems.get(system_id).and_then(|known| known.token.as_ref()).and_then(act)
    }

    /// Holds a token in memory, unless the system was forgotten meanwhile.
    pub fn hold_token(&self, system_id: &str, live: &Arc<LiveSystem>, token: AccessToken) {
        let mut systems = self.systems.write().unwrap_or_else(PoisonError::into_inner);
        let known = systems.get_mut(system_id).filter(|known| Arc::ptr_eq(&known.live, live));
        let before = known.and_then(|known| known.token.replace(token));
        drop((systems, before));
    }

    /// Forgets what is held in memory for a system.
    pub fn forget(&self, system_id: &str) {
        let forgotten = self.systems.write().unwrap_or_else(PoisonError::into_inner).remove(system_id);
        // Without the lock: it may hold the last of a connection.
        drop(forgotten);
    }

    /// Whether a connector was opened with an option.
    #[must_use]
    pub fn any_connector(&self, is_so: impl Fn(&Options) -> bool) -> bool {
        lock(&self.connectors).iter().filter_map(Weak::upgrade).any(|connector| is_so(connector.options()))
    }

    /// While the result lives, a closing connector waits a little for the answer.
    pub(super) fn exchange(self: &Arc<Self>) -> Exchange {
        *lock(&self.exchanges.0) += 1;
        Exchange(Arc::clone(self))
    }

    /// Waits until no such exchange runs.
    fn wait_for_answers(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut running = lock(&self.exchanges.0);
        while *running > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            running = self.exchanges.1.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The network for a system of this cloud. Made with the first use, on a thread that may block: it reads files.
    pub async fn network(&self, live: &Arc<LiveSystem>, cloud: &Cloud) -> Result<Network, Error> {
        if let Some(network) = live.network.get() {
            return Ok(network.clone());
        }
        let live = Arc::clone(live);
        let ca_files = [self.options.ca_file.clone(), cloud.ca_file.clone()];
        let roots = self.options.tls_roots;
        let (proxies, bind_address) = (Arc::clone(&self.proxies), self.options.bind_address);
        let (family, timeouts) = (self.options.ip_family, self.options.timeouts);
        let made = self.handle.spawn_blocking(move || {
            let network = live.network.get_or_try_init(|| {
                let ca_files: Vec<_> = ca_files.iter().flatten().map(String::as_str).collect();
                let tls = tls::configuration(roots, &ca_files)?;
                let road = Road { proxies, bind_address, family, timeouts, tls };
                let http = Arc::new(HttpClient::new(&road)?);
                Ok::<_, crate::net::Error>(Network { road, http })
            });
            network.cloned()
        });
        Ok(made.await.map_err(|_| UseError::Closed)??)
    }

    /// Gives an event to the subscriptions of all connectors.
    pub fn publish(&self, event: &Event) {
        self.each_connector(|connector| connector.publish(event));
    }

    /// Gives a line to the loggers of all connectors. The target is the part of the library that speaks.
    pub fn log(&self, level: Level, target: &'static str, text: &str) {
        self.each_connector(|connector| connector.log(level, target, text));
    }

    fn each_connector(&self, act: impl Fn(&Connector)) {
        let connectors: Vec<_> = lock(&self.connectors).iter().filter_map(Weak::upgrade).collect();
        connectors.iter().for_each(|connector| act(connector));
    }

    /// Is told of each change in the store, also of other processes'.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Wakes who waits for a change in the store.
    pub fn wake(&self) {
        self.news.send_replace(());
        *lock(&self.changes.0) += 1;
        self.changes.1.notify_all();
    }

    /// Looks until it sees something, anew at each change; `None` as time means for ever, as result that time ran out.
    pub fn wait_for<T>(
        &self,
        time: Option<Duration>,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        /// A change by another process wakes nobody: look again after this long.
        const LOOK_AGAIN: Duration = Duration::from_millis(250);
        let until = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            let seen = *lock(&self.changes.0);
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            let left = until.map_or(LOOK_AGAIN, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            let changes = lock(&self.changes.0);
            if *changes == seen {
                drop(self.changes.1.wait_timeout(changes, left.min(LOOK_AGAIN)));
            }
        }
    }
}

/// An exchange whose answer must not be lost.
pub(super) struct Exchange(Arc<Core>);

impl Drop for Exchange {
    fn drop(&mut self) {
        *lock(&self.0.exchanges.0) -= 1;
        self.0.exchanges.1.notify_all();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        lock(&self.runtimes).drain(..).for_each(Runtime::shutdown_background);
    }
}
