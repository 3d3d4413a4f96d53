package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// labCloud is a running enid-lab with a cloud.
type labCloud struct {
	cmd *exec.Cmd
	url string
}

var labAddress = regexp.MustCompile(`http://[0-9.:]+`)

// startLab starts enid-lab with a command that serves a cloud, and waits until it says where.
func startLab(t *testing.T, args ...string) *labCloud {
	t.Helper()
	cmd := exec.Command(filepath.Join(filepath.Dir(os.Getenv(binary)), "enid-lab"), append(args, "--listen", "127.0.0.1:0", "--attach-delay", "0s")...)
	cmd.Stderr = os.Stderr
	out := must1[io.ReadCloser](t)(cmd.StdoutPipe())
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url := labAddress.FindString(lines.Text()); strings.HasPrefix(lines.Text(), "The cloud is at ") {
			var rest bytes.Buffer
			read := make(chan struct{})
			go func() {
				defer close(read)
				for lines.Scan() {
					rest.WriteString(lines.Text() + "\n")
				}
			}()
			t.Cleanup(func() {
				_ = cmd.Process.Signal(unix.SIGTERM)
				<-read
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("what enid-lab wrote:\n%s", &rest)
				}
			})
			return &labCloud{cmd, url}
		}
	}
	_ = cmd.Wait()
	t.Fatalf("enid-lab %s ended before it had a cloud", strings.Join(args, " "))
	return nil
}

// does runs a command of enid-lab on the cloud.
func (l *labCloud) does(t *testing.T, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	// The flag goes before what shell hands on.
	cmd := exec.CommandContext(patient(t), l.cmd.Path, append([]string{args[0], "--cloud", l.url}, args[1:]...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// prints fails the test unless a command succeeds and prints each of the texts.
func (l *labCloud) prints(t *testing.T, command string, texts ...string) string {
	t.Helper()
	s := l.does(t, strings.Fields(command)...).ends(t, 0)
	for _, text := range texts {
		if !strings.Contains(s.out, text) {
			t.Errorf("%s does not print %q:\n%s", command, text, s.out)
		}
	}
	return s.out
}

// TestLabCloud plays the operator's guide with the commands of enid-lab. The cloud survives kill -9.
func TestLabCloud(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "cloud.json")
	l := startLab(t, "cloud", "--state", state)
	l.prints(t, "list", "subnet-b", "10.0.1.0/24", "i-vm1", "running", "10.0.0.3")
	eni := strings.TrimSpace(strings.TrimPrefix(l.prints(t, "create-eni subnet-b --name spare --secondary 2"), "created "))
	l.prints(t, "attach i-vm1 "+eni, "attaching "+eni)
	l.prints(t, "assign "+eni+" 10.0.1.77")
	l.prints(t, "assign --count 2 "+eni)
	l.prints(t, "assign --block 28 "+eni)
	l.prints(t, "bind-eip "+eni+" --private 10.0.1.77", "bound fip-")
	l.prints(t, "bind-eip i-vm1", "to i-vm1")
	l.prints(t, "set-delete-on-termination i-vm1 "+eni+" true", "true")
	for _, c := range []struct{ command, says string }{
		{"attach i-vm2 " + eni, "NetworkInterface has been attached on other device (400 FAILED_PRECONDITION)"},
		{"detach i-vm1 port-a2uv000001", "Can't detach primaryNetworkInterface"},
		{"attach i-nobody " + eni, "404 NOT_FOUND"},
		{"create-eni subnet-z", "Resource 'subnetId' not found"},
		{"delete-eni " + eni, "NetworkInterface is attached"},
		{"set-delete-on-termination i-vm1 " + eni + " maybe", "want true or false"},
	} {
		l.does(t, strings.Fields(c.command)...).ends(t, 1, c.says)
	}
	before := l.prints(t, "list -o json", "10.0.1.77", "elasticIpAddress")
	text := l.prints(t, "list", "10.0.1.77", "198.18.")

	must(t, l.cmd.Process.Kill())
	_ = l.cmd.Wait()
	l.does(t, "list").ends(t, 1, "does not answer", "enid-lab up")
	l = startLab(t, "cloud", "--state", state)
	if after := l.prints(t, "list -o json"); after != before {
		t.Errorf("after kill -9 the cloud is\n%s\nwas\n%s", after, before)
	}
	if after := l.prints(t, "list"); after != text {
		t.Errorf("after kill -9 the cloud is\n%s\nwas\n%s", after, text)
	}

	l.prints(t, "release "+eni+" 10.0.1.77")
	l.prints(t, "detach i-vm1 "+eni)
	l.prints(t, "attach i-vm2 "+eni)
	l.prints(t, "stop i-vm2")
	l.prints(t, "start i-vm2")
	l.prints(t, "set-delete-on-termination i-vm2 "+eni+" true")
	l.prints(t, "terminate i-vm2")
	if left := l.prints(t, "list"); strings.Contains(left, eni) || strings.Contains(left, "i-vm2") {
		t.Errorf("after terminate there is left:\n%s", left)
	}
}

// TestLabUp: a lab on a laptop, in which enid follows what the operator does, and a VM that can be entered.
func TestLabUp(t *testing.T) {
	t.Parallel()
	l := startLab(t, "up", "--enid", os.Getenv(binary))
	eni := strings.TrimSpace(strings.TrimPrefix(l.prints(t, "create-eni subnet-b --secondary 2"), "created "))
	configured := regexp.MustCompile(eni + ` +eth1 +configured .* 3 of 3 `)
	l.prints(t, "attach i-vm1 "+eni)
	eventually(t, "enid configures what was attached", func() bool {
		return configured.MatchString(l.does(t, "shell", "vm1", "enid", "status").out)
	})
	l.prints(t, "shell vm1 ip -br addr show eth1", "10.0.1.3/24", "10.0.1.4/32", "10.0.1.5/32")
	l.prints(t, "shell i-vm1 ping -c 1 -W 10 -I 10.0.1.4 10.0.0.4", "1 received")
	l.does(t, "shell", "vm1", "sh", "-c", "exit 7").ends(t, 7)
	l.does(t, "shell", "vm9").ends(t, 1, "there is no VM vm9; there are: vm1 vm2")
	l.prints(t, "detach i-vm1 "+eni)
	l.prints(t, "attach i-vm2 "+eni)
	eventually(t, "the other VM's enid configures it", func() bool {
		return configured.MatchString(l.does(t, "shell", "vm2", "enid", "status").out)
	})
	l.prints(t, "stop i-vm2")
	l.does(t, "shell", "vm2").ends(t, 1, "there is no VM vm2; there are: vm1")
	l.prints(t, "start i-vm2")
	eventually(t, "after a stop and a start everything is configured again", func() bool {
		return configured.MatchString(l.does(t, "shell", "vm2", "enid", "status").out)
	})
	l.prints(t, "terminate i-vm1")
	l.does(t, "shell", "vm1").ends(t, 1, "there are: vm2")
}
