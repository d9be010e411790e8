//! A container engine for one test: of its own, in network and mount namespaces of its own, gone when the
//! test is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[path = "wait.rs"]
mod wait;

/// How long an engine may take to come up.
const COMES_UP: Duration = Duration::from_secs(60);
/// The image that every engine holds: busybox, with `sleep`, `sh` and friends.
pub(crate) const IMAGE: &str = "sleepbox:1";

/// Runs containerd and dockerd until its standard input ends, however its parent does; then removes
/// everything.
const SCRIPT: &str = r#"
ip link set lo up
containerd --config "$DIR/containerd.toml" >"$DIR/containerd.log" 2>&1 & C=$!
until [ -S "$DIR/containerd.sock" ]; do kill -0 $C || exit 1; sleep 0.05; done
engine() {
    dockerd --config-file "$DIR/daemon.json" --data-root "$DIR/data" --exec-root "$DIR/exec" \
        --pidfile "$DIR/dockerd.pid" --containerd "$DIR/containerd.sock" -H "unix://$DIR/docker.sock" \
        >>"$DIR/dockerd.log" 2>&1 & D=$!
}
engine
while read -r word; do
    case $word in
    stop) kill -9 $D; wait $D ;;
    start) rm -f "$DIR/dockerd.pid" "$DIR/docker.sock"; engine ;;
    esac
done
export DOCKER_HOST="unix://$DIR/docker.sock"
kill -CONT $D
timeout 20 docker ps -aq | timeout 20 xargs -r docker rm -f >/dev/null
kill $D; timeout 20 tail --pid=$D -f /dev/null || kill -9 $D; wait $D
# What was being started meanwhile.
for task in $(ctr -a "$DIR/containerd.sock" -n moby tasks ls -q); do
    ctr -a "$DIR/containerd.sock" -n moby tasks delete -f "$task"
done
kill $C; wait $C
rm -rf "$DIR"
exit 0
"#;

/// See the module.
pub(crate) struct Engine {
    supervisor: Child,
    dir: tempfile::TempDir,
}

impl Engine {
    /// Starts one, and waits until it answers and holds [`IMAGE`].
    pub(crate) fn start() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test starts a container engine, which takes root"
        );
        for program in
            ["dockerd", "containerd", "ctr", "docker", "setsid", "unshare", "busybox", "tini-static"]
        {
            let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
            let found = found.is_ok_and(|found| found.status.success());
            assert!(found, "this test starts a container engine, which takes `{program}`");
        }
        let dir = tempfile::Builder::new().prefix("sleep-engine").tempdir().expect("a directory can be made");
        let path = dir.path().display();
        let config = format!(
            "version = 2\nroot = \"{path}/containerd\"\nstate = \"{path}/containerd-run\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{path}/containerd.sock\"\n"
        );
        fs::write(dir.path().join("containerd.toml"), config).expect("the directory can be written");
        fs::write(dir.path().join("daemon.json"), r#"{"live-restore": true}"#)
            .expect("the directory can be written");
        // In a session of its own: whoever kills the test's process group leaves this one to tidy up.
        let supervisor = Command::new("setsid")
            .args(["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT])
            .env("DIR", dir.path())
            .env_remove("DOCKER_HOST")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setsid was found");
        let engine = Self { supervisor, dir };
        engine.wait_until_up();
        engine.import_image();
        engine
    }

    /// Its address.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("docker.sock").display())
    }

    /// The output of the engine's own command line.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        output.unwrap_or_else(|error| panic!("docker {args:?}: {error}"))
    }

    /// Kills the engine; its containers go on.
    pub(crate) fn kill(&mut self) {
        self.tell("stop\n");
    }

    /// Starts it again.
    pub(crate) fn restart(&mut self) {
        self.tell("start\n");
    }

    /// Its process.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        let text =
            fs::read_to_string(self.dir.path().join("dockerd.pid")).expect("an engine that is up wrote it");
        let pid = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        pid.expect("it holds a process id")
    }

    fn tell(&mut self, word: &str) {
        use std::io::Write;
        let stdin = self.supervisor.stdin.as_mut().expect("it was piped");
        stdin.write_all(word.as_bytes()).expect("the supervisor lives as long as this");
    }

    fn try_docker(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new("docker").arg("-H").arg(self.host()).args(args).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn wait_until_up(&self) {
        let up = wait::until(COMES_UP, || self.try_docker(&["version"]).ok());
        let log = || fs::read_to_string(self.dir.path().join("dockerd.log")).unwrap_or_default();
        assert!(up.is_some(), "the engine does not come up:\n{}", log());
    }

    fn import_image(&self) {
        let root = self.dir.path().join("image");
        let bin = root.join("bin");
        fs::create_dir_all(&bin).expect("the directory can be written");
        for program in ["busybox", "tini-static"] {
            fs::copy(which(program), bin.join(program)).expect("the program can be read");
        }
        for applet in ["sh", "sleep", "echo", "cat", "true", "false", "tail", "touch", "kill", "dd"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("the directory can be written");
        }
        let archive = self.dir.path().join("image.tar");
        let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
        assert!(packed.is_ok_and(|status| status.success()), "tar packs the image");
        self.docker(&["import", &archive.display().to_string(), IMAGE]);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _status = self.supervisor.wait();
    }
}

fn which(program: &str) -> PathBuf {
    let output = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().expect("sh runs");
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).to_owned()
}
