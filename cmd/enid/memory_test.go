package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestGiveBack: the program goes on, with less of its file in memory.
func TestGiveBack(t *testing.T) {
	before := resident(t)
	giveBack()
	if after := resident(t); after >= before {
		t.Errorf("%d KiB of files are resident, before it was %d", after, before)
	}
}

// resident is RssFile in KiB.
func resident(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no RssFile in %s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
