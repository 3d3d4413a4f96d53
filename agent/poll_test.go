package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"enid/netcfg"
)

// TestHurryForANewNIC: a NIC that the metadata does not know makes the agent ask at once, and every 100 ms
// for a minute, then every second, then as ever.
func TestHurryForANewNIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		defer h.stop()
		h.after(3 * time.Second) // between two polls
		h.cloud.questions()
		h.change(func() { h.plug(1) })
		h.after(time.Millisecond)
		if n := len(h.cloud.questions()); n != 1 {
			t.Errorf("%d questions at once, want one", n)
		}
		for _, phase := range []struct {
			lasts       time.Duration
			least, most int
		}{
			{time.Minute, 560, 601},
			{9 * time.Minute, 515, 545},
			{time.Hour, 399, 452},
		} {
			h.after(phase.lasts)
			if n := len(h.cloud.questions()); n < phase.least || n > phase.most {
				t.Errorf("%d questions in %s, want %d to %d", n, phase.lasts, phase.least, phase.most)
			}
		}
	})
}

// TestNICBeforeItsMetadata: usable within 200 ms of the metadata's knowing it, and calm afterwards.
func TestNICBeforeItsMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		defer h.stop()
		h.change(func() { h.plug(1) })
		h.after(20 * time.Second)
		h.cloud.says(eni(0, 5), eni(1, 5, 6))
		h.after(200 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6")
		if e := h.eni(1); e.Phase != PhaseConfigured {
			t.Errorf("the phase is %s", e.Phase)
		}
		h.after(2 * time.Second) // a second answer confirms the first
		h.cloud.questions()
		h.after(time.Minute)
		if n := len(h.cloud.questions()); n > 7 {
			t.Errorf("%d questions in a minute after the NIC is known", n)
		}
	})
}

// TestOthersNICs: what no ENI can be makes nobody ask.
func TestOthersNICs(t *testing.T) {
	for name, link := range map[string]netcfg.Link{
		"bridge":  {Kind: "bridge", MAC: macOf(9)},
		"veth":    {Kind: "veth", MAC: macOf(9)},
		"no MAC":  {},
		"port":    {MAC: macOf(9), Master: 77},
		"its own": {MAC: macOf(0), Kind: "vlan"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := started(t, eni(0, 5))
				defer h.stop()
				h.after(3 * time.Second)
				h.cloud.questions()
				link.Index, link.Name = 50, "other"
				h.change(func() { h.Plug(link) })
				h.after(time.Millisecond)
				if n := len(h.cloud.questions()); n > 0 {
					t.Errorf("asked %d times at once", n)
				}
				h.after(time.Minute)
				if n := len(h.cloud.questions()); n > 7 {
					t.Errorf("%d questions in a minute", n)
				}
			})
		})
	}
}

// TestVethsWhereENIsAreVeths: in the laboratory they are.
func TestVethsWhereENIsAreVeths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.Links[0].Kind = "veth"
		h.cloud.says(eni(0, 5))
		h.start()
		defer h.stop()
		h.after(2 * time.Minute)
		h.cloud.questions()
		h.change(func() { h.Plug(netcfg.Link{Index: 50, Name: "eth1", MAC: macOf(1), Kind: "veth"}) })
		h.after(time.Second)
		if n := len(h.cloud.questions()); n < 9 || n > 11 {
			t.Errorf("%d questions in a second, want ten", n)
		}
	})
}

// TestSourceThatHangs: repairs go on, and it is asked again.
func TestSourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5), eni(1, 5))
		defer h.stop()
		h.cloud.set(h.cloud.answer, nil, true)
		h.after(11 * time.Second) // a question is under way
		for range 10 {
			rules := len(h.Rules)
			h.change(func() { h.Rules = h.Rules[:1] })
			h.after(10 * time.Millisecond)
			if len(h.Rules) != rules {
				t.Fatalf("%d rules, want %d", len(h.Rules), rules)
			}
		}
		h.after(time.Minute)
		if n := len(h.cloud.questions()); n < 5 {
			t.Errorf("asked %d times in a minute", n)
		}
		h.cloud.says(eni(0, 5), eni(1, 5, 6))
		h.after(h.config.Metadata.Poll + fetchTimeout)
		h.wantAddresses("10.0.0.5", "10.0.1.5", "10.0.1.6")
	})
}

// TestAnswersAgain: after an outage of any length the agent goes on by itself within one poll, also where the
// kernel tells of something all the time, and asks ever less often meanwhile.
func TestAnswersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		defer h.stop()
		h.cloud.questions()
		h.cloud.fails(errors.New("down"))
		for len(h.cloud.questions()) == 0 {
			h.after(100 * time.Millisecond)
		}
		for range 20 {
			h.change(func() {})
			h.after(100 * time.Millisecond)
		}
		if n := len(h.cloud.questions()); n < 1 || n > 3 {
			t.Errorf("%d questions in the two seconds after the first failure; events of the kernel change nothing in that", n)
		}
		h.after(time.Hour)
		if n := len(h.cloud.questions()); n < 360 || n > 720 {
			t.Errorf("%d questions in an hour of an outage", n)
		}
		h.cloud.says(eni(0, 5, 6))
		h.after(h.config.Metadata.Poll)
		h.wantAddresses("10.0.0.5", "10.0.0.6")
	})
}

// TestFiles: a document that changes while a question is under way is read with another one.
func TestFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5))
		defer h.stop()
		h.after(time.Second)
		h.cloud.questions()
		Poke(h.events.Files)
		h.after(time.Millisecond)
		if n := len(h.cloud.questions()); n != 1 {
			t.Errorf("%d questions, want one", n)
		}
		h.cloud.takes = time.Second
		for h.cloud.waiting() {
			h.after(time.Millisecond)
		}
		h.cloud.says(eni(0, 5, 6))
		Poke(h.events.Files)
		h.after(2100 * time.Millisecond)
		h.wantAddresses("10.0.0.5", "10.0.0.6")
	})
}

// TestLossWithinOnePoll: an address that goes is gone within the poll interval, the answer that confirms it included.
func TestLossWithinOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := started(t, eni(0, 5, 6))
		defer h.stop()
		for range 50 {
			h.cloud.says(eni(0, 5))
			h.after(10 * time.Second)
			h.wantAddresses("10.0.0.5")
			h.cloud.says(eni(0, 5, 6))
			h.after(10 * time.Second)
			h.wantAddresses("10.0.0.5", "10.0.0.6")
		}
	})
}
