//! A source tree that builds in a moment, with the targets and places of a kernel's: what is built, booted (by
//! the fake QEMU) and attacked in tests that need no kernel.

use std::path::{Path, PathBuf};

/// Builds what `script` and `mm/*.c` say: bzImage is `script`, vmlinux the objects. Runs `hook` if there is one.
const MAKEFILE: &str = "VERSION = 6
PATCHLEVEL = 12

CFLAGS := -Wall -I/src/include -ffreestanding
objects := $(patsubst %.c,$(O)/%.o,$(wildcard mm/*.c))

allnoconfig olddefconfig:
\t@cp $(KCONFIG_ALLCONFIG) $(O)/.config

bzImage: vmlinux hook
\t@mkdir -p $(O)/arch/x86/boot
\t@cp script $(O)/arch/x86/boot/bzImage

vmlinux: $(O)/vmlinux

$(O)/vmlinux: $(objects)
\t@echo '  LD      vmlinux'
\t@cat $(objects) > $@

$(O)/mm/%.o: mm/%.c $(wildcard include/*.h)
\t@mkdir -p $(O)/mm
\t@echo '  CC      mm/$*.o'
\t@$(CC) $(CFLAGS) -c -o $@ /src/$<

.PHONY: hook
hook:
\t@:
";

/// The kernel's line of configuration.
pub const FRAGMENT: &str = "CONFIG_SWAP=y\n";

/// A repository with one commit, `base`, of such a tree.
pub struct Toy {
    dir: PathBuf,
}

impl Toy {
    /// Makes it in `dir`; its kernel plays `script`.
    pub fn new(dir: &Path, script: &str) -> Self {
        let toy = Self { dir: dir.to_owned() };
        std::fs::create_dir_all(dir).expect("a folder");
        toy.git(&["init", "-q"]);
        toy.put("Makefile", MAKEFILE);
        toy.put("Kconfig", "config SWAP\n\tbool \"Swap\"\n");
        toy.put("script", script);
        toy.put("include/swap.h", "int swap_count(int x);\n");
        toy.put("mm/zswap.c", &source("zswap"));
        toy.put("mm/swapfile.c", &source("swapfile"));
        toy.commit("base");
        toy.git(&["tag", "base"]);
        toy
    }

    pub fn path(&self) -> &str {
        self.dir.to_str().expect("a plain path")
    }

    pub fn git(&self, args: &[&str]) -> String {
        let ids = ["-c", "user.name=Jane Doe", "-c", "user.email=jane@example.org"];
        let all = ids.iter().chain(args);
        duct::cmd("git", all)
            .dir(&self.dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .read()
            .expect("git runs")
    }

    pub fn put(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, text).expect("it can be written");
    }

    /// Replaces text of a file.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.dir.join(name)).expect("it is there");
        assert!(text.contains(from), "{name} holds {from:?}");
        self.put(name, &text.replace(from, to));
    }

    pub fn commit(&self, subject: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", subject]);
    }

    /// The commits since `base`, as a mailed patch a commit.
    pub fn patches(&self) -> Vec<u8> {
        let mail =
            duct::cmd!("git", "format-patch", "--stdout", "--no-signature", "base..HEAD").dir(&self.dir);
        mail.stdout_capture().run().expect("git runs").stdout
    }

    /// Starts over from `base`.
    pub fn reset(&self) {
        self.git(&["reset", "-q", "--hard", "base"]);
    }
}

/// Twenty functions of a file.
fn source(name: &str) -> String {
    let function = |n| format!("int {name}_{n}(int x)\n{{\n\treturn x + {n};\n}}\n\n");
    let functions: String = (0..20).map(function).collect();
    format!("#include \"swap.h\"\n\n{functions}")
}
