//! The one type in which results are told: an immutable tree, read by path or whole as JSON.
//!
//! Its texts are kept with a final NUL, so that C can borrow them, and are wiped when dropped, since the result of an
//! operation may be a token.

use std::ffi::CStr;
use std::sync::OnceLock;

use secrecy::{ExposeSecret, SecretString};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use zeroize::Zeroizing;

/// A text that ends with NUL, holds none before, and is wiped when dropped.
#[derive(Clone)]
pub struct Text(Zeroizing<Vec<u8>>);

impl Text {
    /// U+0000 from outside becomes U+FFFD: no text that C reads may hold a NUL.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        if text.contains('\0') {
            bytes.reserve(text.matches('\0').count() * 2);
            text.chars().for_each(|c| {
                let c = if c == '\0' { '\u{FFFD}' } else { c };
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            });
        } else {
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.push(0);
        Self(Zeroizing::new(bytes))
    }

    /// The text for C.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.0).unwrap_or_default()
    }

    /// The text for Rust.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.as_c_str().to_str().unwrap_or_default()
    }
}

/// A node of the tree.
#[derive(Clone)]
pub enum Node {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    String(Text),
    /// A list.
    Array(Vec<Node>),
    /// An object, in the order in which it was made.
    Object(Vec<(Text, Node)>),
}

impl From<serde_json::Value> for Node {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Node::Null,
            serde_json::Value::Bool(value) => Node::Boolean(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Node::Integer(value),
                None => Node::String(Text::new(&number.to_string())),
            },
            serde_json::Value::String(text) => Node::String(Text::new(&Zeroizing::new(text))),
            serde_json::Value::Array(items) => Node::Array(items.into_iter().map(Node::from).collect()),
            serde_json::Value::Object(members) => {
                Node::Object(members.into_iter().map(|(key, value)| (Text::new(&key), value.into())).collect())
            }
        }
    }
}

impl From<&SecretString> for Node {
    fn from(secret: &SecretString) -> Self {
        Node::String(Text::new(secret.expose_secret()))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Boolean(value) => serializer.serialize_bool(*value),
            Node::Integer(value) => serializer.serialize_i64(*value),
            Node::String(text) => serializer.serialize_str(text.as_str()),
            Node::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| sequence.serialize_element(item))?;
                sequence.end()
            }
            Node::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(key, value)| map.serialize_entry(key.as_str(), value))?;
                map.end()
            }
        }
    }
}

/// The kinds of node, as `mxo_value_kind` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is nothing at that path.
    Absent,
    /// `null`
    Null,
    /// `true`, `false`
    Boolean,
    /// A whole number.
    Integer,
    /// A text.
    String,
    /// A list.
    Array,
    /// An object.
    Object,
}

/// An immutable tree.
pub struct Value {
    root: Node,
    json: OnceLock<Text>,
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Self::new(json.into())
    }
}

impl Value {
    /// A tree with this root.
    #[must_use]
    pub fn new(root: Node) -> Self {
        Self { root, json: OnceLock::new() }
    }

    /// The node at a JSON Pointer (RFC 6901); the empty path is the root.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(&self.root);
        }
        path.strip_prefix('/')?.split('/').try_fold(&self.root, |node, token| match node {
            Node::Array(items) => items.get(array_index(token)?),
            Node::Object(members) => {
                let key = token.replace("~1", "/").replace("~0", "~");
                members.iter().find(|(name, _)| name.as_str() == key).map(|(_, value)| value)
            }
            Node::Null | Node::Boolean(_) | Node::Integer(_) | Node::String(_) => None,
        })
    }

    /// What is at a path.
    #[must_use]
    pub fn kind(&self, path: &str) -> Kind {
        match self.at(path) {
            None => Kind::Absent,
            Some(Node::Null) => Kind::Null,
            Some(Node::Boolean(_)) => Kind::Boolean,
            Some(Node::Integer(_)) => Kind::Integer,
            Some(Node::String(_)) => Kind::String,
            Some(Node::Array(_)) => Kind::Array,
            Some(Node::Object(_)) => Kind::Object,
        }
    }

    /// The whole tree as JSON, made at the first call.
    #[must_use]
    pub fn json(&self) -> &CStr {
        self.json
            .get_or_init(|| {
                // Two passes, so that no half-grown buffer with a secret in it is left behind unwiped.
                let mut length = Counter(0);
                let _ = serde_json::to_writer(&mut length, &self.root);
                let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
                let _ = serde_json::to_writer(&mut *bytes, &self.root);
                Text::new(std::str::from_utf8(&bytes).unwrap_or_default())
            })
            .as_c_str()
    }
}

/// An index of RFC 6901 section 4: digits without a leading zero.
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with('0');
    (canonical && token.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.parse().ok()).flatten()
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        serde_json::json!({"a/b": {"m~n": [1, null, {"x": "y\u{0}z"}]}, "t": true, "": "empty key"}).into()
    }

    #[test]
    fn paths_follow_rfc_6901() {
        let value = sample();
        assert_eq!(value.kind(""), Kind::Object);
        assert_eq!(value.kind("/a~1b/m~0n/0"), Kind::Integer);
        assert_eq!(value.kind("/a~1b/m~0n/1"), Kind::Null);
        assert_eq!(value.kind("/a~1b/m~0n/01"), Kind::Absent);
        assert_eq!(value.kind("/a~1b/m~0n/-"), Kind::Absent);
        assert_eq!(value.kind("/t/x"), Kind::Absent);
        assert_eq!(value.kind("/"), Kind::String);
        assert_eq!(value.kind("t"), Kind::Absent);
    }

    #[test]
    fn texts_hold_no_nul() {
        let value = sample();
        let Some(Node::String(text)) = value.at("/a~1b/m~0n/2/x") else { unreachable!() };
        assert_eq!(text.as_str(), "y\u{FFFD}z");
        assert!(value.json().to_str().is_ok_and(|json| json.contains("y\u{FFFD}z")));
    }
}
