//go:build e2e && crash

package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	powerPrefix = "yard-power-" // of the directories of disks, followed by the pid of their test run
	powerBytes  = 2 << 30       // of a disk; its image is sparse

	ioctlShutdown  = 0x8004587D // FS_IOC_SHUTDOWN
	shutdownNoSync = 2          // FSOP_GOING_FLAGS_NOLOGFLUSH: what wasn't fsynced is gone
)

// powerDisk is an ext4 on a loop device whose power can be cut.
//
// It is taken down by a shell at the end of its input: when the test ends, and when the test run dies. What even that
// leaves, a reboot for one, the next run removes.
type powerDisk struct {
	t     *testing.T
	image string
	dir   string // where it is mounted
}

// newPowerDisk makes one, or skips the test where that can't be done.
func newPowerDisk(t *testing.T) *powerDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("POWER CUTS ARE NOT TESTED: mounting a file system needs root")
	}
	for _, tool := range []string{"mkfs.ext4", "e2fsck", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("POWER CUTS ARE NOT TESTED: %v; install e2fsprogs and mount", err)
		}
	}
	sweepPowerDisks(t)
	home, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", powerPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	d := &powerDisk{t: t, image: filepath.Join(home, "image"), dir: filepath.Join(home, "disk")}
	d.attend(home)
	err = errors.Join(os.Mkdir(d.dir, 0o700), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, powerBytes))
	if err != nil {
		t.Fatal(err)
	}
	d.tool("mkfs.ext4", "-q", "-F", "-N", "8192", "-E", "lazy_itable_init=0,lazy_journal_init=1", d.image)
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		t.Skipf("POWER CUTS ARE NOT TESTED: mount: %v: %s", err, out)
	}
	return d
}

// attend starts the shell that takes the disk down.
func (d *powerDisk) attend(home string) {
	d.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `cat >/dev/null; while umount -l "$1/disk" 2>/dev/null; do :; done; rm -rf "$1"`, "sh", home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C isn't for it
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			d.t.Errorf("take down the disk %s: %v", home, err)
		}
	})
}

// sweepPowerDisks takes down the disks of test runs that are gone.
func sweepPowerDisks(t *testing.T) {
	t.Helper()
	homes, err := filepath.Glob(filepath.Join(os.TempDir(), powerPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, home := range homes {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(home), powerPrefix+"%d-", &pid); err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		for syscall.Unmount(filepath.Join(home, "disk"), syscall.MNT_DETACH) == nil {
		}
		if err := os.RemoveAll(home); err != nil {
			t.Logf("a disk that an earlier run left: %v", err)
		}
	}
}

func (d *powerDisk) tool(argv ...string) {
	d.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// cut is the loss of power: what isn't fsynced is lost, and whoever uses the disk gets errors.
func (d *powerDisk) cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), ioctlShutdown, shutdownNoSync), f.Close())
	}
	if err != nil {
		d.t.Fatalf("cut the power: %v", err)
	}
}

// powered mounts it again, which replays its journal.
func (d *powerDisk) powered() {
	d.t.Helper()
	d.unmount()
	d.tool("mount", "-o", "loop", d.image, d.dir)
}

// unmount waits for those who were killed to let go.
func (d *powerDisk) unmount() {
	d.t.Helper()
	eventually(d.t, "the disk is let go", func() bool { return syscall.Unmount(d.dir, 0) == nil })
}

// wantWhole holds that the file system itself has no fault: else nothing that was found on it counts.
func (d *powerDisk) wantWhole() {
	d.t.Helper()
	d.unmount()
	d.tool("e2fsck", "-f", "-n", d.image)
	d.tool("mount", "-o", "loop", d.image, d.dir)
}

// sync makes durable what is there.
func (d *powerDisk) sync() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// watched is an inotify of one path.
type watched struct {
	t  *testing.T
	fd int
}

// watchPath begins to note events below a path.
func watchPath(t *testing.T, path string, events uint32) *watched {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, path, events)
	}
	if err != nil {
		t.Fatalf("watch %s: %v", path, err)
	}
	return &watched{t, fd}
}

// event waits for one, at most for some milliseconds, and ends the watch; false: none came.
func (w *watched) event(limit int) bool {
	w.t.Helper()
	defer unix.Close(w.fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, limit)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return n > 0
	}
}
