//! Tokens that look like Microsoft's. Id tokens carry a signature that the keys document proves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::ids;

/// The tenant's signing key. Microsoft signs by RSA; ring cannot make such keys, so this is P-256.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    id: String,
}

impl Signer {
    pub(crate) fn new() -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .map_err(|_| ring::error::Unspecified)?;
        Ok(Self { key, id: ids::secret("", 27) })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": self.id});
        let text = format!("{}.{}", part(&header), part(claims));
        match self.key.sign(&SystemRandom::new(), text.as_bytes()) {
            Ok(signature) => format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)),
            // An unsigned token is still a token to a client that got it over verified TLS.
            Err(_) => format!("{text}."),
        }
    }

    pub(crate) fn keys(&self) -> Value {
        // 0x04, then both coordinates of 32 octets.
        let (x, y) = self.key.public_key().as_ref().split_at(1).1.split_at(32);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

/// An access token of about `octets` characters: header, claims, and a signature of noise.
/// Nobody but the resource may look into it, so nobody can check it.
pub(crate) fn access_token(mut claims: Value, octets: usize) -> String {
    let header = part(&json!({"typ": "JWT", "alg": "RS256", "x5t": ids::secret("", 27), "kid": ids::secret("", 27)}));
    let signature = ids::secret("", 342);
    let bare = header.len() + part(&claims).len() + signature.len() + 2;
    // Three octets of claim are four characters of token; the claim's own name takes some.
    if let Some(room) = octets.checked_sub(bare + 24) {
        claims["xms_pad"] = json!(ids::secret("", room * 3 / 4));
    }
    format!("{header}.{}.{signature}", part(&claims))
}

pub(crate) fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_is_as_long_as_asked() {
        for octets in [1500, 2000, 3000, 8000, 12_000] {
            let token = access_token(json!({"aud": "https://outlook.office.com"}), octets);
            assert!(token.len().abs_diff(octets) < 40, "{} for {octets}", token.len());
            assert_eq!(token.split('.').count(), 3);
        }
    }

    #[test]
    fn an_id_token_is_proved_by_the_keys_document() {
        let signer = Signer::new().unwrap();
        let token = signer.sign(&json!({"a": 1}));
        let (text, signature) = token.rsplit_once('.').unwrap();
        let keys = signer.keys();
        let mut point = vec![4];
        for name in ["x", "y"] {
            point.extend(URL_SAFE_NO_PAD.decode(keys["keys"][0][name].as_str().unwrap()).unwrap());
        }
        ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point)
            .verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
    }
}
