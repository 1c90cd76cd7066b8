//! What a guest under virtme-ng is given to start with: a folder, read-only, with its SSH server's key,
//! our public key and the script that starts the server on a virtio port.
//!
//! Not here: the suite. It comes over SSH.

use super::super::ssh::Keys;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where the guest finds the folder.
pub(super) const IN_GUEST: &str = "/run/patchproof";
/// Name of the virtio port that the guest's SSH server talks through.
pub(super) const SSH_PORT: &str = "patchproof.ssh";

/// The script. A shell's, since nothing else is in every root; it gets no value of ours.
///
/// Root gets a home of its own, so that no start-up file of the host runs, and an entry that is not
/// locked, which virtme-ng's is. Between port and server are two that do nothing but read and write, and
/// block: a server that polls the port itself was seen to wait for ever for bytes that had arrived. The
/// script never ends: virtme-ng would switch the machine off, and a lost session must not end the suite.
const START: &str = r#"#!/bin/sh
from=/run/patchproof
own=/run/patchproof-ssh
say() { echo "<4>patchproof: $*" > /dev/kmsg; }

umask 022
mkdir -p "$own/home" /run/sshd
shell=/bin/sh
[ -x /bin/bash ] && shell=/bin/bash
echo "root:x:0:0:root:$own/home:$shell" > "$own/passwd"
grep -v '^root:' /etc/passwd >> "$own/passwd"
mount --bind "$own/passwd" /etc/passwd
umask 077
echo 'root:*:1::::::' > "$own/shadow"
mount --bind "$own/shadow" /etc/shadow
cp "$from/host_key" "$from/authorized_keys" "$own/"

port=
for one in /sys/class/virtio-ports/*; do
    read -r name < "$one/name" && [ "$name" = patchproof.ssh ] && port=/dev/${one##*/}
done
if [ -z "$port" ]; then
    say "there is no port for the SSH server"
else
    cd "$own/home" || exit
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export PATH
    exec 3<> "$port"
    dd bs=64k <&3 2> "$own/in" |
        /usr/sbin/sshd -r -i -e -f "$from/sshd_config" 2> "$own/log" |
        dd bs=64k >&3 2> "$own/out"
    say "the SSH server has ended: $(tail -n 2 "$own/log")"
fi
while :; do sleep 86400; done
"#;

/// The server's configuration: one key, one user, no name services, nothing that the guest need not do.
const CONFIG: &str = "\
HostKey /run/patchproof-ssh/host_key
AuthorizedKeysFile /run/patchproof-ssh/authorized_keys
AuthenticationMethods publickey
PermitRootLogin yes
UsePAM no
StrictModes no
UseDNS no
PrintMotd no
PrintLastLog no
PidFile none
AcceptEnv LANG LC_*
LogLevel ERROR
X11Forwarding no
AllowAgentForwarding no
Subsystem sftp internal-sftp
HostKeyAlgorithms ssh-ed25519
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org
Ciphers aes128-ctr,aes256-ctr
";

/// Makes the folder.
pub(super) fn write(dir: &Path, keys: &Keys) -> io::Result<()> {
    fs::create_dir(dir)?;
    let file = |name: &str, content: &str, mode: u32| {
        let path = dir.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    };
    file("start", START, 0o755)?;
    file("sshd_config", CONFIG, 0o644)?;
    file("host_key", &keys.host.secret, 0o600)?;
    file("authorized_keys", &format!("{}\n", keys.login.public), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_and_configuration_name_what_the_code_names() {
        assert!(START.contains(&format!("from={IN_GUEST}\n")));
        assert!(START.contains(&format!("= {SSH_PORT} ")));
    }

    #[test]
    fn our_secret_stays_with_us() {
        use super::super::super::ssh::KeyPair;
        let pair = |name: &str| KeyPair {
            secret: format!("secret of {name}"),
            public: format!("public of {name}"),
        };
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("seed");
        write(
            &dir,
            &Keys {
                host: pair("host"),
                login: pair("login"),
            },
        )
        .unwrap();
        for entry in fs::read_dir(&dir).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("secret of login"));
        }
        let mode = fs::metadata(dir.join("host_key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
