//! What accounts cost: the figures of provisioning, by the real gateway over real sockets.
//!
//! `cargo bench --bench provision`, or `… --bench provision -- NAME…` for some. Each figure runs in a process of its own, so that none inherits the memory or the
//! threads of another. How to read what is printed: `benches/README`, and the module doc of each figure.
//!
//! Provider and application are fakes (`servers.rs`), each on a thread of its own, which write down when they were at work: from the first byte of a request
//! to the last byte of its answer. What is left of a hop of the browser (`browser.rs`) is the gateway's: its own work, but also every wake-up of a thread, the
//! loopback, TCP and TLS handshakes on both sides and the browser's own part in them. A machine that is busy otherwise makes all of them longer.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a benchmark that cannot be set up is over"
)]
#![expect(clippy::cast_precision_loss, reason = "figures are for people")]

mod browser;
mod first_login;
mod house;
mod million;
mod reconcile;
mod report;
mod servers;

use std::process::{Command, ExitCode};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Says that this process is to measure one figure itself.
const ALONE: &str = "--alone";

/// Every figure, by name.
const FIGURES: [(&str, fn()); 4] = [
    ("first_login_tcp", || first_login::run(house::Wires::Tcp)),
    ("first_login_tls", || first_login::run(house::Wires::Tls)),
    ("login_beside_reconcile", reconcile::run),
    ("million_records", million::run),
];

fn main() -> ExitCode {
    // Cargo adds `--bench`; names are those of figures, or the beginning of some.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [first, name] = words.as_slice()
        && first == ALONE
    {
        let figure = FIGURES.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no figure is called {name}"));
        (figure.1)();
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&str> =
        FIGURES.iter().map(|(name, _)| *name).filter(|name| words.is_empty() || words.iter().any(|word| name.starts_with(word.as_str()))).collect();
    if chosen.is_empty() {
        println!("no figure is called that; there are: {}", FIGURES.map(|(name, _)| name).join(" "));
        return ExitCode::FAILURE;
    }
    report::machine();
    let mut code = ExitCode::SUCCESS;
    for name in chosen {
        println!("\n{name}");
        let ended = Command::new(std::env::current_exe().unwrap()).args([ALONE, name]).status().unwrap();
        if !ended.success() {
            println!("  FAILED: {name} did not come to a figure");
            code = ExitCode::FAILURE;
        }
    }
    code
}
