//! Hosts to play with: `cargo run -p sleep-tests --bin hosts_up -- 3`, as root. They go when its input ends.

use std::env;
use std::io;

use sleep_tests::hosts::Lab;
use sleep_tests::{Error, Result};

fn main() -> Result<()> {
    let count = env::args().nth(1).unwrap_or_else(|| "3".to_owned());
    let count = count.parse().map_err(|error| Error::new(format!("{count}: {error}")))?;
    let lab = Lab::start(count)?;
    for host in lab.hosts() {
        let enter = host.command("bash");
        let words: Vec<_> = enter.get_args().map(|word| word.to_string_lossy()).collect();
        let pid = words.iter().skip_while(|word| *word != "--target").nth(1).map_or("", |pid| pid);
        println!("{} {}  enter: nsenter --target {pid} --all", host.name(), host.address());
    }
    println!("they go with Ctrl-D");
    io::copy(&mut io::stdin(), &mut io::sink()).map_err(|error| Error::new(error.to_string()))?;
    lab.end()
}
