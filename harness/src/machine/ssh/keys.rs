//! Keys of one machine: a pair for its guest, a pair for us, made for it and gone with it.
//!
//! Not here: how they get into the guest (`virtme::seed`).

use super::SshError;
use crate::host::Cmd;
use std::path::Path;
use std::time::Duration;

/// How long making a key may take: it takes some milliseconds.
const MADE_WITHIN: Duration = Duration::from_secs(20);

/// A pair of ed25519 keys in OpenSSH's formats.
#[derive(Clone)]
pub struct KeyPair {
    /// The secret half.
    pub secret: String,
    /// The public half: one line, `ssh-ed25519 …`.
    pub public: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyPair").field(&self.public).finish()
    }
}

/// The keys of one machine.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What the guest shows that it is itself.
    pub host: KeyPair,
    /// What we log in with.
    pub login: KeyPair,
}

impl Keys {
    /// Makes both pairs; `dir` is a private folder, which keeps nothing of them.
    ///
    /// # Errors
    /// When `ssh-keygen` is missing or fails.
    pub fn make(dir: &Path) -> Result<Self, SshError> {
        Ok(Self {
            host: pair(dir, "host")?,
            login: pair(dir, "login")?,
        })
    }
}

fn pair(dir: &Path, name: &str) -> Result<KeyPair, SshError> {
    let failed = |why: String| SshError::Keys { why };
    let path = dir.join(format!("key-{name}"));
    let made = Cmd::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(&path)
        .deadline(MADE_WITHIN, "ssh-keygen")
        .run()
        .map_err(|e| failed(e.to_string()))?;
    if !made.success() {
        return Err(failed(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
    }
    let take = |path: &Path| {
        let text = std::fs::read_to_string(path)?;
        std::fs::remove_file(path)?;
        Ok::<_, std::io::Error>(text)
    };
    let secret = take(&path).map_err(|e| failed(e.to_string()))?;
    let public = take(&path.with_extension("pub")).map_err(|e| failed(e.to_string()))?;
    Ok(KeyPair {
        secret,
        public: public.trim().to_owned(),
    })
}

impl KeyPair {
    /// The public key as SSH speaks of it on the wire; `None` for a line that is none.
    pub(super) fn wire(&self) -> Option<Vec<u8>> {
        base64(self.public.split_ascii_whitespace().nth(1)?)
    }
}

/// Decodes standard base64; `None` for what is none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for b in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(digit(b)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, want) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(base64(text).as_deref(), Some(want.as_bytes()), "{text}");
        }
        assert_eq!(base64("?"), None);
    }

    #[test]
    fn secrets_do_not_show() {
        let pair = KeyPair {
            secret: "s3cret".into(),
            public: "ssh-ed25519 AAAA".into(),
        };
        assert!(!format!("{pair:?}").contains("s3cret"));
        assert_eq!(pair.wire(), Some(vec![0, 0, 0]));
    }
}
