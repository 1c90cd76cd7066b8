//! Stands in for QEMU in tests: takes QEMU's command line, connects to the sockets named there,
//! speaks QMP, and plays a guest. What it plays is the word in the file given as `-kernel`.

use guest_tests::catalogue::Workload;
use guest_tests::protocol::{
    Body, Done, End, Finding, Frame, Hello, Outcome, Progress, Seen, Start, encode, kmsg_line,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "--version") {
        println!("QEMU emulator version 0.0 (fake)");
        return ExitCode::SUCCESS;
    }
    let kernel = value(&args, "-kernel");
    let script = std::fs::read_to_string(kernel).expect("the kernel holds the name of a script");
    if script == "refuses" {
        eprintln!("qemu: warning: fake\nqemu: could not do it");
        return ExitCode::from(3);
    }
    if script == "crashes" {
        std::process::abort();
    }
    if script == "does not come up" {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        loop {
            std::thread::park();
        }
    }
    let mut guest = Fake::connect(&args);
    if script == "does not greet" {
        guest.qmp.write_all(b"hello?\r\n").expect("QMP is open");
        return guest.hang();
    }
    guest.wait_for_start();
    let kvm = value(&args, "-accel") == "kvm";
    guest.play(if kvm && script == "hangs under kvm" {
        "says nothing"
    } else {
        &script
    })
}

fn value<'a>(args: &'a [String], option: &str) -> &'a str {
    let at = args
        .iter()
        .position(|a| a == option)
        .expect("an option that QEMU is always given");
    &args[at + 1]
}

struct Fake {
    console: UnixStream,
    frames: UnixStream,
    qmp: UnixStream,
    orders: BufReader<UnixStream>,
    seq: u64,
    /// The case that the request in the initramfs asks for.
    asked: String,
    /// Its seed.
    seed: u64,
}

/// A report as a kernel of today writes it.
const OOPS: &[&str] = &[
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "Oops: Oops: 0000 [#1] PREEMPT SMP",
    "CPU: 1 UID: 0 PID: 77 Comm: worker Not tainted 6.12.0 #1",
    "RIP: 0010:zs_free+0x51/0x1a0",
    "Call Trace:",
    " <TASK>",
    " zswap_entry_free+0x3c/0xb0",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---",
];

/// What a kernel of today says to an NMI with `unknown_nmi_panic`.
const ANSWER: &[&str] = &[
    "Uhhuh. NMI received for unknown reason 30 on CPU 0.",
    "Kernel panic - not syncing: NMI: Not continuing",
    "CPU: 0 UID: 0 PID: 77 Comm: worker Not tainted 6.12.0 #1",
    "Call Trace:",
    " <NMI>",
    " </NMI>",
    " zs_free+0x51/0x1a0",
    "---[ end Kernel panic - not syncing: NMI: Not continuing ]---",
];

/// Reads the first case's seed out of the request.
fn seed(initrd: &str) -> u64 {
    let bytes = std::fs::read(initrd).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let rest = text.split_once(r#""seed":"#).map_or("", |(_, rest)| rest);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Reads the first case's id out of the request, which lies uncompressed in the initramfs.
fn asked(initrd: &str) -> String {
    let bytes = std::fs::read(initrd).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let id = text
        .split_once(r#""cases":[{"id":""#)
        .map(|(_, rest)| rest.split('"').next().unwrap_or(""));
    id.unwrap_or("").to_owned()
}

impl Fake {
    fn connect(args: &[String]) -> Self {
        let socket = |id: &str| {
            let start = format!("socket,id={id},server=off,path=");
            let path = args
                .iter()
                .find_map(|a| a.strip_prefix(&start))
                .expect("a socket of that name");
            UnixStream::connect(path.replace(",,", ",")).expect("somebody listens")
        };
        let qmp = socket("qmp");
        let orders = BufReader::new(qmp.try_clone().expect("a socket can be cloned"));
        Self {
            console: socket("console"),
            frames: socket("frames"),
            qmp,
            orders,
            seq: 0,
            asked: asked(value(args, "-initrd")),
            seed: seed(value(args, "-initrd")),
        }
    }

    /// As QEMU does with `-S`: nothing of the guest happens before `cont`.
    fn wait_for_start(&mut self) {
        self.qmp_line(r#"{"QMP": {"version": {}, "capabilities": []}}"#);
        assert!(self.wait_for("cont"), "told to go on");
    }

    /// Answers orders up to the one named; false when nobody gives any more.
    fn wait_for(&mut self, order: &str) -> bool {
        self.order(order).is_some()
    }

    /// The same; returns the order as it came.
    fn order(&mut self, order: &str) -> Option<String> {
        let mut line = String::new();
        while self.orders.read_line(&mut line).is_ok_and(|n| n > 0) {
            self.qmp_line(r#"{"return": {}}"#);
            if line.contains(&format!(r#""{order}""#)) {
                return Some(line);
            }
            line.clear();
        }
        None
    }

    fn play(&mut self, script: &str) -> ExitCode {
        self.console(b"[    0.000000] Linux version 0.0 (fake)\n");
        match script {
            "runs" | "hangs under kvm" => {
                self.hello();
                self.progress();
                self.done();
                self.stop("guest-shutdown")
            }
            "keeps its promises" => {
                self.case(&[]);
                self.stop("guest-shutdown")
            }
            "oopses and reports success" => {
                self.case(OOPS);
                self.stop("guest-shutdown")
            }
            "stops inside a frame" => {
                self.hello();
                let start = self.start();
                self.frame(start);
                let wire = self.encode(done());
                self.raw(&wire[..wire.len() / 2]);
                self.stop("guest-shutdown")
            }
            "powers off silently" => self.stop("guest-shutdown"),
            "says nothing" => self.hang(),
            "talks on the console only" => {
                while self.console.write_all(b"still here\n").is_ok() {}
                ExitCode::SUCCESS
            }
            "falls silent" => {
                self.hello();
                self.hang()
            }
            "falls silent until it is asked" => {
                self.hello();
                assert!(self.wait_for("inject-nmi"), "asked what it does");
                for line in ANSWER {
                    self.console(format!("[   60.000000] {line}\n").as_bytes());
                }
                self.event("GUEST_PANICKED", r#"{"action": "run"}"#);
                self.stop("guest-reset")
            }
            "finds something and goes on" => {
                self.hello();
                let start = self.start();
                self.frame(start);
                self.finding(Seen::OutOfMemory { kills: 1 });
                self.be_frozen();
                self.hang()
            }
            "runs out of memory with every second seed" if self.seed.is_multiple_of(2) => {
                self.case(&[]);
                self.stop("guest-shutdown")
            }
            "runs out of memory" | "runs out of memory with every second seed" => {
                self.hello();
                let start = self.start();
                self.frame(start);
                self.finding(Seen::OutOfMemory { kills: 1 });
                self.stop("guest-shutdown")
            }
            "never ends its case" => {
                self.hello();
                self.frame(Body::Start(Start { case: "c".into() }));
                while self.try_progress() {}
                ExitCode::SUCCESS
            }
            "never powers off" => {
                self.hello();
                self.done();
                self.hang()
            }
            "is cut off" => {
                self.hello();
                let wire = self.encode(done());
                self.raw(&wire[..wire.len() - 1]);
                self.stop("guest-shutdown")
            }
            "lies about a length" => {
                self.hello();
                let mut wire = self.encode(done());
                wire[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
                self.raw(&wire);
                self.done();
                self.stop("guest-shutdown")
            }
            "skips a number" => {
                self.hello();
                self.seq += 2;
                self.done();
                self.stop("guest-shutdown")
            }
            "talks garbage" => {
                let garbage: Vec<u8> = (0..=255).cycle().take(20 << 20).collect();
                self.console(&garbage);
                self.hello();
                self.done();
                self.stop("guest-shutdown")
            }
            "panics" => {
                self.hello();
                self.event("GUEST_PANICKED", r#"{"action": "run"}"#);
                self.console(b"Kernel panic - not syncing: fake\n---[ end Kernel panic ]---\n");
                self.stop("guest-reset")
            }
            "panics and hangs" => {
                self.hello();
                self.event("GUEST_PANICKED", r#"{"action": "run"}"#);
                self.hang()
            }
            "resets" => self.stop("guest-reset"),
            "is told to end" => {
                self.event("SHUTDOWN", r#"{"guest": false, "reason": "host-signal"}"#);
                ExitCode::SUCCESS
            }
            "dies in the middle" => {
                self.hello();
                std::process::abort()
            }
            "finds the disk full" => {
                self.hello();
                self.event(
                    "BLOCK_IO_ERROR",
                    r#"{"action": "stop", "nospace": true, "reason": "No space left"}"#,
                );
                self.hang()
            }
            other => panic!("no script is called {other:?}"),
        }
    }

    /// Plays the whole case that was asked for, with more of everything than any floor asks; `splat`
    /// goes to the console in its midst.
    fn case(&mut self, splat: &[&str]) {
        self.hello();
        self.mark();
        let start = self.start();
        self.frame(start);
        self.mark();
        for line in splat {
            self.console(format!("[    1.500000] {line}\n").as_bytes());
        }
        let floors = ["zswap_pressure", "canary"].map(|name| {
            let workload = Workload::build(name, &Default::default()).expect("the workload exists");
            workload.floors()
        });
        let counters = floors
            .iter()
            .flatten()
            .map(|floor| (floor.counter, floor.per_s * 1_000))
            .collect();
        self.frame(Body::End(End {
            case: self.asked.clone(),
            outcome: Outcome::Completed,
            pressure_ms: 100_000,
            counters,
            racepoint_hits: Default::default(),
            holds_timed_out: 0,
            steal_ms: 0,
        }));
        self.mark();
        self.done();
        self.mark();
    }

    fn finding(&mut self, what: Seen) {
        self.frame(Body::Finding(Finding {
            case: self.asked.clone(),
            what,
            title: "something was found".into(),
            context: Default::default(),
        }));
    }

    /// Is stopped, opens a stub, and writes what it is told to, as QEMU does with its guest's memory.
    fn be_frozen(&mut self) {
        assert!(self.wait_for("stop"), "told to stop");
        let stub = self.order("human-monitor-command").expect("told to open a stub");
        assert!(stub.contains("gdbserver unix:"), "{stub}");
        let dump = self.order("dump-guest-memory").expect("told to write its memory");
        let path = dump
            .split_once("file:")
            .and_then(|(_, rest)| rest.split('"').next())
            .expect("a file");
        std::fs::write(path, "memory").expect("the file can be written");
        self.event("DUMP_COMPLETED", r#"{"result": {"status": "completed"}}"#);
    }

    fn start(&self) -> Body {
        Body::Start(Start {
            case: self.asked.clone(),
        })
    }

    /// Writes the last frame's number to the console, as the agent does through the kernel's log.
    fn mark(&mut self) {
        let line = kmsg_line(self.seq - 1);
        self.console(format!("[    {}.000000] {line}\n", self.seq).as_bytes());
    }

    /// Stops as QEMU does with `shutdown=pause`: stays until told to quit.
    fn stop(&mut self, reason: &str) -> ExitCode {
        self.event("SHUTDOWN", &format!(r#"{{"guest": true, "reason": "{reason}"}}"#));
        assert!(self.wait_for("quit"), "told to quit");
        ExitCode::SUCCESS
    }

    /// Does nothing for as long as it is let.
    fn hang(&mut self) -> ExitCode {
        self.wait_for("no such order");
        ExitCode::SUCCESS
    }

    fn qmp_line(&mut self, line: &str) {
        let _ = self.qmp.write_all(format!("{line}\r\n").as_bytes());
    }

    fn event(&mut self, name: &str, data: &str) {
        self.qmp_line(&format!(
            r#"{{"timestamp": {{}}, "event": "{name}", "data": {data}}}"#
        ));
    }

    fn console(&mut self, bytes: &[u8]) {
        self.console.write_all(bytes).expect("the console is open");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.frames.write_all(bytes).expect("the port is open");
    }

    fn encode(&mut self, body: Body) -> Vec<u8> {
        let wire = encode(&Frame {
            seq: self.seq,
            t_ns: self.seq,
            body,
        })
        .expect("a small frame");
        self.seq += 1;
        wire
    }

    fn frame(&mut self, body: Body) {
        let wire = self.encode(body);
        self.raw(&wire);
    }

    fn hello(&mut self) {
        let features = Default::default();
        let release = "0.0-fake".into();
        self.frame(Body::Hello(Hello {
            v: 1,
            release,
            cpus: 1,
            memory_kib: 1,
            taint: 0,
            features,
        }));
    }

    fn try_progress(&mut self) -> bool {
        let counters = Default::default();
        let wire = self.encode(Body::Progress(Progress {
            case: "c".into(),
            elapsed_ms: 1,
            counters,
            steal_ms: 0,
        }));
        self.frames.write_all(&wire).is_ok()
    }

    fn progress(&mut self) {
        assert!(self.try_progress(), "the port is open");
    }

    fn done(&mut self) {
        self.frame(done());
    }
}

fn done() -> Body {
    Body::Done(Done { cases: 1, taint: 0 })
}
