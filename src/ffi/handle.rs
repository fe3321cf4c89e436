//! Handles: the pointer that C holds is a token, slot and generation, into a table. It is never followed as memory, so
//! a stale, doubled, wrong or NULL handle is an error and not the end of the host; and a free during a running call is
//! safe, for the call holds an `Arc` of its own.

use std::sync::{Arc, PoisonError, RwLock};

use crate::base::{Value, limits};
use crate::connector::{Connector, Operation, Subscription, UseError};

const _: () = assert!(usize::BITS == 64, "a handle needs 64 bits: slot and generation");

/// A noun of the header.
pub(super) trait Noun: Send + Sync + Sized + 'static {
    /// The type that C names.
    type Handle;
    /// Into the table.
    fn into_object(this: Arc<Self>) -> Object;
    /// Out of the table, if it is of this kind.
    fn from_object(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! nouns {
    ($($variant:ident($noun:ty) as $handle:ty;)+) => {
        /// What a handle stands for.
        #[derive(Clone)]
        pub(super) enum Object { $($variant(Arc<$noun>),)+ }

        $(impl Noun for $noun {
            type Handle = $handle;

            fn into_object(this: Arc<Self>) -> Object {
                Object::$variant(this)
            }

            fn from_object(object: &Object) -> Option<&Arc<Self>> {
                if let Object::$variant(found) = object { Some(found) } else { None }
            }
        })+
    };
}

nouns! {
    Connector(Connector) as super::mxo_connector;
    Operation(Operation) as super::mxo_operation;
    Events(Subscription) as super::mxo_events;
    Value(Value) as super::mxo_value;
    Error(super::error::Failure) as super::mxo_error;
    DeviceCode(super::device_code::Code) as super::mxo_device_code;
    Mail(super::mail::MailObject) as super::mxo_mail;
}

struct Slot {
    /// Odd while the slot is taken, so that a token of zero bits is never one.
    generation: u32,
    object: Option<Object>,
}

struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
}

static TABLE: RwLock<Table> = RwLock::new(Table { slots: Vec::new(), free: Vec::new(), live: 0 });

fn token(slot: u32, generation: u32) -> usize {
    ((generation as usize) << 32) | slot as usize
}

fn parts(token: usize) -> (usize, u32) {
    let slot = token & u32::MAX as usize;
    (slot, u32::try_from(token >> 32).unwrap_or(0))
}

/// Gives an object a handle.
pub(super) fn insert<N: Noun>(object: Arc<N>) -> Result<*mut N::Handle, UseError> {
    insert_object(N::into_object(object), limits::HANDLES).map(std::ptr::without_provenance_mut)
}

/// The same for an object that lives for the time of a callback only, and must not fail.
pub(super) fn lend<N: Noun>(object: Arc<N>) -> *mut N::Handle {
    insert_object(N::into_object(object), usize::MAX).map_or(std::ptr::null_mut(), std::ptr::without_provenance_mut)
}

fn insert_object(object: Object, most: usize) -> Result<usize, UseError> {
    let too_many = || UseError::Limit { what: "live handles: each must be freed when it is not needed any more" };
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    if table.live >= most {
        return Err(too_many());
    }
    let slot = match table.free.pop() {
        Some(slot) => slot,
        None => {
            let slot = u32::try_from(table.slots.len()).map_err(|_| too_many())?;
            table.slots.push(Slot { generation: 0, object: None });
            slot
        }
    };
    let entry = table.slots.get_mut(slot as usize).ok_or_else(too_many)?;
    // Wraps after two milliard uses of one slot, and stays odd.
    entry.generation = entry.generation.wrapping_add(1) | 1;
    entry.object = Some(object);
    let token = token(slot, entry.generation);
    table.live += 1;
    Ok(token)
}

/// What a handle stands for.
pub(super) fn get<N: Noun>(handle: *const N::Handle, parameter: &'static str) -> Result<Arc<N>, UseError> {
    peek(handle, parameter, Arc::clone)
}

/// A short look at it, under the table's lock: `look` must neither wait nor touch a handle.
pub(super) fn peek<N: Noun, T>(
    handle: *const N::Handle,
    parameter: &'static str,
    look: impl FnOnce(&Arc<N>) -> T,
) -> Result<T, UseError> {
    let (slot, generation) = parts(handle.addr());
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    let entry = table.slots.get(slot).filter(|entry| entry.generation == generation);
    let object = entry.and_then(|entry| entry.object.as_ref()).and_then(N::from_object);
    object.map(look).ok_or(UseError::Handle { parameter })
}

/// Takes a handle back; whoever still uses the object keeps it until done. `None` for what is no live handle.
pub(super) fn remove<N: Noun>(handle: *const N::Handle) -> Option<Arc<N>> {
    let (slot, generation) = parts(handle.addr());
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let entry = table.slots.get_mut(slot).filter(|entry| entry.generation == generation)?;
    N::from_object(entry.object.as_ref()?)?;
    let object = entry.object.take();
    entry.generation = entry.generation.wrapping_add(1);
    table.free.push(u32::try_from(slot).unwrap_or(u32::MAX));
    table.live -= 1;
    drop(table);
    object.as_ref().and_then(N::from_object).map(Arc::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_wrong_and_null_handles_are_no_handles() {
        let handle = insert(Arc::new(Value::from(serde_json::json!(1)))).unwrap();
        assert!(get::<Value>(handle, "value").is_ok());
        assert!(get::<Connector>(handle.cast(), "connector").is_err());
        assert!(remove::<Connector>(handle.cast()).is_none());
        assert!(remove::<Value>(handle).is_some());
        assert!(remove::<Value>(handle).is_none());
        let next = insert(Arc::new(Value::from(serde_json::json!(2)))).unwrap();
        assert_ne!(next, handle);
        assert!(get::<Value>(handle, "value").is_err());
        assert!(get::<Value>(std::ptr::null(), "value").is_err());
        assert!(get::<Value>(std::ptr::without_provenance(usize::MAX), "value").is_err());
        remove::<Value>(next);
    }
}
