//! Brings news to a host's function: one call at a time, in order, on the library's threads, with no lock held.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::base::limits;
use crate::base::signals::HostMask;

/// A host's function with all that it needs. What it owns is released when it is dropped, after the last call.
pub type Call<T> = Box<dyn Fn(&T) + Send + Sync>;

/// A queue of news for one function.
pub struct Courier<T: Send + 'static>(Arc<Inner<T>>);

impl<T: Send + 'static> Clone for Courier<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<T> {
    /// That of the thread which brought the function.
    mask: HostMask,
    queue: Mutex<Queue<T>>,
    runtime: Handle,
}

struct Queue<T> {
    news: VecDeque<T>,
    /// Gone when nothing may be called any more.
    call: Option<Arc<Call<T>>>,
    /// A thread is at it.
    running: bool,
    /// Nothing more will come: the function goes with the last of the news.
    finished: bool,
}

thread_local! {
    static ON_LIBRARY_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is the library's, and a host's function runs on it.
#[must_use]
pub fn is_in_callback() -> bool {
    ON_LIBRARY_THREAD.get()
}

impl<T: Send + 'static> Courier<T> {
    /// A courier to this function.
    #[must_use]
    pub fn new(runtime: Handle, call: Call<T>) -> Self {
        let queue = Queue { news: VecDeque::new(), call: Some(Arc::new(call)), running: false, finished: false };
        let mask = HostMask::of_this_thread();
        Self(Arc::new(Inner { mask, queue: Mutex::new(queue), runtime }))
    }

    /// Queues a piece of news. When the function is slower than the news, the oldest are dropped.
    pub fn bring(&self, news: T) {
        let mut queue = self.0.queue();
        if queue.call.is_none() || queue.finished {
            return;
        }
        if queue.news.len() >= limits::CALLBACKS {
            queue.news.pop_front();
        }
        queue.news.push_back(news);
        self.deliver(queue);
    }

    /// Nothing more will come: lets go of the function once it was told everything. On a thread for callbacks, since
    /// the host may do there what it likes.
    pub fn finish(&self) {
        let mut queue = self.0.queue();
        queue.finished = true;
        if queue.call.is_some() {
            self.deliver(queue);
        }
    }

    fn deliver(&self, mut queue: MutexGuard<'_, Queue<T>>) {
        if !std::mem::replace(&mut queue.running, true) {
            drop(queue);
            let inner = Arc::clone(&self.0);
            let _detached = self.0.runtime.spawn_blocking(move || inner.deliver());
        }
    }

    /// From now on no new call begins. One that is running may still end; then the function is let go.
    pub fn close(&self) {
        let mut queue = self.0.queue();
        let news = std::mem::take(&mut queue.news);
        let call = queue.call.take();
        drop(queue);
        drop((news, call));
    }
}

impl<T: Send + 'static> Inner<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self) {
        ON_LIBRARY_THREAD.set(true);
        while let Some((news, call)) = self.next() {
            self.mask.within(|| call(&news));
        }
        ON_LIBRARY_THREAD.set(false);
    }

    /// The next piece of news; with the last one the thread's turn ends.
    fn next(&self) -> Option<(T, Arc<Call<T>>)> {
        let mut queue = self.queue();
        if let Some(call) = queue.call.clone()
            && let Some(news) = queue.news.pop_front()
        {
            return Some((news, call));
        }
        queue.running = false;
        let call = if queue.finished { queue.call.take() } else { None };
        drop(queue);
        self.mask.within(|| drop(call));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    struct Dropped(Arc<AtomicUsize>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn until(what: impl Fn() -> bool) {
        for _ in 0..1000 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came to pass");
    }

    #[test]
    fn news_come_in_order_and_the_function_goes_once_at_the_end() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (seen, drops) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (log, guard) = (Arc::clone(&seen), Dropped(Arc::clone(&drops)));
        let courier = Courier::new(
            runtime.handle().clone(),
            Box::new(move |news: &usize| {
                let _ = &guard;
                assert!(is_in_callback());
                log.lock().unwrap().push(*news);
            }),
        );
        (0..500).for_each(|news| courier.bring(news));
        courier.finish();
        courier.bring(1000);
        until(|| drops.load(Ordering::SeqCst) == 1);
        assert_eq!(*seen.lock().unwrap(), (0..500).collect::<Vec<_>>());
        courier.close();
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn closing_from_inside_a_call_ends_the_calls() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (calls, drops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, guard) = (Arc::clone(&calls), Dropped(Arc::clone(&drops)));
        let slot: Arc<Mutex<Option<Courier<usize>>>> = Arc::default();
        let own = Arc::clone(&slot);
        let courier = Courier::new(
            runtime.handle().clone(),
            Box::new(move |_: &usize| {
                let _ = &guard;
                counter.fetch_add(1, Ordering::SeqCst);
                let courier = own.lock().unwrap().take();
                if let Some(courier) = courier {
                    courier.close();
                }
            }),
        );
        *slot.lock().unwrap() = Some(courier.clone());
        (0..10).for_each(|news| courier.bring(news));
        until(|| drops.load(Ordering::SeqCst) == 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
