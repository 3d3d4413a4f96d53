package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stage is the environment variable that tells a program how far into the lab it
// is. Programs that it starts inherit "inside", and are.
const stage = "ENID_LAB"

// Enter moves the program into namespaces of its own. The first call does not
// return: it runs the program again, with the same arguments and files, inside
// new network, mount and pid namespaces, and exits with the code of that run. As an
// ordinary user, and as a root that may not make namespaces, a user namespace
// comes with them, whose root the program then is.
//
// In the second run Enter returns nil once loopback is up, mounts are private and /run
// is empty. Both runs die with the first.
func Enter() error {
	_, err := EnterWith()
	return err
}

// EnterWith is Enter with files that are opened before, outside, and used inside: a socket stays in the
// network namespace that it was opened in.
func EnterWith(open ...func() (*os.File, error)) ([]*os.File, error) {
	switch os.Getenv(stage) {
	case "inside":
		return openAll(open)
	case "entering":
		if err := furnish(); err != nil {
			return nil, remedy(err)
		}
		var files []*os.File
		for i := range open {
			files = append(files, os.NewFile(uintptr(3+i), fmt.Sprintf("file %d from outside", i)))
		}
		return files, os.Setenv(stage, "inside")
	}
	files, err := openAll(open)
	if err != nil {
		return nil, err
	}
	code, err := runInside(os.Geteuid() != 0, files)
	if errors.Is(err, unix.EPERM) && os.Geteuid() == 0 {
		code, err = runInside(true, files)
	}
	if err != nil {
		return nil, remedy(err)
	}
	os.Exit(code)
	return nil, nil
}

func openAll(open []func() (*os.File, error)) (files []*os.File, err error) {
	for _, f := range open {
		file, err := f()
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// Main is the TestMain of a package whose tests need the lab.
func Main(m *testing.M) {
	if err := Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runInside runs this program in new namespaces and returns its exit code.
func runInside(user bool, files []*os.File) (int, error) {
	// The kernel sends the child its death signal when this thread ends, not
	// when the process does, so the thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), stage+"=entering")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	if user {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run %s in namespaces of its own: %w", os.Args[0], err)
	}
	go forward(signals, cmd.Process)
	return exitCode(cmd.Wait())
}

// forward passes signals on. The ones that the terminal makes it has sent to the
// child as well: a second Ctrl-C would read as impatience.
func forward(signals <-chan os.Signal, to *os.Process) {
	for s := range signals {
		if (s == unix.SIGINT || s == unix.SIGQUIT) && inForeground() {
			continue
		}
		if err := to.Signal(s); err != nil {
			return
		}
	}
}

// inForeground reports whether the terminal's Ctrl-C reaches this process.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// exitCode is the shell's: that of the program, 128 and its number for a signal.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// furnish makes the new namespaces fit to live in.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// A container may forbid these three. The first two only make /proc and /sys show
	// what is true in here; without the third, programs that keep a lock or a
	// socket in /run need to be allowed to.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	_ = mountSysfs()
	_ = unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")

	// An ordinary user's PATH often lacks the directories of ip, nft and iptables.
	path := strings.Join([]string{os.Getenv("PATH"), "/usr/local/sbin", "/usr/sbin", "/sbin"}, ":")
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	return loopbackUp()
}

// mountSysfs makes /sys show the NICs of this thread's network namespace.
func mountSysfs() error {
	return unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// remedy adds what to do where namespaces are forbidden.
func remedy(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return fmt.Errorf("lab: %w: this system does not let uid %d make user and network namespaces; "+
		"run it as root (sudo), or in a container with --privileged, or allow them: "+
		"sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), "+
		"kernel.unprivileged_userns_clone=1 (old Debian), user.max_user_namespaces=10000 (where it is 0)", err, os.Geteuid())
}
