//! The image that the hosts run: one static busybox, so that nothing is ever pulled.
//!
//! It is made as an archive for `docker load`, bit for bit the same on every host of a lab: as with an image
//! that was pulled, its id is equal everywhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::error::{Error, Result};
use crate::process::output;

/// The image of the tests.
pub const IMAGE: &str = "sleepd/busybox:latest";
/// The same files under another id: what a service is updated to.
pub const IMAGE_2: &str = "sleepd/busybox:2";

/// Makes the archive of both images in `dir`.
pub(super) fn archive(dir: &Path) -> Result<PathBuf> {
    let folder = dir.join("image");
    make_files(&folder.join("files"))?;
    let layer = folder.join("layer.tar");
    pack(&folder.join("files"), &layer, ["."])?;
    let digest = sha256(&layer)?;

    let mut manifest = Vec::new();
    for (version, tag) in [("1", IMAGE), ("2", IMAGE_2)] {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": { "Cmd": ["sh"], "Env": ["PATH=/bin", format!("VERSION={version}")] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "sleepd's tests" }],
        });
        let name = format!("{version}.json");
        write(&folder.join(&name), &config.to_string())?;
        manifest.push(json!({ "Config": name, "RepoTags": [tag], "Layers": ["layer.tar"] }));
    }
    write(&folder.join("manifest.json"), &serde_json::Value::from(manifest).to_string())?;
    let archive = dir.join("image.tar");
    pack(&folder, &archive, ["manifest.json", "1.json", "2.json", "layer.tar"])?;
    Ok(archive)
}

fn make_files(files: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        let folder = files.join(folder);
        fs::create_dir_all(&folder).map_err(Error::on(&folder))?;
    }
    let busybox = output(Command::new("sh").args(["-c", "command -v busybox"]))
        .map_err(|_| Error::new("busybox is missing: apt-get install busybox-static"))?;
    let inside = files.join("bin/busybox");
    fs::copy(&busybox, &inside).map_err(Error::on(&inside))?;
    // Alone in its files it starts only if it is static.
    let applets = output(Command::new("chroot").arg(files).args(["/bin/busybox", "--list"]))
        .map_err(|error| Error::new(format!("{busybox} is not static, install busybox-static: {error}")))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let link = files.join("bin").join(applet);
        symlink("busybox", &link).map_err(Error::on(&link))?;
    }
    write(&files.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")
}

fn pack<const N: usize>(folder: &Path, archive: &Path, names: [&str; N]) -> Result<()> {
    let same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    output(Command::new("tar").args(same).arg("-C").arg(folder).arg("-cf").arg(archive).args(names)).map(drop)
}

fn sha256(file: &Path) -> Result<String> {
    let line = output(Command::new("sha256sum").arg(file))?;
    let digest = line.split_whitespace().next();
    digest.map(str::to_owned).ok_or_else(|| Error::new(format!("sha256sum prints no sum: {line}")))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::on(path))
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
