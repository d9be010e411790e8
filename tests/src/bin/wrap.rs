//! Breaks the comments that are too wide, in the sources named: `cargo run -p sleep-tests --bin wrap FILE…`;
//! in all, if none is named.

use std::env;
use std::fs;
use std::path::PathBuf;

use sleep_tests::{Error, Result, house, wrap};

fn main() -> Result<()> {
    let named: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let all = || house::sources().into_iter().map(|source| house::root().join(source.path)).collect();
    for path in if named.is_empty() { all() } else { named } {
        let text = fs::read_to_string(&path).map_err(Error::on(&path))?;
        let wrapped = wrap::comments(&text, house::WIDTH);
        if wrapped != text {
            fs::write(&path, wrapped).map_err(Error::on(&path))?;
            println!("{}", path.display());
        }
    }
    Ok(())
}
