package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"enid/test/lab"
)

// browser is a tab of a real headless Chromium.
func browser(t *testing.T) tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the page is tested in Chromium (make setup): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx)
	t.Cleanup(shut)
	return tab{t, ctx}
}

// tab is a page in the browser.
type tab struct {
	*testing.T
	ctx context.Context
}

// eval is the value of an expression in the page.
func eval[T any](t tab, expression string) T {
	t.Helper()
	v, err := chromedp.Run(t.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true in the page.
func (t tab) until(expression string) {
	t.Helper()
	if _, err := lab.Await(patient(t.T), func() bool { return eval[bool](t, expression) }); err != nil {
		t.Fatalf("this does not become true: %s\n%s", expression, eval[string](t, "document.body.innerText"))
	}
}

// clicks presses the button with that label. The page is drawn anew while it changes, so that the page presses
// by itself, in one step.
func (t tab) clicks(label string) {
	t.Helper()
	t.until(fmt.Sprintf("(b => { if (b) b.click(); return !!b })(document.querySelector(`[aria-label=%q]`))", label))
}

// shows waits until an element of the page has a text.
func (t tab) shows(selector, text string) {
	t.Helper()
	t.until(fmt.Sprintf("[...document.querySelectorAll(`%s`)].some(e => e.innerText.includes(`%s`))", selector, text))
}

// lacks waits until an element is not on the page.
func (t tab) lacks(selector string) {
	t.Helper()
	t.until(fmt.Sprintf("!document.querySelector(`%s`)", selector))
}

// TestLabPage does every operation by the page of a lab, in a real browser, and watches enid follow.
func TestLabPage(t *testing.T) {
	t.Parallel()
	l := startLab(t, "up", "--enid", os.Getenv(binary))
	p := browser(t)
	must(t, chromedp.Do(p.ctx, chromedp.Navigate(l.url)))
	p.shows("[data-instance=i-vm1]", "enid: ")
	p.shows("[data-address='10.0.0.3']", "eth0")

	p.until("(document.querySelector('#subnet').value = 'subnet-b') && document.querySelector('#create button').click() === undefined")
	const eni = "port-a2uv000003"
	p.clicks("attach i-vm1 " + eni)
	p.clicks("assign " + eni)
	p.shows("[data-instance=i-vm1] [data-eni="+eni+"]", "eth1 configured")
	p.shows("[data-address='10.0.1.4']", "eth1")
	p.clicks("bind-eip " + eni + " 10.0.1.4")
	p.shows("[data-address='10.0.1.4']", "198.18.")
	p.clicks("unbind-eip " + eni + " 10.0.1.4")
	p.clicks("bind-eip " + eni + " 10.0.1.4")
	p.clicks("unbind-eip " + eni + " 10.0.1.4")
	p.clicks("release " + eni + " 10.0.1.4")
	p.lacks("[data-address='10.0.1.4']")
	p.clicks("delete on termination " + eni)
	eventually(t, "the cloud knows what was clicked on", func() bool {
		return strings.Contains(l.does(t, "list", "-o", "json").out, `"autoDelete": true`)
	})

	t.Log("an address of one's choice")
	p.until("(document.querySelector('#eni').value = '" + eni + "') && (document.querySelector('#assign [name=address]').value = '10.0.1.77') && " +
		"document.querySelector('#assign button').click() === undefined")
	p.shows("[data-address='10.0.1.77']", "eth1")
	p.clicks("release " + eni + " 10.0.1.77")
	p.lacks("[data-address='10.0.1.77']")

	t.Log("a refusal is shown, and nothing changes")
	p.clicks("start i-vm2")
	p.shows("#message", "refused")

	p.clicks("detach i-vm1 " + eni)
	p.clicks("attach i-vm2 " + eni)
	p.shows("[data-instance=i-vm2] [data-eni="+eni+"]", "configured")
	p.shows("#summary", "0 packets out of a wrong NIC")
	p.clicks("detach i-vm2 " + eni)
	p.clicks("delete-eni " + eni)
	p.lacks("[data-eni=" + eni + "]")
	p.clicks("stop i-vm2")
	p.shows("[data-instance=i-vm2] h2", "stopped")
	p.clicks("start i-vm2")
	p.shows("[data-instance=i-vm2] h2", "running")
	p.clicks("terminate i-vm2")
	p.lacks("[data-instance=i-vm2]")
}
